"""The most probable classes of examples of a split, or of image files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def probabilities(
    trained: Any,
    output: str,
    folder: Path,
    *,
    split: str | None,
    num: int | None,
    seed: int,
    ema: bool,
) -> None:
    """Predicts the classes of examples that are drawn from a split, by default 16 of "test"."""
    from library.apps import predictions

    examples = predictions.from_split(trained, split or "test", num or 16, seed)
    _predicted(trained, examples, folder, ema)


def of_files(trained: Any, output: str, folder: Path, *, images: Sequence[Path], ema: bool) -> None:
    """Predicts the classes of image files."""
    from library.apps import predictions

    _predicted(trained, predictions.from_files(trained, images), folder, ema)


def _predicted(trained: Any, examples: Any, folder: Path, ema: bool) -> None:
    from library.apps import predictions

    found = predictions.predict(trained, examples, ema=ema)
    for line in predictions.lines(found):
        print(line)
    print(predictions.write(found, folder))
