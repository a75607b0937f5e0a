import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.models.image.mlp import mlp, perceptron


@pytest.fixture
def image():
    return jax.random.normal(jax.random.key(0), (4, 3, 5, 2))


def test_perceptron_is_one_matrix(image):
    model = perceptron(num_classes=3)
    params = model.init(jax.random.key(0), image)["params"]
    assert jax.tree.map(jnp.shape, params) == {"head": {"kernel": (30, 3), "bias": (3,)}}
    head = jax.tree.map(lambda p: p + 0.5, params)["head"]
    expected = np.float64(image).reshape(4, 30) @ np.float64(head["kernel"]) + head["bias"]
    np.testing.assert_allclose(model.apply({"params": {"head": head}}, image), expected, atol=1e-5)


def test_counts_of_the_papers():
    image = jnp.zeros((1, 28, 28, 1))
    for model, expected in ((perceptron(), 7_850), (mlp(), 784 * 800 + 800 * 800 + 8000 + 1610)):
        params = jax.eval_shape(model.init, jax.random.key(0), image)["params"]
        assert sum(np.prod(p.shape) for p in jax.tree.leaves(params)) == expected


@pytest.mark.parametrize(
    ("activation", "function"),
    [
        ("relu", lambda x: np.maximum(x, 0)),
        ("tanh", np.tanh),
        ("sigmoid", lambda x: 1 / (1 + np.exp(-x))),
    ],
)
def test_hidden_layers(image, activation, function):
    model = mlp(num_classes=3, hidden=(6, 5), activation=activation)
    params = model.init(jax.random.key(0), image)["params"]
    assert set(params) == {"hidden1", "hidden2", "head"}
    x = np.float64(image).reshape(4, 30)
    for name in ("hidden1", "hidden2"):
        x = function(x @ np.float64(params[name]["kernel"]) + params[name]["bias"])
    logits, recorded = model.apply({"params": params}, image, mutable=["intermediates"])
    np.testing.assert_allclose(recorded["intermediates"]["features"], x, atol=1e-5)
    expected = x @ np.float64(params["head"]["kernel"])
    np.testing.assert_allclose(logits, expected, atol=1e-5)


def test_initial_activations_keep_their_size():
    image = jax.random.normal(jax.random.key(0), (64, 16, 16, 2))
    model = mlp(hidden=(512,) * 6, activation="relu")
    _, updated = model.init_with_output(jax.random.key(1), image, mutable=True)
    recorded = updated["intermediates"]
    # He's variance keeps the mean square at that of the pre-activations, 2; half passes the relu.
    for stage in range(1, 7):
        assert 0.7 < float(jnp.square(recorded[f"stage{stage}"]).mean()) < 1.4


def test_dropout_only_in_training(image):
    model = mlp(num_classes=3, hidden=(50,), dropout=0.5, input_dropout=0.2)
    variables = model.init(jax.random.key(0), image)
    rngs = {"dropout": jax.random.key(1)}
    train = model.apply(variables, image, True, rngs=rngs)
    assert abs(train - model.apply(variables, image)).max() > 0.01
    np.testing.assert_array_equal(train, model.apply(variables, image, True, rngs=rngs))
