"""What networks take, by hand."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.compression import kernels, low_rank, pruning, quantization, sizes
from library.models.image import cnn, mlp


@pytest.mark.parametrize("shape", [(), (5,), (4, 4), (3, 5, 7)])
@pytest.mark.parametrize("dtype", [np.float32, np.int8])
def test_what_is_packed_comes_back(shape, dtype):
    random = np.random.default_rng(0)
    array = (random.integers(-3, 4, shape) * (random.random(shape) < 0.4)).astype(dtype)
    packed = sizes.pack(array)
    found = sizes.unpack(packed)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, array)
    bits = -(-array.size // 8)
    assert packed.nbytes == bits + np.count_nonzero(array) * array.dtype.itemsize


def test_the_smaller_form_is_stored():
    dense, empty = np.ones(100, np.float32), np.zeros(100, np.float32)
    half = np.where(np.arange(100) < 3, dense, 0)
    assert sizes.stored_bytes({"a": dense}) == 400
    assert sizes.stored_bytes({"a": empty}) == 13
    assert sizes.stored_bytes([half, dense]) == 13 + 12 + 400


IMAGE = jnp.ones((1, 28, 28, 1))
PERCEPTRON = mlp.mlp(10, hidden=(300, 100))


def perceptron():
    shapes = jax.eval_shape(PERCEPTRON.init, jax.random.key(0), IMAGE)
    random = np.random.default_rng(0)
    return jax.tree.map(lambda x: np.float32(random.normal(size=x.shape)), shapes)


def test_lenet_300_100_by_hand():
    found = sizes.cost(PERCEPTRON, perceptron(), IMAGE)
    products = 784 * 300 + 300 * 100 + 100 * 10
    assert found == (4 * (products + 410), products + 410, 2 * products, 2 * products)


def test_lenet_300_100_pruned_twelve_times_by_hand():
    variables = perceptron()
    params = jax.device_get(pruning.one_shot(variables["params"], 0.9181))
    left = 266_200 - round(0.9181 * 266_200)
    found = sizes.cost(PERCEPTRON, {"params": params}, IMAGE)
    assert found.numbers == left + 410 == 22_212
    assert found.flops == 2 * 266_200
    assert found.useful_flops == 2 * left
    # A bit a weight, and four bytes each that is left; no kernel is smaller as it was.
    assert found.bytes == 266_200 // 8 + 4 * left + 4 * 410


def test_lenet_300_100_of_rank_20_by_hand():
    variables = perceptron()
    described = kernels.survey(PERCEPTRON, variables, IMAGE)
    parts = low_rank.decompose(variables["params"], described)
    params = low_rank.factored(variables["params"], parts, rank=20)
    # The head's 1000 numbers are fewer than those of factors of its full rank, 10.
    numbers = 20 * (784 + 300) + 20 * (300 + 100) + 1000
    found = sizes.cost(PERCEPTRON, {"params": params}, IMAGE, low_rank.two_steps)
    assert found == (4 * (numbers + 410), numbers + 410, 2 * numbers, 2 * numbers)


def test_lenet_300_100_in_int8_by_hand():
    variables = perceptron()
    described = kernels.survey(PERCEPTRON, variables, IMAGE)
    params = quantization.quantized(variables["params"], described)
    restored = {"params": jax.device_get(quantization.dequantized(params))}
    found = sizes.cost(PERCEPTRON, restored, IMAGE, stored={"params": params})
    assert found.bytes == 266_200 + 4 * 410 + 4 * 410
    assert found.flops == 2 * 266_200
    by_int8 = sizes.cost(PERCEPTRON, {"params": params}, IMAGE, quantization.whole_numbers)
    assert (by_int8.bytes, by_int8.flops) == (found.bytes, found.flops)


def test_convolutions_by_hand():
    model = cnn.small(num_classes=4, widths=(6,))
    image = jnp.ones((1, 8, 8, 3))
    variables = jax.tree.map(
        lambda x: np.ones(x.shape, x.dtype), jax.eval_shape(model.init, jax.random.key(0), image)
    )
    window = 8 * 8 * 9 * (3 * 6 + 6 * 6)
    found = sizes.cost(model, variables, image)
    assert found.flops == 2 * (window + 6 * 4)
    numbers = 9 * (3 * 6 + 6 * 6) + 6 * 4 + 4
    norms = 2 * 4 * 6
    assert found.numbers == numbers + norms
    half = jax.tree.map(lambda x: x, variables)
    half["params"]["stage1_conv2"]["kernel"][..., :3] = 0
    saved = 2 * 8 * 8 * 9 * 6 * 3
    assert sizes.cost(model, half, image).useful_flops == found.flops - saved


def test_products_of_attention_count_whatever_is_pruned():
    class Attending(nn.Module):
        @nn.compact
        def __call__(self, image, train=False):
            x = nn.Dense(4, use_bias=False, name="embed")(image.reshape(1, 16, 2))
            return jnp.einsum("btd,bsd->bts", x, x)

    variables = {"params": {"embed": {"kernel": np.zeros((2, 4), np.float32)}}}
    found = sizes.cost(Attending(), variables, jnp.ones((1, 4, 4, 2)))
    assert found.flops == 2 * (16 * 2 * 4 + 16 * 16 * 4)
    assert found.useful_flops == 2 * 16 * 16 * 4
