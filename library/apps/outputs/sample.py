"""Images that a system makes from noise, from examples of a split, or from image files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def sample(
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
    """Makes images, by default 16, of one class or of all in turn, or from examples of a split."""
    from library.apps import generation

    request = generation.Request(num or 16, seed, ema)
    made = generation.images(trained, request, output=output, split=split, label=class_)
    name = output if class_ is None else f"{output}_{class_}"
    print(generation.write_images(made, folder, name, save_arrays=save_arrays))


def of_files(
    trained: Any,
    output: str,
    folder: Path,
    *,
    images: Sequence[Path],
    seed: int,
    ema: bool,
    save_arrays: bool,
) -> None:
    """Makes images from image files, such as their maps or reconstructions."""
    from library.apps import generation, predictions

    examples = predictions.from_files(trained, images)
    request = generation.Request(len(examples.loaded), seed, ema)
    made = generation.images_of(trained, request, examples.loaded, output=output)
    print(generation.write_images(made, folder, f"{output}_of_files", save_arrays=save_arrays))
