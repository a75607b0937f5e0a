"""Average precision of keypoints by object keypoint similarity (OKS), the metric of MS-COCO."""

import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from library.average_precision import THRESHOLDS, Found, coco_average_precision
from library.config import ConfigError, nearest
from library.evaluation.context import Context, Evaluator, collected
from library.summaries import Summary
from library.task import Batch, TrainState


def keypoint_precision(
    context: Context,
    *,
    split: str = "test",
    target: str = "points",
    spread: tuple[float, ...] = (0.05,),
    batch_size: int | None = None,
) -> Evaluator:
    """Measures the average precision of the task's output "keypoints", one object an image.

    The similarity of found and true points is the mean over the true ones of
    exp(-d^2 / (2 area k^2)), where d is the distance and k is twice the `spread` of the kind of
    point. The area is that of the smallest box around the true points. Examples are ranked by the
    mean height of their maps; those without a true point are left out.

    Args:
      context: the task, the data and functions to run over it.
      split: the split to evaluate.
      target: the feature with the true points, (b, n, 2), y and x as fractions of the image.
      spread: the standard deviation of people's marks of each kind of point, as a fraction of the
        square root of the area; one for all kinds, or n. COCO's are 0.026 for the nose, 0.079
        shoulders, 0.072 elbows, 0.062 wrists, 0.107 hips, 0.087 knees and 0.089 ankles.
      batch_size: examples per batch; `dataset.eval_batch_size` by default.

    Returns:
      `state -> {"ap", "ap50", "ap75", "oks"}`: the mean over the thresholds 0.50 to 0.95, the
      average precision at 0.5 and 0.75, and the mean similarity.

    Raises:
      ConfigError: the task has no output "keypoints", or a spread is not positive.
    """
    if "keypoints" not in context.task.outputs:
        found = nearest("keypoints", context.task.outputs)
        raise ConfigError(f"keypoint_precision: the task has no output 'keypoints': {found}")
    if not spread or min(spread) <= 0:
        raise ConfigError(f"spread={spread}: valid are numbers above 0")

    def located(state: TrainState, batch: Batch, key: PRNGKeyArray) -> dict[str, Array]:
        points = batch[target]
        if len(spread) not in (1, points.shape[1]):
            raise ConfigError(
                f"spread has {len(spread)} values for {points.shape[1]} points: valid are 1 or "
                f"{points.shape[1]}"
            )
        found = context.task.outputs["keypoints"](state, batch, key)
        there = batch.get(f"{target}_mask", points[..., 0] * 0 + 1)
        # Distances are in pixels: the sides may differ.
        sides = points[:, :1] * 0 + np.float32(batch["image"].shape[1:3])
        given = {"found": found, "true": points, "there": there, "sides": sides}
        return {**given, "mask": batch["mask"]}

    function = context.collect(located)

    def evaluate(state: TrainState) -> Summary:
        got = collected(function, state, context.batches(split, batch_size), split)
        seen = (got["there"] > 0).any(-1)
        got = {name: values[seen] for name, values in got.items()}
        found, true = (got[k][..., :2] * got["sides"] for k in ("found", "true"))
        similar = similarity(found, true, got["there"], np.asarray(spread))
        score = got["found"][..., 2].mean(-1)
        images = [Found(np.array([[s]]), np.array([c])) for s, c in zip(similar, score)]
        each = coco_average_precision(images)
        at = dict(zip(np.round(THRESHOLDS, 2), map(float, each)))
        oks = float(similar.mean()) if len(similar) else float("nan")
        return {"ap": float(each.mean()), "ap50": at[0.5], "ap75": at[0.75], "oks": oks}

    return evaluate


def similarity(
    found: Float[np.ndarray, "b n 2"],
    true: Float[np.ndarray, "b n 2"],
    there: Float[np.ndarray, "b n"],
    spread: Float[np.ndarray, " s"],
) -> Float[np.ndarray, " b"]:
    """Returns the object keypoint similarity of points in pixels.

    Args:
      found: the found points.
      true: the true points.
      there: 1 for the points that are there, 0 for others.
      spread: see `keypoint_precision`.
    """
    found, true = np.asarray(found, np.float64), np.asarray(true, np.float64)
    held = there[..., None] > 0
    low = np.where(held, true, np.inf).min(1, initial=np.inf)
    high = np.where(held, true, -np.inf).max(1, initial=-np.inf)
    area = np.where(np.isfinite(low), high - low, 0).prod(-1)
    squares = np.square(found - true).sum(-1)
    exponent = squares / (np.square(2 * spread) * (area[:, None] + np.spacing(1)) * 2)
    kept = np.where(there > 0, np.exp(-exponent), 0)
    return kept.sum(-1) / np.maximum((there > 0).sum(-1), 1)
