"""What `generate` makes of an output is a file of its name, whose signature declares its flags."""

import sys

import jax
import numpy as np
import pytest
from absl import flags

from experiments import command_line
from library.apps import captions, generation, outputs
from library.config import ConfigError
from library.run import stepping
from library.run.feed import Feed
from library.run.recipe import make_plan
from library.run.session import Trained
from tests import families


def test_an_output_is_found_by_its_name_and_others_are_images():
    assert set(outputs.USUAL) - set(outputs.names()) == {"overlay"}
    assert outputs.maker("generate", files=False).__name__ == "generate"
    assert outputs.maker("overlay", files=False) is outputs.maker("sample", files=False)
    of_files = outputs.maker("probabilities", files=True)
    assert command_line.flags_of(of_files) == ["images", "ema"]
    assert "images" in command_line.flags_of(outputs.maker("overlay", files=True))
    # Text is written of no image files, and the flag is refused.
    assert "images" not in command_line.flags_of(outputs.maker("generate", files=True))


def test_a_flag_that_an_output_alone_reads_is_made_of_its_signature(monkeypatch):
    def describe(trained, output, folder, *, num: int | None, beam_width: int = 3, wordy: bool):
        pass

    before = set(flags.FLAGS)
    flags.DEFINE_integer("num", 16, "")
    command_line.define_flags(describe)
    try:
        assert set(flags.FLAGS) - before == {"num", "beam_width", "wordy"}
        assert (flags.FLAGS["beam_width"].default, flags.FLAGS["num"].default) == (3, 16)
        with pytest.raises(flags.IllegalFlagValueError):
            flags.FLAGS["beam_width"].parse("three")
        flags.FLAGS["wordy"].parse("true")
        assert command_line.values_for(describe) == dict(num=16, beam_width=3, wordy=True)
        flags.FLAGS["wordy"].present = 1
        with pytest.raises(ConfigError, match="--wordy is not read with it, which reads --num"):
            command_line.refuse_unread("it", ["num"])
        assert sys.argv[0] == flags.FLAGS.find_module_defining_flag("beam_width")
    finally:
        for name in ("num", "beam_width", "wordy"):
            delattr(flags.FLAGS, name)


def test_images_are_made_of_examples_that_are_given(monkeypatch):
    families.serve(monkeypatch)
    plan = make_plan(families.config("autoencoder"), devices=jax.devices()[:1])
    feed = Feed(plan)
    state = families.stirred(jax.device_get(stepping.initial_carry(plan, feed).state))
    trained = Trained(plan, feed, 0, plan.strategy.init(lambda x: x, state))
    request, loader = generation.Request(num=5), feed.loader("test")
    given = [loader.load(row, row) for row in range(5)]
    ours = generation.images_of(trained, request, given, output="reconstruct")
    theirs = generation.images(trained, request, output="reconstruct", split="test")
    np.testing.assert_array_equal(ours, theirs)


def trained(family):
    plan = make_plan(families.config(family), devices=jax.devices()[:1])
    feed = Feed(plan)
    state = families.stirred(jax.device_get(stepping.initial_carry(plan, feed).state))
    return Trained(plan, feed, 0, plan.strategy.init(lambda x: x, state))


@pytest.mark.full
def test_sentences_are_written_beside_the_images_that_they_are_about(monkeypatch, tmp_path):
    families.serve(monkeypatch)
    run = trained("visual_explanation")
    outputs.maker("caption", files=False)(
        run, "caption", tmp_path / "made", num=5, seed=0, ema=True, split=None
    )
    texts = (tmp_path / "made/caption.txt").read_text().splitlines()
    assert len(texts) == 5
    assert set(" ".join(texts).split()) <= {*"abcd", "<unknown>"}
    made = captions.captioned(run, generation.Request(num=3), "caption", "test")
    expected = families.captions(21, 1).records
    np.testing.assert_array_equal(made.images, [expected[row]["image"] for row in range(3)])
    assert made.texts == texts[:3]


@pytest.mark.parametrize(
    "family", [pytest.param("piano_roll", marks=pytest.mark.full), "harmonization"]
)
def test_music_is_composed_and_arranged(family, monkeypatch, tmp_path):
    pytest.importorskip("mido", reason="MIDI files need mido")
    families.serve(monkeypatch)
    run, make = trained(family), outputs.maker("music", files=False)
    request = dict(num=2, seed=0, ema=True, frames_per_minute=240)
    for split, name in ((None, "music"), ("test", "arrangement")):
        make(run, "music", tmp_path / "made", split=split, **request)
        written = {path.name for path in (tmp_path / "made").glob(f"{name}*")}
        assert written == {f"{name}_1.mid", f"{name}_2.mid", f"{name}.png"}
