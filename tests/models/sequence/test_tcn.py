"""Temporal convolutions against a loop in numpy, their receptive field and their padding."""

import jax
import jax.numpy as jnp
import numpy as np

from library.models.sequence import tcn

BATCH, LENGTH, INPUTS = 2, 9, 2


def make(**options):
    model = tcn.TCN(3, **{"widths": (4, 4), "kernel_size": 2, **options})
    variables = jax.eval_shape(model.init, jax.random.key(0), series())
    draw = np.random.default_rng(1)
    return model, jax.tree.map(
        lambda p: jnp.asarray(draw.normal(size=p.shape), jnp.float32), variables
    )


def series():
    return jnp.asarray(np.random.default_rng(0).normal(size=(BATCH, LENGTH, INPUTS)), jnp.float32)


def convolved(p, x, dilation):
    """Returns a causal convolution of x (t, d), a step and a place of the window at a time."""
    kernel = p["kernel"] * p["scale"] / np.sqrt(np.square(p["kernel"]).sum(axis=(0, 1)))
    size = len(kernel)
    found = np.tile(p["bias"], (len(x), 1))
    for t in range(len(x)):
        for place in range(size):
            source = t - (size - 1 - place) * dilation
            if source >= 0:
                found[t] += x[source] @ kernel[place]
    return found


def test_a_network_follows_its_equations():
    model, variables = make(output="each")
    p = jax.tree.map(lambda v: np.asarray(v, np.float64), variables["params"])
    x = np.asarray(series()[0], np.float64)
    for number in (1, 2):
        y = x
        for part in (1, 2):
            y = np.maximum(convolved(p[f"block{number}_conv{part}"], y, 2 ** (number - 1)), 0)
        if number == 1:
            x = x @ p["block1_projection"]["kernel"] + p["block1_projection"]["bias"]
        x = np.maximum(x + y, 0)
    expected = x @ p["head"]["kernel"] + p["head"]["bias"]
    np.testing.assert_allclose(jax.jit(model.apply)(variables, series())[0], expected, 1e-4, 1e-5)


def test_an_answer_sees_its_receptive_field_and_nothing_else():
    model, variables = make(output="each")
    # Weights of one sign and inputs above 0 keep every ReLU open.
    variables = jax.tree.map(lambda v: jnp.abs(v) + 0.1, variables)
    x = jnp.abs(series()[:1]) + 0.1
    slopes = jax.jit(jax.jacobian(lambda x: model.apply(variables, x[None])[0].sum(-1)))(x[0])
    seen = np.asarray(jnp.abs(slopes).sum(-1) > 0)
    # 1 + 2 (2 - 1) (2^2 - 1) = 7 steps.
    behind = np.arange(LENGTH)[:, None] - np.arange(LENGTH)
    np.testing.assert_array_equal(seen, (behind >= 0) & (behind < 7))


def test_weights_start_as_they_are_without_the_normalization():
    params = jax.jit(make()[0].init)(jax.random.key(3), series())["params"]["block2_conv1"]
    norm = np.linalg.norm(params["kernel"], axis=(0, 1))
    np.testing.assert_allclose(params["scale"], norm, rtol=1e-6)
    assert np.abs(params["kernel"]).max() <= 1 / np.sqrt(2 * 4)


def test_padding_changes_no_bit():
    model, variables = make()
    mask = jnp.asarray(np.arange(LENGTH) < np.array([[9], [4]]), jnp.float32)
    strange = jnp.where(mask[..., None] > 0, series(), jnp.nan)
    zeros = jnp.where(mask[..., None] > 0, series(), 0)
    apply = jax.jit(model.apply)
    found = apply(variables, strange, mask)
    np.testing.assert_array_equal(found, apply(variables, zeros, mask))
    alone = apply(variables, series()[1:, :4])
    np.testing.assert_allclose(found[1:], alone, rtol=1e-5, atol=1e-5)


def test_published_numbers_of_params():
    """The counts are those that locuslab/TCN prints for its settings."""

    def count(model, channels):
        x = jax.ShapeDtypeStruct((1, 8, channels), jnp.float32)
        shapes = jax.eval_shape(model.init, jax.random.key(0), x)
        return sum(leaf.size for leaf in jax.tree.leaves(shapes))

    assert count(tcn.TCN(10), 1) == 66_910
    assert count(tcn.TCN(1, widths=(30,) * 8), 2) == 96_001
