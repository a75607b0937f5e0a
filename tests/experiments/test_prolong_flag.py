"""`train --prolong`: whose config it takes, and what it refuses before anything else."""

import pytest

from experiments import command_line
from library.run import workdir


@pytest.fixture
def run(asked, tmp_path):
    """The workdir of a run of the default recipe with two overrides."""
    request = asked("--config.total=2 epochs", "--config.seed=3")
    path = workdir.open_workdir(tmp_path / "run", request.values, request.identity)
    (path / "checkpoints" / "latest" / "3").mkdir(parents=True)
    return path


def test_without_a_config_it_is_that_of_the_run(asked, run):
    request = asked(f"--workdir={run}", "--prolong", "--config.total=4 epochs")
    assert request.workdir == run
    assert request.values == {**workdir.read_config(run), "total": "4 epochs"}
    kept = workdir.read_identity(run)
    same = ("path", "variant", "found")
    assert {key: request.identity[key] for key in same} == {key: kept[key] for key in same}
    assert request.identity["overrides"] == {"total": "4 epochs", "seed": "3"}
    assert request.identity["command"].endswith("--prolong '--config.total=4 epochs'")


def test_the_total_of_the_file_is_no_override(asked, run):
    total = asked().values["total"]
    request = asked(f"--workdir={run}", "--prolong", f"--config.total={total}")
    assert request.identity["overrides"] == {"seed": "3"}


def test_with_a_config_it_is_that_of_the_file(asked, run):
    given = (f"--config={command_line.DEFAULT_CONFIG}", "--config.total=4 epochs")
    request = asked(f"--workdir={run}", "--prolong", *given)
    assert request.identity["overrides"] == {"total": "4 epochs"}
    assert request.values["seed"] != 3


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--prolong", "--config.total=9 epochs"], "name its workdir by --workdir=DIR"),
        (["--prolong", "--workdir={tmp}/no", "--config.total=9 epochs"], "/no does not exist"),
        (["--prolong", "--dry_run"], "--prolong is not read with --dry_run"),
        (["--prolong", "--workdir={run}", "--config.seed=4"], "differs in seed: 4 here, 3 there"),
        (["--workdir={run}", "--config.total=9 epochs", "--config.seed=3"], "add --prolong"),
    ],
)
def test_requests_that_are_refused(program, run, tmp_path, given, said):
    given = [each.replace("{tmp}", str(tmp_path)).replace("{run}", str(run)) for each in given]
    ended = program("train", *given)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
    assert len(ended.err.splitlines()) == 1
    assert sorted(path.name for path in run.iterdir()) == ["checkpoints", "config.json"]
