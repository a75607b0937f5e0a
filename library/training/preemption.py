"""Signals that ask a run to stop: SIGTERM from a scheduler, SIGINT from a keyboard.

JAX serves SIGTERM only where `jax.distributed` is initialised, so a single process installs its
own handlers; several processes agree on the step at which they stop.
"""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator

import jax
from jax.experimental import multihost_utils


@contextlib.contextmanager
def watch() -> Iterator[Callable[[int], bool]]:
    """Installs the handlers and yields `stop_asked(count) -> bool`.

    The first signal is remembered, so that the loop saves and leaves; a second SIGINT ends the
    process at once. `count` goes up by one from asking to asking, and is the same on all processes.
    """
    received: list[int] = []

    def remember(number, frame):
        if number == signal.SIGINT and signal.SIGINT in received:
            os._exit(1)
        if number == signal.SIGINT:
            # Not print: the signal may have come in the middle of another one.
            os.write(2, b"\nstopping after this step; interrupt again to quit at once\n")
        received.append(number)

    watched = (signal.SIGTERM, signal.SIGINT)
    # With several processes JAX's own service handles SIGTERM, and tells the others.
    alone = jax.process_count() == 1
    previous = {s: signal.signal(s, remember) for s in watched if alone or s == signal.SIGINT}

    def stop_asked(count: int) -> bool:
        if alone:
            return bool(received)
        return multihost_utils.reached_preemption_sync_point(count)

    try:
        yield stop_asked
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
