"""A detector finds the objects of image files, and a tracker follows those of frames."""

import csv
import io

import jax
import numpy as np
import pytest
from PIL import Image

from library.apps import detections as detected_by
from library.apps import outputs, tracking
from library.apps.outputs.detections import detections
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
    return detector([dict(name="resize", size=SIZE)], kind=2)


def detector(sizing, kind, state=None):
    """Returns a run whose detections are the bright pixels of an image, of the class `kind`."""
    values = families.config("detector")
    values["preprocess"] = dict(
        train=[*values["preprocess"], dict(name="resize", size=SIZE)],
        test=[dict(name="decode", channels=1), *sizing, dict(name="pad_objects", num=3)],
    )
    values["evaluate"] = {}

    def bright(state, batch, key):
        """Detects the bright pixels, each image's own."""
        lit = batch["image"][..., 0] > 0.5
        rows, columns = lit.any(axis=2), lit.any(axis=1)

        def edges(line):
            first, side = jax.numpy.argmax(line, axis=1), np.float32(line.shape[1])
            return first / side, (first + line.sum(axis=1)) / side

        (top, bottom), (left, right) = edges(rows), edges(columns)
        sure = jax.numpy.full(len(lit), 0.9)
        found = jax.numpy.stack([top, left, bottom, right, sure, sure * 0 + kind], axis=-1)
        return jax.numpy.pad(found[:, None], ((0, 0), (0, 2), (0, 0)))

    with pytest.MonkeyPatch.context() as patch:
        families.serve(patch)
        plan = make_plan(values, devices=jax.devices()[:1])
        task = plan.task._replace(outputs={**plan.task.outputs, "detections": bright})
        plan = plan._replace(task=task)
        feed = Feed(plan)
        return Trained(plan, feed, 0, state or stepping.initial_carry(plan, feed).state)


def folder_of_frames(path):
    path.mkdir()
    for step in range(COUNT):
        frame(step).save(path / f"{step:02d}.png")
    return path


def rows_of(folder, name="tracks.csv"):
    return list(csv.DictReader(io.StringIO((folder / name).read_text())))


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
    assert edges == [[4, i, 8, i + 4] for i in range(COUNT)]
    with Image.open(target / "tracks.gif") as drawn:
        # Frames are enlarged so far that the names can be read.
        assert (drawn.n_frames, drawn.size) == (COUNT, (10 * SIZE, 10 * SIZE))


def test_a_video_shows_what_the_animation_shows(trained, tmp_path):
    cv2 = pytest.importorskip("cv2")
    video = tracking.frames([folder_of_frames(tmp_path / "frames")])
    found = tracking.tracked(trained, video, tracker="sort")
    # Frames of 175 x 176: the codec takes even sides only.
    large = found._replace(images=found.images.repeat(11, 1).repeat(11, 2)[:, :175])
    path = tracking.write(large, tmp_path, families.tiny.CLASSES, rate=5, form="mp4")
    assert sorted(x.name for x in tmp_path.iterdir()) == ["frames", "tracks.csv", "tracks.mp4"]
    opened, shown = cv2.VideoCapture(str(path)), []
    assert opened.get(cv2.CAP_PROP_FPS) == 5
    while (read := opened.read())[0]:
        shown.append(read[1])
    assert np.shape(shown) == (COUNT, 176, 176, 3)
    for step, image in enumerate(shown):
        # The codec loses a little: the middle of the square stays bright, what is around it dark.
        assert (image[55:77, 11 * step + 11 : 11 * step + 33] > 128).all()
        assert (image[110:] < 128).all()


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


def test_boxes_are_in_pixels_of_the_file_whatever_the_preprocessing(trained, tmp_path, capsys):
    image = np.zeros((32, 64), np.uint8)
    image[8:16, 8:16] = 250
    Image.fromarray(image).save(tmp_path / "square.png")
    sizing = [dict(name="keep_classes", classes=[2, 0])]
    sizing += [dict(name="letterbox", size=(16, 24)), dict(name="pad", size=(20, 24))]
    padded = detector(sizing, kind=1, state=trained.state)
    files = [tmp_path / "square.png"]
    for each, kind in ((trained, 2), (padded, 0)):
        capsys.readouterr()
        outputs.maker("detections", files=True)(
            each, "detections", tmp_path / "generated", images=files, ema=True
        )
        assert capsys.readouterr().out.startswith(f"square: 1 {families.tiny.CLASSES[kind]}\n")
        (row,) = rows_of(tmp_path / "generated", "detections.csv")
        assert (row["image"], row["class"]) == ("square", families.tiny.CLASSES[kind])
        assert [row[k] for k in ("ymin", "xmin", "ymax", "xmax")] == ["8.0", "8.0", "16.0", "16.0"]
    with Image.open(tmp_path / "generated/square_detections.png") as drawn:
        shown = np.asarray(drawn).astype(int)
    assert shown.shape == (96, 192, 3)
    # A grey image has colour only in frames and names.
    frame = np.ptp(shown[24:48, 24:48], axis=-1) > 0
    assert frame[-1].all()
    assert frame[:, -1].all()
    assert not frame[1:-1, 1:-1].any()


@pytest.mark.parametrize(("batch", "pixels", "held"), [(2, 10**6, 2), (8, 600, 3), (8, 10**6, 5)])
def test_memory_holds_the_images_of_a_batch(trained, tmp_path, monkeypatch, batch, pixels, held):
    """Five files of 256 pixels, of which three have 600 or more together."""
    files, read = [tmp_path / f"{step}.png" for step in range(5)], []
    for step, path in enumerate(files):
        frame(step).save(path)
    decoded = detected_by.tiles.each_decoded

    def noting(*arguments):
        for each in decoded(*arguments):
            read.append(each)
            yield each

    monkeypatch.setattr(detected_by, "BATCH", batch)
    monkeypatch.setattr(detected_by, "MAX_PIXELS", pixels)
    monkeypatch.setattr(detected_by.tiles, "each_decoded", noting)
    found = detected_by.detected(trained, files, confidence=0.5)
    first = next(found)
    assert len(read) == held
    boxes = [each.rows[:, :4] for each in (first, *found)]
    np.testing.assert_allclose(boxes, [[[4, i, 8, i + 4]] for i in range(5)], atol=1e-4)


def test_what_cannot_be_detected_is_refused(trained, tmp_path):
    assert outputs.needed("detections") == "detections"
    with pytest.raises(ConfigError, match="needs --images; --output=overlay"):
        detections(trained, "detections", tmp_path, images=[], ema=True)
    with pytest.raises(ConfigError, match=r"confidence=1.5: valid are numbers between 0 and 1"):
        detections(trained, "detections", tmp_path, images=[tmp_path], ema=True, confidence=1.5)


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
    with pytest.raises(ConfigError, match="unknown --video 'mp5': did you mean 'mp4'"):
        track(trained, "track", tmp_path, images=[tmp_path / "frames"], ema=True, video="mp5")
    with pytest.raises(ConfigError, match="fill=-1: valid are 0"):
        tracking.tracked(trained, video, tracker="sort", fill=-1)
