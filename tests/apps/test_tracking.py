"""Frames of a folder or an animated file go through a detector and a tracker to files."""

import csv
import io

import jax
import numpy as np
import pytest
from PIL import Image

from library.apps import outputs, tracking
from library.apps.outputs.track import track
from library.config import ConfigError
from library.run import stepping
from library.run.feed import Feed
from library.run.recipe import make_plan
from library.run.session import Trained
from tests import families

SIZE, COUNT = 16, 6


def frame(step):
    """Returns a dark image with a bright square that moves by a pixel a step."""
    image = np.zeros((SIZE, SIZE), np.uint8)
    image[4:8, step : step + 4] = 250
    return Image.fromarray(image)


@pytest.fixture(scope="module")
def trained():
    with pytest.MonkeyPatch.context() as patch:
        families.serve(patch)
        return detector()


def detector():
    """Returns a run whose detections are the bright pixels of an image."""
    values = families.config("detector")
    decode = [dict(name="decode", channels=1), dict(name="resize", size=SIZE)]
    values["preprocess"] = dict(
        train=[*values["preprocess"], dict(name="resize", size=SIZE)],
        test=[*decode, dict(name="pad_objects", num=3)],
    )
    values["evaluate"] = {}
    plan = make_plan(values, devices=jax.devices()[:1])

    def bright(state, batch, key):
        """Detects the bright pixels, each image's own."""
        lit = batch["image"][..., 0] > 0.5
        rows, columns = lit.any(axis=2), lit.any(axis=1)

        def edges(line):
            first = np.float32(1 / SIZE) * jax.numpy.argmax(line, axis=1)
            return first, first + line.sum(axis=1) / SIZE

        (top, bottom), (left, right) = edges(rows), edges(columns)
        sure = jax.numpy.full(len(lit), 0.9)
        found = jax.numpy.stack([top, left, bottom, right, sure, sure * 0 + 2], axis=-1)
        return jax.numpy.pad(found[:, None], ((0, 0), (0, 2), (0, 0)))

    task = plan.task._replace(outputs={**plan.task.outputs, "detections": bright})
    plan = plan._replace(task=task)
    feed = Feed(plan)
    state = stepping.initial_carry(plan, feed).state
    return Trained(plan, feed, 0, state)


def folder_of_frames(path):
    path.mkdir()
    for step in range(COUNT):
        frame(step).save(path / f"{step:02d}.png")
    return path


def rows_of(folder):
    return list(csv.DictReader(io.StringIO((folder / "tracks.csv").read_text())))


def test_a_square_is_one_track(trained, tmp_path, capsys):
    video = folder_of_frames(tmp_path / "frames")
    target = tmp_path / "generated"
    track(trained, "track", target, images=[video], ema=True, tracker="sort")
    said = capsys.readouterr().out
    assert said.startswith(f"{COUNT} frames, 1 tracks, ")
    found = rows_of(target)
    assert [int(row["frame"]) for row in found] == list(range(COUNT))
    assert {row["track"] for row in found} == {"1"}
    assert {row["class"] for row in found} == {families.tiny.CLASSES[2]}
    edges = [[float(row[k]) for k in ("ymin", "xmin", "ymax", "xmax")] for row in found]
    expected = [[4 / 16, i / 16, 8 / 16, (i + 4) / 16] for i in range(COUNT)]
    np.testing.assert_allclose(edges, expected, atol=1e-5)
    with Image.open(target / "tracks.gif") as drawn:
        assert (drawn.n_frames, drawn.size) == (COUNT, (SIZE, SIZE))


def test_an_animated_file_is_its_frames(trained, tmp_path):
    first, *rest = (frame(step) for step in range(COUNT))
    first.save(tmp_path / "a.gif", save_all=True, append_images=rest, duration=100)
    ours = tracking.frames([tmp_path / "a.gif"])
    assert [name.removeprefix(str(tmp_path)) for name in ours.names[:2]] == ["/a.gif", "/a.gif[1]"]
    theirs = tracking.frames([folder_of_frames(tmp_path / "frames")])
    a, b = (tracking.tracked(trained, video, tracker="byte_track") for video in (ours, theirs))
    np.testing.assert_array_equal(a.images, b.images)
    for x, y in zip(a.tracks, b.tracks):
        np.testing.assert_array_equal(x, y)


def test_what_cannot_be_tracked_is_refused(trained, tmp_path):
    assert outputs.needed("track") == "detections"
    assert outputs.needed("overlay") == "overlay"
    assert outputs.maker("track", files=True) is outputs.maker("track", files=False)
    with pytest.raises(ConfigError, match="needs --images: a folder of frames"):
        track(trained, "track", tmp_path, images=[], ema=True)
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(ConfigError, match=r"a\.png cannot be read as an image"):
        tracking.frames([tmp_path / "a.png"])
    video = tracking.frames([folder_of_frames(tmp_path / "frames")])
    with pytest.raises(ConfigError, match="unknown tracker 'sorted': did you mean 'sort'"):
        tracking.tracked(trained, video, tracker="sorted")
    with pytest.raises(ConfigError, match="fill=-1: valid are 0"):
        tracking.tracked(trained, video, tracker="sort", fill=-1)
