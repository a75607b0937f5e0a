"""What was done to runs, how often, and how they ended, as the tests marked `trust` found it.

python -m pytest -n 2 -m trust --record_trust=results/trust/record.json

A mark names what is done and how the run ends; a test that does it several times says so by
`record_property("times", n)`.
"""

import json
import shlex
import sys
import time
from pathlib import Path

import pytest

from library import files
from library.run import environment

AS_IF_LEFT_ALONE = "as if left alone, to the bit"
RESUMED = "with a message; started again, as if left alone, to the bit"


def pytest_addoption(parser):
    parser.addoption("--record_trust", metavar="FILE", help="Writes what the trust tests found.")


def pytest_configure(config):
    config.addinivalue_line("markers", "trust(what, ends): what is done to a run, how that ends")
    path = config.getoption("--record_trust")
    if path and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Recorder(Path(path)))


def pytest_collection_modifyitems(items):
    for item in items:
        for mark in item.iter_markers("trust"):
            item.user_properties.append(("trust", list(mark.args)))


class _Recorder:
    """Collects how the tests ended, in this process or in those that run them for it."""

    def __init__(self, path: Path):
        self._path, self._rows, self._begun = path, {}, time.time()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        found = dict(report.user_properties)
        if "trust" not in found or (report.when != "call" and report.passed):
            return
        what, ends = found["trust"]
        row = dict(what=what, ends=ends, passed=0, failed=0, skipped=0)
        self._rows.setdefault(what, row)[report.outcome] += found.get("times", 1)

    def pytest_sessionfinish(self) -> None:
        if not self._rows:
            return
        made = {
            "rows": [self._rows[what] for what in sorted(self._rows)],
            "command": shlex.join(["python", "-m", "pytest", *sys.argv[1:]]),
            "wall_time": time.time() - self._begun,
            **environment.describe(),
        }
        files.write(self._path, json.dumps(made, indent=2) + "\n")
