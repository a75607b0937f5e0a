"""The motion between two laser scans by matching them, beside which a network is measured.

Chen & Medioni 1992, "Object modelling by registration of multiple range images": each point of the
second scan goes with the nearest point of the first, and the motion minimizes the distances to the
lines through these. Both steps alternate.
"""

import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray
from scipy.spatial import cKDTree

from library.config import ConfigError
from library.evaluation.context import Context, Evaluator, collected
from library.summaries import Summary
from library.task import Batch, TrainState

_ITERATIONS = 40


def scan_matching(
    context: Context,
    *,
    split: str = "test",
    num: int = 500,
    interval: float = 0.1,
    max_range: float = 30.0,
    scans: str = "scans",
    target: str = "target",
    batch_size: int | None = None,
) -> Evaluator:
    """Measures how well matching gives the speed and the yaw rate of a car; no network is used.

    Args:
      context: the data and functions to run over them.
      split: the split to evaluate.
      num: the number of pairs of scans, the first of the split.
      interval: seconds between the scans of a pair.
      max_range: metres; a beam of this length has met nothing.
      scans: the feature with the pairs, (b, k, 2), in metres; beam i of k looks 360 i / k degrees
        to the left.
      target: the feature with the speed in km/h and the yaw rate in degrees per second, (b, 2).
      batch_size: examples per batch; `dataset.eval_batch_size` by default.

    Returns:
      `state -> {"speed_mae", "yaw_rate_mae", "speed_median_error"}`, in km/h and degrees per
      second. The state does not matter.

    Raises:
      ConfigError: a number is not positive.
    """
    for name, value in (("num", num), ("interval", interval), ("max_range", max_range)):
        if value <= 0:
            raise ConfigError(f"scan_matching, {name}={value}: valid are numbers above 0")

    def given(state: TrainState, batch: Batch, key: PRNGKeyArray) -> dict[str, Array]:
        return {"scans": batch[scans], "target": batch[target], "mask": batch["mask"]}

    function = context.collect(given)

    def evaluate(state: TrainState) -> Summary:
        found = collected(function, state, context.batches(split, batch_size), split)
        pairs, true = found["scans"][:num], found["target"][:num]
        made = [motion(each, interval, max_range) for each in pairs.astype(np.float64)]
        error = np.abs(np.reshape(made, (-1, 2)) - true)
        nan = float("nan")
        return {
            "speed_mae": float(error[:, 0].mean()) if len(error) else nan,
            "yaw_rate_mae": float(error[:, 1].mean()) if len(error) else nan,
            "speed_median_error": float(np.median(error[:, 0])) if len(error) else nan,
        }

    return evaluate


def motion(
    scans: Float[np.ndarray, "k 2"], interval: float, max_range: float
) -> tuple[float, float]:
    """Returns the speed in km/h and the yaw rate in degrees per second between two scans."""
    x, y, turn = matched(scans[:, 0], scans[:, 1], max_range)
    # A motion along an arc: its chord looks to half of the turn.
    chord = x * np.cos(turn / 2) + y * np.sin(turn / 2)
    arc = chord / np.sinc(turn / (2 * np.pi))
    return 3.6 * arc / interval, float(np.rad2deg(turn)) / interval


def matched(
    before: Float[np.ndarray, " k"], after: Float[np.ndarray, " k"], max_range: float
) -> Float[np.ndarray, "3"]:
    """Returns the pose (x, y, turn) of the second scan in the frame of the first."""
    (fixed, normal), (moving, _) = (points(scan, max_range) for scan in (before, after))
    pose = np.zeros(3)
    if min(len(fixed), len(moving)) < 3:
        return pose
    tree = cKDTree(fixed)
    for step in range(_ITERATIONS):
        cos, sin = np.cos(pose[2]), np.sin(pose[2])
        placed = moving @ np.array([[cos, sin], [-sin, cos]]) + pose[:2]
        distance, nearest = tree.query(placed)
        # Points that the first scan did not see have no partner. The limit shrinks to 0.2 m.
        kept = distance < max(0.2, 2.0 * 0.85**step)
        if kept.sum() < 10:
            break
        pose = _improved(pose, placed[kept], fixed[nearest[kept]], normal[nearest[kept]])
    return pose


def points(
    scan: Float[np.ndarray, " k"], max_range: float
) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, "n 2"]]:
    """Returns the places that the beams of a scan met, and the normals of the wall there.

    Places without a neighbour on either side within 1 m are left out: they have no normal.
    """
    angles = 2 * np.pi * np.arange(len(scan)) / len(scan)
    places = scan[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    along = np.roll(places, -1, axis=0) - np.roll(places, 1, axis=0)
    length = np.linalg.norm(along, axis=1)
    seen: Bool[np.ndarray, " k"] = (scan < 0.99 * max_range) & (length > 0) & (length < 1)
    along = along[seen] / length[seen, None]
    return places[seen], np.stack([-along[:, 1], along[:, 0]], axis=-1)


def _improved(
    pose: Float[np.ndarray, "3"],
    placed: Float[np.ndarray, "n 2"],
    partner: Float[np.ndarray, "n 2"],
    normal: Float[np.ndarray, "n 2"],
) -> Float[np.ndarray, "3"]:
    """Returns the pose after one step of least squares on the distances along the normals."""
    gap = np.sum((partner - placed) * normal, axis=1)
    lever = placed[:, 0] * normal[:, 1] - placed[:, 1] * normal[:, 0]
    system = np.concatenate([normal, lever[:, None]], axis=1)
    # Walls in one direction alone leave the motion along them open; it then stays as it is.
    dx, dy, turn = np.linalg.lstsq(system, gap, rcond=1e-3)[0]
    cos, sin = np.cos(turn), np.sin(turn)
    x, y = cos * pose[0] - sin * pose[1] + dx, sin * pose[0] + cos * pose[1] + dy
    return np.array([x, y, pose[2] + turn])
