"""What `generate` and the samples of a run make, and how they refuse what cannot be made."""

import functools
import json

import jax
import numpy as np
import pytest
from PIL import Image

from library.apps import generation
from library.config import ConfigError
from library.evaluation import samples
from library.reporting import mosaic, saved_samples
from library.run import restoring, stepping
from library.run.feed import Feed
from library.run.recipe import make_plan
from library.run.session import Trained
from tests import families, often, tiny


@pytest.fixture(autouse=True)
def data(monkeypatch):
    families.serve(monkeypatch)


def trained(family, **changes):
    return _trained(family, json.dumps(changes))


@functools.cache
def _trained(family, changes):
    config = families.config(family, **json.loads(changes))
    plan = make_plan(config, devices=jax.devices()[:1])
    feed = Feed(plan)
    state = plan.strategy.init(
        lambda x: x, jax.device_get(stepping.initial_carry(plan, feed).state)
    )
    return Trained(plan, feed, 0, state)


CONDITIONAL = dict(
    model=dict(name="vae.dense", hidden=(8,), latent_dim=2, conditional=True),
    task=dict(name="variational", binarize=True),
)
PERCEPTRONS = dict(
    generator=dict(name="gan.generator", hidden=(8,)),
    discriminator=dict(name="gan.discriminator", hidden=(8,)),
)
UNTOLD = dict(model=PERCEPTRONS, task=dict(name="gan", latent_size=4))
TOLD = {
    "vae": CONDITIONAL,
    "gan": dict(model=PERCEPTRONS, task={**UNTOLD["task"], "conditional": True}),
    "diffusion": dict(
        task=dict(
            name="diffusion", timesteps=10, sampler=dict(name="ddim", steps=2), conditional=True
        ),
    ),
}


@pytest.mark.parametrize("family", often.only(["vae"], TOLD))
def test_a_class_by_number_or_name_is_made_alone(family):
    run, request = trained(family, **TOLD[family]), generation.Request(num=3)
    run = run._replace(state=families.stirred(run.state))
    third, by_name = (generation.images(run, request, label=label) for label in ("2", "c"))
    np.testing.assert_array_equal(third, by_name)
    others = generation.images(run, request, label="0")
    assert (third != others).any(axis=(1, 2, 3)).all()
    # Of the classes by turns the third place is the third class.
    np.testing.assert_array_equal(generation.images(run, request)[2], third[2])


@pytest.mark.parametrize(
    ("family", "changes", "options", "message"),
    [
        *(
            (family, changes, dict(label="4"), "valid are 0 to 3")
            for family, changes in TOLD.items()
        ),
        ("gan", TOLD["gan"], dict(label="dd"), "did you mean 'd'"),
        ("vae", {}, dict(label="2"), "'sample' reads no class"),
        ("gan", UNTOLD, dict(label="2"), "'sample' reads no class"),
        ("vae", {}, dict(label="2", output="reconstruct"), "'reconstruct' reads no class"),
        (
            "vae",
            CONDITIONAL,
            dict(label="2", output="reconstruct", split="test"),
            "the examples of --split=test have their own",
        ),
        ("vae", CONDITIONAL, dict(label="2", output="smaple"), "did you mean 'sample'"),
        ("vae", {}, dict(output="smaple"), "did you mean 'sample'"),
        ("vae", {}, dict(split="test"), "--split=test: this system's 'sample' reads no examples"),
        ("vae", {}, dict(output="reconstruct"), "reads 'image' of examples: give it a split"),
        ("vae", {}, dict(output="decode"), r"'code', which no example here has \(.*image, label"),
        ("autoencoder", {}, dict(output="decode", split="test"), "'code', which no example here"),
        ("mae", {}, dict(output="features", split="test"), "is not an image"),
    ],
)
def test_images_that_cannot_be_made(family, changes, options, message):
    with pytest.raises(ConfigError, match=message):
        generation.images(trained(family, **changes), generation.Request(num=2), **options)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(prompt="az", length=8), "z"),
        (dict(prompt="abcabcab", length=8), "8 tokens, which leaves nothing of length=8"),
        (dict(prompt="abcabcab", length=8), "from 9, or prompts of at most 7 tokens"),
        (dict(prompt="abcabcabc", length=20), "9 tokens does not fit .*: valid are 1 to 8 tokens"),
        (dict(prompt=("a", "abcabcabc"), length=20), "a prompt of 9 tokens does not fit"),
        (dict(prompt=("a", ""), length=8), "a prompt of 0 tokens"),
        (dict(prompt="", length=8), "valid are a prompt that is not empty"),
        (dict(prompt="a", length=8, temperature=-1.0), "temperature=-1"),
        (dict(prompt="a", length=8, top_p=0.0), "top_p=0"),
        (dict(prompt="a", length=8, top_k=99), "top_k=99"),
    ],
)
def test_text_that_cannot_be_written(settings, message):
    with pytest.raises(ConfigError, match=message):
        generation.texts(trained("gpt"), generation.Request(num=1), **settings)


def test_texts_begin_with_their_prompts_and_greedy_ones_are_alike():
    run, request = trained("gpt"), generation.Request(num=4)
    written = generation.texts(run, request, prompt=("ab", "c\na"), length=7, temperature=0.0)
    assert [text[:2] for text in written[::2]] == ["ab", "ab"]
    assert [text[:3] for text in written[1::2]] == ["c\na", "c\na"]
    assert written[0] == written[2]
    assert all(len(text) == 7 for text in written)


def test_a_prompt_fills_the_context_and_of_a_recurrent_model_is_of_any_length():
    request = generation.Request(num=1)
    for family, prompt in (("gpt", "abcabcab"), ("lstm", 4 * "abc\n")):
        (written,) = generation.texts(trained(family), request, prompt=prompt, length=20)
        assert written.startswith(prompt)
        assert len(written) == 20


def test_images_are_made_with_the_averages_unless_told_not_to():
    run = trained("diffusion")
    other = jax.tree.map(lambda x: x + 0.3, run.state.ema)
    run = run._replace(state=run.state.replace(ema=other))
    averaged = generation.images(run, generation.Request(num=2))
    raw = generation.images(run, generation.Request(num=2, ema=False))
    assert not np.array_equal(averaged, raw)
    again = run._replace(state=run.state.replace(params=other["params"]))
    np.testing.assert_array_equal(
        generation.images(again, generation.Request(num=2, ema=False)), averaged
    )


@pytest.mark.full
def test_reconstructions_of_a_normalized_set_are_shown_as_pixels():
    normalize = dict(mean=[0.4], std=[0.25])
    run = trained("mae", normalize=normalize)
    rows = generation.images(
        run, generation.Request(num=3), output="masked_reconstruct", split="test"
    )
    np.testing.assert_array_equal(rows[:, 0], tiny.arrays(21, seed=1)["image"][:3])


def test_files_hold_what_was_made(tmp_path):
    images = np.arange(5 * 8 * 8, dtype=np.uint8).reshape(5, 8, 8, 1)
    path = generation.write_images(images, tmp_path, "sample", save_arrays=True)
    with np.load(tmp_path / "sample.npz") as held:
        np.testing.assert_array_equal(held["image"], images)
    # Three columns, two rows, enlarged four times.
    with Image.open(path) as picture:
        assert picture.size == (4 * (3 * 8 + 2 * mosaic.GAP), 4 * (2 * 8 + mosaic.GAP))
        pixels = np.asarray(picture)[::4, ::4]
    np.testing.assert_array_equal(pixels[:8, :8], images[0, ..., 0])
    np.testing.assert_array_equal(pixels[10:, 10:18], images[4, ..., 0])
    assert (pixels[10:, 20:] == mosaic.PAPER).all()


def test_samples_are_kept_by_step_and_found_again(tmp_path):
    values = families.config("vae", total="4 steps")
    values["evaluate"]["samples"]["every"] = "2 steps"
    tiny.run(make_plan(values, devices=jax.devices()[:1]), tmp_path)
    (found,) = saved_samples.find(tmp_path)
    assert found.name == "samples_sample"
    assert found.steps == [2, 4]
    assert found.at(-1).shape == (8, 8, 8, 1)
    assert not np.array_equal(found.at(0), found.at(1))
    assert saved_samples.newest(found) is not None
    assert saved_samples.over_training(found) is not None


@pytest.mark.full
def test_a_run_judges_images_as_it_classifies_them(tmp_path, monkeypatch):
    values = tiny.config(
        model=tiny.PERCEPTRON,
        total="6 steps",
        evaluate=dict(test=dict(kind="metrics")),
        checkpoint=dict(best="test/accuracy"),
        reported=dict(metric="test/accuracy", value=0.5, source="nobody"),
    )
    (tmp_path / "judge").mkdir()
    plan = make_plan(values, devices=jax.devices()[:1])
    tiny.run(plan, tmp_path / "judge")
    monkeypatch.setattr(restoring.workdir, "read_config", lambda folder: values)
    (tmp_path / "judge/config.json").write_text("{}")
    _, state = restoring.state_like(plan.state, tmp_path / "judge", which="latest")
    image = jax.numpy.asarray(tiny.arrays(3)["image"] / np.float32(255))
    batch = plan.normalize({"image": image, "mask": jax.numpy.ones(3)})
    expected = plan.task.outputs["probabilities"](state, batch, jax.random.key(0))
    judged = restoring.judge(make_plan, str(tmp_path / "judge"), "probabilities")(image)
    np.testing.assert_allclose(judged, expected, rtol=1e-6)
    with pytest.raises(ConfigError, match="did you mean 'logits'"):
        restoring.judge(make_plan, str(tmp_path / "judge"), "logit")
    with pytest.raises(ConfigError, match="no run in"):
        restoring.judge(make_plan, str(tmp_path / "nowhere"), "logits")


def test_samples_want_an_output_that_there_is():
    context = trained("vae").feed.context()
    with pytest.raises(ConfigError, match="did you mean 'sample'"):
        samples.samples(context, output="sampel")
    with pytest.raises(ConfigError, match="num=0"):
        samples.samples(context, num=0)
    with pytest.raises(ConfigError, match="for language models"):
        samples.text(context)
