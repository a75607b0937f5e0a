"""Restored images: of examples of a split, or of photographs of any size, in tiles."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from library.apps.outputs.sample import sample as _drawn


def restored(
    trained: Any,
    output: str,
    folder: Path,
    *,
    num: int | None,
    seed: int,
    ema: bool,
    split: str | None,
    class_: str | None,
    save_arrays: bool,
) -> None:
    """Restores the damaged images of examples of a split, by default 16."""
    options = dict(num=num, seed=seed, ema=ema, split=split, class_=class_)
    _drawn(trained, output, folder, **options, save_arrays=save_arrays)


def of_files(
    trained: Any,
    output: str,
    folder: Path,
    *,
    images: Sequence[Path],
    ema: bool,
    tile: int | None = None,
    halo: int | None = None,
) -> None:
    """Enlarges or cleans photographs of any size, in tiles of 256 pixels: STEM_restored.png each.

    The photographs count as damaged already.
    """
    from library.apps import photographs, tiles

    found = tiles.each_decoded(trained, images)
    restore = photographs.restorer(trained, tile=tile or 256, halo=halo, ema=ema)
    for name, image in found:
        print(photographs.write(restore(image), folder, f"{name}_restored"))
