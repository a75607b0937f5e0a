"""What the tests marked `trust` found is counted right, by one process or several."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests import often

ROOT = Path(__file__).resolve().parents[1]
TESTS = """
import pytest

@pytest.mark.trust("struck", "as before")
@pytest.mark.parametrize("times", [3, 4])
def test_struck(times, record_property):
    record_property("times", times)

@pytest.mark.trust("shaken", "as before")
@pytest.mark.parametrize("place", range(3))
def test_shaken(place):
    if place == 2:
        pytest.skip("not here")
    assert place == 0

@pytest.fixture
def broken():
    raise OSError

@pytest.mark.trust("broken", "as before")
def test_broken(broken):
    pass

def test_another():
    pass
"""


@pytest.mark.parametrize("workers", often.only(["0"], ["0", "2"]))
def test_what_was_found_is_written(tmp_path, workers):
    (tmp_path / "conftest.py").write_text("from tests.trust import *\n")
    (tmp_path / "test_small.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-n", workers, "--record_trust=found/record.json"]
    ended = subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, check=False)
    assert ended.returncode == 1
    found = json.loads((tmp_path / "found" / "record.json").read_text())
    assert found["rows"] == [
        dict(what="broken", ends="as before", passed=0, failed=1, skipped=0),
        dict(what="shaken", ends="as before", passed=1, failed=1, skipped=1),
        dict(what="struck", ends="as before", passed=7, failed=0, skipped=0),
    ]
    assert found["command"].startswith(f"python -m pytest -n {workers} --record_trust=")
    assert found["wall_time"] > 0
    assert found["versions"]["jax"]
