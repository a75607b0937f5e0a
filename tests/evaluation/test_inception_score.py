import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.evaluation.embedding import Embedding
from library.evaluation.inception_score import classifier_score, inception_score
from tests.judged import SHAPES, STATE, make_context, pixels, rehearsing

NAMES = ("classifier_score", "classifier_score_std")


def score(probabilities, splits, num=None, batch_size=4):
    """Measures images that are numbered by their pixels, of which the judge knows the classes."""
    probabilities = np.asarray(probabilities, np.float32)
    images = pixels(np.arange(len(probabilities))[:, None])

    def judge(image):
        return jnp.asarray(probabilities)[jnp.round(image[:, 0, 0, 0] * 255).astype(int)]

    context = make_context(images, images, judge=judge)
    evaluate = classifier_score(
        context,
        classifier="x",
        num=num or len(images),
        splits=splits,
        batch_size=batch_size,
    )
    return evaluate(STATE)


def test_images_that_say_nothing_score_one():
    found = score(np.full((12, 4), 0.25), splits=3)
    assert [found[name] for name in NAMES] == pytest.approx([1, 0], abs=1e-7)
    assert found["num"] == 12


def test_certain_and_balanced_images_score_the_number_of_classes():
    found = score(np.eye(5)[np.arange(30) % 5], splits=3)
    assert [found[name] for name in NAMES] == pytest.approx([5, 0], rel=1e-6)


def test_one_certain_class_scores_one():
    found = score(np.eye(3)[[1] * 7], splits=1, batch_size=2)
    assert found["classifier_score"] == pytest.approx(1, rel=1e-7)


def test_by_hand_in_parts_of_the_order_of_generation():
    random = np.random.default_rng(0)
    p = random.dirichlet(np.ones(4), 11).astype(np.float32)

    def whole(part):
        part = part.astype(float)
        log = np.log(part) - np.log(part.mean(axis=0))
        return np.exp((part * log).sum(axis=1).mean())

    # Of 11 images in 3 parts: 3, 4 and 4.
    each = [whole(part) for part in (p[:3], p[3:7], p[7:])]
    found = score(p, splits=3)
    expected = [np.mean(each), np.std(each)]
    assert [found[name] for name in NAMES] == pytest.approx(expected, rel=1e-5)
    assert score(p, splits=1, num=7)["classifier_score"] == pytest.approx(whole(p[:7]), rel=1e-5)


@pytest.mark.parametrize("splits", [0, 13])
def test_more_parts_than_images(splits):
    with pytest.raises(ConfigError, match=f"splits={splits} of num=12 images: valid are 1 to 12"):
        score(np.full((12, 4), 0.25), splits=splits)


def test_the_rehearsal_names_the_inception_score(monkeypatch):
    images = pixels(np.zeros((5, 3)))
    asked = []

    def inception(weights, output):
        asked.append((weights, output))
        return Embedding({}, lambda variables, image: image.reshape(len(image), -1))

    monkeypatch.setattr(Embedding, "inception", inception)
    evaluate = inception_score(rehearsing(make_context(images, images)), weights="w.pth", num=12)
    assert set(evaluate(SHAPES)) == {"inception_score", "inception_score_std", "num"}
    assert asked == [("w.pth", "probabilities")]
