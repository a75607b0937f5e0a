"""Evaluators look for a signal within their work on the host, not only before each batch."""

import threading

import numpy as np
import pytest

from library import background
from library.evaluation import frechet
from library.evaluation.context import pausing
from library.evaluation.frechet import frechet_classifier_distance
from library.evaluation.linear_probe import linear_probe
from library.evaluation.mode_coverage import mode_coverage
from library.evaluation.nearest_neighbours import nearest_neighbours
from library.evaluation.precision_recall import precision_recall
from tests.evaluation import test_mode_coverage, test_nearest_neighbours
from tests.judged import STATE, make_context, pixels

IMAGES = pixels(np.arange(20)[:, None])


def of_images():
    return make_context(IMAGES, IMAGES), STATE


def of_samples():
    images = test_mode_coverage.images
    return test_mode_coverage.context_of(images(40), images(40, 1)), test_mode_coverage.STATE


# Two fits and the distance; two sets of radii, their comparison, two fits and the distance; the
# samples' and the images' distances; twice the iterations; one part of queries.
@pytest.mark.parametrize(
    ("evaluator", "arguments", "make", "num"),
    [
        (frechet_classifier_distance, dict(classifier="x", num=20), of_images, 3),
        (precision_recall, dict(classifier="x", num=20), of_images, 6),
        (mode_coverage, dict(num=40), of_samples, 2),
        (linear_probe, dict(max_iterations=3), test_nearest_neighbours.make_context, 6),
        (linear_probe, dict(max_iterations=300), test_nearest_neighbours.make_context, 600),
        (nearest_neighbours, dict(k=5), test_nearest_neighbours.make_context, 1),
    ],
)
def test_work_on_the_host_has_pauses(monkeypatch, evaluator, arguments, make, num):
    # A long call has one pause more for each second.
    monkeypatch.setattr(background, "INTERVAL", None)
    context, state = make()
    pauses = []
    # Without `pausing` no pause comes from the batches.
    evaluator(context._replace(pause=lambda: pauses.append(0)), **arguments)(state)
    assert len(pauses) == num

    def stop():
        raise InterruptedError

    with pytest.raises(InterruptedError):
        evaluator(context._replace(pause=stop), **arguments)(state)


def test_the_context_of_a_run_has_its_pause():
    context, _ = of_images()
    pauses = []
    paused = pausing(context, lambda: pauses.append(0))
    paused.pause()
    assert len(pauses) == 1


@pytest.mark.parametrize("evaluator", [frechet_classifier_distance, precision_recall])
@pytest.mark.parametrize("call", ["_root", "svd"])
def test_a_run_leaves_a_decomposition_that_takes_long(monkeypatch, evaluator, call):
    monkeypatch.setattr(background, "INTERVAL", 0)
    begun, left = threading.Event(), threading.Event()
    where = frechet if call == "_root" else np.linalg
    whole = getattr(where, call)

    def endless(*arguments, **options):
        begun.set()
        left.wait()
        return whole(*arguments, **options)

    def stop():
        if begun.is_set():
            raise InterruptedError

    monkeypatch.setattr(where, call, endless)
    context, state = of_images()
    with pytest.raises(InterruptedError):
        evaluator(context._replace(pause=stop), classifier="x", num=20)(state)
    left.set()
