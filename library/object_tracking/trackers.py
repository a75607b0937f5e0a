"""Trackers over the detections of frames: SORT, and ByteTrack with its second association.

Bewley et al. 2016, "Simple online and realtime tracking" (arXiv 1602.00763), section 3: a Kalman
filter predicts the box of each track, the Hungarian algorithm assigns detections to tracks by the
overlap, and a track is confirmed after some hits in a row.

Zhang et al. 2022, "ByteTrack" (arXiv 2110.06864), section 3: detections of low confidence begin no
tracks, but a second association gives them to tracks that the first left alone. Here both use the
filter of SORT; the paper's has height in place of area.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment

from library.config import ConfigError
from library.object_detection.boxes import overlaps
from library.object_tracking import kalman
from library.object_tracking.kalman import Belief

# Columns of a detection, and of a track, which has its number behind them.
_CONFIDENCE, _CLASS = 4, 5


@dataclasses.dataclass
class _Track:
    """A track: its number, the belief about its box, its class, and how it was seen.

    `hits` counts the frames in a row with a detection after its first, `missed` those in a row
    without one.
    """

    number: int
    belief: Belief
    kind: int
    row: np.ndarray
    hits: int = 0
    missed: int = 0
    confirmed: bool = False


def sort(
    frames: Iterable[Float[np.ndarray, "m 6"]],
    sides: tuple[int, int],
    *,
    confidence: float = 0.5,
    overlap: float = 0.3,
    max_age: int = 1,
    min_hits: int = 3,
) -> list[Float[np.ndarray, "n 7"]]:
    """Tracks objects by SORT; the defaults are those of its authors' program.

    Args:
      frames: the detections of each frame in the form of the output "detections": ymin, xmin, ymax,
        xmax as fractions of the image, confidence and class.
      sides: height and width of the frames in pixels; the noise of the filter is in pixels.
      confidence: least confidence of a detection that counts.
      overlap: least intersection over union of a detection with the predicted box of its track.
      max_age: the most frames in a row without a detection that a track outlives.
      min_hits: detections in a row, after the one that begins it, that confirm a track. Tracks of
        the first `min_hits` frames need none. A confirmed track stays so; in the authors' program a
        miss puts it on probation again.

    Returns:
      The tracks that are seen in each frame: a detection, and the number of its track from 1.

    Raises:
      ConfigError: a number is out of range.
    """
    _check(overlap=overlap, confidence=confidence, max_age=max_age, min_hits=min_hits)
    tracks: list[_Track] = []
    found, count = [], 0
    for number, rows in enumerate(frames, 1):
        rows = _rows(rows, confidence)
        _advance(tracks)
        free = _associated(tracks, range(len(rows)), overlap, rows=rows, sides=sides)
        for row in rows[free]:
            count += 1
            tracks.append(_begun(row, count, sides))
        for track in tracks:
            track.confirmed |= track.hits >= min_hits or number <= min_hits
        found.append(_shown(tracks))
        tracks = [track for track in tracks if track.missed <= max_age]
    return found


def byte_track(
    frames: Iterable[Float[np.ndarray, "m 6"]],
    sides: tuple[int, int],
    *,
    high: float = 0.6,
    low: float = 0.1,
    new: float = 0.7,
    overlap: float = 0.1,
    low_overlap: float = 0.5,
    new_overlap: float = 0.3,
    max_age: int = 30,
) -> list[Float[np.ndarray, "n 7"]]:
    """Tracks objects by ByteTrack; the defaults are those of its authors' program.

    Their distances of at most 0.9, 0.5 and 0.7 are one minus the overlaps here. As there, the
    overlap of the first association is multiplied by the confidence of the detection. A track is
    confirmed by its second detection, or at once in the first frame. The original also removes one
    of two tracks that overlap almost wholly, if one of them is lost; that is left out.

    Args:
      frames: see `sort`.
      sides: see `sort`.
      high: least confidence of a detection for the first association.
      low: least confidence of a detection for the second.
      new: least confidence of a detection that begins a track.
      overlap: least overlap, times confidence, of the first association.
      low_overlap: least overlap of the second association.
      new_overlap: least overlap, times confidence, with tracks that are not confirmed.
      max_age: see `sort`.

    Returns:
      See `sort`.

    Raises:
      ConfigError: a number is out of range.
    """
    _check(overlap=overlap, low_overlap=low_overlap, new_overlap=new_overlap, max_age=max_age)
    if not 0 < low <= high <= new <= 1:
        raise ConfigError(
            f"low={low}, high={high}, new={new}: valid are 0 < low <= high <= new <= 1"
        )
    tracks: list[_Track] = []
    found, count = [], 0
    for number, rows in enumerate(frames, 1):
        rows = _rows(rows, low)
        associate = partial(_associated, rows=rows, sides=sides, limited=True)
        _advance(tracks)
        sure = np.flatnonzero(rows[:, _CONFIDENCE] >= high)
        unsure = np.flatnonzero(rows[:, _CONFIDENCE] < high)
        known = [track for track in tracks if track.confirmed]
        free = associate(known, sure, overlap, fused=True)
        # A track that was lost before takes no detection of low confidence.
        left = [track for track in known if track.missed == 1]
        associate(left, unsure, low_overlap)
        young = [track for track in tracks if not track.confirmed]
        free = associate(young, free, new_overlap, fused=True)
        for row in rows[free][rows[free][:, _CONFIDENCE] >= new]:
            count += 1
            tracks.append(_begun(row, count, sides))
        tracks = [track for track in tracks if track.confirmed or not track.missed]
        for track in tracks:
            track.confirmed |= track.hits > 0 or number == 1
        found.append(_shown(tracks))
        tracks = [track for track in tracks if track.missed <= max_age]
    return found


TRACKERS = {"sort": sort, "byte_track": byte_track}


def interpolated(
    tracks: Sequence[Float[np.ndarray, "n 7"]], most: int = 20
) -> list[Float[np.ndarray, "m 7"]]:
    """Fills gaps of tracks by boxes on a straight line (ByteTrack, section 4.1).

    Args:
      tracks: the tracks of each frame, see `sort`.
      most: the most frames of a gap that is filled; a longer gap stays.

    Returns:
      The tracks of each frame, by their numbers; the confidence is interpolated, too.
    """
    found = [list(rows) for rows in tracks]
    last: dict[int, tuple[int, np.ndarray]] = {}
    for frame, rows in enumerate(tracks):
        for row in rows:
            before, old = last.get(int(row[6]), (frame, row))
            gap = frame - before
            for i in range(1, gap if gap <= most + 1 else 0):
                found[before + i].append(old + (row - old) * i / gap)
            last[int(row[6])] = (frame, row)
    ordered = [sorted(rows, key=lambda row: row[6]) for rows in found]
    return [np.array(rows).reshape(-1, 7) for rows in ordered]


def _check(max_age: int, min_hits: int = 1, **shares: float) -> None:
    for name, value in shares.items():
        if not 0 < value < 1:
            raise ConfigError(f"{name}={value}: valid are numbers between 0 and 1")
    for name, value, least in (("max_age", max_age, 1), ("min_hits", min_hits, 0)):
        if value < least:
            raise ConfigError(f"{name}={value}: valid are {least} or more frames")


def _rows(rows: Float[np.ndarray, "m 6"], least: float) -> Float[np.ndarray, "n 6"]:
    rows = np.asarray(rows, np.float64)
    area = (rows[:, 2:4] > rows[:, :2]).all(axis=1)
    return rows[(rows[:, _CONFIDENCE] >= least) & area]


def _pixels(row: np.ndarray, sides: tuple[int, int]) -> Float[np.ndarray, " 4"]:
    return row[:4] * np.tile(np.float64(sides), 2)


def _begun(row: np.ndarray, number: int, sides: tuple[int, int]) -> _Track:
    return _Track(number, kalman.started(_pixels(row, sides)), int(row[_CLASS]), row)


def _advance(tracks: Iterable[_Track]) -> None:
    """Moves all tracks to the next frame; they count as not seen there so far."""
    for track in tracks:
        track.belief = kalman.predicted(track.belief)
        track.missed += 1


def _associated(
    tracks: Sequence[_Track],
    among: Sequence[int],
    least: float,
    *,
    rows: Float[np.ndarray, "m 6"],
    sides: tuple[int, int],
    fused: bool = False,
    limited: bool = False,
) -> list[int]:
    """Gives detections to tracks of their class; returns the numbers of those that are left.

    Args:
      tracks: the tracks, changed in place.
      among: the numbers of the detections to give.
      least: least overlap of a detection with its track.
      rows: all detections of the frame.
      sides: height and width of the frame in pixels.
      fused: whether an overlap is multiplied by the detection's confidence.
      limited: see `assigned`.
    """
    among = list(among)
    if not tracks or not among:
        return _left(tracks, among, [])
    boxes = np.stack([_pixels(rows[i], sides) for i in among])
    shared = overlaps(np.stack([kalman.box_of(track.belief) for track in tracks]), boxes)
    shared = shared * rows[among, _CONFIDENCE] if fused else shared
    kinds = np.array([track.kind for track in tracks])
    shared = np.where(kinds[:, None] == rows[among, _CLASS], shared, 0)
    pairs = assigned(shared, least, limited)
    for i, j in pairs:
        track = tracks[i]
        track.belief = kalman.updated(track.belief, boxes[j])
        track.row, track.missed, track.hits = rows[among[j]], 0, track.hits + 1
    return _left(tracks, among, [j for _, j in pairs])


def assigned(
    shared: Float[np.ndarray, "n m"], least: float, limited: bool = False
) -> list[tuple[int, int]]:
    """Returns the pairs of a track and a detection whose overlaps have the greatest sum.

    Args:
      shared: the overlap of each track with each detection.
      least: least overlap of a pair.
      limited: whether an overlap counts by what it has above `least`, as in ByteTrack's program, so
        that pairs below it hinder no other. As in SORT, all count by default, and pairs below
        `least` are dropped afterwards.
    """
    gain = np.maximum(shared - least, 0) if limited else shared
    return [(i, j) for i, j in zip(*linear_sum_assignment(-gain)) if shared[i, j] >= least]


def _left(tracks: Sequence[_Track], among: list[int], given: Sequence[int]) -> list[int]:
    for track in tracks:
        if track.missed:
            track.hits = 0
    return [number for j, number in enumerate(among) if j not in set(given)]


def _shown(tracks: Iterable[_Track]) -> Float[np.ndarray, "n 7"]:
    """Returns the confirmed tracks that are seen in this frame, by their numbers."""
    seen = [np.append(t.row, t.number) for t in tracks if t.confirmed and not t.missed]
    return np.array(seen).reshape(-1, 7)
