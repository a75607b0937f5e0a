"""Programs started as a person starts them, in this process or, where need be, in another."""

import functools
import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from absl import flags

from experiments import command_line
from library.parallel import processes
from library.run import session
from tests.xla import QUICK

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "tests"
# Every program is kept, however quickly it was compiled.
ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",
    "JAX_COMPILATION_CACHE_DIR": str(CACHE),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    "TFDS_DATA_DIR": str(CACHE / "tensorflow_datasets"),
}


class Ended(NamedTuple):
    """How a program ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def program(monkeypatch, capsys):
    """Runs `python -m experiments.NAME ARGUMENTS...` in this process."""
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", ENVIRONMENT["JAX_COMPILATION_CACHE_DIR"])
    monkeypatch.setenv("TFDS_DATA_DIR", ENVIRONMENT["TFDS_DATA_DIR"])
    # The tests after it would keep all the memory that they ever had.
    monkeypatch.setattr(command_line, "_keep_freed_memory", lambda: None)

    def run(name: str, *arguments: object) -> Ended:
        path = ROOT / "experiments" / f"{name}.py"
        monkeypatch.setattr(sys, "argv", [str(path), *map(str, arguments)])
        try:
            with pytest.raises(SystemExit) as ended:
                runpy.run_module(f"experiments.{name}", run_name="__main__")
        finally:
            for number in processes.stopping_signals():
                if number != signal.SIGINT:
                    signal.signal(number, signal.SIG_DFL)
            command_line._overrides.clear()
            # What a program defines is filed under the name it was started by.
            for flag in list(flags.FLAGS.flags_by_module_dict().get(str(path), ())):
                delattr(flags.FLAGS, flag.name)
            flags.FLAGS.unparse_flags()
        captured = capsys.readouterr()
        return Ended(ended.value.code, captured.out, captured.err)

    return run


class Asked(NamedTuple):
    """What `train` was asked to do."""

    values: dict[str, Any]
    identity: dict[str, Any]
    workdir: Path


@pytest.fixture
def asked(program, monkeypatch):
    """Returns what `python -m experiments.train ARGUMENTS...` would train, without training it."""

    def ask(*arguments: object) -> Asked:
        seen = []
        with monkeypatch.context() as patched:
            patched.setattr(session, "train", lambda *given: seen.append(Asked(*given[:3])) or 0)
            ended = program("train", *arguments)
        assert ended.code == 0, ended.err
        return seen[0]

    return ask


class Process:
    """A program in a process of its own."""

    def __init__(
        self, command: list[str], output: Path, environment: dict[str, str], folder: Path = ROOT
    ):
        self._out, self._err = output / "out.txt", output / "err.txt"
        with self._out.open("w") as out, self._err.open("w") as err:
            self.popen = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, **environment},
                stdout=out,
                stderr=err,
                start_new_session=True,
                # A shell's background job ignores SIGINT, and so would all that it starts.
                preexec_fn=functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
            )

    @property
    def out(self) -> str:
        """What it has printed so far."""
        return self._out.read_text()

    def ended(self, timeout: float = 600) -> Ended:
        """Waits for its end."""
        code = self.popen.wait(timeout)
        return Ended(code, self.out, self._err.read_text())


@pytest.fixture(scope="session")
def start(tmp_path_factory):
    """Starts `python -m experiments.NAME ARGUMENTS...`, struck where `strike` says (strike.py).

    It runs in `folder`, on so many devices, with further flags of XLA, and in the world that
    `disturbance` names (disturb.py).
    """
    processes = []

    def run(
        name: str,
        *arguments: object,
        strike: tuple = (),
        devices: int = 1,
        flags: tuple[str, ...] = (),
        folder: Path = ROOT,
        disturbance: str = "",
    ) -> Process:
        command = [sys.executable, "-m", f"experiments.{name}"]
        if strike:
            script = str(Path(__file__).with_name("strike.py"))
            command = [sys.executable, script, *map(str, strike), f"experiments.{name}"]
        if disturbance:
            script = str(Path(__file__).with_name("disturb.py"))
            command = [sys.executable, script, disturbance, f"experiments.{name}"]
        output = tmp_path_factory.mktemp("process")
        command += map(str, arguments)
        processes.append(Process(command, output, _environment(devices, *flags), folder))
        return processes[-1]

    yield run
    for process in processes:
        if process.popen.poll() is None:
            process.popen.kill()


@pytest.fixture(scope="session")
def launch(tmp_path_factory):
    """Starts `python -m launch FLAGS... -- ARGUMENTS...`, its process `struck` by `strike`.

    All of them live in the world that `disturbance` names (disturb.py).
    """
    launched = []

    def run(
        *given: object,
        flags: tuple = (),
        strike: tuple = (),
        struck: int = 0,
        devices: int = 1,
        disturbance: str = "",
    ) -> Process:
        command = [sys.executable, "-m", "launch", *flags, "--", *map(str, given)]
        environment = _environment(devices)
        if strike or disturbance:
            folder = str(Path(__file__).with_name("striking"))
            environment["PYTHONPATH"] += os.pathsep + folder
        if disturbance:
            environment["DISTURBANCE"] = disturbance
        if strike:
            environment |= {"STRIKE": " ".join(map(str, strike)), "STRIKE_PROCESS": str(struck)}
        launched.append(Process(command, tmp_path_factory.mktemp("launch"), environment))
        return launched[-1]

    yield run
    for process in launched:
        if process.popen.poll() is None:
            process.popen.terminate()
            process.popen.wait(60)


def _environment(devices: int, *flags: str) -> dict[str, str]:
    forced = f"--xla_force_host_platform_device_count={devices}"
    settings = {"XLA_FLAGS": " ".join((forced, *QUICK, *flags)), "PYTHONPATH": str(ROOT)}
    return {**ENVIRONMENT, **settings}
