"""Tracks of the objects that a detector finds in the frames of a video."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

# The task's output that this one is made from.
READS = "detections"


def track(
    trained: Any,
    output: str,
    folder: Path,
    *,
    images: Sequence[Path],
    ema: bool,
    tracker: str = "byte_track",
    fill: int = 20,
    rate: int = 10,
    video: str = "gif",
) -> None:
    """Tracks objects through image files, a folder of frames, or an animated file.

    `video` is the format of the animation, "gif" or "mp4".
    """
    from library.apps import detections, tracking
    from library.config import ConfigError, check_choice

    if not images:
        raise ConfigError("--output=track needs --images: a folder of frames or an animated file")
    if rate < 1:
        raise ConfigError(f"--rate={rate}: valid are 1 frame a second or more")
    check_choice("--video", video, tracking.FORMS)
    found = tracking.tracked(trained, tracking.frames(images), tracker=tracker, fill=fill, ema=ema)
    numbers = {int(row[6]) for rows in found.tracks for row in rows}
    print(
        f"{len(found.names)} frames, {len(numbers)} tracks, {found.rate:.1f} frames a second from "
        "decoded frames to tracks"
    )
    names = detections.names_of_classes(trained)
    print(tracking.write(found, folder, names, rate, video))
