import json

from library.reporting import results, trust

RECORD = {
    "rows": [
        dict(what="SIGKILL", ends="as if left alone", passed=49, failed=1, skipped=0),
        dict(what="a full disk", ends="with a message", passed=0, failed=0, skipped=1),
        dict(what="a slow source", ends="as if left alone", passed=2, failed=0, skipped=0),
    ],
    "command": "python -m pytest -m trust",
    "wall_time": 601.0,
    "commit": "0123456789abcdef",
    "dirty": True,
    "device": {"platform": "cpu", "kind": "AMD", "count": 8, "cores": 2},
}
ROWS = """\
| Done to a run | Times | It ended |
| --- | --- | --- |
| SIGKILL | 50 | as if left alone; **1 did not** |
| a full disk | 0 | with a message; 1 not tried |
| a slow source | 2 | as if left alone |

By `python -m pytest -m trust` in 10 min 01 s on 2 x CPU core, commit 0123456+.
"""


def test_the_section_is_exactly_this():
    assert trust.section(RECORD).endswith(ROWS)


def test_the_page_of_results_has_it_where_there_is_a_record(tmp_path):
    page = tmp_path / "RESULTS.md"
    results.write_results(tmp_path, page)
    assert "## Trust" not in page.read_text()
    record = tmp_path / results.TRUST
    record.parent.mkdir()
    record.write_text(json.dumps(RECORD))
    assert results.outdated(tmp_path, page) == [page]
    results.write_results(tmp_path, page)
    assert page.read_text().endswith(trust.section(RECORD))
    assert results.outdated(tmp_path, page) == []
