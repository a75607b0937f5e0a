"""Frames of notes: the loss by hand, what padding changes, and the law by which music is drawn."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library import piano_rolls
from library.config import ConfigError
from library.models.sequence.biaxial import Biaxial
from library.task import TrainState
from library.tasks.piano_roll import piano_roll

CELL = piano_rolls.CELL
NOTES, STEPS = 3, 5
SHAPES = {"series": (STEPS, NOTES), "series_mask": (STEPS,)}


class Given(nn.Module):
    """Answers with logits that turn each note over, scaled by how often it has sounded before."""

    slope: float = 2.0

    @nn.compact
    def __call__(self, series, mask=None, train=False):
        seen = jnp.where(mask[..., None] > 0, series, 0)
        return self.slope * (jnp.cumsum(seen, axis=1) - 0.5)


class _Learner:
    init = update = None


def make(model=None, **options):
    given = dict(feature_shapes=SHAPES, length=6, prompt=2, **options)
    return piano_roll(model or Given(), lambda loss: _Learner(), **given)


def state(variables=None):
    return TrainState(None, (variables or {}).get("params", {}), {}, None, None)


def batch(**changes):
    draw = np.random.default_rng(0)
    found = {
        "series": draw.integers(0, 2, (3, STEPS, NOTES)).astype(np.float32),
        "series_mask": np.array([[1] * 5, [1, 1, 1, 0, 0], [1] * 5], np.float32),
        "mask": np.array([1, 1, 0], np.float32),
        "index": np.arange(3, dtype=np.uint32),
    }
    return {name: jnp.asarray(x) for name, x in {**found, **changes}.items()}


def test_the_loss_is_a_sum_over_notes_and_a_mean_over_frames():
    given = batch()
    found = jax.device_get(make().evaluate(state(), given, jax.random.key(0)))
    series = np.asarray(given["series"], np.float64)
    loss, frames, both, either = 0.0, 0, 0, 0
    for row, count in ((0, 5), (1, 3)):
        for t in range(1, count):
            z = 2.0 * (series[row, :t].sum(0) - 0.5)
            p = 1 / (1 + np.exp(-z))
            x = series[row, t]
            loss -= sum(np.log(p[n] if x[n] else 1 - p[n]) for n in range(NOTES))
            both, either = both + np.sum((z > 0) & (x > 0)), either + np.sum((z > 0) | (x > 0))
            frames += 1
    assert frames == 6
    np.testing.assert_allclose(found["loss"], (loss, 6), rtol=1e-6)
    assert found["accuracy"] == (both, either)


def test_padding_changes_no_bit():
    task, key = make(), jax.random.key(0)
    there = (batch()["series_mask"] * batch()["mask"][:, None])[..., None] > 0
    ours, theirs = (
        batch(series=jnp.where(there, batch()["series"], value)) for value in (np.nan, 0.0)
    )
    jax.tree.map(
        np.testing.assert_array_equal,
        *(task.evaluate(state(), each, key) for each in (ours, theirs)),
    )
    short = {name: x[1:2, :3] if x.ndim > 1 else x[1:2] for name, x in theirs.items()}
    alone = task.outputs["error"](state(), short, key)
    whole = task.outputs["error"](state(), theirs, key)[1:2]
    np.testing.assert_allclose(whole, alone, rtol=1e-6)


def test_a_note_that_is_not_binary_shows():
    strange = batch(series=batch()["series"].at[0, 2, 1].set(0.5))
    assert np.isnan(make().evaluate(state(), strange, jax.random.key(0))["loss"][0])


def test_music_follows_the_model_and_continues_what_is_given():
    # A note that has sounded sounds on, and no other begins.
    task, given = make(Given(slope=1e4), lowest=60), batch()
    made = np.asarray(task.outputs["arrangement"](state(), given, jax.random.key(0)))
    assert made.shape == (3, 6, 1, 128)
    assert made[..., :60].max() == made[..., 63:].max() == 0
    known = np.asarray(given["series"][:, :2])
    later = np.repeat(known.max(1, keepdims=True), 4, axis=1)
    sounds = np.concatenate([known, later], axis=1) > 0
    np.testing.assert_array_equal(made[:, :, 0, 60:63] > 0, sounds)
    silence = task.outputs["music"](state(), given, jax.random.key(0))
    np.testing.assert_array_equal(silence, np.zeros((3, 6, 1, 128)))
    assert task.outputs["sample"](state(), given, jax.random.key(0)).shape == (
        3,
        88 * CELL,
        6 * CELL,
        3,
    )


def test_a_draw_follows_the_probabilities_and_the_examples_own_key():
    task, key = make(Given(slope=np.log(4.0)), temperature=0.5), jax.random.key(3)
    many = {"index": jnp.arange(4000, dtype=jnp.uint32)}
    made = np.asarray(jax.jit(task.outputs["music"])(state(), many, key))[:, 0, 0, 21:24] > 0
    # From silence the logit is -log(4) / 2, at a temperature of 0.5 it is -log 4: 1 in 5.
    assert abs(made.mean() - 0.2) < 5 * np.sqrt(0.16 / made.size)
    some = {"index": many["index"][7:9]}
    apart = np.asarray(task.outputs["music"](state(), some, key))[:, 0, 0, 21:24] > 0
    np.testing.assert_array_equal(apart, made[7:9])


def factored():
    model = Biaxial(time_widths=(3,), note_widths=(4,), lowest=60, beats=2, dropout=0.0)
    frames = jnp.zeros((1, 2, NOTES))
    shapes = jax.eval_shape(model.init, jax.random.key(0), frames, None, frames)
    draw = np.random.default_rng(1)
    return model, jax.tree.map(
        lambda p: jnp.asarray(0.5 * draw.normal(size=p.shape), jnp.float32), shapes
    )


def test_frames_whose_notes_depend_on_each_other_are_drawn_from_their_joint_law():
    model, variables = factored()
    task, key = make(model, lowest=60), jax.random.key(0)
    frames = np.stack(np.meshgrid(*[[0.0, 1.0]] * NOTES, indexing="ij"), -1).reshape(-1, NOTES)
    pieces = np.concatenate([np.zeros((8, 1, NOTES)), frames[:, None]], axis=1)
    given = batch(series=pieces.astype(np.float32), series_mask=np.ones((8, 2)), mask=np.ones(8))
    law = np.exp(-np.asarray(jax.jit(task.outputs["error"])(state(variables), given, key)))
    np.testing.assert_allclose(law.sum(), 1, rtol=1e-5)
    many = {"index": jnp.arange(4000, dtype=jnp.uint32)}
    made = np.asarray(jax.jit(task.outputs["music"])(state(variables), many, key))
    first = (made[:, 0, 0, 60:63] > 0) @ [4, 2, 1]
    counts = np.bincount(first, minlength=8) / 4000
    assert np.all(np.abs(counts - law) < 5 * np.sqrt(law * (1 - law) / 4000) + 1e-9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(inputs=("series",)), r"task.inputs=\['series'\]: valid are the frames"),
        (dict(temperature=0.0), "temperature=0.0: valid are numbers above 0"),
        (dict(lowest=126), "lowest=126: valid are 0 to 125"),
    ],
)
def test_what_does_not_fit_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        make(**options)


def test_a_picture_shows_notes_from_the_highest_down():
    frames = jnp.zeros((1, 2, 88)).at[0, :, 87].set(1).at[0, 1, 0].set(1)
    music = piano_rolls.of_frames(frames)
    assert music[0, :, 0, 108].tolist() == [piano_rolls.STARTED, piano_rolls.HELD]
    assert music[0, :, 0, 21].tolist() == [piano_rolls.SILENT, piano_rolls.STARTED]
    drawn = np.asarray(piano_rolls.picture(music))[0]
    assert drawn.shape == (88 * CELL, 2 * CELL, 3)
    np.testing.assert_array_equal(drawn[0, 0], drawn[-1, CELL])
    assert (drawn[0, CELL] != drawn[0, 0]).any()
    np.testing.assert_array_equal(drawn[-1, 0], [255] * 3)
