"""Folders of recordings: any rate and width, classes or ratings, and what is said of bad ones."""

import io
import wave

import numpy as np
import pytest

from library.audio import sound_files
from library.config import ConfigError
from library.data import sources
from library.data.preprocessing import CorruptExample
from library.data.preprocessing.sound import decode_audio


def wav(samples, rate=8000, width=2):
    """Writes samples in [-1, 1), (t,) or (t, channels)."""
    file, samples = io.BytesIO(), np.asarray(samples)
    samples = samples[:, None] if samples.ndim == 1 else samples
    scaled = np.rint(samples * 2 ** (8 * width - 1)).astype(np.int64)
    data = (scaled + 128 * (width == 1)).astype("<i8").reshape(-1, 1).view(np.uint8)
    with wave.open(file, "wb") as out:
        out.setnchannels(samples.shape[1])
        out.setsampwidth(width)
        out.setframerate(rate)
        out.writeframes(np.ascontiguousarray(data[:, :width]).tobytes())
    return file.getvalue()


def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_every_width_holds_the_same_samples(width):
    stereo = np.array([[-1, 0.5], [0.25, -0.125], [0, 0.75]])
    samples, rate = sound_files.read(wav(stereo, 11025, width))
    assert rate == 11025
    np.testing.assert_array_equal(samples, stereo)


def test_a_tone_keeps_its_pitch_at_another_rate():
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(4410) / 44100)
    found = decode_audio(8000)({"audio": wav(np.stack([tone, tone], 1), 44100)}, None)["audio"]
    assert found.dtype == np.int16
    assert len(found) == 800
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(800) / 8000)
    # The filter does not see beyond the ends.
    np.testing.assert_allclose(found[50:-50] / 2**15, expected[50:-50], atol=5e-3)


def test_folders_have_classes_and_splits(tmp_path):
    for split, count in (("train", 3), ("test", 1)):
        for label, name in enumerate(("calm", "joy")):
            for i in range(count):
                write(tmp_path / split / name / f"{i}.wav", wav(np.full(9, label / 2 + i / 8)))
    write(tmp_path / "train" / "joy" / "notes.txt", b"")
    source = sources.open_source("audio_folder", "train", data_dir=tmp_path)
    assert source.label_names == ("calm", "joy")
    assert len(source.records) == 6
    assert "notes.txt" in source.notes[0]
    for row in range(6):
        example = source.records[row]
        samples = sound_files.read(example["audio"])[0]
        number = int(source.describe(row)[-5])
        np.testing.assert_array_equal(samples, example["label"] / 2 + number / 8)
    info = sources.info("audio_folder", data_dir=tmp_path)
    assert info.splits == {"train": 6, "test": 2}
    again = sources.open_source("audio_folder", "train", data_dir=tmp_path)
    assert again.fingerprint() == source.fingerprint()


def rated(tmp_path, *lines, header="file,valence,arousal"):
    for name in ("a.wav", "b.wav"):
        write(tmp_path / name, wav(np.zeros(4)))
    (tmp_path / "ratings.csv").write_text("\n".join([header, *lines]) + "\n")
    return sources.open_source("audio_folder", "train", data_dir=tmp_path)


def test_a_table_gives_ratings(tmp_path):
    source = rated(tmp_path, "a.wav,0.5,-1", "b.wav,2,3")
    assert source.label_names is None
    found = {source.describe(row)[-5]: source.records[row]["target"].tolist() for row in range(2)}
    assert found == {"a": [0.5, -1], "b": [2, 3]}
    other = rated(tmp_path, "a.wav,0.5,-1", "b.wav,2,4")
    assert other.fingerprint() != source.fingerprint()


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (("a.wav,1,2", "c.wav,1,2"), "ratings.csv, line 3: no such file: .*c.wav"),
        (("a.wav,1,nan",), "line 2: arousal is 'nan', expected a finite number"),
        (("a.wav,1",), "line 2: arousal is None, expected a finite number"),
        ((), "has no lines of recordings"),
    ],
)
def test_a_bad_line_is_named(tmp_path, lines, said):
    with pytest.raises(ConfigError, match=said):
        rated(tmp_path, *lines)


def test_a_bad_header_or_folder_is_named(tmp_path):
    with pytest.raises(ConfigError, match="line 1: no column 'file'; columns: name, joy"):
        rated(tmp_path, header="name,joy")
    with pytest.raises(ConfigError, match="unknown split 'tset'"):
        rated(tmp_path, "a.wav,tset,1", header="file,split,joy")
    with pytest.raises(ConfigError, match="no such directory"):
        sources.open_source("audio_folder", "train", data_dir=tmp_path / "none")
    (tmp_path / "other" / "joy").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"no recordings in .*joy"):
        sources.open_source("audio_folder", "train", data_dir=tmp_path / "other")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (wav(np.zeros(90))[:-10], "ends early"),
        (wav(np.zeros(0)), "no samples"),
        (b"ID3 and so on", "soundfile"),
    ],
)
def test_a_damaged_file_is_a_corrupt_example(data, said):
    with pytest.raises(CorruptExample, match=said):
        decode_audio(8000)({"audio": data}, None)
