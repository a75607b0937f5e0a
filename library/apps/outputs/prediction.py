"""Maps of classes: of examples of a split, or of image files of any size, in tiles."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from library.apps.outputs.sample import of_files as _whole
from library.apps.outputs.sample import sample as _drawn


def prediction(
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
    """Paints the maps of examples of a split, by default 16."""
    options = dict(num=num, seed=seed, ema=ema, split=split, class_=class_)
    _drawn(trained, output, folder, **options, save_arrays=save_arrays)


def of_files(
    trained: Any,
    output: str,
    folder: Path,
    *,
    images: Sequence[Path],
    seed: int,
    ema: bool,
    save_arrays: bool,
    tile: int | None = None,
    halo: int | None = None,
) -> None:
    """Paints the maps of image files; with `tile` of files of any size, at their own size.

    Then each file gets two pictures: STEM_prediction.png, whose pixels are the numbers of the
    classes and whose palette shows their colours, and STEM_overlay.png.
    """
    from library.config import ConfigError

    if tile is None:
        if halo is not None:
            raise ConfigError(f"--halo={halo} is the margin of a tile: set --tile, such as 512")
        _whole(trained, output, folder, images=images, seed=seed, ema=ema, save_arrays=save_arrays)
        return
    from library.apps import maps, tiles

    found = tiles.each_decoded(trained, images)
    predicted = tiles.tiler(trained, output, tile=tile, halo=halo, probe="logits", ema=ema)
    for name, image in found:
        for path in maps.write(image, predicted(image), trained.plan.label_names, folder, name):
            print(path)
