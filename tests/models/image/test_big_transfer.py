import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.models.image import big_transfer
from library.weights.big_transfer import POINTWISE, PUBLISHED
from tests import often, sizes

PARAMETERS = {
    "bit_r50x1": 25_549_352,
    "bit_r101x1": 44_541_480,
    "bit_r50x3": 217_319_080,
    "bit_r101x3": 387_934_888,
    "bit_r152x2": 236_335_208,
    "bit_r152x4": 936_533_224,
}


@pytest.mark.parametrize("name", often.first(2, PARAMETERS))
def test_params(name):
    assert sizes.parameters(getattr(big_transfer, name)()) == PARAMETERS[name]
    if name in PUBLISHED:
        assert PUBLISHED[name].parameters == PARAMETERS[name]


def test_stages():
    shapes = sizes.shapes(big_transfer.bit_r50x1())
    assert shapes == {
        "stage1": (56, 56, 256),
        "stage2": (28, 28, 512),
        "stage3": (14, 14, 1024),
        "stage4": (7, 7, 2048),
        "features": (2048,),
    }


def test_kernels_are_standardized():
    x = jax.random.normal(jax.random.key(0), (1, 4, 4, 3))
    layer = big_transfer.StandardizedConv(5, 3, 2)
    kernel = np.random.default_rng(0).normal(3, 2, (3, 3, 3, 5)).astype(np.float32)
    y = layer.apply({"params": {"kernel": kernel}}, x)
    flat = np.float64(kernel).reshape(27, 5)
    flat = (flat - flat.mean(axis=0)) / np.sqrt(flat.var(axis=0) + 1e-8)
    padded = np.pad(np.float64(x), ((0, 0), (1, 1), (1, 1), (0, 0)))
    for i in range(2):
        for j in range(2):
            window = padded[0, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3].reshape(-1)
            np.testing.assert_allclose(y[0, i, j], window @ flat, rtol=1e-5, atol=1e-5)
    # Neither a shift nor a factor of the kernel changes anything.
    again = layer.apply({"params": {"kernel": 10 * kernel + 7}}, x)
    np.testing.assert_allclose(again, y, rtol=1e-4, atol=1e-5)


def test_large_groups_are_normalized_to_the_last_digits_but_one():
    x = np.random.default_rng(0).normal(10, 1, (1, 160, 160, 64)).astype(np.float32)
    random = np.random.default_rng(1)
    params = {name: np.float32(random.normal(size=64)) for name in ("scale", "bias")}
    grouped = np.float64(x).reshape(1, 160 * 160, 32, 2)
    grouped = grouped - grouped.mean((1, 3), keepdims=True)
    grouped = grouped / np.sqrt(np.square(grouped).mean((1, 3), keepdims=True) + 1e-5)
    expected = grouped.reshape(x.shape) * params["scale"] + params["bias"]
    got = jax.jit(big_transfer.GroupNorm().apply)({"params": params}, jnp.asarray(x))
    # With one mean of all it is 4e-5.
    assert np.abs(got - expected).max() <= 1e-5


def test_the_pooling_of_the_stem_pads_with_zeros():
    model = big_transfer.bit_r50x1(num_classes=2).clone(stage_sizes=())
    image = jnp.ones((1, 7, 7, 3))
    variables = model.init(jax.random.key(0), image)
    kernel = variables["params"]["stem_conv"]["kernel"]
    # Negative in its middle, and positive elsewhere once its mean is 0. No window lies within the
    # image, so all sums lack some of what is positive.
    given = jnp.zeros_like(kernel).at[3, 3].set(-1.0)
    variables["params"]["stem_conv"]["kernel"] = given
    y, recorded = model.apply(variables, image, mutable=["intermediates"])
    assert y.shape == (1, 2)
    layer = big_transfer.StandardizedConv(64, 7, 2)
    before = np.asarray(layer.apply({"params": {"kernel": given}}, image))[0, ..., 0]
    padded = np.pad(before, 1)
    pooled = [[padded[2 * i : 2 * i + 3, 2 * j : 2 * j + 3].max() for j in (0, 1)] for i in (0, 1)]
    assert before.max() < 0
    np.testing.assert_array_equal(pooled, [[0, 0], [0, before[1:, 1:].max()]])
    expected = np.repeat(np.array(pooled)[None, ..., None], 64, -1)
    norm = jax.nn.relu((expected - expected.mean()) / np.sqrt(expected.var() + 1e-5))
    np.testing.assert_allclose(
        recorded["intermediates"]["features"], norm.mean((1, 2)), rtol=1e-5, atol=1e-6
    )


def test_the_head_starts_at_zero_and_bfloat16_builds():
    model = big_transfer.bit_r50x1(num_classes=3, dtype="bfloat16").clone(stage_sizes=(1,))
    image = jax.random.normal(jax.random.key(0), (2, 16, 16, 3))
    logits, variables = jax.jit(model.init_with_output)(jax.random.key(1), image)
    assert logits.dtype == jnp.float32
    np.testing.assert_array_equal(logits, np.zeros((2, 3)))
    assert variables["params"]["stem_conv"]["kernel"].dtype == jnp.float32


def test_dense_layers_are_pointwise_convolutions_there():
    kernel = np.arange(6.0).reshape(2, 3)
    saved = POINTWISE.save(kernel)
    assert saved.shape == (3, 2, 1, 1)
    np.testing.assert_array_equal(POINTWISE.load(saved, (2, 3)), kernel)
    with pytest.raises(ValueError, match="3, 2"):
        POINTWISE.load(kernel.T, (2, 3))


def test_refused():
    with pytest.raises(ConfigError, match="num_classes=0"):
        big_transfer.bit_r101x1(num_classes=0)
    with pytest.raises(ConfigError, match="dtype"):
        big_transfer.bit_r50x1(dtype="float8")
