"""Magnitude pruning: which weights go, how many, and the schedule."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.compression import pruning
from library.config import ConfigError

PARAMS = {
    "a": {"kernel": jnp.array([[0.1, -0.5], [0.3, -0.2]]), "bias": jnp.array([0.01, 0.02])},
    "head": {"kernel": jnp.array([[0.05, 0.9], [-0.7, 0.6]])},
    "norm": {"scale": jnp.array([0.001])},
}


def kept(masks):
    return {name: np.asarray(tree["kernel"]).astype(int).tolist() for name, tree in masks.items()}


def test_the_smallest_of_all_kernels_go_by_hand():
    pruned = pruning.one_shot(PARAMS, 0.5)
    # Of 0.05, 0.1, 0.2, 0.3, 0.5, 0.6, 0.7 and 0.9 the first four.
    assert pruned["a"]["kernel"].tolist() == [[0, -0.5], [0, 0]]
    np.testing.assert_array_equal(pruned["head"]["kernel"], np.float32([[0, 0.9], [-0.7, 0.6]]))
    for path in (("a", "bias"), ("norm", "scale")):
        np.testing.assert_array_equal(pruned[path[0]][path[1]], PARAMS[path[0]][path[1]])


def test_the_smallest_of_each_kernel_go_by_hand():
    pruned = pruning.one_shot(PARAMS, 0.5, scope="layer")
    np.testing.assert_array_equal(pruned["a"]["kernel"], np.float32([[0, -0.5], [0.3, 0]]))
    np.testing.assert_array_equal(pruned["head"]["kernel"], np.float32([[0, 0.9], [-0.7, 0]]))


def test_what_is_kept_is_not_pruned_and_does_not_count():
    pruned = pruning.one_shot(PARAMS, 0.75, kept=("^head",))
    assert np.count_nonzero(pruned["a"]["kernel"]) == 1
    np.testing.assert_array_equal(pruned["head"]["kernel"], PARAMS["head"]["kernel"])


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 6])
def test_exactly_as_many_are_smallest_and_of_equal_ones_the_first(count):
    values = jnp.array([2.0, 1.0, 1.0, 3.0, 1.0, 0.0])
    order = [5, 1, 2, 4, 0, 3]
    expected = np.isin(np.arange(6), order[:count])
    np.testing.assert_array_equal(pruning.smallest(values, count), expected)
    traced = jax.jit(pruning.smallest)(values, jnp.int32(count))
    np.testing.assert_array_equal(traced, expected)


def test_counts_are_exact_for_many_weights_and_every_sparsity():
    params = {"x": {"kernel": jax.random.normal(jax.random.key(0), (37, 29))}}
    params["y"] = {"kernel": jnp.zeros((11, 3))}
    for sparsity in (0.0, 0.013, 0.5, 0.9, 0.999):
        masks = pruning.initial_masks(params)
        for scope, sizes in (("global", {"": 1106}), ("layer", {"x/kernel": 1073, "y/kernel": 33})):
            count = pruning.counts(masks, sparsity, scope)
            assert count == {name: round(sparsity * size) for name, size in sizes.items()}
            found = pruning.prune_smallest(params, masks, count)
            gone = {k: int((~v["kernel"]).sum()) for k, v in found.items()}
            assert sum(gone.values()) == sum(count.values())
            if scope == "layer":
                assert list(gone.values()) == list(count.values())
            share = sum(count.values()) / 1106
            assert float(pruning.sparsity_of(found)) == pytest.approx(share, rel=1e-7)


def test_what_is_pruned_stays_so_though_others_become_smaller():
    masks = pruning.initial_masks(PARAMS)
    once = pruning.prune_smallest(PARAMS, masks, {"": 2})
    smaller = jax.tree.map(lambda x: -1e-3 * x, PARAMS)
    smaller["a"]["kernel"] = smaller["a"]["kernel"].at[0, 0].set(7.0)
    assert kept(once) == {"a": [[0, 1], [1, 1]], "head": [[0, 1], [1, 1]]}
    assert kept(pruning.prune_smallest(smaller, once, {"": 1})) == kept(once)
    # The smallest of those left is 0.2, then 0.3.
    again = pruning.prune_smallest(smaller, once, {"": 3})
    assert kept(again) == {"a": [[0, 1], [1, 0]], "head": [[0, 1], [1, 1]]}


def test_the_schedule_is_the_cubic_of_zhu_and_gupta():
    found = pruning.cubic(0.2, 0.9, 10)
    t = np.arange(11) / 10
    np.testing.assert_allclose(found, 0.9 + (0.2 - 0.9) * (1 - t) ** 3, rtol=1e-15)
    assert (found[0], found[-1]) == (pytest.approx(0.2), 0.9)
    assert np.all(np.diff(found) > 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(sparsity=1.0), r"sparsity=1.0: valid are 0 to below 1"),
        (dict(sparsity=-0.1), r"sparsity=-0.1"),
        (dict(sparsity=0.5, scope="leyer"), "unknown scope 'leyer': did you mean 'layer'"),
        (dict(sparsity=0.5, kept=("heads",)), "'heads' matches no kernel: did you mean"),
        (dict(sparsity=0.5, kept=("(",)), r"'\(' is no regular expression"),
        (dict(sparsity=0.5, kept=("kernel",)), "of 2 kernels none is left"),
    ],
)
def test_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        pruning.one_shot(PARAMS, **options)
