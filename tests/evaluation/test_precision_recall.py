import numpy as np
import pytest

from library.config import ConfigError
from library.evaluation import precision_recall as module
from library.evaluation.embedding import Embedding
from library.evaluation.frechet import frechet_classifier_distance
from library.evaluation.precision_recall import precision_recall
from tests.judged import SHAPES, STATE, make_context, noting_splits, pixels, rehearsing

NAMES = ("precision", "recall", "density", "coverage")


def measure(real, generated, **options):
    real, generated = (np.asarray(x).reshape(len(x), -1) for x in (real, generated))
    context = make_context(pixels(real), pixels(generated))
    evaluate = precision_recall(context, classifier="x", num=len(generated), **options)
    return evaluate(STATE)


def test_points_on_a_line():
    # Radii of 1 and 2 neighbours: real 1, 1, 2, 4 and 3, 2, 3, 6; generated (1) 10, 1, 1.
    # 2 lies in the small balls of 1 and 3, in all large ones; 12 and 13 in the large one of 7.
    found = measure([0, 1, 3, 7], [2, 12, 13], neighbours=1, density_neighbours=2)
    # All real points are within 10 of 2.
    expected = [1 / 3, 1.0, 6 / (2 * 3), 1.0]
    assert [found[name] for name in NAMES] == pytest.approx(expected, rel=1e-12)
    assert (found["num"], found["num_real"]) == (3, 4)


def test_an_outlier_covers_what_is_not_there():
    # The outlier 200 has a wide ball among the generated, so recall is fooled, coverage is not.
    found = measure([100, 101, 102, 103], [10, 11, 12, 200], neighbours=2, density_neighbours=2)
    assert [found[name] for name in NAMES] == [0, 1, 0, 0]


def test_the_same_set_is_precise_and_whole():
    random = np.random.default_rng(0)
    x = random.permutation(200)[:30]
    found = measure(x, x[::-1])
    assert found["precision"] == found["recall"] == found["coverage"] == 1
    # Each of 30 balls holds its centre and five neighbours, more only where distances tie.
    assert 6 / 5 <= found["density"] < 7 / 5


def brute_force(real, generated, k):
    def to_all(a, b):
        return np.sqrt(((a[:, None] - b) ** 2).sum(-1))

    within = np.sort(to_all(real, real), axis=1)[:, k]
    within_generated = np.sort(to_all(generated, generated), axis=1)[:, k]
    apart = to_all(real, generated)
    inside = apart <= within[:, None]
    return (
        inside.any(0).mean(),
        (apart <= within_generated).any(1).mean(),
        inside.sum() / (k * len(generated)),
        inside.any(1).mean(),
    )


@pytest.mark.parametrize("block", [2**24, 40, 1])
def test_blocks_of_distances(monkeypatch, block):
    monkeypatch.setattr(module, "_BLOCK", block)
    random = np.random.default_rng(1)
    real, generated = (
        random.integers(0, 256, (23, 4)),
        random.integers(90, 300, (19, 4)).clip(0, 255),
    )
    found = measure(real, generated, batch_size=5)
    three, five = (brute_force(real.astype(float), generated.astype(float), k) for k in (3, 5))
    expected = [*three[:2], *five[2:]]
    assert [found[name] for name in NAMES] == pytest.approx(expected, rel=1e-12)
    assert all(0 < value < 1 for value in (*expected[:2], expected[3]))


def test_real_features_are_kept():
    images = pixels(np.arange(20)[:, None])
    context, splits = noting_splits(make_context(images, images))
    evaluate = precision_recall(context, classifier="x", num=20)
    assert evaluate(STATE) == evaluate(STATE)
    assert splits == ["test"]


def test_a_split_with_fewer_images_than_neighbours_is_refused_at_once():
    images = pixels(np.zeros((9, 3)))
    with pytest.raises(ConfigError, match="5 images of split='valid': valid are 1 to 4"):
        precision_recall(make_context(images[:5], images), classifier="x", num=9, split="valid")


def test_the_frechet_distance_of_the_same_features_comes_beside():
    random = np.random.default_rng(2)
    real, made = (pixels(random.integers(0, 256, (num, 3))) for num in (20, 17))
    context = make_context(real, made)
    found = precision_recall(context, classifier="x", num=17)(STATE)
    alone = frechet_classifier_distance(context, classifier="x", num=17)(STATE)
    assert found["frechet_classifier_distance"] == pytest.approx(
        alone["frechet_classifier_distance"], rel=1e-9
    )
    assert set(found) == {*NAMES, *alone}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(), "takes one network: weights=... or classifier=..."),
        (dict(weights="x.pth", classifier="y"), "takes one network"),
        (dict(classifier="x", num=5), "5 images of num=5: valid are 1 to 4"),
        (dict(classifier="x", neighbours=0), "neighbours=0"),
        (dict(weights="absent.pth"), "absent.pth.*there is no such file"),
    ],
)
def test_misunderstood_arguments(options, message):
    images = pixels(np.zeros((6, 3)))
    with pytest.raises(ConfigError, match=message):
        precision_recall(make_context(images, images), **options)


def test_the_rehearsal_names_everything(monkeypatch):
    images = pixels(np.zeros((6, 3)))
    flat = Embedding({}, lambda variables, image: image.reshape(len(image), -1))
    monkeypatch.setattr(Embedding, "inception", lambda weights, output: flat)
    networks = {
        "fid": dict(weights="w.pth"),
        "frechet_classifier_distance": dict(classifier="x"),
    }
    for distance, network in networks.items():
        evaluate = precision_recall(rehearsing(make_context(images, images)), num=9, **network)
        assert set(evaluate(SHAPES)) == {*NAMES, distance, "num", "num_real"}
