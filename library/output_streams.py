"""Text streams that survive the loss of their terminal, pipe or disk."""

import contextlib
import os
from typing import Any, TextIO


class FaultTolerantStream:
    """A text stream that survives the loss of its terminal, pipe or disk.

    After the first failed write, all later text is dropped, also text that others write to the
    same file descriptor.

    Attributes:
      lost: the error of the first failed write; None before it.
    """

    def __init__(self, stream: TextIO):
        self._stream = stream
        self.lost: OSError | None = None

    def write(self, text: str) -> int:
        """Writes a text, or drops it once the stream is lost; returns the number of characters."""
        if self.lost is None:
            try:
                return self._stream.write(text)
            except OSError as error:
                self._lose(error)
        return len(text)

    def flush(self) -> None:
        """Flushes the stream unless it is lost."""
        if self.lost is None:
            try:
                self._stream.flush()
            except OSError as error:
                self._lose(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _lose(self, error: OSError) -> None:
        self.lost = error
        # Buffered text must go somewhere, or the program would end with an error.
        with contextlib.suppress(OSError, ValueError):
            number = self._stream.fileno()
            numbers = {n for n in (1, 2) if os.path.sameopenfile(n, number)} | {number}
            nowhere = os.open(os.devnull, os.O_WRONLY)
            for each in numbers:
                os.dup2(nowhere, each)
            os.close(nowhere)
