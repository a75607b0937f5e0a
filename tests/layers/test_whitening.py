import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.layers.whitening import WhiteningConv, patches, whitening_filters


@pytest.fixture
def image():
    rng = np.random.default_rng(0)
    image = rng.normal(size=(16, 9, 8, 3)).astype(np.float32)
    # Neighbours and channels correlated, as in photographs.
    image[:, 1:] += 0.7 * image[:, :-1]
    image[..., 1:] += 0.5 * image[..., :1]
    return jnp.asarray(image)


def moment(x):
    x = np.asarray(x, np.float64).reshape(-1, x.shape[-1])
    return x.T @ x / len(x)


def test_patches_are_cut_row_by_row(image):
    cut = np.asarray(patches(image, 2))
    assert cut.shape == (16, 8, 7, 12)
    np.testing.assert_array_equal(cut[3, 5, 2], image[3, 5:7, 2:4].reshape(-1))


def test_whitened_patches_have_identity_covariance(image):
    filters = np.asarray(whitening_filters(image, 2, 0.0), np.float64).reshape(12, 12)
    whitened = np.asarray(patches(image, 2), np.float64) @ filters
    np.testing.assert_allclose(moment(whitened), np.eye(12), atol=1e-4)
    raw = moment(np.asarray(patches(image, 2)))
    assert abs(raw - np.eye(12)).max() > 0.5


def test_epsilon_shrinks_by_eigenvalue_largest_first(image):
    filters = np.asarray(whitening_filters(image, 2, 0.3), np.float64).reshape(12, 12)
    eigenvalues = np.linalg.eigvalsh(moment(np.asarray(patches(image, 2))))[::-1]
    whitened = np.asarray(patches(image, 2), np.float64) @ filters
    expected = np.diag(eigenvalues / (eigenvalues + 0.3))
    np.testing.assert_allclose(moment(whitened), expected, atol=1e-4)


def test_convolution_has_both_signs_of_the_images_it_is_initialised_with(image):
    module = WhiteningConv(epsilon=0.0)
    variables = jax.jit(module.init)(jax.random.key(0), image)
    assert variables["params"]["kernel"].shape == (2, 2, 3, 24)
    y = np.asarray(module.apply(variables, image))
    assert y.shape == (16, 8, 7, 24)
    np.testing.assert_allclose(y[..., 12:], -y[..., :12], atol=1e-5)
    np.testing.assert_allclose(moment(y[..., :12]), np.eye(12), atol=1e-4)


def test_kernel_gets_no_gradient_and_bias_does(image):
    module = WhiteningConv()
    params = module.init(jax.random.key(0), image)["params"]
    grads = jax.grad(lambda p: (module.apply({"params": p}, image) ** 2).sum())(params)
    np.testing.assert_array_equal(grads["kernel"], 0)
    assert abs(grads["bias"]).max() > 0
