"""The section of RESULTS.md about tests that disturb runs on purpose."""

from collections.abc import Mapping
from typing import Any

from library.reporting import notation

_HEADER = "| Done to a run | Times | It ended |\n| --- | --- | --- |\n"
_PREAMBLE = """## Trust

The tests disturb small runs on purpose. This table states how the runs ended. "As if left alone, to
the bit" means that the state, every logged value, the kept checkpoints and the samples equal those
of a run without a disturbance: no step is lost or repeated.
"""


def section(record: Mapping[str, Any]) -> str:
    """Renders the file that `pytest -m trust --record_trust=FILE` writes.

    A row states the disturbance and the expected end. "passed" counts runs that ended as expected,
    "failed" runs that did not, and "skipped" runs that could not be tried.
    """
    rows = "".join(
        f"| {notation.printable(row['what'])} | {row['passed'] + row['failed']} | {_ends(row)} |\n"
        for row in record["rows"]
    )
    commit = notation.short_commit(str(record.get("commit") or ""), bool(record.get("dirty")))
    made = (
        f"By `{record['command']}` in {notation.duration(record['wall_time'])} on "
        f"{notation.device(record['device'])}, commit {commit}.\n"
    )
    return "\n".join((_PREAMBLE, _HEADER + rows, made))


def _ends(row: Mapping[str, Any]) -> str:
    notes = [f"**{row['failed']} did not**"] * bool(row["failed"])
    notes += [f"{row['skipped']} not tried"] * bool(row["skipped"])
    return "; ".join((notation.printable(row["ends"]), *notes))
