import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.layers.whitening import patches
from library.models.image.airbench import airbench94, airbench96
from tests import sizes


@pytest.fixture(scope="module")
def initialised():
    image = jax.random.normal(jax.random.key(0), (8, 32, 32, 3))
    model = airbench94(widths=(28, 32, 32))
    return model, jax.jit(model.init)(jax.random.key(1), image), image


def test_whitening_is_computed_from_the_images_of_init(initialised):
    _, variables, image = initialised
    kernel = np.float64(variables["params"]["whitening"]["kernel"]).reshape(12, 24)
    np.testing.assert_array_equal(kernel[:, 12:], -kernel[:, :12])
    x = np.float64(patches(image, 2)).reshape(-1, 12)
    whitened = x @ kernel[:, :12]
    eigenvalues = np.linalg.eigvalsh(x.T @ x / len(x))[::-1]
    expected = np.diag(eigenvalues / (eigenvalues + 5e-4))
    np.testing.assert_allclose(whitened.T @ whitened / len(x), expected, atol=1e-4)


def test_params_have_no_scales_and_one_bias_a_normalization(initialised):
    _, variables, _ = initialised
    params = variables["params"]
    assert set(params["stage1_norm1"]) == {"bias"}
    assert set(params["stage1_conv1"]) == {"kernel"}
    assert set(params["head"]) == {"kernel"}
    assert set(params["whitening"]) == {"kernel", "bias"}


def test_convolutions_start_by_copying_their_inputs(initialised):
    _, variables, _ = initialised
    kernel = variables["params"]["stage1_conv1"]["kernel"]
    assert kernel.shape == (3, 3, 24, 28)
    x = jax.random.normal(jax.random.key(2), (1, 5, 5, 24))
    y = jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    np.testing.assert_array_equal(y[..., :24], x)
    assert float(abs(kernel[..., 24:]).max()) <= (9 * 24) ** -0.5
    assert float(kernel[..., 24:].std()) == pytest.approx((9 * 24 * 3) ** -0.5, rel=0.1)
    square = np.asarray(variables["params"]["stage2_conv2"]["kernel"])
    np.testing.assert_array_equal(square[1, 1], np.eye(32))
    assert np.abs(square).sum() == 32


def test_shapes_are_the_originals(initialised):
    model, variables, image = initialised
    apply = jax.jit(lambda variables: model.apply(variables, image, mutable=["intermediates"]))
    logits, updated = apply(variables)
    recorded = updated["intermediates"]
    sizes = [recorded[f"stage{i}"].shape[1:3] for i in (1, 2, 3)]
    assert sizes == [(15, 15), (7, 7), (3, 3)]
    np.testing.assert_array_equal(recorded["features"], recorded["stage3"].max((1, 2)))
    expected = np.float64(recorded["features"]) @ variables["params"]["head"]["kernel"] / 9
    np.testing.assert_allclose(logits, expected, atol=1e-5)


def test_running_averages_keep_six_tenths_and_move_in_training_only(initialised):
    model, variables, image = initialised
    _, updated = model.apply(variables, image, False, mutable=["batch_stats"])
    jax.tree.map(np.testing.assert_array_equal, updated["batch_stats"], variables["batch_stats"])
    _, updated = model.apply(variables, image, True, mutable=["batch_stats", "intermediates"])
    stats = updated["batch_stats"]["stage1_norm1"]

    def unpooled(image):
        kernel = variables["params"]["whitening"]["kernel"]
        x = jax.lax.conv_general_dilated(
            image, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        # The first outputs of the first convolution are its inputs.
        x = jax.nn.gelu(x, approximate=False)[:, :30, :30]
        return x.reshape(8, 15, 2, 15, 2, 24).max((2, 4))

    mean = np.asarray(unpooled(image)).mean((0, 1, 2))
    np.testing.assert_allclose(stats["mean"][:24], 0.4 * mean, rtol=1e-4, atol=1e-6)


@pytest.mark.full
def test_airbench96_adds_a_third_convolution_to_what_the_first_one_leaves():
    assert sizes.parameters(airbench96(), 32) == 9_915_704
    model = airbench96(widths=(26, 4, 4))
    image = jax.random.normal(jax.random.key(0), (2, 10, 10, 3))
    variables = jax.jit(model.init)(jax.random.key(1), image)
    # Without its kernel, the third normalization leaves its bias.
    layers = variables["params"]
    layers["stage1_conv3"]["kernel"] = jnp.zeros((3, 3, 26, 26))
    layers["stage1_norm3"]["bias"] = jnp.full(26, 0.25)

    @jax.jit
    def recorded(variables):
        options = dict(mutable=["intermediates"], capture_intermediates=True)
        return model.apply(variables, image, **options)[1]["intermediates"]

    made = recorded(variables)
    first = jax.nn.gelu(made["stage1_norm1"]["__call__"][0], approximate=False)
    expected = jax.nn.gelu(first + 0.25, approximate=False)
    np.testing.assert_allclose(made["stage1"], expected, rtol=1e-5, atol=1e-6)
    assert (airbench94().momentum, airbench96().momentum) == (0.6, 0.9)
