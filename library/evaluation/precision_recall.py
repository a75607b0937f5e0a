"""Precision, recall, density and coverage of generated images with respect to real images.

Kynkaanniemi, Karras, Laine, Lehtinen & Aila 2019, "Improved precision and recall metric for
assessing generative models" (arXiv 1904.06991), section 2: each feature of a set is the centre of a
ball that reaches to its k-th neighbour in the set, and the set covers these balls. Precision is the
share of generated features that the real set covers; recall is the share of real features that the
generated set covers.

Naeem, Oh, Uh, Choi & Yoo 2020, "Reliable fidelity and diversity metrics for generative models"
(arXiv 2002.09797), section 3: density is the mean number of real balls that contain a generated
feature, divided by k; coverage is the share of real balls that contain a generated feature.
Outliers among the generated features do not change density and coverage.
"""

import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from library.config import ConfigError
from library.evaluation.context import Context, Evaluator
from library.evaluation.embedding import Embedding
from library.evaluation.frechet import Gaussian, warn_if_singular
from library.summaries import Summary
from library.task import TrainState

# Elements of a block of distances, which takes 128 MiB.
_BLOCK = 2**24
_NAMES = ("precision", "recall", "density", "coverage")


class Manifold(NamedTuple):
    """A set of features and the squared radii of their balls, for two numbers of neighbours.

    `pause` of the methods is called before each block of distances, see `Context.pause`.
    """

    features: Float[np.ndarray, "n d"]
    radii: Float[np.ndarray, "n 2"]

    @classmethod
    def of(
        cls, features: Float[np.ndarray, "n d"], ks: tuple[int, int], pause: Callable[[], None]
    ) -> "Manifold":
        """Builds the manifold of features, with radii to the k-th neighbours for both `ks`.

        Raises:
          ValueError: there are too few features.
        """
        if len(features) <= max(ks):
            raise ValueError(
                f"{len(features)} images are too few for {max(ks)} neighbours each: take "
                f"{max(ks) + 1} or more"
            )
        radii = []
        for start, block in _distances(features, features, pause):
            rows = np.arange(len(block))
            block[rows, start + rows] = np.inf
            radii.append(np.partition(block, [k - 1 for k in ks], axis=1)[:, [k - 1 for k in ks]])
        return cls(features, np.concatenate(radii))

    def compare(self, generated: "Manifold", k: int, pause: Callable[[], None]) -> dict[str, float]:
        """Returns precision, recall, density and coverage; `self` holds the real features.

        Precision and recall use the first of the two radii, density and coverage use the second, of
        `k` neighbours.
        """
        precise, near = np.zeros(len(generated.features), bool), 0
        recalled, covered = [], []
        for start, block in _distances(self.features, generated.features, pause):
            small, large = self.radii[start : start + len(block)].T[..., None]
            precise |= (block <= small).any(axis=0)
            recalled.append((block <= generated.radii[:, 0]).any(axis=1))
            inside = block <= large
            near += inside.sum()
            covered.append(inside.any(axis=1))
        recall, coverage = (float(np.concatenate(flags).mean()) for flags in (recalled, covered))
        density = float(near / (k * len(generated.features)))
        return dict(zip(_NAMES, (float(precise.mean()), recall, density, coverage)))


def precision_recall(
    context: Context,
    *,
    weights: str | None = None,
    classifier: str | None = None,
    split: str = "test",
    num: int = 10_000,
    neighbours: int = 3,
    density_neighbours: int = 5,
    output: str = "sample",
    batch_size: int | None = None,
) -> Evaluator:
    """Measures precision, recall, density and coverage of generated images.

    All four depend on the network and on both numbers of images. The papers compare equal numbers
    of real and generated images by features of VGG-16; here the network is Inception-v3 or a
    classifier of this project. All features are kept in memory. The Frechet distance of the same
    features, see `library.evaluation.frechet`, is also measured, so that the images are made only
    once.

    Args:
      context: the task, the data and functions to run over it.
      weights: file of Inception-v3's weights, pytorch-fid's pt_inception-2015-12-05-6726825d.pth.
      classifier: workdir of a classifier's finished run, in place of `weights`.
      split: the split of the real images, all of which are used; it may be a part, such as
        "test[:1000]".
      num: number of generated images.
      neighbours: k of precision and recall.
      density_neighbours: k of density and coverage.
      output: the task's output that makes the images.
      batch_size: images per batch; `dataset.eval_batch_size` by default.

    Returns:
      `state -> {"precision", "recall", "density", "coverage", "fid" by Inception-v3 or
      "frechet_classifier_distance", "num", "num_real"}`; the last two are the numbers of generated
      and real images.

    Raises:
      ConfigError: both networks are given or neither, the generated or the real images are no more
        than the neighbours, or there is no such output, run or weights.
    """
    ks = (neighbours, density_neighbours)
    if (weights is None) == (classifier is None):
        raise ConfigError("precision_recall takes one network: weights=... or classifier=...")
    _check_neighbours(context, ks, num, split)
    if classifier is None:
        name, embedding = "fid", Embedding.inception(weights, "features")
    else:
        name = "frechet_classifier_distance"
        embedding = Embedding.judge(context, classifier, "features")
    generated = embedding.generated(context, output=output, num=num, batch_size=batch_size)
    real = embedding.real(context, split=split, batch_size=batch_size)
    reference = None

    def evaluate(state: TrainState) -> Summary:
        nonlocal reference
        found, gaussian = _fitted(generated(state), ks, context)
        if reference is None:
            reference = _fitted(real(state), ks, context)
            warn_if_singular(context.warn, name, gaussian, reference[1])
        known, real_gaussian = reference
        counts = {"num": len(found.features), "num_real": len(known.features)}
        if not min(counts.values()):
            return {**dict.fromkeys((*_NAMES, name), float("nan")), **counts}
        compared = known.compare(found, density_neighbours, context.pause)
        distance = context.wait(functools.partial(real_gaussian.distance, gaussian))
        return {**compared, name: distance, **counts}

    return evaluate


def _fitted(parts, ks, context) -> tuple[Manifold, Gaussian | None]:
    features = np.concatenate(list(parts))
    if not len(features):
        return Manifold(features, np.zeros((0, 2))), None
    manifold = Manifold.of(features, ks, context.pause)
    return manifold, context.wait(functools.partial(Gaussian.fit, [features]))


def _check_neighbours(context: Context, ks: tuple[int, int], num: int, split: str) -> None:
    for where, count in (
        (f"num={num}", num),
        (f"split={split!r}", context.num_examples(split)),
    ):
        if not 1 <= min(ks) <= max(ks) < count:
            raise ConfigError(
                f"neighbours={ks[0]}, density_neighbours={ks[1]} of the {count} images of "
                f"{where}: valid are 1 to {count - 1}"
            )


def _distances(
    a: np.ndarray, b: np.ndarray, pause: Callable[[], None]
) -> Iterator[tuple[int, np.ndarray]]:
    """Yields blocks of squared distances of rows of `a` to all rows of `b`, and their starts."""
    # Subtract the mean first: |x|^2 + |y|^2 - 2 x.y loses the digits that all features share.
    a, b = a - b.mean(axis=0), b - b.mean(axis=0)
    squares = (b**2).sum(axis=1)
    size = max(_BLOCK // len(b), 1)
    for start in range(0, len(a), size):
        pause()
        block = a[start : start + size]
        found = (block**2).sum(axis=1)[:, None] + squares - 2 * (block @ b.T)
        yield start, np.maximum(found, 0.0)
