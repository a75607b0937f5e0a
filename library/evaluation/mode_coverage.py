"""Measures of how adversarial training fails: lost classes, equal samples, a player that has won.

Three measures compare the generator's samples with the test split: the classes that a classifier
trained on the same dataset finds, distances between images, and the discriminator's probabilities.
"""

import math
from collections.abc import Callable, Iterable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from library.config import ConfigError, nearest
from library.evaluation.context import Context, Evaluator, collected
from library.summaries import Summary
from library.task import Batch, TrainState

# A class with a tenth of an equal share of the samples or more is covered: 1 % for ten classes.
COVERED = 0.1
# Samples have collapsed if their distances are below half of those of real images, or if they leave
# out half of the classes.
COLLAPSED = 0.5
# The discriminator has won if it is right about this share of real and of generated images, and if
# its mean probability of the right answer is as high.
WON = 0.99
# The generator is stuck if its loss changes by less when a sample moves, along the gradient, by the
# mean distance of real images.
STUCK = 0.01
# Elements of a block of distances, which takes 128 MiB.
_BLOCK = 2**24

ADVICE = {
    "collapsed": "the generator has collapsed: {collapse}. Try the penalty 'r1' or 'interpolates', "
    "spectral normalization, a lower learning rate, or larger batches",
    "discriminator_won": "the discriminator has won: with high probabilities it recognizes "
    "{accuracy_real:.1%} of real and {accuracy_fake:.1%} of generated images. Try a lower learning "
    "rate or fewer updates for it, a penalty on its gradient, or a narrower discriminator",
    "generator_stuck": "the generator is stuck: the discriminator recognizes its samples, and "
    "gives it almost no gradient (its loss would change by {reach:.1g}). Try the loss "
    "'non_saturating', a penalty on the gradient, or spectral normalization",
}


def mode_coverage(
    context: Context,
    *,
    classifier: str | None = None,
    num: int = 1000,
    conditional: bool = False,
    split: str = "test",
    batch_size: int | None = None,
) -> Evaluator:
    """Measures `num` samples of an adversarial task, and warns if training fails.

    The "probabilities" of the classifier give classes_covered, the number of classes with a tenth
    of an equal share of the samples or more (1 % for ten classes); class_entropy, in nats, of the
    predicted classes (log 10 = 2.303 for equal shares of ten classes); confidence, the mean highest
    probability; class_accuracy, if conditional, the share of samples whose predicted class is their
    label; and class_share (c,).

    pairwise_distance is the mean Euclidean distance between two samples, divided by that of as many
    real images: 1 for samples as diverse as the data, 0 for equal samples. If conditional,
    class_distance is the same over pairs with the same label.

    The outputs "probability" and "signal" of the discriminator give accuracy_real and
    accuracy_fake, the shares of real and of generated images that it is right about, and reach: the
    mean norm of the gradient of the generator's loss with respect to a sample, times the mean
    distance of two real images. To first order, reach is the change of the loss if a sample moves
    by that distance.

    The flags are 0 or 1. collapsed: pairwise_distance or class_distance is below 0.5, or half of
    the classes or fewer are covered. discriminator_won: both accuracies and both mean probabilities
    of the right answer are 0.99 or more (never for a critic, which has no probabilities).
    generator_stuck: accuracy_fake is 0.99 or more and reach is below 0.01 (for a critic, reach
    alone). `context.warn` says what to try each time a flag changes to 1.

    Args:
      context: the task, the data and functions to run over it.
      classifier: the workdir of a finished classifier of this project; None leaves its measures
        out.
      num: number of samples, and of real images.
      conditional: whether samples are made for their label.
      split: the split of the real images.
      batch_size: examples per batch; `dataset.eval_batch_size` by default.

    Raises:
      ConfigError: the task has no output "sample", `num` is below 2, or a classifier or
        `conditional` is given for a dataset without classes.
    """
    _check(context, classifier, num, conditional)
    of_samples = context.collect(_measured(context, classifier, sampled=True))
    of_data = context.collect(_measured(context, None, sampled=False))
    raised: set[str] = set()

    def evaluate(state: TrainState) -> Summary:
        fake = collected(of_samples, state, context.draws(num, batch_size))
        real = collected(of_data, state, _first(context.batches(split, batch_size), num))
        fake, real = ({k: v[:num] for k, v in each.items()} for each in (fake, real))
        found = _distances(fake, real, conditional, context.pause)
        if classifier is not None:
            found |= _coverage(fake, conditional)
        found |= _contest(fake, real)
        flags = _flags(found)
        for name in flags:
            if flags[name] and name not in raised:
                context.warn(ADVICE[name].format(**found, collapse=_collapse(found)))
            (raised.add if flags[name] else raised.discard)(name)
        hidden = ("sure_real", "sure_fake")
        return {k: v for k, v in found.items() if k not in hidden} | flags

    return evaluate


def _check(context: Context, classifier: str | None, num: int, conditional: bool) -> None:
    outputs = context.task.outputs
    if "sample" not in outputs:
        raise ConfigError(f"mode_coverage: the task makes no 'sample': {nearest('', outputs)}")
    if num < 2:
        raise ConfigError(f"mode_coverage, num={num}: valid are 2 or more")
    if context.num_classes is None and (classifier is not None or conditional):
        raise ConfigError(
            "mode_coverage: the dataset has no classes; leave out classifier and conditional"
        )


def _measured(context: Context, classifier: str | None, *, sampled: bool):
    """Returns the function for `collect`: images, their probabilities and their signal."""
    outputs = context.task.outputs
    judge = None if classifier is None else context.judge(classifier, "probabilities")

    def run(state: TrainState, batch: Batch, key: PRNGKeyArray) -> dict[str, Array]:
        image = outputs["sample"](state, batch, key) if sampled else batch["image"]
        seen = {**batch, "image": image}
        measured = {"image": image, "mask": batch["mask"]}
        if "label" in batch:
            measured["label"] = batch["label"]
        for name in ("probability", "signal") if sampled else ("probability",):
            if name in outputs:
                measured[name] = outputs[name](state, seen, key)
        if judge is not None:
            measured["classes"] = jnp.asarray(judge(context.unnormalize(image)))
        return measured

    return run


def _first(batches: Iterable[Batch], num: int) -> Iterable[Batch]:
    """Yields batches until they hold `num` examples."""
    size = 0
    for batch in batches:
        yield batch
        size += len(batch["index"])
        if size >= num:
            return


def _distances(
    fake: dict, real: dict, conditional: bool, pause: Callable[[], None]
) -> dict[str, float]:
    between, expected = (mean_distance(x["image"], pause=pause) for x in (fake, real))
    found = {"pairwise_distance": _ratio(between, expected)}
    if "signal" in fake:
        found["reach"] = _mean(fake["signal"]) * expected
    if conditional:
        within, expected = (mean_distance(x["image"], x["label"], pause) for x in (fake, real))
        found["class_distance"] = _ratio(within, expected)
    return found


def mean_distance(
    image: np.ndarray, label: np.ndarray | None = None, pause: Callable[[], None] = lambda: None
) -> float:
    """Returns the mean Euclidean distance between two different images (n, ...).

    Args:
      image: the images.
      label: (n,); if given, only pairs of the same label count.
      pause: called before each block of distances, see `Context.pause`.

    Returns:
      The mean, nan without a pair.
    """
    flat = image.reshape(len(image), math.prod(image.shape[1:])).astype(np.float64)
    groups = [flat] if label is None else [flat[label == one] for one in np.unique(label)]
    total, pairs = 0.0, 0
    for x in groups:
        squares = np.sum(np.square(x), axis=1)
        size = max(_BLOCK // max(len(x), 1), 1)
        for start in range(0, len(x), size):
            pause()
            block = slice(start, start + size)
            squared = squares[block, None] + squares[None] - 2 * x[block] @ x.T
            # Rounding moves the distance of equal images slightly away from zero.
            squared[squared < 1e-12 * squares.max(initial=0.0)] = 0
            upper = np.triu_indices(len(squared), start + 1, len(x))
            total, pairs = total + np.sqrt(squared[upper]).sum(), pairs + len(upper[0])
    return float(total / pairs) if pairs else float("nan")


def _coverage(fake: dict, conditional: bool) -> Summary:
    classes = fake["classes"]
    read = classes.argmax(axis=-1)
    count = np.bincount(read, minlength=classes.shape[-1])
    share = count / max(count.sum(), 1)
    occurring = share[share > 0]
    found = {
        "classes_covered": float(np.sum(share >= COVERED / len(share))),
        "class_entropy": float(abs(np.sum(occurring * np.log(occurring)))),
        "confidence": _mean(classes.max(axis=-1)),
        "class_share": share,
    }
    return {**found, "class_accuracy": _mean(read == fake["label"])} if conditional else found


def _contest(fake: dict, real: dict) -> dict[str, float]:
    if "probability" not in fake:
        return {}
    return {
        "accuracy_real": _mean(real["probability"] > 0.5),
        "accuracy_fake": _mean(fake["probability"] < 0.5),
        "sure_real": _mean(real["probability"]),
        "sure_fake": _mean(1 - fake["probability"]),
    }


def _flags(found: Summary) -> dict[str, float]:
    contest = ("accuracy_real", "accuracy_fake", "sure_real", "sure_fake")
    won = "accuracy_fake" in found and all(found[name] >= WON for name in contest)
    told = found.get("accuracy_fake", 1.0) >= WON
    flags = {
        "collapsed": bool(_collapse(found)),
        "discriminator_won": won,
        "generator_stuck": told and found.get("reach", np.inf) < STUCK,
    }
    return {name: float(flag) for name, flag in flags.items()}


def _collapse(found: Summary) -> str:
    """Says in which ways the samples are too similar; an empty text if they are not."""
    signs = []
    if found["pairwise_distance"] < COLLAPSED:
        signs.append(f"samples differ by {found['pairwise_distance']:.0%} of what real images do")
    if found.get("class_distance", np.inf) < COLLAPSED:
        signs.append(f"those of one class by {found['class_distance']:.0%}")
    total = len(found.get("class_share", ()))
    if total and found["classes_covered"] <= COLLAPSED * total:
        signs.append(f"they are of {found['classes_covered']:.0f} of {total} classes")
    return ", ".join(signs)


def _ratio(value: float, reference: float) -> float:
    return value / reference if reference else float("nan")


def _mean(values: np.ndarray) -> float:
    return float(np.mean(values, dtype=np.float64)) if len(values) else float("nan")
