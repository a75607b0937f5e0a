import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.layers.normalization import norm, num_groups


class Normalized(nn.Module):
    kind: str
    options: tuple = ()

    @nn.compact
    def __call__(self, x, train):
        return norm(x, self.kind, name="norm1", train=train, **dict(self.options))


@pytest.fixture
def x():
    return 2 + 3 * jax.random.normal(jax.random.key(1), (5, 4, 3, 8))


def test_batch_norm_uses_the_batch_in_training_and_keeps_nine_tenths(x):
    module = Normalized("batch")
    variables = module.init(jax.random.key(0), x, False)
    y, updated = module.apply(variables, x, True, mutable=["batch_stats"])
    x = np.asarray(x)
    mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(var + 1e-5), atol=2e-6)
    stats = updated["batch_stats"]["norm1"]
    np.testing.assert_allclose(stats["mean"], 0.1 * mean, rtol=1e-5)
    np.testing.assert_allclose(stats["var"], 0.9 + 0.1 * var, rtol=1e-5)
    y = module.apply({**variables, **updated}, jnp.asarray(x), False)
    expected = (x - 0.1 * mean) / np.sqrt(0.9 + 0.1 * var + 1e-5)
    np.testing.assert_allclose(y, expected, atol=5e-6)


def test_batch_norm_leaves_its_averages_alone_in_evaluation(x):
    module = Normalized("batch")
    variables = module.init(jax.random.key(0), x, False)
    _, updated = module.apply(variables, x, False, mutable=["batch_stats"])
    jax.tree.map(np.testing.assert_array_equal, updated["batch_stats"], variables["batch_stats"])


@pytest.mark.parametrize("train", [False, True])
def test_group_norm_is_that_of_each_example_and_group(x, train):
    module = Normalized("group")
    variables = module.init(jax.random.key(0), x, train)
    assert set(variables) == {"params"}
    grouped = np.asarray(x).reshape(5, 4, 3, 4, 2)
    mean = grouped.mean((1, 2, 4), keepdims=True)
    var = grouped.var((1, 2, 4), keepdims=True)
    expected = ((grouped - mean) / np.sqrt(var + 1e-5)).reshape(x.shape)
    np.testing.assert_allclose(module.apply(variables, x, train), expected, atol=5e-6)


@pytest.mark.parametrize(
    ("channels", "groups"), [(16, 8), (32, 16), (64, 32), (2048, 32), (160, 16), (10, 1), (7, 1)]
)
def test_groups_divide_the_channels_and_have_two_or_more(channels, groups):
    assert num_groups(channels) == groups
    assert channels % groups == 0
    assert channels // groups >= 2


@pytest.mark.parametrize("kind", ["batch", "group"])
def test_zero_scale_silences_and_no_scale_has_no_param(x, kind):
    module = Normalized(kind, (("zero_scale", True),))
    variables = module.init(jax.random.key(0), x, False)
    np.testing.assert_array_equal(module.apply(variables, x, False), np.zeros_like(x))
    module = Normalized(kind, (("use_scale", False),))
    assert set(module.init(jax.random.key(0), x, False)["params"]["norm1"]) == {"bias"}


@pytest.mark.parametrize("kind", ["batch", "group"])
def test_bfloat16_features_keep_float32_statistics(x, kind):
    module = Normalized(kind, (("dtype", "bfloat16"),))
    variables = module.init(jax.random.key(0), x, False)
    y, updated = module.apply(variables, x.astype(jnp.bfloat16), True, mutable=["batch_stats"])
    assert y.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves((variables, updated))} == {jnp.dtype("float32")}
