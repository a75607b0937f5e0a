"""Segmentation of cells by their membranes: the scores of the ISBI 2012 challenge.

Arganda-Carreras et al. 2015, "Crowdsourcing the creation of image segmentation algorithms for
connectomics", Frontiers in Neuroanatomy 9:142.
"""

import jax
import numpy as np
from jaxtyping import Array, Bool, Int, PRNGKeyArray
from scipy import ndimage

from library import maps
from library.config import ConfigError
from library.evaluation._thinning import thinned
from library.evaluation.context import Context, Evaluator
from library.summaries import Summary
from library.task import Batch, TrainState


def membranes(
    context: Context,
    *,
    split: str = "test",
    target: str = "map",
    membrane: int = 0,
    margin: int = 0,
    thresholds: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
    batch_size: int | None = None,
) -> Evaluator:
    """Measures how well the membranes that a task finds separate the cells.

    A pixel is membrane where its probability is above a threshold. Membranes are thinned to lines
    of a pixel. Cells are the regions between them, connected through sides. v_rand compares their
    pixels with the true cells, see `_rand_score`; it is a mean over images, at the best threshold.
    pixel_error is the share of wrong pixels at 0.5, without thinning.

    Args:
      context: the task, with the output "logits" (b, h, w, c), and the data.
      split: the split to evaluate.
      target: the feature with the true classes.
      membrane: the class of membranes.
      margin: pixels on each side of an image that have no logits, that of the task `segmentation`.
      thresholds: probabilities to try.
      batch_size: examples per batch; `dataset.eval_batch_size` by default.

    Returns:
      `state -> {"v_rand", "threshold", "pixel_error"}`. The function raises ValueError if the split
      is empty.

    Raises:
      ConfigError: a threshold is outside (0, 1), or there are none. When it is traced: there is no
        such class, or the map has another shape than the logits.
    """
    if not thresholds or not all(0 < t < 1 for t in thresholds):
        raise ConfigError(f"membranes, thresholds={thresholds}: valid are numbers between 0 and 1")

    def found(state: TrainState, batch: Batch, key: PRNGKeyArray) -> dict[str, Array]:
        logits = context.task.outputs["logits"](state, batch, key)
        if not 0 <= membrane < logits.shape[-1]:
            raise ConfigError(
                f"membranes, membrane={membrane}: valid are 0 to {logits.shape[-1] - 1}"
            )
        true = batch[target]
        true = true[:, margin : true.shape[1] - margin, margin : true.shape[2] - margin]
        if true.shape != logits.shape[:-1]:
            raise ConfigError(
                f"membranes, margin={margin}: the map {target!r} has shape {true.shape}, but the "
                f"logits have {logits.shape}: it needs the margin of the task"
            )
        share = jax.nn.softmax(logits)[..., membrane]
        return {"share": share, "true": true, "mask": batch["mask"]}

    collect = context.collect(found)

    def evaluate(state: TrainState) -> Summary:
        scores, wrong, pixels, batches = [], 0, 0, 0
        for batch in context.batches(split, batch_size):
            held, batches = collect(state, batch), batches + 1
            for i in np.flatnonzero(held["mask"] > 0):
                share, true = held["share"][i], held["true"][i]
                scores.append([_score(share > t, true, membrane) for t in thresholds])
                known = true != maps.UNKNOWN
                wrong += np.count_nonzero(((share > 0.5) != (true == membrane)) & known)
                pixels += np.count_nonzero(known)
        if not batches:
            raise ValueError(f"split {split!r} has no examples to evaluate")
        if not scores:
            return dict.fromkeys(("v_rand", "threshold", "pixel_error"), float("nan"))
        means = np.mean(scores, axis=0)
        best = int(np.argmax(means))
        error = wrong / pixels if pixels else float("nan")
        return {
            "v_rand": float(means[best]),
            "threshold": float(thresholds[best]),
            "pixel_error": float(error),
        }

    return evaluate


def _score(found: Bool[np.ndarray, "h w"], true: Int[np.ndarray, "h w"], membrane: int) -> float:
    cells, _ = ndimage.label((true != membrane) & (true != maps.UNKNOWN))
    regions, _ = ndimage.label(~thinned(found))
    return _rand_score(regions, cells)


def _rand_score(regions: Int[np.ndarray, "h w"], cells: Int[np.ndarray, "h w"]) -> float:
    """Returns the foreground-restricted Rand score of two segmentations, 1 for the same.

    It is sum_ij p_ij² / (½ sum_i s_i² + ½ sum_j t_j²), where p_ij is the share of pixels in region
    i and true cell j, and s_i and t_j the shares of regions and cells: the harmonic mean of the
    probabilities that two pixels of a region are of one cell, and two of a cell in one region. Only
    pixels of cells count. A pixel between regions is a region of its own.

    Args:
      regions: the number of each pixel's region, 0 between regions.
      cells: the number of each pixel's true cell, 0 outside.
    """
    inside = cells > 0
    if not inside.any():
        return float("nan")
    own = np.where(regions > 0, regions, -1 - np.arange(regions.size).reshape(regions.shape))
    pairs = np.stack([own[inside], cells[inside]])
    together, *apart = (
        np.square(np.unique(values, axis=-1, return_counts=True)[1].astype(np.float64)).sum()
        for values in (pairs, pairs[0], pairs[1])
    )
    return float(together / (sum(apart) / 2))
