import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.weights import mapping
from library.weights.mapping import CONV, DENSE, Rule, assign, published_as

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
    Rule(r"params/block_(\d)/conv/kernel", "Block_{1-1}.conv.weight", CONV),
    Rule(r"params/block_(\d)/query/kernel", "Block_{1-1}.qk", DENSE.of(0, 2)),
    Rule(r"params/block_(\d)/key/kernel", "Block_{1-1}.qk", DENSE.of(1, 2)),
    Rule(r"batch_stats/block_(\d)/mean", "Block_{1-1}.mean"),
)


def published():
    random = np.random.default_rng(0)
    shapes = {"Block_0.conv.weight": (4, 2, 3, 5), "Block_0.qk": (4, 6), "Block_0.mean": (4,)}
    return {name: random.normal(size=shape) for name, shape in shapes.items()}


def test_names_and_layouts():
    arrays = published()
    found = assign(arrays, RULES, SHAPES, where="x")
    assert jax.tree.structure(found) == jax.tree.structure(SHAPES)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), found) == jax.tree.map(
        lambda x: (x.shape, x.dtype), SHAPES
    )
    block = found["params"]["block_1"]
    kernel = arrays["Block_0.conv.weight"].astype(np.float32)
    assert block["conv"]["kernel"][1, 4, 0, 3] == kernel[3, 0, 1, 4]
    np.testing.assert_array_equal(block["key"]["kernel"], np.float32(arrays["Block_0.qk"][2:]).T)
    np.testing.assert_array_equal(
        found["batch_stats"]["block_1"]["mean"], np.float32(arrays["Block_0.mean"])
    )


def test_everything_that_does_not_fit_is_listed_at_once():
    arrays = published()
    del arrays["Block_0.mean"]
    arrays["Block_0.conv.weight"] = np.zeros((4, 2, 3, 3))
    arrays |= {"Block_2.mean": np.zeros(4), "Block_0.bias": np.zeros(4), "steps": np.zeros(())}
    with pytest.raises(ConfigError) as error:
        assign(arrays, RULES, SHAPES, where="x.pth", ignored=["steps"])
    assert str(error.value) == (
        "weights 'x.pth' do not fit: Block_0.mean (batch_stats/block_1/mean) missing; "
        "Block_0.conv.weight (4, 2, 3, 3) for params/block_1/conv/kernel (3, 5, 2, 4) of another "
        "shape; "
        "Block_2.mean, Block_0.bias without a place in the model"
    )


def test_of_a_long_list_each_has_its_line():
    arrays = {**published(), **{f"x{i}": np.zeros(1) for i in range(20)}}
    del arrays["Block_0.mean"]
    with pytest.raises(ConfigError) as error:
        assign(arrays, RULES, SHAPES, where="x")
    assert str(error.value).splitlines() == [
        "weights 'x' do not fit: 1 missing, 20 without a place in the model",
        "  Block_0.mean (batch_stats/block_1/mean) missing",
        *(f"  x{i} without a place in the model" for i in range(20)),
    ]


def test_ignored_names_that_have_a_place_are_used():
    found = assign(published(), RULES, SHAPES, where="x", ignored=[".*mean"])
    assert found["batch_stats"]["block_1"]["mean"].any()


@pytest.mark.parametrize(
    "array",
    [np.zeros((6, 4)), np.zeros((3, 6)), np.zeros(4), np.zeros(()), np.zeros((4, 6, 1))],
)
def test_a_part_or_kernel_that_is_laid_out_otherwise_is_of_another_shape(array):
    with pytest.raises(ConfigError, match=r"Block_0\.qk .* of another shape"):
        assign({**published(), "Block_0.qk": array}, RULES, SHAPES, where="x")


def test_the_way_back_gives_the_same_arrays():
    arrays = {name: np.float32(array) for name, array in published().items()}
    arrays["Block_0.qk"] = np.round(arrays["Block_0.qk"])
    found = published_as(assign(arrays, RULES, SHAPES, where="x"), RULES)
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)


def test_running_variances_come_with_pytorchs_counts():
    rules = mapping.norm_rules("norm", "bn")
    found = published_as({"batch_stats": {"norm": {"var": np.ones(3), "mean": np.ones(3)}}}, rules)
    assert set(found) == {"bn.running_var", "bn.running_mean", "bn.num_batches_tracked"}
    assert found["bn.num_batches_tracked"].dtype == np.int64
    assert found["bn.num_batches_tracked"].shape == ()


@pytest.mark.parametrize(
    ("layout", "there", "here"),
    [
        (mapping.VECTOR, (6,), (2, 3)),
        (mapping.DENSE, (6, 4), (4, 2, 3)),
        (mapping.INPUTS, (4, 6), (2, 3, 4)),
        (mapping.CHANNELS, (5, 1, 1), (5,)),
        (mapping.CONV, (4, 2, 3), (3, 2, 4)),
        (mapping.BLUE_FIRST, (4, 3, 5, 5), (5, 5, 3, 4)),
        (mapping.scaled(mapping.DENSE, 4.0), (6, 4), (4, 6)),
        (mapping.after_flattening(2, 3, 5), (7, 30), (30, 7)),
    ],
)
def test_layouts_are_undone(layout, there, here):
    array = np.random.default_rng(0).normal(size=there)
    leaf = layout.load(array, here)
    assert leaf.shape == here
    np.testing.assert_array_equal(layout.save(leaf), array)


def test_a_kernel_after_flattening_sees_the_same_image():
    kernel, image = np.random.default_rng(0).normal(size=(7, 30)), np.arange(30.0)
    there = kernel @ image.reshape(3, 5, 2).transpose(2, 0, 1).ravel()
    here = image @ mapping.after_flattening(2, 3, 5).load(kernel, (30, 7))
    np.testing.assert_allclose(here, there)


def test_a_kernel_of_images_whose_blue_comes_first_sees_the_same_image():
    kernel, image = np.random.default_rng(0).normal(size=(4, 3, 5, 5)), np.arange(75.0)
    image = image.reshape(5, 5, 3)
    there = np.einsum("ochw,hwc->o", kernel, image[..., ::-1])
    here = np.einsum("hwco,hwc->o", mapping.BLUE_FIRST.load(kernel, (5, 5, 3, 4)), image)
    np.testing.assert_allclose(here, there)


def test_an_array_of_several_leaves_is_not_written_of_some():
    query = {"params": {"block_1": {"query": {"kernel": np.zeros((6, 2))}}}}
    with pytest.raises(ValueError, match=r"Block_0\.qk needs parts 1 to 2, but has 1"):
        published_as(query, RULES)
    twice = (Rule(r"params/(\w+)", "tied.weight"),)
    with pytest.raises(ValueError, match=r"tied\.weight needs parts 1 to 1, but has 1, 1"):
        published_as({"params": {"head": np.zeros(2), "tokens": np.ones(2)}}, twice)


def test_a_leaf_that_no_row_names_is_a_mistake_of_the_table():
    with pytest.raises(ValueError, match="no row of the table names params/other"):
        published_as({"params": {"other": np.zeros(1)}}, RULES)
