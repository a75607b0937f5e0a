"""The simulated scans, their mirror images, and the motion between them by matching."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.data.augmentation.scans import mirror_scans
from library.data.builders import lidar_rooms
from library.data.builders.lidar_rooms import Motion
from library.evaluation import scan_matching

SQUARE = lidar_rooms._rectangle(np.zeros(2), np.array([10.0, 6.0]), 0.0)


def test_a_scan_of_a_rectangle_by_hand():
    seen = lidar_rooms.scan(SQUARE, np.array([1.0, 0.0, 0.0]))
    np.testing.assert_allclose(seen[[0, 90, 180, 270]], [4, 3, 6, 3])
    np.testing.assert_allclose(seen[30], 4 / np.cos(np.deg2rad(30)))
    turned = lidar_rooms.scan(SQUARE, np.array([1.0, 0.0, np.pi / 2]))
    np.testing.assert_allclose(turned, np.roll(seen, -90))
    assert (lidar_rooms.scan(SQUARE + 1000, np.zeros(3)) == lidar_rooms.MAX_RANGE).any()


@pytest.mark.parametrize("yaw_rate", [0.0, 40.0, -90.0])
def test_a_motion_follows_its_arc(yaw_rate):
    pose, parts = np.zeros(3), 2000
    for _ in range(parts):
        step = np.array([36 / 3.6 / parts, 0, np.deg2rad(yaw_rate) / parts])
        pose = lidar_rooms.composed(pose, step)
    np.testing.assert_allclose(lidar_rooms.moved(Motion(36.0, yaw_rate), 1.0), pose, atol=0.01)


def test_pairs_are_within_rooms_and_the_same_each_time():
    scans, motion = lidar_rooms.pair(np.random.RandomState([0, 3]))
    again, same = lidar_rooms.pair(np.random.RandomState([0, 3]))
    np.testing.assert_array_equal(again, scans)
    assert same == motion
    assert scans.shape == (360, 2)
    assert scans.min() > 0.9
    assert 0 <= motion.speed <= 50
    assert abs(motion.yaw_rate) <= 60


def test_matching_recovers_the_motion_within_the_noise():
    errors = []
    for row in range(20):
        scans, motion = lidar_rooms.pair(np.random.RandomState([5, row]))
        found = scan_matching.motion(scans.astype(np.float64), 0.1, lidar_rooms.MAX_RANGE)
        errors.append(np.abs(np.subtract(found, motion)))
    speed, yaw_rate = np.mean(errors, axis=0)
    assert speed < 0.3
    assert yaw_rate < 0.5


def test_scans_that_met_nothing_give_no_motion():
    far = np.full(360, 30.0)
    np.testing.assert_array_equal(scan_matching.matched(far, far, 30.0), 0)


def test_a_mirrored_pair_is_that_of_the_mirrored_motion():
    motion = Motion(30.0, 50.0)
    pose = lidar_rooms.moved(motion)
    scans = np.stack([lidar_rooms.scan(SQUARE, p) for p in (np.zeros(3), pose)], -1)[None]
    pose = lidar_rooms.moved(motion._replace(yaw_rate=-50.0))
    expected = np.stack([lidar_rooms.scan(SQUARE, p) for p in (np.zeros(3), pose)], -1)[None]
    batch = {"scans": jnp.asarray(scans), "target": jnp.asarray([motion])}
    keys = jax.random.split(jax.random.key(0), 1)
    found = mirror_scans(probability=1.0)(batch, keys)
    np.testing.assert_allclose(found["scans"], expected, rtol=1e-5)
    np.testing.assert_array_equal(found["target"], [[30.0, -50.0]])
    same = mirror_scans(probability=0.0)(batch, keys)
    np.testing.assert_array_equal(same["scans"], batch["scans"])
    np.testing.assert_array_equal(same["target"], batch["target"])
