"""The ways in which adversarial training fails, measured: lost classes, one image, no contest.

What the generator makes is compared with the test split: by a classifier that was trained on the
data set before, by distances between images, and by what the discriminator has to say of either.
"""

import math
from collections.abc import Iterable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from library.config import ConfigError, nearest
from library.evaluation.context import Context, Evaluator, collected
from library.summaries import Summary
from library.task import Batch, TrainState

# A class is covered that has a tenth of its share of the samples: 1 % where there are ten.
COVERED = 0.1
# Samples are one image, or few, where they differ by less than half of what real images do, or
# leave out half of the classes.
COLLAPSED = 0.5
# The discriminator has won where it is right about this share of either kind, and as sure of it.
WON = 0.99
# The generator is stuck whose loss would change by less, did its images move by as much as real
# ones differ, along the steepest way.
STUCK = 0.01

ADVICE = {
    "collapsed": "the generator has collapsed: {collapse}. Try the penalty 'r1' or 'interpolates', "
    "spectral normalization, a lower learning rate, or larger batches",
    "discriminator_won": "the discriminator has won: it tells {accuracy_real:.1%} of real and "
    "{accuracy_fake:.1%} of generated images, and is sure of it. Try a lower learning rate or "
    "fewer updates for it, a penalty on its gradient, or a narrower one",
    "generator_stuck": "the generator is stuck: its samples are told from real images, and the "
    "discriminator gives it next to no gradient (its loss would change by {reach:.1g}). Try the "
    "loss 'non_saturating', a penalty on the gradient, or spectral normalization",
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
    """Evaluates `num` samples of a task of an adversarial kind, and warns of what fails.

    By the classifier, from its "probabilities": classes_covered, those with a tenth of an equal
    share of the samples or more (1 % of ten classes); class_entropy, in nats, of the classes as it
    reads them (log 10 = 2.303 is an equal share for each of ten); confidence, its mean highest
    probability; class_accuracy, if conditional, the share of samples that it reads as their label;
    class_share (c,).

    pairwise_distance is the mean Euclidean distance between two samples, over that of as many real
    images: 1 for samples as various as the data, 0 for one image. If conditional,
    class_distance is the same over pairs with the same label.

    By the discriminator, from the outputs "probability" and "signal": accuracy_real and
    accuracy_fake, the share of images that it is right about; reach, the mean norm of the gradient
    of the generator's loss by a sample times the mean distance of two real images: to first order,
    how far the loss changes if a sample moves by that distance.

    Flags, each 0 or 1: collapsed, where pairwise_distance or class_distance is below 0.5 or half of
    the classes or fewer are covered; discriminator_won, where both accuracies and the mean
    probabilities of what is right are 0.99 or more (never for a critic, which has no
    probabilities); generator_stuck, where accuracy_fake is 0.99 or more and reach below 0.01 (of
    a critic, by reach alone). `context.warn` says what to try, once for each time that a flag is
    raised.

    Args:
      context: the task, the data and ways to run functions over it.
      classifier: the workdir of a finished classifier of this project; None measures without.
      num: samples, and real images.
      conditional: whether samples are made for their label.
      split: where the real images are from.
      batch_size: examples a batch, by default that of evaluation.

    Raises:
      ConfigError: the task makes no samples, fewer than two samples, or no classes to cover.
    """
    _check(context, classifier, num, conditional)
    of_samples = context.collect(_measured(context, classifier, sampled=True))
    of_data = context.collect(_measured(context, None, sampled=False))
    raised: set[str] = set()

    def evaluate(state: TrainState) -> Summary:
        fake = collected(of_samples, state, context.draws(num, batch_size))
        real = collected(of_data, state, _first(context.batches(split, batch_size), num))
        fake, real = ({k: v[:num] for k, v in each.items()} for each in (fake, real))
        found = _distances(fake, real, conditional)
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
        raise ConfigError("mode_coverage: the data set has no classes; leave out the classifier")


def _measured(context: Context, classifier: str | None, *, sampled: bool):
    """Returns the function to collect: images and what is thought of them."""
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


def _distances(fake: dict, real: dict, conditional: bool) -> dict[str, float]:
    between, expected = mean_distance(fake["image"]), mean_distance(real["image"])
    found = {"pairwise_distance": _ratio(between, expected)}
    if "signal" in fake:
        found["reach"] = _mean(fake["signal"]) * expected
    if conditional:
        within, expected = (mean_distance(x["image"], x["label"]) for x in (fake, real))
        found["class_distance"] = _ratio(within, expected)
    return found


def mean_distance(image: np.ndarray, label: np.ndarray | None = None) -> float:
    """Returns the mean Euclidean distance between two different images (n, ...).

    Args:
      image: the images.
      label: (n,); if given, only pairs of the same label count.

    Returns:
      The mean, nan without a pair.
    """
    flat = image.reshape(len(image), math.prod(image.shape[1:])).astype(np.float64)
    groups = [flat] if label is None else [flat[label == one] for one in np.unique(label)]
    total, pairs = 0.0, 0
    for x in groups:
        squares = np.sum(np.square(x), axis=1)
        squared = squares[:, None] + squares[None] - 2 * x @ x.T
        # Rounding leaves the distance of equal images a little off zero, on either side.
        squared[squared < 1e-12 * squares.max(initial=0.0)] = 0
        upper = np.triu_indices(len(x), 1)
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
    """Says in which ways the samples are too much alike; nothing if they are not."""
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
