"""Whole numbers of 8 bits: how far a weight moves, and layers that multiply in them."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.compression import kernels, low_rank, quantization
from library.config import ConfigError
from library.models.image import cnn, mlp, vit
from tests import often

IMAGE = jax.random.normal(jax.random.key(1), (3, 8, 8, 3))
MODELS = {
    "mlp": mlp.mlp(4, hidden=(12, 9)),
    "cnn": cnn.small(num_classes=4, widths=(6, 8)),
    "vit": vit.vit(num_classes=4, width=12, depth=1, num_heads=3, patch_size=4, hidden=20),
}


def drawn(model):
    """Returns a network's variables, all of them noise, and its kernels."""
    shapes = jax.eval_shape(model.init, jax.random.key(0), IMAGE)
    random = np.random.default_rng(0)
    variables = jax.tree.map(lambda x: np.float32(random.normal(size=x.shape)) / 3, shapes)
    if "batch_stats" in variables:
        variables["batch_stats"] = jax.tree.map(np.abs, variables["batch_stats"])
    return variables, kernels.survey(model, variables, IMAGE)


def test_by_hand():
    kernel = np.float32([[1.27, 0.0], [-0.634, 0.0], [0.006, 0.0]])
    whole, scale = quantization.quantize(kernel, (0,))
    # Scale 0.01; an output without weights has the scale 1.
    assert whole.dtype == jnp.int8
    assert whole.tolist() == [[127, 0], [-63, 0], [1, 0]]
    np.testing.assert_allclose(scale, [[0.01, 1.0]], rtol=1e-6)


@pytest.mark.parametrize(
    ("shape", "inputs", "scales"),
    [
        ((30, 7), 1, (1, 7)),
        ((3, 3, 4, 6), 3, (1, 1, 1, 6)),
        ((12, 3, 4), 1, (1, 3, 4)),
        ((3, 4, 12), 2, (1, 1, 12)),
    ],
)
def test_no_weight_moves_by_more_than_half_a_scale(shape, inputs, scales):
    kernel = np.random.default_rng(0).standard_t(3, shape).astype(np.float32)
    params = quantization.quantized(
        {"a": {"kernel": kernel, "bias": np.ones(2)}}, {"a/kernel": kernels.Kernel(shape, inputs)}
    )
    whole, scale = params["a"]["kernel_int8"], params["a"]["kernel_scale"]
    assert scale.shape == scales
    assert np.abs(whole).max(axis=tuple(range(inputs))).min() == 127
    back = quantization.dequantized(params)
    assert sorted(back["a"]) == ["bias", "kernel"]
    error = np.abs(np.float64(back["a"]["kernel"]) - kernel)
    assert np.all(error <= np.float64(scale) / 2 * (1 + 1e-5))
    assert params["a"]["kernel_int8"].nbytes * 4 == kernel.nbytes


def test_zeros_stay_zeros_and_what_is_kept_stays():
    params = {name: {"kernel": np.float32([[0.0, 3.0], [2.0, 0.0]])} for name in ("a", "head")}
    described = {f"{name}/kernel": kernels.Kernel((2, 2), 1) for name in params}
    made = quantization.quantized(params, described, kept=("head",))
    assert list(made["head"]) == ["kernel"]
    assert made["a"]["kernel_int8"].tolist() == [[0, 127], [127, 0]]
    with pytest.raises(ConfigError, match="'tail' matches no kernel"):
        quantization.quantized(params, described, kept=("tail",))


@pytest.mark.parametrize("name", often.only(["vit"], MODELS))
def test_any_classifier_in_whole_numbers(name):
    model = MODELS[name]
    variables, found = drawn(model)
    params = quantization.quantized(variables["params"], found)
    assert sum(
        "kernel_int8" in path for path in map(str, jax.tree_util.tree_leaves_with_path(params))
    )
    back = jax.device_get({**variables, "params": quantization.dequantized(params)})
    assert jax.tree.structure(back) == jax.tree.structure(variables)

    @jax.jit
    def logits(variables):
        with nn.intercept_methods(quantization.whole_numbers):
            return model.apply(variables, IMAGE)

    plain, weights = logits(variables), logits(back)
    both = logits({**variables, "params": params})
    greatest = float(jnp.abs(plain).max())
    for made, most in ((weights, 0.05), (both, 0.1)):
        error = float(jnp.abs(made - plain).max())
        assert 0 < error < most * greatest


LAYERS = {
    "dense": (nn.Dense(5), (2, 7)),
    "dense on tokens": (nn.DenseGeneral((2, 3)), (2, 4, 7)),
    "dense over heads": (nn.DenseGeneral(5, axis=(-2, -1), use_bias=False), (2, 4, 3, 6)),
    "convolution": (nn.Conv(5, (3, 3), strides=2, padding=1), (2, 6, 6, 3)),
    "depthwise": (nn.Conv(4, (3, 3), feature_group_count=4), (2, 5, 5, 4)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_products_of_whole_numbers_are_exact(name):
    layer, shape = LAYERS[name]
    x = jax.random.normal(jax.random.key(0), shape)
    params = layer.init(jax.random.key(1), x)["params"]
    count = params["kernel"].ndim - len(np.atleast_1d(layer.features))
    described = {"kernel": kernels.Kernel(params["kernel"].shape, count)}
    stored = quantization.quantized(params, described)
    with nn.intercept_methods(quantization.whole_numbers):
        found = layer.apply({"params": stored}, x)
    # The same by floats: what comes in rounded by hand, and the rounded kernel.
    over = tuple(range(1, x.ndim)) if "conv" in name or name == "depthwise" else (-1,)
    over = (-2, -1) if name == "dense over heads" else over
    scale = np.abs(x).max(axis=over, keepdims=True) / 127
    rounded = jnp.float32(np.round(x / scale) * scale)
    expected = layer.apply({"params": quantization.dequantized(stored)}, rounded)
    np.testing.assert_allclose(found, expected, atol=2e-6 * float(jnp.abs(expected).max()))
    assert not np.allclose(found, layer.apply({"params": params}, x), atol=1e-5)


def test_other_layers_compute_as_ever():
    variables, found = drawn(MODELS["mlp"])
    params = low_rank.factored(
        variables["params"], low_rank.decompose(variables["params"], found), rank=2
    )
    with nn.intercept_methods(quantization.whole_numbers), nn.intercept_methods(low_rank.two_steps):
        both = MODELS["mlp"].apply({"params": params}, IMAGE)
    with nn.intercept_methods(low_rank.two_steps):
        one = MODELS["mlp"].apply({"params": params}, IMAGE)
    np.testing.assert_array_equal(both, one)
