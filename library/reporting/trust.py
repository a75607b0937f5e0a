"""What was done to runs on purpose, and how they ended: a section of RESULTS.md."""

from collections.abc import Mapping
from typing import Any

from library.reporting import notation

_HEADER = "| Done to a run | Times | It ended |\n| --- | --- | --- |\n"
_PREAMBLE = """## Trust

What the test suite did to small runs on purpose, and how they ended. "As if left alone, to the bit"
compares the state, every logged value, the checkpoints that are kept and what was made with those
of a run to which nothing was done: no step is lost or repeated.
"""


def section(record: Mapping[str, Any]) -> str:
    """Renders the record that `pytest -m trust --record_trust=FILE` writes.

    A row says what was done and how the runs ended, and how often they did ("passed"), did not
    ("failed"), or that could not be tried ("skipped").
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
