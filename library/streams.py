"""Streams that outlive what they write to."""

import contextlib
import os
from typing import Any, TextIO


class Lasting:
    """A text stream that outlives what it writes to: a terminal, a pipe, a file on a full disk.

    Once that is gone, what is written is dropped, and so is what others write to it.

    Attributes:
      lost: why, once it is gone.
    """

    def __init__(self, stream: TextIO):
        self._stream = stream
        self.lost: OSError | None = None

    def write(self, text: str) -> int:
        """Writes a text as far as there is somebody to read it."""
        if self.lost is None:
            try:
                return self._stream.write(text)
            except OSError as error:
                self._lose(error)
        return len(text)

    def flush(self) -> None:
        """Hands over what is written."""
        if self.lost is None:
            try:
                self._stream.flush()
            except OSError as error:
                self._lose(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _lose(self, error: OSError) -> None:
        self.lost = error
        # What is left in buffers goes somewhere, or the program would end with an error.
        with contextlib.suppress(OSError, ValueError):
            number = self._stream.fileno()
            numbers = {n for n in (1, 2) if os.path.sameopenfile(n, number)} | {number}
            nowhere = os.open(os.devnull, os.O_WRONLY)
            for each in numbers:
                os.dup2(nowhere, each)
            os.close(nowhere)
