import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from library import trees


@flax.struct.dataclass
class Point:
    x: jax.Array
    y: jax.Array


def test_paths_name_dicts_attributes_and_positions_in_the_order_of_leaves():
    tree = {"b": [1, (2, 3)], "a": Point(x=4, y={"c": 5}), "o": optax.TraceState(trace={"k": 6})}
    assert trees.paths(tree) == ["a/x", "a/y/c", "b/0", "b/1/0", "b/1/1", "o/trace/k"]
    assert jax.tree.leaves(tree) == [4, 5, 1, 2, 3, 6]


def test_map_with_path_keeps_the_structure_and_passes_the_other_trees():
    tree, other = {"a": Point(x=1, y=2)}, {"a": Point(x=10, y=20)}
    mapped = trees.map_with_path(lambda path, x, y: f"{path}={x + y}", tree, other)
    assert mapped == {"a": Point(x="a/x=11", y="a/y=22")}


def test_the_paths_nearest_to_a_pattern():
    paths = [f"encoder/block{i}/conv/kernel" for i in range(30)] + ["encoder/head/kernel"]
    said = "nearest of 31 are 'encoder/head/kernel', "
    assert trees.nearest("heads", paths).startswith(said)
    assert trees.nearest("blok29", paths).startswith("nearest of 31 are 'encoder/block29/conv/")
    assert trees.nearest("a", ["b"]) == "nearest of 1 are 'b'"
    assert trees.nearest("a", []) == "there are none"


TREE = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "step": np.int32(3)}


@pytest.mark.parametrize(
    "other",
    [
        {**TREE, "w": TREE["w"].reshape(3, 2)},
        {**TREE, "w": TREE["w"].astype(np.float64)},
        {**TREE, "w": -TREE["w"]},
        {**TREE, "w": np.where(TREE["w"] == 0, np.float32(-0.0), TREE["w"])},
        {**TREE, "step": np.int32(4)},
        {"v": TREE["w"], "step": TREE["step"]},
    ],
    ids=["shape", "dtype", "values", "sign of zero", "scalar", "path"],
)
def test_digest_tells_apart(other):
    assert trees.digest(other) != trees.digest(TREE)


def test_digest_is_a_function_of_bits_not_of_order_device_or_container():
    shuffled = {"step": jnp.int32(3), "w": jnp.asarray(TREE["w"])}
    assert trees.digest(shuffled) == trees.digest(TREE)
    assert len(trees.digest(TREE)) == 64
    # Written down once: a digest in an old record has to mean the same state for ever.
    assert trees.digest({"a": np.float32([1, 2])}) == (
        "e80d8f9c6c817c38bcdef207c7402c44f3cdca828bdf34de0bc9ed9f4b96c0af"
    )


def test_digest_of_a_sharded_array_is_that_of_the_whole():
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    whole = np.random.default_rng(0).normal(size=(16, 4)).astype(np.float32)
    for spec in (PartitionSpec("data"), PartitionSpec()):
        spread = jax.device_put(whole, NamedSharding(mesh, spec))
        assert trees.digest({"w": spread}) == trees.digest({"w": whole})


def test_digest_reads_typed_keys_and_bfloat16():
    def state(seed, dtype, impl="threefry2x32"):
        return {"key": jax.random.key(seed, impl=impl), "w": jnp.ones(3, dtype)}

    assert trees.digest(state(0, "bfloat16")) == trees.digest(state(0, "bfloat16"))
    assert trees.digest(state(0, "bfloat16")) != trees.digest(state(1, "bfloat16"))
    assert trees.digest(state(0, "bfloat16")) != trees.digest(state(0, "float16"))
    assert trees.digest(state(0, "bfloat16")) != trees.digest(state(0, "bfloat16", "rbg"))
    raw = {"key": jax.random.key_data(jax.random.key(0)), "w": jnp.ones(3, "bfloat16")}
    assert trees.digest(raw) != trees.digest(state(0, "bfloat16"))


def test_parts_have_one_size_and_the_last_is_filled_up_with_its_last_example():
    tree = {"x": np.arange(5), "y": np.arange(10).reshape(5, 2)}
    first, second = trees.parts(tree, 3)
    np.testing.assert_array_equal(first["x"], [0, 1, 2])
    np.testing.assert_array_equal(second["x"], [3, 4, 4])
    np.testing.assert_array_equal(second["y"], [[6, 7], [8, 9], [8, 9]])
    np.testing.assert_array_equal(next(trees.parts(tree, 8))["x"], [0, 1, 2, 3, 4, 4, 4, 4])
