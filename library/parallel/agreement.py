"""Agreement between the processes of a run, so that all of them take the same branch."""

import jax
import numpy as np
from jax.experimental import multihost_utils

from library.parallel.watchdog import BARRIER, WATCHDOG


def all_processes(true: bool) -> bool:
    """Returns whether the value is true in all processes; waits for all of them."""
    if jax.process_count() == 1:
        return true
    with WATCHDOG.limit("the answers of the other processes", BARRIER):
        return bool(np.all(multihost_utils.process_allgather(np.array(true))))


def broadcast_from_first(true: bool) -> bool:
    """Returns the first process's value: on a shared file system others may see older files."""
    if jax.process_count() == 1:
        return true
    with WATCHDOG.limit("the answer of the first process", BARRIER):
        return bool(multihost_utils.broadcast_one_to_all(np.array(true)))
