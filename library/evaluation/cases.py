"""The worst, the median and the best examples of a split, as images with their scores."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import jax
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from library.config import ConfigError, nearest
from library.evaluation._pictures import shown
from library.evaluation.context import Context, Evaluator
from library.task import Batch, TrainState

# How far each case lies on the way from the best example to the worst.
LABELS = {"worst": 1.0, "median": 0.5, "best": 0.0}


def cases(
    context: Context,
    *,
    split: str = "test",
    output: str = "overlay",
    score: str = "error",
    mode: Literal["min", "max"] = "min",
    num: int = 2,
    batch_size: int | None = None,
) -> Evaluator:
    """Shows the examples with the worst, the median and the best scores of a split.

    The data are read twice: once for the scores, and once for the images of the chosen examples.
    The run keeps the images with captions, such as "worst: error 0.69, test[17]", and the report
    draws them. An example without a score (nan), such as an image without known pixels, is left
    out.

    Args:
      context: the task, the data and functions to run over it.
      split: the split to evaluate.
      output: the task's output that is shown, in a form of `samples`: images, rows of images, or
        maps.
      score: the task's output that ranks the examples, a number each, (b,).
      mode: whether the best score is the least or the greatest.
      num: number of examples of each of the three kinds. In a small split no example is shown
        twice.
      batch_size: examples per batch; `dataset.eval_batch_size` by default.

    Returns:
      `state -> {"worst", "median", "best", output, output_captions}`: three scores, the images and
      their captions. The function raises ValueError if the split is empty.

    Raises:
      ConfigError: there is no such output, or `num` is below 1. When it is traced: the score is not
        a number for each example, or the output makes no images.
    """
    make, measure = _output(context, "output", output), _output(context, "score", score)
    if num < 1:
        raise ConfigError(f"cases, num={num}: valid are 1 or more")

    def images(state: TrainState, batch: Batch, key: PRNGKeyArray) -> dict[str, Array]:
        return {"image": shown(make(state, batch, key), "cases", output, context.num_classes)}

    def scores(state: TrainState, batch: Batch, key: PRNGKeyArray) -> dict[str, Array]:
        # Errors of the images must not wait until all scores are known.
        jax.eval_shape(images, state, batch, key)
        found = measure(state, batch, key)
        if getattr(found, "shape", None) != batch["mask"].shape:
            what = getattr(found, "shape", "several arrays")
            raise ConfigError(f"cases, score={score!r} is {what}, expected a number per example")
        return {"score": found, "row": batch["row"], "mask": batch["mask"]}

    measured, drawn = context.collect(scores), context.collect(images)

    def evaluate(state: TrainState) -> dict[str, float | np.ndarray]:
        parts = [measured(state, batch) for batch in context.batches(split, batch_size)]
        if not parts:
            raise ValueError(f"split {split!r} has no examples to evaluate")
        found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        ranked = _ranked(found["score"], found["mask"], mode)
        summary = {label: _at(found["score"][ranked], share) for label, share in LABELS.items()}
        chosen = [(label, int(ranked[at])) for label, at in _chosen(len(ranked), num)]
        if not chosen:
            return summary
        again = context.batches(split, batch_size)
        image = _images(drawn, state, again, [at for _, at in chosen], len(parts[0]["mask"]))
        captions = [
            f"{label}: {score.replace('_', ' ')} {found['score'][at]:.3g}, "
            f"{split}[{found['row'][at]}]"
            for label, at in chosen
        ]
        pictures = image if image.dtype == np.uint8 else context.pixels(image)
        return {**summary, output: pictures, f"{output}_captions": np.array(captions)}

    return evaluate


def _output(context: Context, key: str, name: str) -> Callable[..., Any]:
    if name not in context.task.outputs:
        valid = nearest(name, context.task.outputs)
        raise ConfigError(f"cases, {key}={name!r}: the task has no such output, {valid}")
    return context.task.outputs[name]


def _ranked(
    score: Float[np.ndarray, " n"], mask: Float[np.ndarray, " n"], mode: str
) -> Int[np.ndarray, " m"]:
    """Returns the places of the examples that have a score, from the best to the worst."""
    places = np.flatnonzero((mask > 0) & ~np.isnan(score))
    signed = score[places] if mode == "min" else -score[places]
    return places[np.argsort(signed, kind="stable")]


def _at(scores: Float[np.ndarray, " m"], share: float) -> float:
    """Returns the score at a share of the way from the best to the worst, nan without scores."""
    return float(scores[int(share * (len(scores) - 1))]) if len(scores) else float("nan")


def _chosen(count: int, num: int) -> list[tuple[str, int]]:
    """Returns labels and ranks, 0 the best: the worst first, the medians, the best; none twice."""
    num, taken = min(num, count), {}
    starts = {"worst": count - num, "median": (count - num) // 2, "best": 0}
    for label, start in starts.items():
        ranks = range(start, start + num)
        for rank in reversed(ranks) if label == "worst" else ranks:
            taken.setdefault(rank, label)
    return [(label, rank) for rank, label in taken.items()]


def _images(
    drawn: Callable[..., Mapping[str, np.ndarray]],
    state: TrainState,
    batches: Iterable[Batch],
    wanted: Sequence[int],
    size: int,
) -> np.ndarray:
    """Returns the images at the places `wanted`, which are counted over all batches of `size`."""
    held = {}
    for number, batch in enumerate(batches):
        here = [place for place in wanted if place // size == number]
        image = drawn(state, batch)["image"] if here else ()
        held |= {place: image[place % size] for place in here}
    return np.stack([held[place] for place in wanted])
