import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError, build
from library.models.points import pointnet as module
from library.models.points.pointnet import pointnet, vanilla

KEY = jax.random.key(0)
SMALL = dict(num_classes=4, widths=(6, 5), later_widths=(8,), joined_widths=(7,))


@pytest.fixture
def small_transforms(monkeypatch):
    monkeypatch.setattr(module, "TRANSFORM_WIDTHS", ((4, 6), (7,)))


def whole_numbers(variables):
    """Returns variables with which all features are exact: whole numbers, and no normalization."""
    random = np.random.default_rng(0)

    def replaced(path, leaf):
        name = path[-1].key
        if name == "var":
            # With the epsilon it is 1 in float32.
            return np.full(leaf.shape, np.float32(1) - np.float32(1e-5))
        if name in ("mean", "scale"):
            return np.full(leaf.shape, float(name == "scale"), np.float32)
        return random.integers(-1, 2, leaf.shape).astype(np.float32)

    return jax.tree_util.tree_map_with_path(replaced, variables)


@pytest.mark.parametrize("make", [pointnet, vanilla])
def test_the_order_of_the_points_changes_no_bit(make, small_transforms):
    random = np.random.default_rng(1)
    points = jnp.asarray(random.integers(-2, 3, (2, 11, 3)).astype(np.float32))
    model = make(**SMALL)
    variables = whole_numbers(jax.jit(model.init)(KEY, points))
    # Compiled as a whole: one by one the operations take seconds to compile.
    apply = jax.jit(model.apply)
    if make is pointnet:
        # The T-nets' own sums would leave the whole numbers that float32 holds.
        zero = {"kernel": jnp.zeros((7, 9)), "bias": jnp.arange(9.0)}
        variables["params"]["transform_points"]["matrix"] = zero
        zero = {"kernel": jnp.zeros((7, 25)), "bias": jnp.arange(25.0) % 3}
        variables["params"]["transform_features"]["matrix"] = zero
    logits = apply(variables, points)
    assert np.abs(logits).max() > 0
    for _ in range(3):
        order = random.permutation(11)
        np.testing.assert_array_equal(apply(variables, points[:, order]), logits)
    # A point that is there twice changes nothing.
    twice = jnp.concatenate([points, points[:, :4]], axis=1)
    np.testing.assert_array_equal(apply(variables, twice), logits)


@pytest.mark.parametrize(("make", "count"), [(vanilla, 819_624), (pointnet, 3_480_049)])
def test_params_are_as_many_as_published(make, count):
    shapes = jax.eval_shape(make().init, KEY, jnp.zeros((1, 16, 3)))
    assert sum(math.prod(x.shape) for x in jax.tree.leaves(shapes["params"])) == count


def test_transforms_start_as_the_identity_and_their_penalty_is_the_papers(small_transforms):
    model = pointnet(**SMALL)
    points = jax.random.normal(KEY, (2, 9, 3))
    variables = jax.jit(model.init)(KEY, points)
    options = dict(train=True, mutable=["intermediates", "batch_stats"], rngs={"dropout": KEY})
    trained = jax.jit(lambda variables: model.apply(variables, points, **options)[1])
    recorded = trained(variables)
    np.testing.assert_allclose(recorded["intermediates"]["penalty"], [0, 0], atol=1e-6)
    plain = {**variables["params"]}
    without = vanilla(**SMALL)
    own = {k: v for k, v in variables.items()}
    kept = {
        kind: {k: v for k, v in tree.items() if not k.startswith("transform")}
        for kind, tree in own.items()
    }
    same = jax.jit(without.apply)(kept, points)
    np.testing.assert_allclose(jax.jit(model.apply)(variables, points), same, rtol=1e-5)
    # A A^T of A = 2 I is 4 I, and each of the five entries of I - 4 I has the square 9.
    plain["transform_features"] = {
        **plain["transform_features"],
        "matrix": {"kernel": jnp.zeros((7, 25)), "bias": jnp.eye(5).ravel()},
    }
    recorded = trained({**variables, "params": plain})
    np.testing.assert_allclose(recorded["intermediates"]["penalty"], [45, 45], rtol=1e-6)


def test_logits_and_stages():
    model = vanilla(**SMALL)
    kept = ["params", "batch_stats", "intermediates"]
    init = functools.partial(model.init_with_output, mutable=kept)
    logits, recorded = jax.eval_shape(init, KEY, jnp.zeros((2, 9, 3)))
    assert logits.shape == (2, 4)
    shapes = {name: x.shape for name, x in recorded["intermediates"].items()}
    assert shapes == {"stage1": (2, 9, 5), "stage2": (2, 8), "features": (2, 7)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(num_classes=0), "num_classes=0"),
        (dict(dropout=1.0), "dropout=1.0"),
        (dict(later_widths=(64, 0)), "later_widths"),
        (dict(dtype="f16"), "dtype 'f16'"),
    ],
)
def test_a_misunderstood_argument_builds_nothing(arguments, message):
    with pytest.raises(ConfigError, match=message):
        build(dict(name="pointnet", **arguments), "library.models", "model")


@pytest.mark.parametrize("shape", [(2, 8, 8, 1), (2, 0, 3)])
def test_images_and_empty_sets_are_refused(shape):
    with pytest.raises(ValueError, match="takes points"):
        vanilla(**SMALL).init(KEY, jnp.zeros(shape))
