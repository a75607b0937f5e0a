"""Tracks of objects that move by known paths, and measures of tracks by hand and by motmetrics."""

import numpy as np
import pytest

from library.config import ConfigError
from library.object_tracking import kalman, trackers
from library.object_tracking.measures import measured
from library.object_tracking.trackers import byte_track, interpolated, sort

SIDES = (100, 200)


def video(num=6, frames=60, missed=0.05, seed=0):
    """Returns the objects of each frame, (n, 5), and detections of them, a share of them missed.

    Objects move at constant rates and bounce off the sides, as digits of Moving MNIST do.
    """
    random = np.random.default_rng(seed)
    size = random.uniform(0.1, 0.2, (num, 2))
    place, rate = random.uniform(0.2, 0.8, (num, 2)), random.uniform(-0.012, 0.012, (num, 2))
    truths, found = [], []
    for _ in range(frames):
        out = (place - size / 2 + rate < 0) | (place + size / 2 + rate > 1)
        rate = np.where(out, -rate, rate)
        place = place + rate
        boxes = np.concatenate([place - size / 2, place + size / 2], axis=1)
        truths.append(np.concatenate([boxes, np.arange(num)[:, None]], axis=1))
        seen = boxes + random.normal(0, 0.002, boxes.shape)
        sure = random.uniform(0.75, 1, (num, 1))
        kinds = np.arange(num)[:, None] % 3
        rows = np.concatenate([seen, sure, kinds], axis=1)
        # Rows without a detection have confidence 0, as a detector's have.
        rows[random.random(num) < missed] = 0
        found.append(random.permutation(rows))
    return truths, found


@pytest.mark.parametrize("tracker", trackers.TRACKERS)
@pytest.mark.parametrize("seed", range(3))
def test_moving_objects_are_followed_though_detections_are_missing(tracker, seed):
    truths, found = video(seed=seed)
    assert sum((rows[:, 4] == 0).sum() for rows in found) > 10
    options = dict(max_age=5) if tracker == "sort" else {}
    tracks = interpolated(trackers.TRACKERS[tracker](found, SIDES, **options))
    scores = measured(truths, tracks)
    assert scores["mota"] > 0.95
    assert scores["idf1"] > 0.95
    assert scores["switches"] == 0


def test_a_filter_learns_a_constant_rate():
    belief = kalman.started(np.array([10.0, 20.0, 20.0, 26.0]))
    np.testing.assert_allclose(kalman.box_of(belief), [10, 20, 20, 26])
    for step in range(1, 30):
        belief = kalman.predicted(belief)
        moved = np.array([10.0, 20.0, 20.0, 26.0]) + step * np.array([1, 2, 1, 2])
        belief = kalman.updated(belief, moved)
    np.testing.assert_allclose(kalman.box_of(belief), moved, atol=0.05)
    np.testing.assert_allclose(belief.mean[4:], [2, 1, 0], atol=0.02)
    after = kalman.box_of(kalman.predicted(belief))
    np.testing.assert_allclose(after, moved + np.array([1, 2, 1, 2]), atol=0.1)
    # What is believed is symmetric, and no variance is negative.
    np.testing.assert_allclose(belief.covariance, belief.covariance.T, atol=1e-8)
    assert (np.linalg.eigvalsh(belief.covariance) > 0).all()


def row(left, sure=0.9, kind=0):
    return [0.1, left, 0.3, left + 0.2, sure, kind]


def frames(*each):
    return [np.float64(rows).reshape(-1, 6) for rows in each]


def numbers(tracks):
    return [rows[:, 6].astype(int).tolist() for rows in tracks]


def test_a_track_needs_hits_and_ends_after_misses():
    # The authors' program shows a track by its third detection after the first.
    one = [row(0.1)]
    seen = frames([], [], [], one, one, one, one, [], one, [], [], one, one, one, one)
    assert numbers(sort(seen, SIDES)) == [
        *([], [], [], [], [], [], [1], [], [1]),
        *([], [], [], [], [], [2]),
    ]
    at_once = [[], [], [], [1], [1], [1], [1], [], [1], [], [], [2], [2], [2], [2]]
    assert numbers(sort(seen, SIDES, min_hits=0)) == at_once
    # In the first frames a track shows at once.
    assert numbers(sort(seen[3:5], SIDES)) == [[1], [1]]


def test_a_pair_that_overlaps_too_little_hinders_no_other_in_byte_track():
    shared = np.array([[0.5, 0.45], [0.45, 0.0]])
    assert trackers.assigned(shared, 0.46, limited=True) == [(0, 0)]
    assert trackers.assigned(shared, 0.46) == []
    assert trackers.assigned(shared, 0.4, limited=True) == [(0, 0)]
    assert trackers.assigned(shared, 0.4) == [(0, 1), (1, 0)]
    # Times the confidence, 0.9, the first track overlaps the boxes by 0.48 and 0.39, the second
    # the first box by 0.34.
    seen = frames([row(0.1), row(0.25)], [row(0.16), row(0.02)])
    assert numbers(byte_track(seen, SIDES, overlap=0.4)) == [[1, 2], [1]]


def test_classes_are_not_confused():
    both = frames([row(0.1), row(0.12, kind=1)], [row(0.12, kind=1), row(0.1)])
    tracks = sort(both, SIDES)
    assert [t[np.argsort(t[:, 5]), 6].tolist() for t in tracks] == [[1, 2], [1, 2]]


def test_unsure_detections_keep_tracks_but_begin_none():
    seen = frames([row(0.1)], [row(0.1, 0.3)], [row(0.1, 0.3), row(0.6, 0.3)], [row(0.1)])
    assert numbers(byte_track(seen, SIDES)) == [[1], [1], [1], [1]]
    assert numbers(sort(seen, SIDES)) == [[1], [], [], []]
    # A new track, after the first frame, is shown when it is seen again.
    late = frames([], [row(0.1)], [row(0.1)], [row(0.1)])
    assert numbers(byte_track(late, SIDES)) == [[], [], [1], [1]]
    # Not sure enough to begin a track.
    assert numbers(byte_track(frames([row(0.1, 0.65)], [row(0.1, 0.65)]), SIDES)) == [[], []]


def test_gaps_are_filled_on_a_straight_line():
    def seen(*each):
        return np.float64([[*row(left), number] for left, number in each]).reshape(-1, 7)

    tracks = [
        seen((0.1, 1)),
        seen(),
        seen((0.5, 2)),
        seen((0.4, 1), (0.5, 2)),
        seen(),
        seen((0, 2)),
    ]
    filled = interpolated(tracks, most=2)
    assert numbers(filled) == [[1], [1], [1, 2], [1, 2], [2], [2]]
    np.testing.assert_allclose([filled[i][0, 1] for i in range(4)], [0.1, 0.2, 0.3, 0.4])
    assert numbers(interpolated(tracks, most=1)) == [[1], [], [2], [1, 2], [2], [2]]


def test_numbers_out_of_range_are_refused():
    with pytest.raises(ConfigError, match=r"overlap=1\.5: valid are numbers between 0 and 1"):
        sort([], SIDES, overlap=1.5)
    with pytest.raises(ConfigError, match="max_age=0: valid are 1 or more"):
        sort([], SIDES, max_age=0)
    with pytest.raises(ConfigError, match=r"low=0\.8, high=0\.6"):
        byte_track([], SIDES, low=0.8)


def truth(*each):
    return np.float64([[*row(left)[:4], number] for left, number in each]).reshape(-1, 5)


def track(*each):
    return np.float64([[*row(left), number] for left, number in each]).reshape(-1, 7)


def test_measures_by_hand():
    # Two objects over four frames; the tracks change their numbers after two, one is missed
    # once, and one track is of nothing.
    truths = [truth((0.1, 1), (0.6, 2))] * 4
    tracks = [
        track((0.1, 7), (0.6, 8)),
        track((0.1, 7)),
        track((0.1, 8), (0.6, 7)),
        track((0.1, 8), (0.6, 7), (0.35, 9)),
    ]
    found = measured(truths, tracks)
    counts = {k: found[k] for k in ("objects", "misses", "false_positives", "switches")}
    assert counts == dict(objects=8, misses=1, false_positives=1, switches=2)
    assert found["mota"] == pytest.approx(1 - 4 / 8)
    # Of 1 with 7: 2 frames; 1 with 8: 2; 2 with 8: 1; 2 with 7: 2. The best is 1-8, 2-7.
    assert found["idf1"] == pytest.approx(2 * 4 / (8 + 8))


def test_a_pair_stays_though_another_track_overlaps_more():
    truths = [truth((0.1, 1)), truth((0.14, 1))]
    tracks = [track((0.1, 7)), track((0.1, 7), (0.14, 8))]
    assert measured(truths, tracks)["switches"] == 0


def test_nothing_to_follow_is_nan():
    found = measured([truth()], [track((0.1, 1))])
    assert np.isnan(found["mota"])
    assert found["false_positives"] == 1


@pytest.mark.parametrize("seed", range(3))
def test_measures_are_those_of_motmetrics(seed):
    motmetrics = pytest.importorskip("motmetrics")
    random = np.random.default_rng(seed)
    truths, found = video(num=8, frames=40, missed=0.2, seed=seed)
    tracks = sort(found, SIDES, max_age=1)
    # Some numbers change, so that there are switches.
    for rows in tracks[20:]:
        rows[:, 6] = np.where(random.random(len(rows)) < 0.2, rows[:, 6] + 50, rows[:, 6])
    theirs = motmetrics.MOTAccumulator(auto_id=True)
    for wanted, rows in zip(truths, tracks):
        shared = trackers.overlaps(wanted[:, :4], rows[:, :4])
        distances = np.where(shared >= 0.5, 1 - shared, np.nan)
        theirs.update(wanted[:, 4].astype(int), rows[:, 6].astype(int), distances)
    names = ["mota", "idf1", "num_misses", "num_false_positives", "num_switches"]
    expected = motmetrics.metrics.create().compute(theirs, metrics=names).iloc[0]
    ours = measured(truths, tracks)
    assert ours["switches"] == expected["num_switches"] > 0
    assert ours["misses"] == expected["num_misses"]
    assert ours["false_positives"] == expected["num_false_positives"]
    assert ours["mota"] == pytest.approx(expected["mota"])
    assert ours["idf1"] == pytest.approx(expected["idf1"])
