"""The objects of image files: where they are, of which classes, and how sure the detector is."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def detections(
    trained: Any,
    output: str,
    folder: Path,
    *,
    images: Sequence[Path],
    ema: bool,
    confidence: float = 0.25,
) -> None:
    """Finds the objects of image files: a table of boxes in pixels, and a picture of each file."""
    from library.apps import detections as found_by
    from library.config import ConfigError

    if not images:
        raise ConfigError(
            "--output=detections needs --images; --output=overlay --split=test shows the objects "
            "of examples"
        )
    found = found_by.detected(trained, images, confidence=confidence, ema=ema)
    found_by.write(found, folder, found_by.names_of_classes(trained))
