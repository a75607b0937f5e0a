"""Frechet distances between the features of real and of generated images.

Heusel, Ramsauer, Unterthiner, Nessler & Hochreiter 2017, "GANs trained by a two time-scale update
rule converge to a local Nash equilibrium" (arXiv 1706.08500), section 3: a Gaussian is fitted to
each set of features. The squared Frechet (2-Wasserstein) distance of the two Gaussians is

  |m1 - m2|^2 + trace(C1 + C2 - 2 (C1 C2)^(1/2)).

The FID that papers report needs the published Inception network. With any other network the
distance is another number, which has another name here.
"""

import functools
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from library.config import ConfigError
from library.evaluation.context import Context, Evaluator
from library.evaluation.embedding import Embedding
from library.summaries import Summary
from library.task import TrainState


class Gaussian(NamedTuple):
    """The normal distribution of a set of features.

    Attributes:
      count: number of features in the fit.
      mean: the mean, (d,).
      covariance: the sample covariance, divided by count - 1, (d, d).
      root: the symmetric square root of the covariance, (d, d).
    """

    count: int
    mean: Float[np.ndarray, " d"]
    covariance: Float[np.ndarray, "d d"]
    root: Float[np.ndarray, "d d"]

    @classmethod
    def fit(
        cls,
        parts: Iterable[Float[np.ndarray, "_ d"]],
        wait: Callable[[Callable[[], np.ndarray]], np.ndarray] = lambda work: work(),
    ) -> "Gaussian | None":
        """Fits a Gaussian to features that come in parts of any size, and keeps no part.

        Sums are in float64, after subtraction of the mean of the first part, so that features far
        from zero lose no digits.

        Args:
          parts: the features.
          wait: computes the root of the covariance, see `Context.wait`.

        Returns:
          The Gaussian, or None for fewer than two features.
        """
        count, shift, total, outer = 0, 0.0, 0.0, 0.0
        # Features that are not finite show in the distance.
        with np.errstate(invalid="ignore", over="ignore"):
            for part in parts:
                if len(part) and not count:
                    shift = part.mean(axis=0)
                centred = part - shift
                count += len(part)
                total += centred.sum(axis=0)
                outer += centred.T @ centred
            if count < 2:
                return None
            covariance = (outer - np.outer(total, total) / count) / (count - 1)
            root = wait(functools.partial(_root, covariance))
            return cls(count, shift + total / count, covariance, root)

    def distance(self, other: "Gaussian") -> float:
        """Returns the squared Frechet distance, nan if a feature is not finite.

        trace (C1 C2)^(1/2) is the sum of the singular values of C1^(1/2) C2^(1/2). This form avoids
        the root of a matrix that is not symmetric and may be singular.
        """
        shift = np.sum((self.mean - other.mean) ** 2)
        if not np.isfinite(self.root).all() or not np.isfinite(other.root).all():
            return float("nan")
        common = np.linalg.svd(self.root @ other.root, compute_uv=False).sum()
        spread = np.trace(self.covariance) + np.trace(other.covariance) - 2 * common
        return float(max(shift + spread, 0.0))


def frechet_inception_distance(
    context: Context,
    *,
    weights: str,
    split: str = "train",
    num: int = 50_000,
    output: str = "sample",
    batch_size: int | None = None,
) -> Evaluator:
    """Measures the FID between generated images and the images of a split.

    Papers report the FID of 50,000 generated images; with fewer images it is biased upwards.
    `Embedding.inception` describes how images are prepared.

    Args:
      context: the task, the data and functions to run over it.
      weights: file of the network's weights, pytorch-fid's pt_inception-2015-12-05-6726825d.pth.
      split: the split of the real images, all of which are used.
      num: number of generated images.
      output: the task's output that makes the images.
      batch_size: images per batch; `dataset.eval_batch_size` by default.

    Returns:
      `state -> {"fid", "num", "num_real"}`; the last two are the numbers of generated and real
      images. The features of the real images are computed once.

    Raises:
      ConfigError: there are fewer than 2 images, no such output, or the weights cannot be used.
    """
    embedding = Embedding.inception(weights, "features")
    return _distance(
        "fid", context, embedding, split=split, num=num, output=output, batch_size=batch_size
    )


def frechet_classifier_distance(
    context: Context,
    *,
    classifier: str,
    split: str = "test",
    num: int = 10_000,
    output: str = "sample",
    batch_size: int | None = None,
) -> Evaluator:
    """Measures the Frechet distance by the features of a classifier of this project.

    It needs no published weights, and suits images that are not like photographs. It is not the
    FID, and compares only with distances by the same classifier, split and num.

    Args:
      context: the task, the data and functions to run over it.
      classifier: workdir of the classifier's finished run.
      split: the split of the real images, all of which are used.
      num: number of generated images.
      output: the task's output that makes the images.
      batch_size: images per batch; `dataset.eval_batch_size` by default.

    Returns:
      `state -> {"frechet_classifier_distance", "num", "num_real"}`; the last two are the numbers of
      generated and real images.

    Raises:
      ConfigError: there are fewer than 2 images, no such output, or no such run.
    """
    embedding = Embedding.judge(context, classifier, "features")
    name = "frechet_classifier_distance"
    return _distance(
        name, context, embedding, split=split, num=num, output=output, batch_size=batch_size
    )


def _distance(name, context, embedding, *, split, num, output, batch_size) -> Evaluator:
    if num < 2:
        raise ConfigError(f"num={num}: a covariance needs images; valid are 2 or more")
    generated = embedding.generated(context, output=output, num=num, batch_size=batch_size)
    real = embedding.real(context, split=split, batch_size=batch_size)
    reference = None

    def evaluate(state: TrainState) -> Summary:
        nonlocal reference
        found = Gaussian.fit(generated(state), context.wait)
        if reference is None:
            reference = Gaussian.fit(real(state), context.wait)
            warn_if_singular(context.warn, name, found, reference)
        both = {"num": found, "num_real": reference}
        counts = {key: fitted.count if fitted else 0 for key, fitted in both.items()}
        if found is None or reference is None:
            return {name: float("nan"), **counts}
        return {name: context.wait(functools.partial(found.distance, reference)), **counts}

    return evaluate


def warn_if_singular(warn: Callable[[str], None], name: str, *fitted: Gaussian | None) -> None:
    """Warns of each Gaussian that was fitted to no more features than it has dimensions."""
    for gaussian in fitted:
        if gaussian is not None and gaussian.count <= gaussian.mean.size:
            warn(
                f"{name}: {gaussian.count} images have a singular covariance of "
                f"{gaussian.mean.size} features, and the distance is far too large"
            )


def _root(covariance: np.ndarray) -> np.ndarray:
    if not np.isfinite(covariance).all():
        return np.full_like(covariance, np.nan)
    eigenvalues, vectors = np.linalg.eigh(covariance)
    # The zero eigenvalues of a singular covariance become rounding errors, whose roots are large.
    floor = max(eigenvalues[-1], 0.0) * len(covariance) * np.finfo(np.float64).eps
    roots = np.sqrt(np.where(eigenvalues > floor, eigenvalues, 0.0))
    return (vectors * roots) @ vectors.T
