import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.models.image import cnn


def flat_count(params):
    return sum(p.size for p in jax.tree.leaves(params))


@pytest.fixture(scope="module")
def lenet():
    model = cnn.lenet5()
    image = jax.random.normal(jax.random.key(0), (2, 28, 28, 1))
    return model, jax.jit(model.init)(jax.random.key(1), image)["params"], image


def test_lenet5_has_the_params_of_each_layer_in_the_paper(lenet):
    _, params, _ = lenet
    counts = {name: flat_count(layer) for name, layer in params.items()}
    assert counts == dict(c1=156, s2=12, c3=1_516, s4=32, c5=48_120, f6=10_164)
    assert sum(counts.values()) == 60_000


def test_lenet5_has_the_connections_of_the_paper(lenet):
    _, params, _ = lenet
    # A unit has one connection for each weight it uses, and one for its bias.
    units = dict(c1=28 * 28, s2=14 * 14, c3=10 * 10, s4=5 * 5, c5=1, f6=1)
    connections = {
        name: units[name] * flat_count(params[name]) for name in ("c1", "c3", "c5", "f6")
    }
    # Subsampling sums four inputs under one coefficient.
    connections |= {"s2": units["s2"] * 6 * (4 + 1), "s4": units["s4"] * 16 * (4 + 1)}
    assert connections["c1"] == 122_304
    assert connections["s2"] == 5_880
    assert connections["c3"] == 151_600
    assert connections["s4"] == 2_000
    assert sum(connections.values()) + 84 * 10 == 340_908


def test_c3_sees_the_maps_of_table_1():
    seen = [len(row) for row in cnn.C3_TABLE]
    assert seen == [3] * 6 + [4] * 9 + [6]
    # Each map of s2 is seen by ten maps of c3, and no two maps of c3 see the same.
    assert [sum(s in row for row in cnn.C3_TABLE) for s in range(6)] == [10] * 6
    assert len(set(cnn.C3_TABLE)) == 16
    module = cnn.TableConv(cnn.C3_TABLE)
    x = jax.random.normal(jax.random.key(0), (1, 5, 5, 6))
    params = module.init(jax.random.key(1), x)
    jacobian = jax.jacobian(lambda x: module.apply(params, x)[0, 0, 0])(x)
    depends = np.abs(jacobian).sum(axis=(1, 2, 3)) > 0
    for target, row in enumerate(cnn.C3_TABLE):
        assert tuple(np.flatnonzero(depends[target])) == row


def test_subsampling_sums_scales_and_shifts():
    x = jax.random.normal(jax.random.key(0), (2, 4, 6, 3))
    params = {"coefficient": jnp.array([0.5, -1.0, 2.0]), "bias": jnp.array([0.0, 1.0, 2.0])}
    y = cnn.Subsampling().apply({"params": params}, x)
    total = np.asarray(x).reshape(2, 2, 2, 3, 2, 3).sum(axis=(2, 4))
    expected = total * params["coefficient"] + params["bias"]
    np.testing.assert_allclose(y, expected, atol=1e-6)


def test_rbf_output_is_minus_the_squared_distance_to_the_drawings(lenet):
    model, params, image = lenet
    logits, recorded = model.apply({"params": params}, image, mutable=["intermediates"])
    features = np.float64(recorded["intermediates"]["features"])
    assert features.shape == (2, 84)
    codes = cnn._codes(10)
    assert codes.shape == (10, 84)
    assert set(np.unique(codes)) == {-1.0, 1.0}
    expected = [[-((f - code) ** 2).sum() for code in codes] for f in features]
    np.testing.assert_allclose(logits, expected, rtol=1e-5)
    apart = (codes[:, None] != codes[None]).sum(-1) + 84 * np.eye(10, dtype=int)
    assert apart.min() >= 5
    assert cnn._codes(47).shape == (47, 84)


def test_units_are_the_scaled_tanh_of_their_weighted_sums(lenet):
    model, params, image = lenet
    _, recorded = model.apply({"params": params}, 3 * image, mutable=["intermediates"])
    recorded = recorded["intermediates"]
    sums = np.float64(recorded["stage3"]) @ params["f6"]["kernel"] + params["f6"]["bias"]
    expected = 1.7159 * np.tanh(2 / 3 * sums)
    np.testing.assert_allclose(recorded["features"], expected, atol=1e-5)
    assert abs(expected).max() > 1


def test_lenet5_continues_the_border_and_refuses_other_sizes(lenet):
    model, params, image = lenet
    padded = jnp.pad(image, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="edge")
    y = model.apply({"params": params}, image)
    np.testing.assert_array_equal(y, model.apply({"params": params}, padded))
    with pytest.raises(ValueError, match="28x28 or 32x32 images, not 30x30"):
        model.apply({"params": params}, jnp.zeros((1, 30, 30, 1)))


def test_small_size():
    model = cnn.small()
    params = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 8, 8, 1)))["params"]
    assert flat_count(params) == 72_666
