"""Translations of the lines of a text file, and drawings of their attention."""

from pathlib import Path
from typing import Any


def translate(
    trained: Any,
    output: str,
    folder: Path,
    *,
    input: str | None,
    seed: int,
    ema: bool,
    sampling_temperature: float = 0.0,
) -> None:
    """Translates each line of the file --input, by the search that the run's task names.

    With --sampling_temperature above 0 it draws translations instead.
    """
    from library.apps import generation, translating
    from library.config import ConfigError

    if not input:
        raise ConfigError("output 'translate' needs --input=FILE, a text file with a text a line")
    texts, names = translating.lines(Path(input).expanduser())
    request = generation.Request(len(texts), seed, ema)
    drawing = translating.Drawing(sampling_temperature) if sampling_temperature else None
    made = translating.translated(trained, request, texts, names, drawing)
    print("\n".join(made.texts))
    print("\n".join(map(str, translating.write(made, folder))))
