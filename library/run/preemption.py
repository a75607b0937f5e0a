"""Signals that ask a run to save and stop, see `processes.stopping_signals`.

JAX handles SIGTERM only if `jax.distributed` is initialised. A single process therefore installs
its own handlers. Several processes agree on the step at which they stop.
"""

import contextlib
import itertools
import os
import signal
from collections.abc import Callable, Iterator

import jax
from jax.experimental import multihost_utils

from library.parallel import processes


@contextlib.contextmanager
def watch() -> Iterator[Callable[[], bool]]:
    """Installs the handlers and yields `stop_asked() -> bool`.

    After the first signal `stop_asked` returns true, so that the loop saves and stops. A second
    SIGINT ends the process at once. All processes must call `stop_asked` at the same points of the
    run.
    """
    received: list[int] = []
    asked = itertools.count(1)
    # With several processes JAX's own service handles SIGTERM and informs the others.
    alone = jax.process_count() == 1

    def remember(number, frame):
        if number == signal.SIGINT and signal.SIGINT in received:
            os._exit(1)
        if number == signal.SIGINT:
            # Not print: the signal may have interrupted another print.
            _say(b"\nstopping after this step; interrupt again to quit at once\n")
        if not alone and not received:
            os.kill(os.getpid(), signal.SIGTERM)
        received.append(number)

    watched = [s for s in processes.stopping_signals() if alone or s != signal.SIGTERM]
    previous = {s: signal.signal(s, remember) for s in watched}

    def stop_asked() -> bool:
        if alone:
            return bool(received)
        return multihost_utils.reached_preemption_sync_point(next(asked))

    try:
        yield stop_asked
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _say(line: bytes) -> None:
    # The terminal may be gone.
    with contextlib.suppress(OSError):
        os.write(2, line)
