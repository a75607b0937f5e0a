"""A trace of some steps, for XProf, TensorBoard and Perfetto."""

import re
from pathlib import Path
from typing import Any, NamedTuple

import jax

from library.config import ConfigError

FOLDER = "profile"


class Span(NamedTuple):
    """The steps to trace: from `start` up to, but without, `stop`."""

    start: int
    stop: int


def read_span(text: str) -> Span:
    """Reads "START:STOP", steps counted from 1.

    Raises:
      ConfigError: the text has another form, or names no step.
    """
    found = re.fullmatch(r"(\d+):(\d+)", text)
    if not found or not 0 < int(found[1]) < int(found[2]):
        raise ConfigError(f"--profile={text!r}: valid is START:STOP, such as 10:15, with 0 < START")
    return Span(int(found[1]), int(found[2]))


class Profiler:
    """Traces the steps of a span into `profile/` of a workdir, in the first process only."""

    def __init__(self, span: Span | None, workdir: Path):
        """Stores the span; without a span nothing is traced."""
        self._span, self._traces = span, jax.process_index() == 0
        self._folder, self._running = Path(workdir) / FOLDER, False

    @property
    def bounds(self) -> tuple[int, ...]:
        """The steps after which tracing starts or stops."""
        return (self._span.start - 1, self._span.stop - 1) if self._span else ()

    def before(self, step: int) -> None:
        """Starts the trace if the step is the first of the span."""
        if self._span and self._traces and step == self._span.start:
            jax.profiler.start_trace(str(self._folder), create_perfetto_trace=True)
            self._running = True

    def after(self, step: int, made: Any) -> None:
        """Stops the trace if the step is the last of the span, once its result `made` is ready."""
        if self._span and step == self._span.stop - 1:
            self.close(made)

    def close(self, made: Any = ()) -> None:
        """Stops a running trace, once `made` is ready."""
        if self._running:
            jax.block_until_ready(made)
            self._running = False
            jax.profiler.stop_trace()
