"""Pairs of laser scans: what a car measures in a simulated room before and after it moves.

A room is a rectangle with boxes in it, seen from above, drawn at random for each example. A scan
has the distances from the car to the nearest wall in 360 directions. This project simulates them.
"""

from collections.abc import Iterator
from typing import ClassVar, NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Float

from library.data.builders import making

BEAMS = 360
MAX_RANGE = 30.0
"""The distance in metres that a beam reports if it meets no wall before."""
INTERVAL = 0.1
"""Seconds between the scans of a pair."""
MAX_SPEED, MAX_YAW_RATE = 50.0, 60.0
NOISE = 0.02
_SEEDS = {"train": 0, "test": 1}
# The car keeps this distance in metres from walls, before and after its move.
_CLEARANCE = 1.0

Segments = Float[np.ndarray, "s 2 2"]


class Motion(NamedTuple):
    """The motion of a car along an arc.

    Attributes:
      speed: in km/h, forwards.
      yaw_rate: in degrees per second, positive to the left.
    """

    speed: float
    yaw_rate: float


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """`scans` (360, 2), metres, and `target` (2,), the speed in km/h and the yaw rate in degrees/s.

    Beam k looks k degrees to the left of the car's heading. Speeds are uniform from 0 to 50 km/h,
    yaw rates from -60 to 60 degrees/s; the second scan comes 0.1 s after the first. Distances have
    normal noise of 2 cm, and are at most 30 m. Train 20,000 and test 1,000 pairs, each in another
    room.
    """

    name = "lidar_rooms"
    VERSION = tfds.core.Version("1.0.0")
    url_infos: ClassVar[dict] = {}  # TFDS would otherwise look for a file of checksums
    HOMEPAGE = "library/data/builders/lidar_rooms.py"
    LICENCE = "made by this project"
    CITATION = "made by this project"
    SPLITS: ClassVar[dict[str, int]] = {"train": 20_000, "test": 1_000}
    KINDS: ClassVar[dict[str, str]] = {"scans": "series", "target": "target"}

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "scans": tfds.features.Tensor(shape=(BEAMS, 2), dtype=np.float32),
            "target": tfds.features.Tensor(shape=(2,), dtype=np.float32),
        }
        return making.info(self, features)

    def _split_generators(self, dl_manager):
        return {split: _pairs(_SEEDS[split], count) for split, count in self.SPLITS.items()}

    _generate_examples = making.examples


def _pairs(seed: int, count: int) -> Iterator[tuple[int, dict]]:
    for row in range(count):
        # NumPy never changes the stream of RandomState (NEP 19); that of Generator may change.
        scans, motion = pair(np.random.RandomState([seed, row]))
        yield row, {"scans": scans, "target": np.float32(motion)}


def pair(random: np.random.RandomState) -> tuple[Float[np.ndarray, "360 2"], Motion]:
    """Draws a room, a place, a heading and a motion; returns the two scans and the motion."""
    while True:
        walls = room(random)
        motion = Motion(random.uniform(0, MAX_SPEED), random.uniform(-MAX_YAW_RATE, MAX_YAW_RATE))
        start = np.append(random.uniform(-15, 15, 2), random.uniform(-np.pi, np.pi))
        poses = np.stack([start, composed(start, moved(motion))])
        exact = [scan(walls, pose) for pose in poses]
        # A place outside the room, or within a box, sees the open or is too near to a wall.
        inside = all(_inside(walls, pose[:2]) for pose in poses)
        if inside and min(map(np.min, exact)) >= _CLEARANCE:
            break
    noisy = np.stack(exact, axis=-1) + NOISE * random.standard_normal((BEAMS, 2))
    return np.clip(noisy, 0, MAX_RANGE).astype(np.float32), motion


def moved(motion: Motion, seconds: float = INTERVAL) -> Float[np.ndarray, "3"]:
    """Returns x, y and heading (metres, radians) after a motion that starts at 0, 0, 0."""
    turn = np.deg2rad(motion.yaw_rate) * seconds
    # The chord of an arc: its direction is half of the turn, and sinc(x) is sin(pi x) / (pi x).
    chord = motion.speed / 3.6 * seconds * np.sinc(turn / (2 * np.pi))
    return np.array([chord * np.cos(turn / 2), chord * np.sin(turn / 2), turn])


def composed(
    pose: Float[np.ndarray, "3"], change: Float[np.ndarray, "3"]
) -> Float[np.ndarray, "3"]:
    """Returns the pose after a change that is given in the frame of the pose."""
    x, y, heading = pose
    cos, sin = np.cos(heading), np.sin(heading)
    dx, dy, turn = change
    return np.array([x + cos * dx - sin * dy, y + sin * dx + cos * dy, heading + turn])


def room(random: np.random.RandomState) -> Segments:
    """Draws the walls of a room about the origin: a rectangle and 3 to 8 boxes in it."""
    outer = _rectangle(np.zeros(2), random.uniform(12, 30, 2), 0.0)
    half = np.abs(outer).max(axis=(0, 1))
    boxes = [
        _rectangle(random.uniform(-half, half), random.uniform(0.5, 4, 2), random.uniform(0, np.pi))
        for _ in range(random.randint(3, 9))
    ]
    return np.concatenate([outer, *boxes])


def _rectangle(
    centre: Float[np.ndarray, "2"], sides: Float[np.ndarray, "2"], angle: float
) -> Segments:
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * sides / 2
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    corners = corners @ turn + centre
    return np.stack([corners, np.roll(corners, -1, axis=0)], axis=1)


def scan(walls: Segments, pose: Float[np.ndarray, "3"]) -> Float[np.ndarray, " 360"]:
    """Returns the distance to the nearest wall in each direction; MAX_RANGE if there is none."""
    angles = pose[2] + np.deg2rad(np.arange(BEAMS) * 360 / BEAMS)
    return distances(walls, pose[:2], np.stack([np.cos(angles), np.sin(angles)], axis=-1))


def distances(
    walls: Segments, place: Float[np.ndarray, "2"], directions: Float[np.ndarray, "k 2"]
) -> Float[np.ndarray, " k"]:
    """Returns how far rays from a place go before they meet a wall, MAX_RANGE at most."""
    start, along = walls[:, 0] - place, walls[:, 1] - walls[:, 0]
    # place + t direction = start of the wall + s along, solved by Cramer's rule.
    x, y = directions[:, None].T.reshape(2, -1, 1)
    determinant = x * along[:, 1] - y * along[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        t = (start[:, 0] * along[:, 1] - start[:, 1] * along[:, 0]) / determinant
        s = (start[:, 0] * y - start[:, 1] * x) / determinant
    meets = (determinant != 0) & (t > 0) & (s >= 0) & (s <= 1)
    return np.minimum(np.where(meets, t, np.inf).min(axis=1), MAX_RANGE)


def _inside(walls: Segments, place: Float[np.ndarray, "2"]) -> bool:
    """Returns whether a place is in the rectangle of a room and in none of its boxes."""
    return _encloses(walls[:4], place) and not any(
        _encloses(walls[i : i + 4], place) for i in range(4, len(walls), 4)
    )


def _encloses(corners: Segments, place: Float[np.ndarray, "2"]) -> bool:
    along, to = corners[:, 1] - corners[:, 0], place - corners[:, 0]
    return bool((along[:, 0] * to[:, 1] > along[:, 1] * to[:, 0]).all())
