"""A Kalman filter for boxes that move and grow at a constant rate, as in SORT."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

# A state is x and y of the centre, area and width / height, then the rates of the first three.
_MOVE = np.eye(7) + np.eye(7, k=4)
_SEEN = np.eye(4, 7)
# The variances of the authors' program (abewley/sort), in pixels.
_NOISE_OF_SEEING = np.diag([1.0, 1.0, 10.0, 10.0])
_NOISE_OF_MOVING = np.diag([1.0, 1.0, 1.0, 1.0, 0.01, 0.01, 0.0001])
_FIRST = np.diag([10.0, 10.0, 10.0, 10.0, 1e4, 1e4, 1e4])


class Belief(NamedTuple):
    """What is believed of a box: the mean of its state (7,), and the covariance (7, 7)."""

    mean: Float[np.ndarray, " 7"]
    covariance: Float[np.ndarray, "7 7"]


def started(box: Float[np.ndarray, " 4"]) -> Belief:
    """Returns the belief after the first sight of a box, in pixels; its rates are unknown."""
    return Belief(np.concatenate([_seen(box), np.zeros(3)]), _FIRST)


def predicted(belief: Belief) -> Belief:
    """Returns the belief one frame later. An area that would become negative stops shrinking."""
    mean = belief.mean.copy()
    if mean[2] + mean[6] <= 0:
        mean[6] = 0
    return Belief(_MOVE @ mean, _MOVE @ belief.covariance @ _MOVE.T + _NOISE_OF_MOVING)


def updated(belief: Belief, box: Float[np.ndarray, " 4"]) -> Belief:
    """Returns the belief after the sight of a box, in pixels."""
    surprise = _seen(box) - _SEEN @ belief.mean
    spread = _SEEN @ belief.covariance @ _SEEN.T + _NOISE_OF_SEEING
    gain = np.linalg.solve(spread, _SEEN @ belief.covariance).T
    covariance = (np.eye(7) - gain @ _SEEN) @ belief.covariance
    return Belief(belief.mean + gain @ surprise, covariance)


def box_of(belief: Belief) -> Float[np.ndarray, " 4"]:
    """Returns ymin, xmin, ymax and xmax in pixels of the believed box."""
    x, y, area, ratio = belief.mean[:4]
    width = np.sqrt(max(area * ratio, 1e-9))
    height = max(area, 1e-9) / width
    return np.array([y - height / 2, x - width / 2, y + height / 2, x + width / 2])


def _seen(box: Float[np.ndarray, " 4"]) -> Float[np.ndarray, " 4"]:
    height, width = box[2] - box[0], box[3] - box[1]
    return np.array([box[1] + width / 2, box[0] + height / 2, width * height, width / height])
