"""Joins the processes of one run; a program calls `connect` first.

A launcher names the processes in the environment, and JAX's own service connects them. Under Slurm
and on a TPU pod JAX finds the other processes itself.
"""

import contextlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from library.config import ConfigError

# Seconds: until all processes have come, until a silent one counts as dead, and until all have
# left. The second bounds how long the others outlive one that failed. The last one to leave draws
# the report first, which on a busy machine takes minutes.
INITIALIZATION, HEARTBEAT, SHUTDOWN = 300, 30, 900
# Seconds that JAX's service goes on after all have left.
LINGER = 2
COORDINATOR, COUNT, PLACE = (
    "COMPENDIUM_COORDINATOR",
    "COMPENDIUM_PROCESSES",
    "COMPENDIUM_PROCESS",
)
CLUSTER = "COMPENDIUM_CLUSTER"
# The exit code of a program that was asked to stop and has saved, EX_TEMPFAIL of sysexits.h. The
# same command resumes it.
STOPPED = 75
# Signals of a scheduler, a keyboard, a closed terminal or connection, or a time limit.
_STOPPING = ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU")
CLUSTERS = ("slurm", "cloud_tpu")


def connect(environment: Mapping[str, str] | None = None) -> None:
    """Joins this process to the others of its run; does nothing if there are no others.

    It reads COMPENDIUM_COORDINATOR (host:port of process 0), COMPENDIUM_PROCESSES and
    COMPENDIUM_PROCESS, or COMPENDIUM_CLUSTER, a scheduler that JAX asks.

    Raises:
      ConfigError: some of the variables are missing, or a value is invalid.
    """
    environment = os.environ if environment is None else environment
    arguments = _arguments(environment)
    if arguments is None:
        return
    import jax

    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(
        **arguments,
        initialization_timeout=INITIALIZATION,
        heartbeat_timeout_seconds=HEARTBEAT,
        shutdown_timeout_seconds=SHUTDOWN,
    )
    _linger(LINGER)


def _linger(seconds: float) -> None:
    """Lets the service, which process 0 holds, outlive the leave of all processes.

    Once all have left, JAX ends the service at once. A process that still listens to it takes that
    for a failure and aborts, after a run that has finished.
    """
    from jax._src import distributed

    service = distributed.global_state.service
    if service is not None:
        distributed.global_state.service = _Lingering(service, seconds)


class _Lingering(NamedTuple):
    service: Any
    seconds: float

    def shutdown(self) -> None:
        time.sleep(self.seconds)
        self.service.shutdown()


def stopping_signals() -> tuple[signal.Signals, ...]:
    """Returns the signals that ask this program to leave.

    It leaves out signals that are ignored, as under nohup and in a shell's background jobs, and
    signals that another library handles.
    """
    known = [signal.Signals[name] for name in _STOPPING if hasattr(signal, name)]
    return tuple(n for n in known if signal.getsignal(n) not in (signal.SIG_IGN, None))


def abandon_unless(ended: BaseException, codes: Collection[int | None]) -> None:
    """Exits at once if this process failed and its run has other processes.

    Otherwise it would wait for the others, and they for it, in barriers of checkpoints and of JAX's
    shutdown. After its exit, all of them end.

    Args:
      ended: how the program ended; it is shown unless it is a SystemExit.
      codes: the exit codes that all processes reach together.
    """
    code = ended.code if isinstance(ended, SystemExit) else 1
    if code in codes or not _joined():
        return
    # The terminal may be gone; the process must exit all the same.
    with contextlib.suppress(OSError):
        if not isinstance(ended, SystemExit):
            traceback.print_exception(ended)
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 1)


def leave() -> None:
    """Takes leave of the other processes of the run, if there are any, once all have come so far.

    JAX does so itself when the interpreter ends, unless the program ends before that.
    """
    if _joined():
        sys.modules["jax"].distributed.shutdown()


def _joined() -> bool:
    jax = sys.modules.get("jax")
    return jax is not None and jax.distributed.is_initialized()


def _arguments(environment: Mapping[str, str]) -> dict | None:
    cluster = environment.get(CLUSTER)
    if cluster is not None:
        if cluster not in CLUSTERS:
            raise ConfigError(f"{CLUSTER}={cluster!r}: valid are {', '.join(CLUSTERS)}")
        return {"cluster_detection_method": cluster}
    named = {name: environment.get(name) for name in (COORDINATOR, COUNT, PLACE)}
    if not any(named.values()):
        return None
    missing = [name for name, value in named.items() if not value]
    if missing:
        raise ConfigError(f"{', '.join(missing)}: not set, but other variables of the launcher are")
    count, place = (_number(name, named[name]) for name in (COUNT, PLACE))
    if not 0 <= place < count:
        raise ConfigError(f"{PLACE}={place}: valid are 0 to {count - 1}, one below {COUNT}")
    return {
        "coordinator_address": named[COORDINATOR],
        "num_processes": count,
        "process_id": place,
    }


def _number(name: str, text: str) -> int:
    if not text.isdigit():
        raise ConfigError(f"{name}={text!r} is not a whole number from 0")
    return int(text)
