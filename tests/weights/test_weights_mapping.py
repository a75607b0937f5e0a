import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.weights.mapping import Rule, assign, conv_kernel, dense_kernel

SHAPES = {
    "params": {
        "block_1": {
            "conv": {"kernel": jax.ShapeDtypeStruct((3, 5, 2, 4), jnp.float32)},
            "query": {"kernel": jax.ShapeDtypeStruct((6, 2), jnp.bfloat16)},
            "key": {"kernel": jax.ShapeDtypeStruct((6, 2), jnp.float32)},
        }
    },
    "batch_stats": {"block_1": {"mean": jax.ShapeDtypeStruct((4,), jnp.float32)}},
}
RULES = (
    Rule(r"(Block_\d)\.conv\.weight", r"params/\1/conv/kernel", conv_kernel),
    Rule(r"(Block_\d)\.qk", r"params/\1/query/kernel", lambda x: dense_kernel(x[:2])),
    Rule(r"(Block_\d)\.qk", r"params/\1/key/kernel", lambda x: dense_kernel(x[2:])),
    Rule(r"(Block_\d)\.mean", r"batch_stats/\1/mean"),
)


def published():
    random = np.random.default_rng(0)
    shapes = {"Block_1.conv.weight": (4, 2, 3, 5), "Block_1.qk": (4, 6), "Block_1.mean": (4,)}
    return {name: random.normal(size=shape) for name, shape in shapes.items()}


def test_names_and_layouts():
    arrays = published()
    found = assign(arrays, RULES, SHAPES, where="x")
    assert jax.tree.structure(found) == jax.tree.structure(SHAPES)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), found) == jax.tree.map(
        lambda x: (x.shape, x.dtype), SHAPES
    )
    block = found["params"]["block_1"]
    kernel = arrays["Block_1.conv.weight"].astype(np.float32)
    assert block["conv"]["kernel"][1, 4, 0, 3] == kernel[3, 0, 1, 4]
    np.testing.assert_array_equal(block["key"]["kernel"], np.float32(arrays["Block_1.qk"][2:]).T)
    np.testing.assert_array_equal(
        found["batch_stats"]["block_1"]["mean"], np.float32(arrays["Block_1.mean"])
    )


def test_everything_that_does_not_fit_is_listed_at_once():
    arrays = published()
    del arrays["Block_1.mean"]
    arrays["Block_1.conv.weight"] = np.zeros((4, 2, 3, 3))
    arrays |= {"Block_2.mean": np.zeros(4), "Block_1.bias": np.zeros(4), "steps": np.zeros(())}
    with pytest.raises(ConfigError) as error:
        assign(arrays, RULES, SHAPES, where="x.pth", ignored=["steps"])
    assert str(error.value) == (
        "weights 'x.pth' do not fit: batch_stats/block_1/mean missing; "
        "params/block_1/conv/kernel (3, 3, 2, 4), not (3, 5, 2, 4) of another shape; "
        "Block_2.mean, Block_1.bias without a place in the model"
    )


def test_long_lists_are_cut():
    arrays = {**published(), **{f"x{i}": np.zeros(1) for i in range(20)}}
    with pytest.raises(ConfigError, match="x11 and 8 more without a place"):
        assign(arrays, RULES, SHAPES, where="x")


def test_ignored_names_that_have_a_place_are_used():
    found = assign(published(), RULES, SHAPES, where="x", ignored=[".*mean"])
    assert found["batch_stats"]["block_1"]["mean"].any()
