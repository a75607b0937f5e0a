import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.models.generative import ddpm_unet as module
from library.models.generative.ddpm_unet import ddpm_unet, depth_to_space, sinusoids, space_to_depth
from tests import often

KEY = jax.random.key(0)
SMALL = dict(width=8, multipliers=(1, 2), num_blocks=1, attention=(4,), dropout=0.0)


def count(model, shape, label=None):
    def init(key):
        return model.init(key, jnp.zeros((1, *shape)), jnp.zeros(1), label)

    shapes = jax.eval_shape(init, KEY)["params"]
    return sum(x.size for x in jax.tree.leaves(shapes)), shapes


def randomized(variables, seed=0):
    random = np.random.default_rng(seed)
    return jax.tree.map(lambda p: jnp.float32(random.normal(0, 0.3, p.shape)), variables)


def silu(x):
    return x / (1 + np.exp(-x))


def group_norm(x, params, groups):
    batch, height, width, channels = x.shape
    y = x.reshape(batch, height, width, groups, channels // groups)
    mean, variance = y.mean((1, 2, 4), keepdims=True), y.var((1, 2, 4), keepdims=True)
    y = ((y - mean) / np.sqrt(variance + 1e-6)).reshape(x.shape)
    return y * np.float64(params["scale"]) + params["bias"]


def convolution(x, params):
    x = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    rows, columns = x.shape[1] - 2, x.shape[2] - 2
    y = sum(
        x[:, i : i + rows, j : j + columns] @ np.float64(params["kernel"][i, j])
        for i in range(3)
        for j in range(3)
    )
    return y + params["bias"]


def dense(x, params):
    return x @ np.float64(params["kernel"]) + params["bias"]


def test_the_network_of_the_paper_has_its_params():
    total, shapes = count(ddpm_unet(), (32, 32, 3))
    assert total == 35_746_307
    attended = {name for name in shapes if "attention" in name}
    assert attended == {
        *("down2_attention1", "down2_attention2", "middle_attention"),
        *("up2_attention1", "up2_attention2", "up2_attention3"),
    }


def test_classes_and_learned_variances_add_their_params():
    base, _ = count(ddpm_unet(num_classes=10), (32, 32, 3))
    assert base == 35_746_307
    conditional, shapes = count(ddpm_unet(num_classes=10), (32, 32, 3), jnp.zeros(1, jnp.int32))
    # Ten classes, and none.
    assert conditional - base == 11 * 512
    assert shapes["classes"]["embedding"].shape == (11, 512)
    learned, _ = count(ddpm_unet(num_out=6), (32, 32, 3))
    assert learned - base == 3 * (9 * 128 + 1)


@pytest.mark.parametrize("scale_shift", [False, True])
@pytest.mark.parametrize("width", [4, 8])
def test_residual_block_by_hand(width, scale_shift):
    block = module.ResidualBlock(width, scale_shift=scale_shift)
    x, e = jax.random.normal(KEY, (2, 4, 4, 4)), jax.random.normal(KEY, (2, 6))
    variables = randomized(jax.eval_shape(lambda: block.init(KEY, x, e, False)))
    p, x64 = variables["params"], np.float64(x)
    y = convolution(silu(group_norm(x64, p["norm1"], 2)), p["conv1"])
    moved = dense(silu(np.float64(e)), p["embedding"])[:, None, None]
    groups = width // 2
    if scale_shift:
        scale, shift = np.split(moved, 2, axis=-1)
        y = group_norm(y, p["norm2"], groups) * (1 + scale) + shift
    else:
        y = group_norm(y + moved, p["norm2"], groups)
    y = convolution(silu(y), p["conv2"])
    assert ("shortcut" in p) == (width != 4)
    y += dense(x64, p["shortcut"]) if width != 4 else x64
    np.testing.assert_allclose(block.apply(variables, x, e, False), y, rtol=2e-5, atol=2e-5)


def test_attention_block_by_hand():
    block = module.AttentionBlock(num_heads=2)
    x = jax.random.normal(KEY, (2, 2, 3, 8))
    variables = randomized(jax.eval_shape(lambda: block.init(KEY, x)))
    p, x64 = variables["params"], np.float64(x)
    y = group_norm(x64, p["norm"], 4).reshape(2, 6, 8)
    q, k, v = (
        np.einsum("btc,chd->bthd", y, p[name]["kernel"]) + p[name]["bias"]
        for name in ("query", "key", "value")
    )
    scores = np.exp(np.einsum("bthd,bshd->bhts", q, k) / 2)
    mixed = np.einsum("bhts,bshd->bthd", scores / scores.sum(-1, keepdims=True), v)
    y = np.einsum("bthd,hdc->btc", mixed, p["out"]["kernel"]) + p["out"]["bias"]
    np.testing.assert_allclose(
        block.apply(variables, x), x64 + y.reshape(x.shape), rtol=2e-5, atol=2e-5
    )


def test_sinusoids_run_from_frequency_1_to_one_in_10000():
    time = jnp.array([0.0, 1.0, 999.0])
    found = sinusoids(time, 6)
    frequencies = np.array([1, 1e-2, 1e-4])
    angles = np.array([0.0, 1.0, 999.0])[:, None] * frequencies
    np.testing.assert_allclose(found, np.c_[np.sin(angles), np.cos(angles)], atol=2e-4)


def test_patches_become_channels_and_back():
    image = jnp.arange(2 * 4 * 6 * 3, dtype=jnp.float32).reshape(2, 4, 6, 3)
    x = space_to_depth(image, 2)
    np.testing.assert_array_equal(x[1, 0, 2].reshape(2, 2, 3), image[1, 0:2, 4:6])
    np.testing.assert_array_equal(depth_to_space(x, 2), image)


@pytest.mark.full
@pytest.mark.parametrize(
    ("changes", "shape"),
    often.only(
        [(dict(patch_size=2), (16, 8, 1))],
        [(dict(), (8, 8, 3)), (dict(patch_size=2), (16, 8, 1)), (dict(num_out=2), (8, 8, 1))],
    ),
)
def test_it_starts_at_zero_then_depends_on_all_it_is_given(changes, shape):
    model = ddpm_unet(num_classes=3, **SMALL | changes)
    x = jax.random.normal(KEY, (2, *shape))
    time, label = jnp.array([3.0, 900.0]), jnp.array([0, 3])
    variables = jax.jit(model.init)(KEY, x, time, label)
    apply = jax.jit(model.apply)
    start = apply(variables, x, time, label)
    assert start.shape == (*x.shape[:-1], changes.get("num_out", shape[-1]))
    assert not np.any(start)
    variables = randomized(variables)
    found = apply(variables, x, time, label)
    for other in ((x + 0.1, time, label), (x, time + 1, label), (x, time, label - 1)):
        each = np.abs(apply(variables, *other) - found).max((1, 2, 3))
        assert np.all(each[: 1 if other[2] is not label else 2] > 1e-4)


def test_it_records_features_and_every_level():
    model = ddpm_unet(num_classes=None, **SMALL)
    x, time = jnp.zeros((2, 8, 8, 1)), jnp.zeros(2)

    def run():
        return model.apply(model.init(KEY, x, time), x, time, mutable=["intermediates"])[1]

    found = jax.eval_shape(run)
    shapes = {name: value.shape for name, value in found["intermediates"].items()}
    assert shapes["stage1"] == (2, 8, 8, 8)
    assert shapes["stage2"] == shapes["middle"] == (2, 4, 4, 16)
    assert shapes["features"] == (2, 16)


@pytest.mark.full
def test_dropout_is_at_work_in_training_only():
    model = ddpm_unet(**SMALL | dict(dropout=0.5))
    x = jax.random.normal(KEY, (2, 8, 8, 1))
    time = jnp.zeros(2)
    variables = randomized(jax.eval_shape(lambda: model.init(KEY, x, time)))

    run = jax.jit(lambda key: model.apply(variables, x, time, train=True, rngs={"dropout": key}))
    first, second = run(jax.random.key(0)), run(jax.random.key(1))
    assert np.abs(first - second).max() > 1e-3
    # Without training it asks for no key.
    jax.eval_shape(lambda: model.apply(variables, x, time, train=False))


def test_half_precision_returns_float32():
    model = ddpm_unet(dtype="bfloat16", **SMALL)
    x = jnp.zeros((1, 8, 8, 1))
    variables = jax.eval_shape(lambda: model.init(KEY, x, jnp.zeros(1)))
    assert jax.eval_shape(model.apply, variables, x, jnp.zeros(1)).dtype == jnp.float32
    assert {p.dtype for p in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(width=7), "width=7: half of it are sines"),
        (dict(width=10, num_heads=4), r"num_heads=4; nearest: 5 heads"),
        (dict(multipliers=()), "one level or more"),
        (dict(multipliers=(1, 0)), r"multipliers=\(1, 0\): sizes and counts"),
        (dict(dropout=1.0), r"dropout=1\.0"),
        (dict(dtype="float31"), "did you mean 'float32'"),
        (dict(num_out=0), "num_out=0"),
    ],
)
def test_bad_requests_name_what_is_valid(changes, message):
    with pytest.raises(ConfigError, match=message):
        ddpm_unet(**SMALL | changes)


def test_images_that_cannot_be_halved_and_labels_that_are_not_counted():
    model = ddpm_unet(**SMALL | dict(patch_size=2))
    with pytest.raises(ValueError, match=r"a 10x8 image does not divide .* nearest: 8x8"):
        model.init(KEY, jnp.zeros((1, 10, 8, 1)), jnp.zeros(1))
    with pytest.raises(
        ValueError, match=r"attention=\(4,\): no .* 4 high; .* \[6, 3\]; nearest: 3"
    ):
        model.init(KEY, jnp.zeros((1, 12, 8, 1)), jnp.zeros(1))
    with pytest.raises(ValueError, match="num_classes=None"):
        model.init(KEY, jnp.zeros((1, 8, 8, 1)), jnp.zeros(1), jnp.zeros(1, jnp.int32))
