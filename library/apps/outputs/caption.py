"""Sentences about the images of a split."""

from pathlib import Path
from typing import Any


def caption(
    trained: Any,
    output: str,
    folder: Path,
    *,
    num: int | None,
    seed: int,
    ema: bool,
    split: str | None,
) -> None:
    """Describes images of a split, by default 16 of "test"."""
    from library.apps import captions, generation

    request = generation.Request(num or 16, seed, ema)
    made = captions.captioned(trained, request, output, split or "test")
    print("\n".join(made.texts))
    print("\n".join(map(str, captions.write(made, folder, output))))
