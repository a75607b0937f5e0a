"""Ownership of a workdir: only one run at a time writes to it. `owner.json` names the owner.

The modification time of the file is the owner's heartbeat. A second start in the same workdir would
drop rows and checkpoints of the first one, and so is an error while the first one runs. If the
owner is dead, the next run takes the workdir: at once on the same system, where it can see the
death, and elsewhere after `STALE` seconds without a heartbeat.
"""

import contextlib
import fcntl
import json
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from library.config import ConfigError
from library.parallel.watchdog import BARRIER, WATCHDOG

NAME = "owner.json"
# Seconds: between heartbeats; without a heartbeat until an owner on another system counts as dead;
# between two looks at the file.
HEARTBEAT, STALE, _LOOK = 20.0, 180.0, 1.0
# Bytes of an error message as JSON: it has a path of up to 4096 bytes, each up to six as an escape.
_LONGEST = 2**15


@contextlib.contextmanager
def owning(workdir: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Owns a workdir while the context is open; creates the directory if it does not exist.

    The first of several processes owns it for all. If another run takes the workdir meanwhile, the
    process exits at once with code 1 and writes nothing.

    Args:
      workdir: the directory of the run.
      say: shows a line before a wait for an owner that may be dead.

    Raises:
      ConfigError: another run owns the workdir, or it cannot be written.
    """
    owner = _Owner(Path(workdir)) if jax.process_index() == 0 else None
    waited = 0.0
    try:
        while True:
            left, refusal = _shared(owner.claim) if owner else _shared(None)
            if refusal:
                raise ConfigError(refusal)
            if left <= 0:
                break
            if not waited:
                say(f"{workdir}: waits up to {left:.0f} s for the run that may still own it")
            waited += _LOOK
            time.sleep(_LOOK)
        if owner:
            owner.keep()
        yield
    finally:
        if owner:
            owner.release()


class _Owner:
    """This process as the owner of a workdir."""

    def __init__(self, workdir: Path):
        self._workdir, self._path = workdir, workdir / NAME
        self._record = {**_this_process(), "token": secrets.token_hex(8)}
        self._ended = threading.Event()
        # An owner on another system as first seen, its age in seconds, and the time of that look.
        self._seen: tuple[Any, float, float] | None = None

    def claim(self) -> tuple[float, str]:
        """Takes the workdir if it has no owner or its owner is dead.

        Returns:
          The seconds until the present owner counts as dead, or 0; and the error message, or "".
        """
        try:
            self._workdir.mkdir(parents=True, exist_ok=True)
            try:
                return self._try()
            except FileNotFoundError:
                # The present owner has just given it up.
                return _LOOK, ""
        except FileExistsError:
            return 0, f"workdir {self._workdir} is a file; name a directory"
        except OSError as error:
            return 0, f"workdir {self._workdir} cannot be written: {error.strerror}"

    def keep(self) -> None:
        """Starts the heartbeat, which runs until `release`."""
        threading.Thread(target=self._beat, daemon=True, name="heartbeat").start()

    def release(self) -> None:
        """Gives up the workdir if this process owns it."""
        self._ended.set()
        with contextlib.suppress(OSError):
            if _read(self._path) == self._record:
                self._path.unlink()

    def _try(self) -> tuple[float, str]:
        content = json.dumps(self._record).encode()
        try:
            number = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            return self._follow(content)
        with os.fdopen(number, "wb") as file:
            self._write(file, content)
        return 0, ""

    def _write(self, file: IO[bytes], content: bytes) -> None:
        try:
            file.write(content)
            file.flush()
        except OSError:
            # Half a file would name an unknown owner.
            self._path.unlink(missing_ok=True)
            raise

    def _follow(self, content: bytes) -> tuple[float, str]:
        """Replaces a dead owner, or returns the seconds until it counts as dead."""
        found, changed = _read(self._path), self._path.stat().st_mtime_ns
        left = self._seconds_left(found, changed)
        if left == 0:
            return self._replace(found, content)
        beaten = self._seen is not None and self._seen[0] != (found, changed)
        if left is None or beaten:
            host, pid = found.get("host", "another host"), found.get("pid", "unknown")
            return 0, (
                f"workdir {self._workdir} belongs to a run in progress, process {pid} on {host}; "
                "wait for its end, or name another workdir"
            )
        return left, ""

    def _seconds_left(self, found: dict[str, Any], changed: int) -> float | None:
        """Returns the seconds until an owner counts as dead; None if it certainly runs."""
        known = isinstance(found.get("pid"), int) and "started" in found
        if known and found.get("place") == self._record["place"]:
            return None if _lives(found["pid"], found["started"]) else 0
        if self._seen is None:
            # The age comes from the file system's clock, which may have changed meanwhile. So wait
            # for at least two heartbeats in any case.
            age = max((_clock(self._workdir) - changed) / 1e9, 0)
            self._seen = ((found, changed), age, time.monotonic())
        watched = time.monotonic() - self._seen[2]
        return max(STALE - self._seen[1] - watched, 2 * HEARTBEAT - watched, 0)

    def _replace(self, found: dict[str, Any], content: bytes) -> tuple[float, str]:
        """Writes this owner over a dead one, unless another process was faster."""
        with self._path.open("r+b") as file:
            # The lock ends with the process. Without locks in the file system, the check of the
            # content below decides.
            with contextlib.suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX)
            if _parse(file.read()) != found:
                return _LOOK, ""
            file.seek(0)
            file.truncate()
            self._write(file, content)
        time.sleep(0 if found.get("place") == self._record["place"] else _LOOK)
        return (0, "") if _read(self._path) == self._record else (_LOOK, "")

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT):
            try:
                found = _read(self._path)
                if found == self._record:
                    os.utime(self._path)
                    continue
            except OSError:
                # A user removed the file, or the file system is away; the next beat tries again.
                found = None
            if found and not self._ended.is_set():
                _leave(self._workdir, found)
            elif not self._ended.is_set():
                with contextlib.suppress(OSError):
                    self._try()


def _leave(workdir: Path, found: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):
        line = (
            f"error: process {found.get('pid')} on {found.get('host')} has taken {workdir}, "
            "because this run's heartbeat was late; this run ends here\n"
        )
        sys.stderr.write(line)
        sys.stderr.flush()
    os._exit(1)


def _this_process() -> dict[str, Any]:
    """Returns the host and pid of this process, its time of start, and its system.

    A later process may get the same pid, but not the same time of start. Containers may share a
    host name and pids, so a system is one boot of one kernel and one namespace of pids.
    """
    place = [socket.gethostname()]
    with contextlib.suppress(OSError):
        place.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        place.append(os.readlink("/proc/self/ns/pid"))
    pid = os.getpid()
    return {"host": place[0], "pid": pid, "started": _started(pid), "place": place}


def _started(pid: int) -> str | None:
    """Returns when a process started, in ticks of the kernel, "ended", or None if unknown."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    # A zombie, which nobody has waited for, still has its number.
    return "ended" if fields[0] in "ZX" else fields[19]


def _lives(pid: int, started: str | None) -> bool:
    found = _started(pid)
    if found is not None:
        return found == started
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _read(path: Path) -> dict[str, Any]:
    """Reads an owner; a file that is incomplete, or is being written, gives an empty dict."""
    return _parse(path.read_bytes())


def _parse(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _clock(folder: Path) -> int:
    """Returns the time of the clock of a folder's file system, in ns."""
    probe = folder / f".{NAME}.{secrets.token_hex(4)}.clock"
    try:
        probe.touch()
        return probe.stat().st_mtime_ns
    finally:
        probe.unlink(missing_ok=True)


def _shared(claim: Callable[[], tuple[float, str]] | None) -> tuple[float, str]:
    """Calls `claim` in the first process, and returns its result in all processes."""
    found = claim() if claim else (0.0, "")
    if jax.process_count() == 1:
        return found
    told = np.zeros(_LONGEST, np.uint8)
    text = json.dumps(found).encode()
    told[: len(text)] = np.frombuffer(text, np.uint8)
    with WATCHDOG.limit("the first process to own the workdir", BARRIER):
        told = multihost_utils.broadcast_one_to_all(told)
    return tuple(json.loads(bytes(np.asarray(told)).rstrip(b"\0")))
