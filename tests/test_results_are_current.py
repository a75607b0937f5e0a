"""RESULTS.md and the README's table say what the records in results/ say."""

from pathlib import Path

from library.reporting import results

ROOT = Path(__file__).resolve().parents[1]


def test_the_tables_are_generated_from_the_records():
    stale = results.outdated(ROOT / "results", ROOT / "RESULTS.md", ROOT / "README.md")
    assert stale == [], "run `python -m experiments.report --results`"
    assert len(results.read_records(ROOT / "results")) >= 6
