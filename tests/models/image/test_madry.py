import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.models.image.madry import madry


def test_layers_of_the_network_for_mnist():
    model = madry()
    image = jax.ShapeDtypeStruct((1, 28, 28, 1), jnp.float32)
    _, variables = jax.eval_shape(model.init_with_output, jax.random.key(0), image)
    shapes = jax.tree.map(lambda x: x.shape, variables["params"])
    assert shapes == {
        "conv1": {"kernel": (5, 5, 1, 32), "bias": (32,)},
        "conv2": {"kernel": (5, 5, 32, 64), "bias": (64,)},
        "hidden": {"kernel": (7 * 7 * 64, 1024), "bias": (1024,)},
        "head": {"kernel": (1024, 10), "bias": (10,)},
    }
    assert sum(x.size for x in jax.tree.leaves(variables["params"])) == 3_274_634


def test_a_small_one_by_hand():
    model = madry(num_classes=3, widths=(2,), hidden=4)
    image = jax.random.uniform(jax.random.key(0), (2, 4, 6, 1))
    variables = jax.jit(model.init)(jax.random.key(1), image)
    params = jax.tree.map(np.float64, variables["params"])
    logits, recorded = jax.jit(lambda v: model.apply(v, image, mutable=["intermediates"]))(
        variables
    )
    padded = np.pad(np.float64(image), ((0, 0), (2, 2), (2, 2), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (5, 5), (1, 2))
    x = np.einsum("bhwcij,ijck->bhwk", windows, params["conv1"]["kernel"])
    x = np.maximum(x + params["conv1"]["bias"], 0)
    np.testing.assert_allclose(recorded["intermediates"]["stage1"], x, rtol=1e-5, atol=1e-6)
    x = x.reshape(2, 2, 2, 3, 2, 2).max((2, 4)).reshape(2, -1)
    x = np.maximum(x @ params["hidden"]["kernel"] + params["hidden"]["bias"], 0)
    np.testing.assert_allclose(recorded["intermediates"]["features"], x, rtol=1e-5, atol=1e-6)
    expected = x @ params["head"]["kernel"] + params["head"]["bias"]
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(variables["params"]["conv1"]["bias"], np.float32(0.1))


def test_arguments():
    model = madry(num_classes=3, dtype="bfloat16")
    image = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)
    logits, _ = jax.eval_shape(model.init_with_output, jax.random.key(0), image)
    assert (logits.shape, logits.dtype) == ((2, 3), jnp.float32)
    with pytest.raises(ConfigError, match="hidden=0"):
        madry(hidden=0)
