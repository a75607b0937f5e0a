"""WaveNet: what a prediction depends on, by its Jacobian; one sample at a time is the whole."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.audio import companding
from library.config import ConfigError
from library.data.preprocessing.sound import mu_law
from library.models.sequence.wavenet import wavenet

MODEL = wavenet(vocab_size=9, width=4, skip=5, depth=3, stacks=2)
TOKENS = jnp.asarray(np.random.default_rng(0).integers(0, 9, (2, 24)))


@pytest.fixture(scope="module")
def variables():
    shapes, draw = jax.eval_shape(MODEL.init, jax.random.key(0), TOKENS), np.random.default_rng(2)
    return jax.tree.map(lambda x: jnp.float32(0.5 * draw.normal(size=x.shape)), shapes)


def test_a_prediction_depends_on_its_receptive_field_alone(variables):
    assert MODEL.receptive_field == 15
    x = jnp.asarray(np.random.default_rng(1).normal(size=(24, 4)), jnp.float32)
    # All rectifiers after the layers are open, so that none hides a path.
    params = {
        name: {**dense, "bias": dense["bias"] + (1000.0 if name == "out" else 20.0)}
        if name == "out" or name.endswith("_skip")
        else dense
        for name, dense in variables["params"].items()
    }

    def features(x):
        return MODEL.apply({"params": params}, x[None], method="network")[0]

    slope = np.abs(jax.jit(jax.jacobian(features))(x)).sum((1, 3))
    place = np.arange(24)
    ago = place[:, None] - place
    inside = (ago >= 0) & (ago < 15)
    assert not slope[~inside].any()
    # Each dilation's path is there: the sums of a part of 1, 2, 4, 1, 2, 4 are all of 0 to 14.
    assert (slope[inside] > 0).all()


def test_one_sample_at_a_time_is_the_whole(variables):
    whole = jax.jit(MODEL.apply)(variables, TOKENS)
    cache, step = (
        MODEL.initial_cache(2, 24),
        jax.jit(lambda token, cache, at: MODEL.apply(variables, token, cache, at, method="step")),
    )
    for at in range(24):
        logits, cache = step(TOKENS[:, at : at + 1], cache, at)
        np.testing.assert_allclose(logits, whole[:, at], rtol=1e-4, atol=1e-5)


def test_levels_are_finer_near_zero_and_go_back():
    levels = np.arange(256)
    wave = companding.from_levels(levels)
    np.testing.assert_array_equal(companding.to_levels(wave), levels)
    assert wave[0] == -1
    assert wave[-1] == 1
    np.testing.assert_allclose(wave, -wave[::-1], rtol=1e-6)
    steps = np.diff(wave)[128:]
    assert (np.diff(steps) > 0).all()
    # F(x) = ln(1 + 255 |x|) / ln 256 at x = 1 / 255: one eighth of the way from 127.5 to 255.
    assert companding.to_levels(np.array([1 / 255])) == [int(127.5 * 9 / 8 + 0.5)]


def test_waves_become_tokens_and_their_mask_segments():
    op = mu_law(4, kinds={"audio": "audio"})
    mask = np.array([1, 1, 1, 0], np.float32)
    found = op({"audio": np.array([-(2**15), 0, 2**15 - 1, 0], np.int16), "audio_mask": mask}, None)
    assert set(found) == {"tokens", "segments"}
    assert found["tokens"].tolist()[0::2] == [0, 3]
    assert found["segments"].tolist() == [1, 1, 1, 0]
    assert op.makes == {"tokens": "tokens", "segments": "array"}
    with pytest.raises(ConfigError, match="levels=1: valid are 2 or more"):
        mu_law(1, kinds={"audio": "audio"})
