import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from library.config import ConfigError
from library.parallel.mesh import make_mesh
from library.parallel.sharding import bytes_per_device, places, shardings

TREE = {
    "params": {"conv": {"kernel": (3, 3, 4, 16), "bias": (6,)}, "head": {"kernel": (16, 16)}},
    "step": (),
}
SHAPES = jax.tree.map(
    lambda shape: jax.ShapeDtypeStruct(shape, jnp.float32),
    TREE,
    is_leaf=lambda x: isinstance(x, tuple),
)


def specs(rules, sizes=None, tree=SHAPES):
    found = shardings(tree, make_mesh(sizes or {"data": 4, "fsdp": 2}), rules)
    return jax.tree.map(lambda s: s.spec, found)


def test_fsdp_splits_the_widest_dimension_that_divides():
    got = specs([(".*", "fsdp")])
    assert got["params"]["conv"]["kernel"] == PartitionSpec(None, None, None, "fsdp")
    assert got["params"]["conv"]["bias"] == PartitionSpec("fsdp")
    # Of two widest, the last.
    assert got["params"]["head"]["kernel"] == PartitionSpec(None, "fsdp")
    assert got["step"] == PartitionSpec()


def test_fsdp_leaves_whole_what_does_not_divide():
    got = specs([(".*", "fsdp")], {"fsdp": 8})
    assert got["params"]["conv"]["bias"] == PartitionSpec()
    assert got["params"]["conv"]["kernel"] == PartitionSpec(None, None, None, "fsdp")
    alone = specs([(".*", "fsdp")], {"data": 8})
    assert alone["params"]["head"]["kernel"] == PartitionSpec()


def test_the_first_rule_that_matches_holds_and_the_rest_is_replicated():
    rules = [
        (r"^params/head/", [["data", "fsdp"], None]),
        (r"kernel$", [None, None, "fsdp"]),
        (r"head", "replicated"),
    ]
    got = specs(rules)
    assert got["params"]["head"]["kernel"] == PartitionSpec(("data", "fsdp"), None)
    assert got["params"]["conv"]["kernel"] == PartitionSpec(None, None, "fsdp")
    assert got["params"]["conv"]["bias"] == PartitionSpec()
    assert got["step"] == PartitionSpec()


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (("head", "fdsp"), ["'fdsp'", "did you mean 'fsdp'"]),
        (("head", ["modle", None]), ["'modle'", "valid: data, fsdp, tensor"]),
        (("head", [None, None, "fsdp"]), ["params/head/kernel", "only 2 dimensions"]),
        (("bias", ["data"]), ["params/conv/bias", "6 does not divide by 4"]),
        (("bias", [["data", "fsdp"]]), ["6 does not divide by 8"]),
        (("head", ["fsdp", "fsdp"]), ["params/head/kernel", "'fsdp' splits two dimensions"]),
        (("head", 3), ["sharding 3 of params/head/kernel"]),
        (("(", "fsdp"), ["'('", "not a pattern"]),
        (("^params/haed/", "fsdp"), ["'^params/haed/' matches no path", "'params/head/kernel'"]),
    ],
)
def test_errors_name_the_rule_and_the_leaf(rule, said):
    with pytest.raises(ConfigError) as caught:
        specs([rule, (".*", "replicated")])
    for text in said:
        assert text in str(caught.value)


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        # A mesh of 2 x 2 x 2, whose last axis holds the same: devices 0 and 1 part 0, and so on.
        ([0], [0, 1]),
        ([0, 1], [0, 1]),
        ([5, 4], [4, 5]),
        ([0, 2, 4, 6], [0, 1, 2, 3, 4, 5, 6, 7]),
        ([0, 1, 6, 7], [0, 1, 6, 7]),
        ([1, 2, 7], [0, 1, 2, 3, 6, 7]),
    ],
)
def test_places_are_those_that_devices_hold_in_any_order_and_each_once(held, expected):
    mesh = make_mesh({"data": 2, "fsdp": 2, "tensor": 2})
    layout = NamedSharding(mesh, PartitionSpec(("data", "fsdp")))
    found = places(layout, 8, [jax.devices()[i] for i in held])
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(places(layout, 8), np.arange(8))


def test_bytes_per_device_counts_what_each_device_holds():
    mesh = make_mesh({"data": 2, "fsdp": 4})
    split = jax.device_put(np.zeros((8, 2), np.float32), NamedSharding(mesh, PartitionSpec("fsdp")))
    whole = jax.device_put(np.zeros(3, np.int8), NamedSharding(mesh, PartitionSpec()))
    # Two of the eight rows of two floats, and three bytes.
    assert bytes_per_device({"a": split, "b": whole}) == {
        str(device): 2 * 2 * 4 + 3 for device in jax.devices()
    }
