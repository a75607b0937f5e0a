"""What a run prints of its result."""

import io

from rich.console import Console

from library.reporting import claims
from library.run import session

RESULT = {"metric": "test/accuracy", "value": 0.5, "reported": 0.9, "source": "a table"}
RESULT["gap"] = RESULT["value"] - RESULT["reported"]


def shown(tmp_path, result, **metrics):
    text = io.StringIO()
    summary = {"metrics": {"test/accuracy": 0.5, **metrics}, "result": result}
    session.show_result(summary, tmp_path, Console(file=text, width=300))
    return text.getvalue()


def test_a_result_beside_the_claim(tmp_path):
    said = "test/accuracy 0.5000, reported 0.9000 (a table), gap -0.4000\n"
    assert said in shown(tmp_path, RESULT)


def test_a_result_of_another_recipe_has_no_gap(tmp_path):
    text = shown(tmp_path, claims.judged(RESULT, ["total", "dataset.name", "seed"]))
    assert "gap" not in text
    said = "(a table) for the unchanged recipe; this run overrides total, dataset.name\n"
    assert said in text


def test_what_is_not_finite_is_shown_however_it_was_kept(tmp_path):
    for value in (None, float("nan")):
        result = {**RESULT, "value": value, "gap": value}
        text = shown(tmp_path, result, **{"test/accuracy": value, "test/loss": value})
        assert "test/accuracy nan, reported 0.9000" in text
        assert "test/loss      nan" in text


def test_a_run_that_stopped_early_says_so(tmp_path):
    early = dict(metric="test/loss", patience="3 evaluations", min_delta=0.0, best=None)
    summary = {"metrics": {}, "stopped_early": {**early, "best_step": 0, "step": 6, "total": 9}}
    text = io.StringIO()
    session.show_result(summary, tmp_path, Console(file=text, width=300))
    said = (
        "stopped early after step 6 of 9: test/loss has not improved since step 0, and the patience"
    )
    assert said in text.getvalue()
