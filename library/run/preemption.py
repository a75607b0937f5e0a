"""Signals that ask a run to stop, see `processes.stopping_signals`: it saves and leaves.

JAX serves SIGTERM only where `jax.distributed` is initialised, so a single process installs its
own handlers; several processes agree on the moment at which they stop.
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

    The first signal is remembered, so that the loop saves and leaves; a second SIGINT ends the
    process at once. All processes ask `stop_asked` at the same moments of the run, each as often.
    """
    received: list[int] = []
    asked = itertools.count(1)
    # With several processes JAX's own service handles SIGTERM, and tells the others.
    alone = jax.process_count() == 1

    def remember(number, frame):
        if number == signal.SIGINT and signal.SIGINT in received:
            os._exit(1)
        if number == signal.SIGINT:
            # Not print: the signal may have come in the middle of another one.
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
    # The terminal may be what has gone.
    with contextlib.suppress(OSError):
        os.write(2, line)
