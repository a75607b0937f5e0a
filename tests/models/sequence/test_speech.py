"""Classifiers of recordings: what is in the padding changes nothing, and parts are as stated."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.layers import series
from library.models.sequence import blstm_ctc, crnn, early_speech, speech
from tests import often

SMALL = {
    "perceptron": speech.perceptron(num_classes=3, segments=4, widths=(8,)),
    "tdnn": speech.tdnn(num_classes=3, widths=(6, 8), sizes=(3, 3), dilations=(1, 2), hidden=5),
    "cnn": speech.cnn(num_classes=3, widths=(4, 6)),
    "blstm": speech.blstm(num_classes=3, width=5),
    "transformer": speech.transformer(num_classes=3, width=8, depth=1, num_heads=2, hidden=9),
    "error_propagation": early_speech.error_propagation(num_classes=3, width=5, delay=2),
    "frame_perceptron": early_speech.frame_perceptron(num_classes=3, width=5, context=1),
    "blstm_ctc": blstm_ctc.blstm_ctc(num_classes=3, width=5),
}
COUNTS = np.array([13, 8])


def given(length, fill=0.0):
    x = np.random.default_rng(0).normal(size=(2, 13, 6)).astype(np.float32)
    mask = (np.arange(length) < COUNTS[:, None]).astype(np.float32)
    x = np.pad(x, [(0, 0), (0, length - 13), (0, 0)])
    return jnp.float32(np.where(mask[..., None] > 0, x, fill)), jnp.asarray(mask)


def drawn(model, *inputs):
    """Returns weights that leave no term out."""
    shapes, draw = jax.eval_shape(model.init, jax.random.key(0), *inputs), np.random.default_rng(1)
    return jax.tree.map(lambda x: jnp.float32(0.3 * draw.normal(size=x.shape)), shapes)


def logits(apply, variables, *inputs):
    found = apply(variables, *inputs)
    return np.asarray(found[0] if isinstance(found, tuple) else found)


@pytest.mark.parametrize("name", often.only(["cnn", "transformer", "blstm_ctc"], SMALL))
def test_padding_changes_no_bit_and_its_length_changes_nothing(name):
    model = SMALL[name]
    variables, apply = drawn(model, *given(17)), jax.jit(model.apply)
    found = logits(apply, variables, *given(17))
    other = logits(apply, variables, *given(17, fill=3.0))
    np.testing.assert_array_equal(found, other)
    # An even and an odd length: strides must not shift what they see.
    longer = logits(apply, variables, *given(24))
    if name == "blstm_ctc":
        for row, count in enumerate(COUNTS):
            np.testing.assert_allclose(
                longer[row, :count], found[row, :count], rtol=1e-4, atol=1e-5
            )
    else:
        np.testing.assert_allclose(longer, found, rtol=1e-4, atol=1e-5)
    assert np.ptp(found) > 0


def softmax(z):
    return np.exp(z) / np.exp(z).sum()


def test_error_propagation_follows_its_equations_and_answers_late():
    x, mask = given(15)
    model = SMALL["error_propagation"]
    variables = jax.jit(model.init)(jax.random.key(0), x, mask)
    found = logits(jax.jit(model.apply), variables, x, mask)
    params = jax.tree.map(lambda p: np.asarray(p, np.float64), variables["params"])
    W, b = params["state"]["input"]["kernel"], params["state"]["input"]["bias"]
    U, head = params["state"]["recurrent"]["kernel"], params["head"]
    for row, count in enumerate(COUNTS):
        state, answers = np.zeros(5), []
        for u in np.asarray(x[row, :count], np.float64):
            y = np.concatenate([u, state]) @ head["kernel"] + head["bias"]
            answers.append(np.log(softmax(y)))
            state = 1 / (1 + np.exp(-(u @ W + b + state @ U)))
        np.testing.assert_allclose(found[row], np.mean(answers[2:], axis=0), rtol=1e-5, atol=1e-6)


def test_the_perceptron_sees_a_frame_and_its_neighbours():
    x, mask = given(15)
    model = SMALL["frame_perceptron"]
    variables = jax.jit(model.init)(jax.random.key(0), x, mask)
    found = logits(jax.jit(model.apply), variables, x, mask)
    params = jax.tree.map(lambda p: np.asarray(p, np.float64), variables["params"])
    for row, count in enumerate(COUNTS):
        frames, answers = np.pad(np.asarray(x[row], np.float64), [(1, 1), (0, 0)]), []
        for t in range(count):
            z = np.einsum("kd,kdw->w", frames[t : t + 3], params["hidden"]["kernel"])
            hidden = 1 / (1 + np.exp(-(z + params["hidden"]["bias"])))
            y = hidden @ params["head"]["kernel"] + params["head"]["bias"]
            answers.append(np.log(softmax(y)))
        np.testing.assert_allclose(found[row], np.mean(answers, axis=0), rtol=1e-5, atol=1e-6)


def test_the_network_of_2006_has_its_number_of_weights():
    model = blstm_ctc.blstm_ctc(num_classes=61)
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 2, 26)), jnp.ones((1, 2)))
    assert sum(x.size for x in jax.tree.leaves(shapes["params"])) == 114_662


def test_a_line_is_read_alike_whatever_is_in_its_padding():
    model = crnn.crnn(num_classes=3, widths=(3, 4, 5), width=4)
    image = np.random.default_rng(0).normal(size=(2, 8, 13, 1)).astype(np.float32)

    def line(length, fill=0.0):
        mask = (np.arange(length) < COUNTS[:, None]).astype(np.float32)
        x = np.pad(image, [(0, 0), (0, 0), (0, length - 13), (0, 0)])
        return jnp.float32(np.where(mask[:, None, :, None] > 0, x, fill)), jnp.asarray(mask)

    variables, apply = drawn(model, *line(17)), jax.jit(model.apply)
    found, mask = apply(variables, *line(17))
    np.testing.assert_array_equal(found, apply(variables, *line(17, 3.0))[0])
    np.testing.assert_array_equal(mask.sum(1), np.ceil(COUNTS / 4))
    longer = apply(variables, *line(24))[0]
    for row, count in enumerate(np.asarray(mask.sum(1), int)):
        np.testing.assert_allclose(longer[row, :count], found[row, :count], rtol=1e-4, atol=1e-5)


def test_segments_are_means_of_equal_parts():
    x = jnp.arange(8.0)[None, :, None]
    mask = jnp.float32([[1] * 6 + [0] * 2])
    found = np.asarray(jax.jit(series.segment_means, static_argnums=2)(x, mask, 3))
    np.testing.assert_allclose(found[0, :, 0], [0.5, 2.5, 4.5])


def test_pooled_statistics_are_those_of_the_data():
    x, mask = given(15, fill=9.0)
    found, x = np.asarray(jax.jit(series.pooled_statistics)(x, mask)), np.asarray(x)
    for row, count in enumerate(COUNTS):
        there = x[row, :count]
        expected = np.concatenate([there.mean(0), np.sqrt(there.var(0) + 1e-6)])
        np.testing.assert_allclose(found[row], expected, rtol=1e-5, atol=1e-6)


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="width=10 cannot be divided among num_heads=4"):
        speech.transformer(num_classes=3, width=10)
    with pytest.raises(ConfigError, match="delay=-1: valid are 0"):
        early_speech.error_propagation(num_classes=3, delay=-1)
    with pytest.raises(ConfigError, match="context=-1: valid are 0"):
        early_speech.frame_perceptron(num_classes=3, context=-1)
    with pytest.raises(ConfigError, match=r"input_noise=-0\.6: valid are 0"):
        blstm_ctc.blstm_ctc(num_classes=3, input_noise=-0.6)
