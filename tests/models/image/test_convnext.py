import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError, build
from library.layers.stochastic_depth import StochasticDepth
from library.models.image import convnext

DEPTHS = {"tiny": 18, "small": 36, "base": 36, "large": 36}
RATES = {"tiny": 0.1, "small": 0.4, "base": 0.5, "large": 0.5}


def tiny(**options):
    return convnext.convnext_tiny(num_classes=3, **options).clone(stage_sizes=(1, 1), widths=(4, 6))


def drawn(model, image):
    shapes = jax.eval_shape(model.init, jax.random.key(0), image)
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda p: jnp.float32(rng.normal(size=p.shape)), shapes)


def norm(x, params):
    x = np.float64(x)
    variance = x.var(axis=-1, keepdims=True)
    x = (x - x.mean(axis=-1, keepdims=True)) / np.sqrt(variance + 1e-6)
    return x * params["scale"] + params["bias"]


def dense(x, params):
    return x @ np.float64(params["kernel"]) + params["bias"]


def by_hand(x, p):
    """Computes a block with loops over the window, in float64."""
    padded = np.pad(np.float64(x), ((0, 0), (3, 3), (3, 3), (0, 0)))
    height, width = x.shape[1:3]
    y = np.zeros(x.shape) + p["depthwise"]["bias"]
    for i in range(7):
        for j in range(7):
            y += padded[:, i : i + height, j : j + width] * p["depthwise"]["kernel"][i, j, 0]
    y = dense(norm(y, p["norm"]), p["expand"])
    y = y * 0.5 * (1 + np.vectorize(math.erf)(y / math.sqrt(2)))
    return x + p["layer_scale"] * dense(y, p["project"])


def test_a_block_is_that_of_figure_4():
    x = jax.random.normal(jax.random.key(0), (2, 5, 8, 6))
    block = convnext.Block(layer_scale=1.0)
    shapes = jax.eval_shape(lambda: block.init(jax.random.key(0), x, False))
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda p: rng.normal(size=p.shape), shapes["params"])
    got = jax.jit(block.apply, static_argnums=2)({"params": params}, x, False)
    np.testing.assert_allclose(got, by_hand(x, params), rtol=1e-4, atol=1e-4)


def test_a_block_starts_close_to_the_identity():
    x = jax.random.normal(jax.random.key(0), (1, 8, 8, 16))
    block = convnext.Block(layer_scale=1e-6)
    y, variables = jax.jit(block.init_with_output, static_argnums=2)(jax.random.key(0), x, False)
    np.testing.assert_array_equal(variables["params"]["layer_scale"], np.full(16, 1e-6, np.float32))
    np.testing.assert_allclose(y, x, atol=1e-5)


@pytest.mark.full
@pytest.mark.parametrize("name", DEPTHS)
def test_rates_of_stochastic_depth_grow_from_the_first_to_the_last_block(name):
    model = getattr(convnext, f"convnext_{name}")()
    small = model.clone(widths=(1, 1, 1, 1))
    seen = {}

    def note(next_function, args, kwargs, context):
        if isinstance(context.module, StochasticDepth):
            seen["/".join(context.module.path)] = context.module.rate
        return next_function(*args, **kwargs)

    with nn.intercept_methods(note):
        jax.eval_shape(small.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    depth, last = DEPTHS[name], RATES[name]
    np.testing.assert_allclose(list(seen.values()), [last * i / (depth - 1) for i in range(depth)])
    names = [f"stage{s}_block{i + 1}" for s, n in enumerate(model.stage_sizes, 1) for i in range(n)]
    assert list(seen) == [f"{block}/drop_path" for block in names]


def test_records_and_types():
    model = convnext.convnext_tiny(num_classes=5, dtype="bfloat16")
    image = jnp.zeros((2, 224, 224, 3))
    logits, variables = jax.eval_shape(
        lambda key: model.init_with_output(key, image, mutable=True), jax.random.key(0)
    )
    recorded = variables["intermediates"]
    assert {name: leaf.shape for name, leaf in recorded.items()} == {
        "stage1": (2, 56, 56, 96),
        "stage2": (2, 28, 28, 192),
        "stage3": (2, 14, 14, 384),
        "stage4": (2, 7, 7, 768),
        "features": (2, 768),
    }
    assert {leaf.dtype for leaf in recorded.values()} == {jnp.dtype("bfloat16")}
    assert {leaf.dtype for leaf in jax.tree.leaves(variables["params"])} == {jnp.dtype("float32")}
    assert logits.shape == (2, 5)
    assert logits.dtype == jnp.float32


def test_sides_that_do_not_divide_lose_their_last_pixels():
    model = tiny()
    image = np.random.default_rng(1).normal(size=(1, 35, 47, 3)).astype(np.float32)
    # The stem takes pixels by four, the second stage those by two.
    other = image.copy()
    other[:, 32:], other[:, :, 40:] = 9, 9
    variables = drawn(model, image)
    apply = jax.jit(lambda image: model.apply(variables, image, mutable=["intermediates"]))
    recorded, changed = (apply(x)[1]["intermediates"] for x in (image, other))
    assert recorded["stage1"].shape == (1, 8, 11, 4)
    assert recorded["stage2"].shape == (1, 4, 5, 6)
    np.testing.assert_array_equal(recorded["stage1"][:, :, :7], changed["stage1"][:, :, :7])


@pytest.mark.full
def test_remat_changes_neither_params_nor_gradients():
    image = jax.random.normal(jax.random.key(0), (2, 32, 32, 3))
    results = []
    for remat in (False, True):
        model = tiny(remat=remat, drop_path=0.5)
        params = drawn(model, image)["params"]

        def loss(params, model=model):
            rngs = {"dropout": jax.random.key(2)}
            return jnp.square(model.apply({"params": params}, image, True, rngs=rngs)).sum()

        results.append((params, jax.jit(jax.grad(loss))(params)))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), *results)


def test_kernels_start_at_two_hundredths():
    model = tiny().clone(stage_sizes=(1,), widths=(8,))
    params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 32, 32, 3)))["params"]
    values = np.concatenate([np.ravel(x) for x in jax.tree.leaves(params) if x.ndim > 1])
    # Four standard deviations of a standard deviation of so many draws.
    assert float(values.std()) == pytest.approx(0.02, rel=4 / (2 * values.size) ** 0.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(num_classes=0), "num_classes=0"),
        (dict(drop_path=1.0), "drop_path=1.0"),
        (dict(layer_scale=0.0), "layer_scale=0.0: it is above 0"),
        (dict(dtype="f16"), "dtype 'f16'"),
    ],
)
def test_a_misunderstood_argument_builds_nothing(arguments, message):
    with pytest.raises(ConfigError, match=message):
        build(dict(name="convnext.convnext_tiny", **arguments), "library.models", "model")


def test_any_size():
    assert convnext.convnext(drop_path=0.1) == convnext.convnext_tiny()
    with pytest.raises(ConfigError, match=r"stage_sizes=\(1, 1\), widths=\(8,\): one value"):
        convnext.convnext(stage_sizes=(1, 1), widths=(8,))
