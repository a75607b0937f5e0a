"""What a place does not read is refused before anything is submitted."""

import subprocess
import sys

import pytest

from tests import often


# Each is a process of its own.
@pytest.mark.parametrize(
    ("given", "said"),
    often.first(
        2,
        [
            ("--on=slurmm", "unknown place 'slurmm': did you mean 'slurm'?"),
            ("--on=local --time=1", "--time belongs to --on=slurm: --on=local does not read it"),
            ("--on=slurm --gpus_per_node=8 --processes=3", "every GPU has its own process"),
            ("--program=evaluate --sweep=seed=0,1", "--sweep is for runs that train"),
            ("--on=local -- --config.optimiser.name=sgd", "optimiser"),
        ],
    ),
)
def test_what_is_not_understood_is_refused(given, said):
    command = [sys.executable, "-m", "launch", "--dry_run", *given.split()]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert said in " ".join(ended.stderr.split())
    assert ended.stdout == ""


def test_a_run_that_is_prolonged_has_its_config_in_its_workdir():
    given = "--workdir=runs/a --prolong --config.optimizer.generator.learning_rate=0.1"
    command = [sys.executable, "-m", "launch", "--dry_run", "--on=local", "--", *given.split()]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert given in ended.stdout
