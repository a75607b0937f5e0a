"""A limit on every wait for other processes: a process that waits longer leaves and ends the run.

JAX's heartbeats notice a process that died. They do not notice a process that lives and does not
come, because a file system or a library blocks it.
"""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator

import jax

# Seconds for a barrier, save or restore, and for a step, which waits for the slowest data.
BARRIER, STEP = 900, 3600
_INTERVAL = 1.0


class Watchdog:
    """Ends this process when something that it waits for takes too long."""

    def __init__(self):
        self._waiting: tuple[str, float, float] | None = None
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def limit(self, what: str, seconds: float) -> Iterator[None]:
        """Limits the seconds of the `with` block; a single process has no limit.

        Args:
          what: what the process waits for, for the message.
          seconds: the limit; then the process prints the message and exits with 1.
        """
        if jax.process_count() == 1:
            yield
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, daemon=True, name="watchdog")
            self._thread.start()
        outer, self._waiting = self._waiting, (what, seconds, time.monotonic() + seconds)
        try:
            yield
        finally:
            self._waiting = outer

    def _watch(self) -> None:
        while True:
            time.sleep(_INTERVAL)
            waiting = self._waiting
            if waiting and time.monotonic() > waiting[2]:
                with contextlib.suppress(OSError):
                    print(
                        f"error: process {jax.process_index()} of {jax.process_count()} waited "
                        f"{waiting[1]:.0f} s for {waiting[0]}; another one is stuck",
                        file=sys.stderr,
                        flush=True,
                    )
                os._exit(1)


WATCHDOG = Watchdog()
