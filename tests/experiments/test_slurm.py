"""Runs under a real Slurm: one machine, two tasks, preempted, put back and finished."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.experiments.conftest import ENVIRONMENT, ROOT
from tests.runs import TINY, check_same, finished, rows
from tests.xla import QUICK

pytestmark = pytest.mark.full
PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
LONG = (*TINY, "--config.total=1000 steps", "--config.log_every=100 steps")
CONFIG = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
KillWait=60
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


class Slurm:
    """A controller and a node of their own, in a folder of their own."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.environment = {**os.environ, **ENVIRONMENT, "SLURM_CONF": str(folder / "slurm.conf")}
        self.environment["PYTHONPATH"] = str(ROOT)
        self.environment["XLA_FLAGS"] = " ".join(QUICK)
        self.daemons: list[subprocess.Popen] = []

    def begin(self) -> None:
        """Starts munged, slurmctld and slurmd, and waits until the node is idle."""
        folder = self.folder
        folder.chmod(0o755)
        for name in ("state", "spool"):
            (folder / name).mkdir()
        (folder / "munge.key").write_bytes(os.urandom(1024))
        (folder / "munge.key").chmod(0o600)
        host = socket.gethostname().partition(".")[0]
        values = {"host": host, "folder": folder, "user": "root", "cpus": os.cpu_count()}
        ports = [free_port(), free_port()]
        (folder / "slurm.conf").write_text(CONFIG.format(**values, ports=ports))
        munge = [f"--{name}-file={folder}/munge.{name}" for name in ("key", "pid", "log", "seed")]
        munge.append(f"--socket={folder}/munge.socket")
        self._start("munged", "--foreground", "--force", *munge)
        wait(lambda: (folder / "munge.socket").exists(), 30, "munged")
        self._start("slurmctld", "-D")
        self._start("slurmd", "-D")
        wait(lambda: "idle" in self.told("sinfo", "-h", "-o", "%T"), 60, "the node")

    def end(self) -> None:
        """Ends all jobs and the three daemons."""
        subprocess.run(["scancel", "--user=root"], env=self.environment, check=False)
        for daemon in reversed(self.daemons):
            daemon.terminate()
            daemon.wait(60)

    def told(self, *command: str) -> str:
        """Returns what one of Slurm's commands prints."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        return done.stdout.strip()

    def launch(self, workdir: Path, *flags: str, given: tuple = TINY, **variables: str) -> str:
        """Submits a run of two tasks from this folder, and returns its job's number."""
        command = [sys.executable, "-m", "launch", "--on=slurm", "--processes=2", *flags, "--"]
        command += [f"--workdir={workdir}", *given]
        environment = {**self.environment, **variables}
        done = subprocess.run(
            command, env=environment, cwd=self.folder, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return re.match(r"job (\d+);", done.stdout)[1]

    def ended(self, job: str, timeout: float = 600) -> str:
        """Waits until a job has left the queue for good, and returns its state."""

        def state() -> str:
            return re.search(r"JobState=(\w+)", self.told("scontrol", "show", "job", job))[1]

        final = ("COMPLETED", "FAILED", "TIMEOUT", "CANCELLED", "NODE_FAIL")
        wait(lambda: state() in final, timeout, f"job {job}")
        return state()

    def output(self, job: str) -> str:
        """Returns what a job has printed so far."""
        (path,) = (self.folder / "runs" / "slurm").glob(f"*-{job}.out")
        return path.read_text()

    def _start(self, name: str, *arguments: str) -> None:
        log = (self.folder / f"{name}.out").open("w")
        program = shutil.which(name) or f"/usr/sbin/{name}"
        self.daemons.append(
            subprocess.Popen(
                [program, *arguments], env=self.environment, stdout=log, stderr=subprocess.STDOUT
            )
        )


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """A running Slurm; installed from Debian's packages where it is absent."""
    if os.getuid() != 0:
        pytest.skip("Slurm is started by root alone")
    if not shutil.which("slurmctld"):
        if not shutil.which("apt-get"):
            pytest.skip("neither Slurm nor Debian's apt-get is here")
        for command in (["update"], ["install", "-y", "--no-install-recommends", *PACKAGES]):
            subprocess.run(["apt-get", *command], check=True, capture_output=True)
    made = Slurm(tmp_path_factory.mktemp("slurm"))
    made.begin()
    yield made
    made.end()


@pytest.fixture(scope="module")
def undisturbed(launch, tmp_path_factory):
    """The workdir of a run of two processes outside of Slurm."""
    return finished(launch, tmp_path_factory, *TINY, flags=("--processes=2",))


@pytest.fixture(scope="module")
def undisturbed_long(launch, tmp_path_factory):
    """The workdir of a run of two processes that is long enough to be met in its middle."""
    return finished(launch, tmp_path_factory, *LONG, flags=("--processes=2",))


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("localhost", 0))
        return held.getsockname()[1]


def wait(until, seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline, f"{what}: nothing after {seconds} s"
        time.sleep(0.2)


def test_two_tasks_train_together(slurm, tmp_path, undisturbed):
    job = slurm.launch(tmp_path / "run", "--time=30", "--cpus_per_process=1")
    assert "CPUs/Task=1" in slurm.told("scontrol", "show", "job", job)
    assert slurm.ended(job) == "COMPLETED"
    assert "on 2 cpu device(s)" in slurm.output(job)
    check_same(tmp_path / "run", undisturbed)


def test_a_job_that_leaves_with_75_is_put_back_and_finished(slurm, tmp_path, undisturbed):
    strike = {
        "PYTHONPATH": f"{ROOT}:{Path(__file__).with_name('striking')}",
        "STRIKE": "library.run.loop:_Run._at 18 0 SIGTERM",
        "STRIKE_PROCESS": "1",
        "STRIKE_ONCE": str(tmp_path / "struck"),
    }
    job = slurm.launch(tmp_path / "run", "--time=30", **strike)
    assert slurm.ended(job) == "COMPLETED"
    assert "saved at step" in slurm.output(job)
    assert "resuming at step" in slurm.output(job)
    check_same(tmp_path / "run", undisturbed)


def test_a_job_that_is_preempted_goes_on(slurm, tmp_path, undisturbed_long):
    job = slurm.launch(tmp_path / "run", "--time=30", given=LONG)
    metrics = tmp_path / "run" / "metrics.jsonl"
    wait(lambda: metrics.is_file() and len(rows(tmp_path / "run")) > 3, 300, "a row of metrics")
    slurm.told("scontrol", "requeue", job)
    assert slurm.ended(job) == "COMPLETED"
    assert "resuming at step" in slurm.output(job)
    check_same(tmp_path / "run", undisturbed_long)
