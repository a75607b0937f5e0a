import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from library import rng
from library.config import ConfigError, build
from library.evaluation.embedding import Embedding
from library.evaluation.frechet import (
    Gaussian,
    frechet_classifier_distance,
    frechet_inception_distance,
)
from library.run.feed import Feed
from tests import tiny
from tests.judged import SHAPES, STATE, make_context, noting_splits, pixels, rehearsing

RANDOM = np.random.default_rng(0)


def exactly(mean, covariance, num=50, seed=0):
    """Returns features whose mean and covariance are the given ones, not nearly."""
    mean, covariance = np.asarray(mean, float), np.asarray(covariance, float)
    x = np.random.default_rng(seed).normal(size=(num, len(mean)))
    x -= x.mean(axis=0)
    white = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T))).T
    return white @ np.real(scipy.linalg.sqrtm(covariance)).T + mean


def fit(x, size=7):
    return Gaussian.fit(x[start : start + size] for start in range(0, len(x), size))


def test_two_gaussians_along_the_same_axes():
    a = fit(exactly([1, 2, 3], np.diag([4, 1, 9.0])))
    b = fit(exactly([1, 0, 4], np.diag([1, 1, 16.0]), seed=1))
    # |m|^2 = 4 + 1, and (2 - 1)^2 + 0 + (3 - 4)^2.
    assert a.distance(b) == pytest.approx(7.0, rel=1e-10)
    assert b.distance(a) == pytest.approx(7.0, rel=1e-10)


def test_two_gaussians_along_other_axes():
    a, b = np.array([[2, 1], [1, 3.0]]), np.array([[5, -2], [-2, 1.5]])
    product = a @ b
    # The eigenvalues x, y of a 2x2 matrix: (sqrt x + sqrt y)^2 = trace + 2 sqrt det.
    root = np.sqrt(np.trace(product) + 2 * np.sqrt(np.linalg.det(product)))
    expected = np.trace(a) + np.trace(b) - 2 * root
    got = fit(exactly([0, 0], a)).distance(fit(exactly([0, 0], b, seed=1)))
    assert got == pytest.approx(expected, rel=1e-10)


def test_many_dimensions_by_the_matrix_root():
    x, y = (RANDOM.normal(size=(60, 12)) @ RANDOM.normal(size=(12, 12)) for _ in range(2))
    c, d = np.cov(x.T), np.cov(y.T)
    expected = np.sum((x.mean(0) - y.mean(0)) ** 2) + np.trace(c + d)
    expected -= 2 * np.trace(scipy.linalg.sqrtm(c @ d)).real
    assert fit(x).distance(fit(y)) == pytest.approx(expected, rel=1e-9)


def test_a_set_is_at_no_distance_from_itself():
    x = RANDOM.normal(size=(40, 6)) * 100
    assert fit(x).distance(fit(x[::-1])) < 1e-8


def test_singular_and_zero_covariances():
    # Five features of which the last three hang on the first two: 11 points of 20 dimensions.
    few = RANDOM.normal(size=(11, 20))
    assert fit(few).distance(fit(few)) < 1e-10
    point, other = np.full((5, 3), 2.0), np.full((4, 3), 4.0)
    assert fit(point).distance(fit(other)) == 12.0
    # A point and a Gaussian: the trace of its covariance is left.
    spread = fit(exactly([2, 2, 2], np.diag([1, 4, 0.25])))
    assert fit(point).distance(spread) == pytest.approx(5.25, rel=1e-12)


def test_parts_give_what_all_at_once_gives_even_far_from_zero():
    x = RANDOM.normal(size=(101, 5)) @ RANDOM.normal(size=(5, 5)) + 1e5
    found = Gaussian.fit([x[:0], x[:1], x[1:60], x[60:]])
    np.testing.assert_allclose(found.covariance, np.cov(x.T), rtol=1e-9)
    np.testing.assert_allclose(found.mean, x.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(found.root @ found.root, found.covariance, rtol=1e-9)
    assert found.count == 101


def test_features_that_are_not_finite_have_no_distance():
    x = RANDOM.normal(size=(9, 2))
    broken = x.copy()
    broken[3, 1] = np.inf
    assert np.isnan(fit(broken).distance(fit(x)))
    assert np.isnan(fit(x).distance(fit(broken)))


@pytest.mark.parametrize("batch_size", [None, 3, 32])
def test_images_count_once_and_padding_never(batch_size):
    real, made = RANDOM.integers(0, 256, (13, 3)), RANDOM.integers(0, 256, (21, 3))
    context = make_context(pixels(real), pixels(made))
    evaluate = frechet_classifier_distance(context, classifier="x", num=21, batch_size=batch_size)
    expected = fit(made.astype(float)).distance(fit(real.astype(float)))
    got = evaluate(STATE)
    assert got == {
        "frechet_classifier_distance": pytest.approx(expected, rel=1e-9),
        "num": 21,
        "num_real": 13,
    }


def test_generated_images_are_those_that_a_file_would_hold():
    real = RANDOM.integers(0, 256, (13, 2))
    made = RANDOM.integers(0, 256, (13, 2))
    made[0], made[1] = 0, 255
    # Within half a level, and beyond black and white.
    noisy = pixels(made + RANDOM.choice([-0.4, 0.4], made.shape))
    noisy[0] -= 1
    noisy[1] += 1

    def raw(image):
        return image.reshape(len(image), -1) * 255

    values = []
    for images in (pixels(made), noisy):
        context = make_context(pixels(real), images, judge=raw)
        values.append(frechet_classifier_distance(context, classifier="x", num=13)(STATE))
    for name in values[0]:
        assert values[1][name] == pytest.approx(values[0][name], rel=1e-4)


def test_real_images_are_looked_at_once():
    images = pixels(RANDOM.integers(0, 256, (13, 2)))
    context, splits = noting_splits(make_context(images, images))
    evaluate = frechet_classifier_distance(context, classifier="x", num=13, split="valid")
    assert evaluate(STATE)["frechet_classifier_distance"] < 1e-6
    evaluate(STATE)
    assert splits == ["valid"]


def test_both_kinds_of_images_are_unnormalized():
    real, made = (pixels(RANDOM.integers(0, 256, (13, 2))) for _ in range(2))
    plain = frechet_classifier_distance(make_context(real, made), classifier="x", num=13)(STATE)
    normalized = make_context((real - 0.4) / 0.25, (made - 0.4) / 0.25)
    normalized = normalized._replace(unnormalize=lambda image: image * 0.25 + 0.4)
    assert frechet_classifier_distance(normalized, classifier="x", num=13)(STATE) == plain


def test_real_images_of_other_values_are_an_error():
    images = pixels(RANDOM.integers(0, 256, (13, 2)))
    evaluate = frechet_classifier_distance(
        make_context(images * 4 - 2, images), classifier="x", num=13
    )
    with pytest.raises(ValueError, match=r"compared in \[0, 1\]"):
        evaluate(STATE)


def test_too_few_images_for_the_features_are_said_once():
    images = pixels(RANDOM.integers(0, 256, (6, 9)))
    lines = []
    context = make_context(images, images)._replace(warn=lines.append)
    evaluate = frechet_classifier_distance(context, classifier="x", num=5)
    evaluate(STATE)
    evaluate(STATE)
    assert len(lines) == 2
    assert "5 images have a singular covariance of 9 features" in lines[0]


def noise(state, batch, key):
    keys = rng.per_example(rng.purpose(key, "sample"), batch["index"])
    return jax.vmap(lambda k: jax.random.uniform(k, (8, 8, 1)))(keys)


@pytest.mark.parametrize(("strategy", "devices"), [("jit", 8), ("pmap", 8), ("pmap", 2)])
def test_devices_agree(monkeypatch, strategy, devices):
    tiny.serve(monkeypatch, train=tiny.arrays(40), test=tiny.arrays(27, seed=1))
    kernel = np.random.default_rng(3).normal(size=(64, 5)).astype(np.float32)
    network = Embedding({"k": kernel}, lambda v, image: image.reshape(len(image), -1) @ v["k"])
    monkeypatch.setattr(Embedding, "inception", lambda weights, output: network)

    def measured(count, **parallel):
        plan = tiny.plan_on(count, normalize=None, parallel=parallel)
        task = plan.task._replace(outputs={"sample": noise})
        context = Feed(plan).context()._replace(task=task)
        state = plan.strategy.init(lambda: STATE)
        return frechet_inception_distance(context, weights="x", split="test", num=45)(state)

    one, many = measured(1), measured(devices, strategy=strategy)
    assert one["num"] == many["num"] == 45
    assert one["num_real"] == many["num_real"] == 27
    assert many["fid"] == pytest.approx(one["fid"], rel=1e-5)
    assert one["fid"] > 0.1


def test_the_rehearsal_measures_nothing_and_names_everything(monkeypatch):
    images = pixels(RANDOM.integers(0, 256, (6, 9)))
    context = rehearsing(make_context(images, images))
    shapes = []

    def inception(weights, output):
        shapes.append((weights, output))
        variables = {"kernel": np.ones((9, 2))}
        return Embedding(variables, lambda v, x: x.reshape(len(x), -1) @ v["kernel"])

    monkeypatch.setattr(Embedding, "inception", inception)
    found = frechet_inception_distance(context, weights="w.pth", num=4)(SHAPES)
    assert set(found) == {"fid", "num", "num_real"}
    assert shapes == [("w.pth", "features")]
    found = frechet_classifier_distance(context, classifier="x", num=4)(SHAPES)
    assert set(found) == {"frechet_classifier_distance", "num", "num_real"}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (dict(num=1), "num=1"),
        (dict(output="samples"), "output 'samples': did you mean 'sample'"),
        (dict(split=3), "split=3"),
        (dict(weights="x.pth"), "takes no 'weights'"),
    ],
)
def test_misunderstood_arguments(spec, message):
    context = make_context(pixels(np.zeros((2, 1))), pixels(np.zeros((2, 1))))
    spec = dict(name="frechet.frechet_classifier_distance", classifier="x", **spec)
    with pytest.raises(ConfigError, match=message):
        build(spec, "library.evaluation", "evaluator", context=context)


def test_missing_weights_say_where_to_get_them(tmp_path):
    context = make_context(pixels(np.zeros((2, 1))), pixels(np.zeros((2, 1))))
    with pytest.raises(ConfigError, match=r"x.pth.*no such file.*pytorch-fid"):
        frechet_inception_distance(context, weights=str(tmp_path / "x.pth"))


def test_the_images_that_inception_sees(monkeypatch):
    """Resized and scaled for the network, grey as colours; by outputs of a stand-in for it."""
    from library.evaluation import embedding

    class Small:
        def __init__(self, num_classes, variant):
            assert (num_classes, variant) == (1008, "fid")

        def apply(self, variables, x, mutable):
            features = jnp.stack([x.mean((1, 2, 3)), x.min((1, 2, 3)), x[:, 0, 0, 2]], axis=1)
            head = variables["params"]["head"]
            recorded = {"intermediates": {"features": features}}
            assert x.shape[1:] == (299, 299, 3)
            return features @ head["kernel"] + head["bias"], recorded

    head = {"kernel": np.eye(3, dtype=np.float32), "bias": np.float32([5, 0, -5])}
    monkeypatch.setattr(embedding, "inception_v3", Small)
    monkeypatch.setattr(embedding.published, "load", lambda path, model: {"params": {"head": head}})
    image = jnp.linspace(0, 1, 32 * 32).reshape(1, 32, 32, 1)
    features = Embedding.inception("x", "features")
    grey = features.apply(features.variables, image)
    np.testing.assert_allclose(grey, [[0, -1, -1]], atol=1e-6)
    colour = features.apply(features.variables, jnp.tile(image, (1, 1, 1, 3)))
    np.testing.assert_array_equal(colour, grey)
    probabilities = Embedding.inception("x", "probabilities")
    seen = probabilities.apply(probabilities.variables, image)
    np.testing.assert_allclose(seen, jax.nn.softmax(grey), atol=1e-6)
    with pytest.raises(ConfigError, match="1 or 3 channels, these have 2"):
        features.apply(features.variables, image[..., [0, 0]])
