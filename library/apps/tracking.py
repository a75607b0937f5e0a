"""Tracks of objects through the frames of a video, by any detector and a tracker."""

import csv
import io
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from PIL import Image, ImageSequence, UnidentifiedImageError

from library import files, painting
from library.apps import detections, predictions
from library.config import ConfigError, check_choice
from library.data import folder
from library.object_tracking import trackers
from library.run.session import Trained

_COLUMNS = ("frame", "track", "class", "confidence", "ymin", "xmin", "ymax", "xmax")
_COLOURS = 24


class Frames(NamedTuple):
    """The frames of a video, as encoded images, in their order; and a name of each."""

    contents: list[bytes]
    names: list[str]

    def __len__(self) -> int:
        return len(self.contents)


class Tracked(NamedTuple):
    """The tracks of a video of n frames.

    Attributes:
      images: the frames as the network sees them, uint8 (n, h, w, c).
      names: a name of each frame.
      tracks: the tracks of each frame, (m, 7): ymin, xmin, ymax, xmax as fractions of the image,
        confidence, class, and number.
      boxes: the same boxes, (m, 4), in pixels of the frame's file.
      rate: frames a second, from decoded frames to tracks.
    """

    images: np.ndarray
    names: list[str]
    tracks: list[np.ndarray]
    boxes: list[np.ndarray]
    rate: float


def frames(paths: Sequence[Path], warn: Callable[[str], None] = print) -> Frames:
    """Reads the frames of a video: image files, folders of them, or animated files such as GIFs.

    Args:
      paths: the files and folders, in order; files of a folder are ordered by name.
      warn: shows a line on files of a folder that are skipped.

    Raises:
      ConfigError: a file does not exist or is not an image.
    """
    found, notes = folder.image_files(paths)
    for note in notes:
        warn(note)
    contents, names = [], []
    for path in found:
        for number, content in enumerate(_frames_of(path)):
            contents.append(content)
            names.append(f"{path}" if number == 0 else f"{path}[{number}]")
    return Frames(contents, names)


def _frames_of(path: Path) -> list[bytes]:
    try:
        content = path.read_bytes()
        with Image.open(io.BytesIO(content)) as image:
            if getattr(image, "n_frames", 1) == 1:
                return [content]
            found = []
            for each in ImageSequence.Iterator(image):
                file = io.BytesIO()
                each.convert("RGB").save(file, "PNG")
                found.append(file.getvalue())
            return found
    except (OSError, UnidentifiedImageError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read as an image: {error}") from error


def tracked(
    trained: Trained, video: Frames, *, tracker: str, fill: int = 20, ema: bool = True
) -> Tracked:
    """Detects the objects of all frames, and follows them from frame to frame.

    Args:
      trained: a run whose task has the output "detections".
      video: the frames.
      tracker: the name of a tracker, one of `trackers.TRACKERS`.
      fill: the most frames of a gap of a track that is filled by boxes between its ends.
      ema: whether to use the running averages if the run has them.

    Raises:
      ConfigError: there is no such tracker, `fill` is negative, a frame cannot be used, or the
        preprocessing leaves out the middle of a frame.
    """
    check_choice("tracker", tracker, trackers.TRACKERS)
    if fill < 0:
        raise ConfigError(f"fill={fill}: valid are 0, for no filled gaps, and more frames")
    name = detections.image_input(trained)
    records = [detections.record(trained, content) for content in video.contents]
    examples = predictions.from_records(trained, records, video.names, [name])
    compute = detections.computed(trained, ema)
    # The first batch compiles, which the rate leaves out.
    compute(examples.loaded[: detections.BATCH * trained.plan.strategy.batch_shards])
    started = time.perf_counter()
    rows = compute(examples.loaded)
    images = np.stack([example[name] for example in examples.loaded])
    made = trackers.TRACKERS[tracker](rows, images.shape[1:3])
    made = trackers.interpolated(made, fill)
    rate = len(video) / max(time.perf_counter() - started, 1e-9)
    boxes = [
        detections.in_file(rows[:, :4], detections.middle(trained, *each), _sides(content))
        for rows, content, *each in zip(made, video.contents, video.names, examples.loaded)
    ]
    return Tracked(images, video.names, made, boxes, rate)


def _sides(content: bytes) -> tuple[int, int]:
    """Returns the height and width of an encoded image, turned upright."""
    with Image.open(io.BytesIO(content)) as picture:
        return folder.upright_size(picture)[::-1]


def write(
    found: Tracked, target: Path, label_names: Sequence[str], rate: int, form: str = "gif"
) -> Path:
    """Writes tracks.csv and the animation tracks.gif or tracks.mp4; returns the latter's path.

    Only the first of several processes writes.

    Args:
      found: the tracks.
      target: the folder of the files.
      label_names: the names of the classes.
      rate: frames a second of the animation.
      form: one of FORMS.

    Raises:
      ConfigError: OpenCV cannot write MP4 here.
    """
    path = target / f"tracks.{form}"
    if jax.process_index():
        return path
    target.mkdir(exist_ok=True)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(_COLUMNS)
    for frame, (rows, boxes) in enumerate(zip(found.tracks, found.boxes)):
        for (*_, confidence, kind, number), box in zip(rows, boxes):
            edges = [f"{edge:.1f}" for edge in box]
            known = [frame, int(number), label_names[int(kind)], f"{confidence:.4f}"]
            table.writerow([*known, *edges])
    files.write(target / "tracks.csv", text.getvalue())
    drawn = (_drawn(*each, label_names) for each in zip(found.images, found.tracks))
    FORMS[form](drawn, path, rate)
    return path


def _write_gif(drawn: Iterable[Image.Image], path: Path, rate: int) -> None:
    first, *others = drawn
    options = dict(save_all=True, append_images=others, duration=round(1000 / rate), loop=0)
    with files.replacing(path) as partial, partial.open("wb") as file:
        first.save(file, "GIF", **options)


def _write_mp4(drawn: Iterable[Image.Image], path: Path, rate: int) -> None:
    """Writes a video by the codec VP9, which browsers show and which needs even sides."""
    import cv2

    with tempfile.TemporaryDirectory() as folder:
        made, writer = Path(folder, path.name), None
        for picture in drawn:
            frame = np.asarray(picture)[..., ::-1]
            odd = [(0, side % 2) for side in frame.shape[:2]]
            frame = np.ascontiguousarray(np.pad(frame, (*odd, (0, 0)), mode="edge"))
            if writer is None:
                codec, size = cv2.VideoWriter_fourcc(*"vp09"), frame.shape[1::-1]
                writer = cv2.VideoWriter(str(made), codec, rate, size)
                if not writer.isOpened():
                    raise ConfigError("OpenCV cannot write MP4 on this machine: use --video=gif")
            writer.write(frame)
        writer.release()
        files.write(path, made.read_bytes())


FORMS = {"gif": _write_gif, "mp4": _write_mp4}


def _drawn(image: np.ndarray, rows: np.ndarray, label_names: Sequence[str]) -> Image.Image:
    """Returns a frame with a box and a number for each track."""
    colours = painting.colours(_COLOURS + 1)[1:]
    own = [colours[int(number) % _COLOURS] for number in rows[:, 6]]
    texts = [f"{int(number)} {label_names[int(kind)]}" for kind, number in rows[:, 5:]]
    return detections.drawn(image, rows[:, :4] * np.tile(image.shape[:2], 2), texts, own)
