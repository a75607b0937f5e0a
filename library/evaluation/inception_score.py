"""Inception score: high if each generated image shows one class, and all together many classes.

Salimans, Goodfellow, Zaremba, Cheung, Radford & Chen 2016, "Improved techniques for training GANs"
(arXiv 1606.03498), section 4: the exponential of the mean KL divergence of p(y|x) from p(y), where
p(y|x) are a classifier's probabilities for one image and p(y) is their mean over the images. The
score is at least 1 and at most the number of classes.
"""

import itertools

import numpy as np
from jaxtyping import Float
from scipy.special import rel_entr

from library.config import ConfigError
from library.evaluation.context import Context, Evaluator
from library.evaluation.embedding import Embedding
from library.summaries import Summary
from library.task import TrainState


def inception_score(
    context: Context,
    *,
    weights: str,
    output: str = "sample",
    num: int = 50_000,
    splits: int = 10,
    batch_size: int | None = None,
) -> Evaluator:
    """Measures the Inception score of generated images by the published network.

    Args:
      context: the task, the data and functions to run over it.
      weights: file of the network's weights, pytorch-fid's pt_inception-2015-12-05-6726825d.pth.
      output: the task's output that makes the images.
      num: number of generated images.
      splits: number of parts, in the order of generation; each part has its own p(y) and score.
      batch_size: images per batch; `dataset.eval_batch_size` by default.

    Returns:
      `state -> {"inception_score", "inception_score_std", "num"}`: mean and standard deviation
      over the parts, and the number of images.

    Raises:
      ConfigError: there are fewer images than parts, no such output, or the weights cannot be used.
    """
    embedding = Embedding.inception(weights, "probabilities")
    return _score(
        "inception_score",
        context,
        embedding,
        output=output,
        num=num,
        splits=splits,
        batch_size=batch_size,
    )


def classifier_score(
    context: Context,
    *,
    classifier: str,
    output: str = "sample",
    num: int = 10_000,
    splits: int = 10,
    batch_size: int | None = None,
) -> Evaluator:
    """Measures the Inception score by a classifier of this project in place of Inception.

    This score is another number than `inception_score`; the two do not compare.

    Args:
      context: the task, the data and functions to run over it.
      classifier: workdir of the classifier's finished run.
      output: the task's output that makes the images.
      num: number of generated images.
      splits: number of parts, see `inception_score`.
      batch_size: images per batch; `dataset.eval_batch_size` by default.

    Returns:
      `state -> {"classifier_score", "classifier_score_std", "num"}`.

    Raises:
      ConfigError: there are fewer images than parts, no such output, or no such run.
    """
    embedding = Embedding.judge(context, classifier, "probabilities")
    return _score(
        "classifier_score",
        context,
        embedding,
        output=output,
        num=num,
        splits=splits,
        batch_size=batch_size,
    )


def _score(name, context, embedding, *, output, num, splits, batch_size) -> Evaluator:
    if not 1 <= splits <= num:
        raise ConfigError(f"splits={splits} of num={num} images: valid are 1 to {num}")
    generated = embedding.generated(context, output=output, num=num, batch_size=batch_size)

    def evaluate(state: TrainState) -> Summary:
        found = np.concatenate(list(generated(state)))
        bounds = [i * len(found) // splits for i in range(splits + 1)]
        scores = [_of(found[start:end]) for start, end in itertools.pairwise(bounds)]
        mean, deviation = float(np.mean(scores)), float(np.std(scores))
        return {name: mean, f"{name}_std": deviation, "num": len(found)}

    return evaluate


def _of(probabilities: Float[np.ndarray, "n k"]) -> float:
    if not len(probabilities):
        return float("nan")
    marginal = probabilities.mean(axis=0)
    return float(np.exp(rel_entr(probabilities, marginal).sum(axis=1).mean()))
