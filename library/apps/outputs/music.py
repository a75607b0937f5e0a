"""Music of a system that composes: MIDI files and a picture of their piano rolls."""

from pathlib import Path
from typing import Any


def music(
    trained: Any,
    output: str,
    folder: Path,
    *,
    num: int | None,
    seed: int,
    ema: bool,
    split: str | None,
    frames_per_minute: int = 240,
) -> None:
    """Composes pieces, by default 4; with --split it arranges the examples of a split.

    What an arrangement keeps of an example is a setting of the run's task.
    """
    from library.apps import generation
    from library.apps import music as composed

    found = composed.made(trained, generation.Request(num or 4, seed, ema), split)
    name = "music" if split is None else "arrangement"
    for path in composed.write(found, folder, name, frames_per_minute):
        print(path)
