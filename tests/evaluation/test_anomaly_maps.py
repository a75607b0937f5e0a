import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.evaluation import anomaly_maps as module
from library.evaluation.anomaly_maps import anomaly_maps, differences
from library.evaluation.context import Context
from library.task import Task, TrainState

STATE = TrainState(jnp.int32(0), {}, {}, (), None)
IMAGES = np.random.default_rng(0).uniform(0.3, 0.4, (5, 12, 14, 1)).astype(np.float32)


def make_context(reconstruct, outputs=("reconstruct",), padding=4):
    def batches(split, batch_size):
        for rows, mask in (([0, 1, 2], [1, 1, 1]), ([3, 4, padding], [1, 1, 0])):
            yield {
                "image": jnp.asarray(2 * IMAGES[rows] - 1),
                "row": jnp.asarray(rows, jnp.uint32),
                "mask": jnp.float32(mask),
            }

    def collect(function):
        compiled = jax.jit(function)
        return lambda state, batch: jax.device_get(compiled(state, batch, jax.random.key(0)))

    task = Task(None, None, None, dict.fromkeys(outputs, reconstruct))
    return Context(
        task,
        batches,
        collect,
        collect,
        normalize=lambda image: 2 * image - 1,
        unnormalize=lambda image: (image + 1) / 2,
    )


def clean(state, batch, key):
    """Returns the images before anything was planted."""
    return jnp.asarray(2 * IMAGES)[batch["row"]] - 1


def test_a_perfect_memory_finds_what_was_planted():
    found = anomaly_maps(make_context(clean), shown=3)(STATE)
    assert found["occlusion_error_auroc"] > 0.95
    assert found["occlusion_similarity_auroc"] > 0.9
    drawn = found["occlusion"]
    assert drawn.shape == (3, 5, 12, 14, 3)
    assert drawn.dtype == np.uint8
    for picture, image in zip(drawn, IMAGES):
        planted, rebuilt, error, _, truth = picture[..., 0].astype(float) / 255
        np.testing.assert_allclose(rebuilt, image[..., 0], atol=0.003)
        # The square has one grey level, and lies where the truth says.
        inside = truth > 0
        if inside.any():
            assert np.ptp(planted[inside]) < 0.005
            assert inside.sum() <= 9
            assert error[inside].max() == 1
        assert (np.abs(planted - image[..., 0])[~inside] <= module.CHANGED + 0.005).all()


@pytest.mark.full
def test_the_same_places_each_time_and_others_for_another_seed():
    context = make_context(clean)
    first, again = (anomaly_maps(context)(STATE) for _ in range(2))
    np.testing.assert_array_equal(first["patch"], again["patch"])
    assert (anomaly_maps(context, seed=1)(STATE)["occlusion"] != first["occlusion"]).any()


@pytest.mark.full
def test_padding_is_the_next_image_of_none(monkeypatch):
    monkeypatch.setattr(module, "CHANGED", 0.02)
    ours, theirs = (anomaly_maps(make_context(clean, padding=i))(STATE) for i in (4, 0))
    np.testing.assert_array_equal(ours["patch"], theirs["patch"])
    for name in ("patch_error_auroc", "patch_similarity_auroc"):
        assert ours[name] == theirs[name] > 0.5


def test_a_copy_finds_nothing():
    found = anomaly_maps(make_context(lambda state, batch, key: batch["image"]))(STATE)
    assert found["occlusion_error_auroc"] == pytest.approx(0.5)


def test_similarity_against_the_definition():
    x, y = np.random.default_rng(1).uniform(size=(2, 1, 16, 16, 1))
    compared = jax.jit(differences)
    error, dissimilarity = compared(jnp.float32(x), jnp.float32(y))
    window = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(window, window) / window.sum() ** 2
    here, there = x[0, 3:14, 2:13, 0], y[0, 3:14, 2:13, 0]
    mx, my = (window * here).sum(), (window * there).sum()
    vx, vy = (window * (here - mx) ** 2).sum(), (window * (there - my) ** 2).sum()
    vxy = (window * (here - mx) * (there - my)).sum()
    ssim = (2 * mx * my + 1e-4) * (2 * vxy + 9e-4)
    ssim /= (mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4)
    assert dissimilarity[0, 8, 7] == pytest.approx(1 - ssim, abs=1e-4)
    assert error[0, 8, 7] == pytest.approx((window * (here - there) ** 2).sum(), rel=1e-4)
    np.testing.assert_allclose(compared(jnp.float32(x), jnp.float32(x))[1], 0, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(output="rebuild"), "unknown output of anomaly_maps 'rebuild'"),
        (dict(size=0.0), "size=0.0"),
        (dict(size=1.0), "size=1.0"),
        (dict(num=0), "num=0"),
        (dict(shown=0), "shown=0"),
    ],
)
def test_requests_that_do_not_fit(arguments, message):
    with pytest.raises(ConfigError, match=message):
        anomaly_maps(make_context(clean), **arguments)
