"""Strings of digits are their digits, joined, and the same ones each time."""

import io

import numpy as np
import pytest
from PIL import Image

from library.data.builders import fsdd_strings, mnist_strings
from library.data.preprocessing.lines import pad_width


@pytest.fixture
def recordings():
    """Holds 60 recordings of two speakers; the samples of recording i are all i + 1."""
    random = np.random.default_rng(0)
    lengths = random.integers(50, 200, 60)
    lengths[7] = fsdd_strings.MOST + 1
    audio = np.repeat(np.arange(1, 61), lengths).astype(np.int16).view(np.uint16)
    return dict(
        hi=(audio >> 8).astype(np.uint8),
        lo=(audio & 255).astype(np.uint8),
        offsets=np.cumsum([0, *lengths]),
        labels=np.arange(60) % 10,
        speaker=np.arange(60) // 30,
        speakers=np.array(["ann", "bob"]),
        take=np.arange(60) // 10 % 3 * 4,
    )


@pytest.mark.parametrize("test", [False, True])
def test_a_spoken_string_joins_recordings_of_its_split_and_speaker(recordings, test):
    found = list(fsdd_strings.strings(recordings, test, 12))
    for _, example in found:
        audio = example["audio"]
        starts = np.flatnonzero((audio != 0) & (np.diff(audio, prepend=0) != 0))
        rows = audio[starts].astype(int) - 1
        assert 3 <= len(rows) <= 5
        assert ((recordings["take"][rows] < 5) == test).all()
        assert (recordings["speaker"][rows] == example["speaker"]).all()
        np.testing.assert_array_equal(recordings["labels"][rows], example["tokens"])
        lengths = np.diff(recordings["offsets"])[rows]
        assert (audio != 0).sum() == lengths.sum()
        assert 7 not in rows
        assert len(audio) <= fsdd_strings.LONGEST
    again = list(fsdd_strings.strings(recordings, test, 12))
    for (_, ours), (_, theirs) in zip(found, again):
        np.testing.assert_array_equal(ours["audio"], theirs["audio"])


def test_a_written_string_joins_the_ink_of_its_digits():
    images = np.zeros((20, 28, 28), np.uint8)
    for row in range(20):
        images[row, 3:20, 5 : 9 + row % 4] = row + 1
    labels = np.arange(20) % 10
    for _, example in mnist_strings.strings(images, labels, 10, seed=0):
        line = np.asarray(Image.open(io.BytesIO(example["image"].read()))).astype(int)[10]
        assert line.shape[0] <= mnist_strings.WIDEST
        starts = np.flatnonzero((line != 0) & (np.diff(line, prepend=0) != 0))
        rows = line[starts] - 1
        np.testing.assert_array_equal(labels[rows], example["tokens"])
        assert (line != 0).sum() == sum(4 + row % 4 for row in rows)
        gaps = [len(part) for part in "".join("0" if x == 0 else "1" for x in line).split("1")]
        assert all(2 <= gap <= 6 for gap in gaps if gap)


def test_lines_are_padded_on_the_right_and_masked():
    image = np.arange(12, dtype=np.uint8).reshape(2, 6, 1) + 1
    found = pad_width(8)({"image": image}, np.random.default_rng(0))
    np.testing.assert_array_equal(found["image"][:, :6], image)
    assert not found["image"][:, 6:].any()
    np.testing.assert_array_equal(found["image_mask"], [1] * 6 + [0] * 2)
    with pytest.raises(ValueError, match="image has 6 columns, but pad_width has width=5"):
        pad_width(5)({"image": image}, np.random.default_rng(0))
