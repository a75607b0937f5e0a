import math

import numpy as np
import pytest

from library.config import ConfigError
from library.reporting import runs


def test_a_run_is_read(run):
    found = runs.read_run(run)
    assert found.config["seed"] == 0
    assert [row["step"] for row in found.rows] == [10, 20, 30, 40]
    assert found.summary["steps"] == 40
    assert found.notes == ()


@pytest.mark.parametrize("name", ["config.json", "metrics.jsonl"])
def test_a_folder_that_is_no_workdir_names_the_missing_file(run, name):
    (run / name).unlink()
    with pytest.raises(ConfigError, match=f"has no {name}"):
        runs.read_run(run)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="no such folder"):
        runs.read_run(tmp_path / "absent")


def test_a_torn_last_line_is_left_out_and_noted(run):
    with (run / "metrics.jsonl").open("a") as log:
        log.write('{"step": 50, "train/lo')
    found = runs.read_run(run)
    assert [row["step"] for row in found.rows] == [10, 20, 30, 40]
    assert found.notes == ("metrics.jsonl: line 5 is no row and is left out",)


DAMAGED = {
    "cut": b'{"step": 20, "tra',
    "no object": b"[20, 0.5]",
    "no step": b'{"train/loss": 0.5}',
    "two rows": b'{"step": 20}, {"step": 30}',
    "no text": b"\xff\xfe",
    "a lost block": bytes(40),
    "brackets": b"[" * 100_000,
}


@pytest.mark.parametrize("damaged", DAMAGED)
def test_a_damaged_line_costs_no_other(run, damaged):
    lines = (run / "metrics.jsonl").read_bytes().splitlines()
    lines[1] = DAMAGED[damaged]
    (run / "metrics.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    found = runs.read_run(run)
    assert [row["step"] for row in found.rows] == [10, 30, 40]
    assert found.notes == ("metrics.jsonl: line 2 is no row and is left out",)
    assert runs.read_rows(run / "metrics.jsonl").damaged == {2: DAMAGED[damaged]}


def test_many_damaged_lines_are_not_all_numbered(run):
    whole = (run / "metrics.jsonl").read_text()
    (run / "metrics.jsonl").write_text("{\n" * 10 + whole + "{\n")
    found = runs.read_run(run)
    assert [row["step"] for row in found.rows] == [10, 20, 30, 40]
    said = "metrics.jsonl: lines 1, 2, 3, 4, 5, 6, 7, 8 and 3 more are no rows and are left out"
    assert found.notes == (said,)


def test_null_and_what_earlier_versions_wrote_are_nan(run):
    with (run / "metrics.jsonl").open("a") as log:
        log.write('{"step": 50, "train/loss": null}\n{"step": 60, "test/accuracy": NaN}\n')
    found = runs.final_metrics(runs.read_run(run)._replace(summary={}))
    assert math.isnan(found["train/loss"])
    assert math.isnan(found["test/accuracy"])


def test_damaged_json_and_arrays_name_their_file(run):
    (run / "config.json").write_text('{"seed": 0,\n "total": }')
    with pytest.raises(ConfigError, match=r"config\.json is damaged: Expecting value, line 2"):
        runs.read_run(run)
    (run / "evaluation.npz").write_bytes(b"PK\x03\x04 half an archive")
    with pytest.raises(ConfigError, match=r"evaluation\.npz is not an archive"):
        runs.read_arrays(run / "evaluation.npz")
    np.savez(run / "objects.npz", a=np.array([{}], dtype=object))
    with pytest.raises(ConfigError, match="not an archive of plain arrays"):
        runs.read_arrays(run / "objects.npz")
    assert runs.read_arrays(run / "absent.npz") == {}


def test_curves_keep_the_last_value_of_a_step_and_leave_positions_and_speeds_out():
    rows = [
        {"step": 20, "train/loss": 5.0, "train/epoch": 1.0, "train/examples_per_second": 9.0},
        {"step": 10, "train/loss": 3.0, "wall_time": 4.0, "test/note": "text", "test/flag": True},
        {"step": 20, "train/loss": 2},
    ]
    found = runs.curves(rows)
    assert list(found) == ["train/loss"]
    np.testing.assert_array_equal(found["train/loss"], [[10, 20], [3, 2]])


def test_throughput_is_read_from_the_log_and_the_clock_goes_on_over_a_restart(make_run, tmp_path):
    log = [
        {"step": 10, "wall_time": 5.0, "train/examples_per_second": 100.0},
        {"step": 20, "wall_time": 9.0, "train/examples_per_second": 110.0},
        {"step": 30, "wall_time": 2.0, "train/examples_per_second": 90.0},
    ]
    found = runs.throughput(runs.read_run(make_run(tmp_path / "a", log=log)))
    np.testing.assert_array_equal(found, [[5, 9, 11], [100, 110, 90]])


def test_throughput_comes_from_steps_and_time_where_it_is_not_logged(make_run, tmp_path):
    log = [{"step": 10, "wall_time": 5.0}, {"step": 30, "wall_time": 9.0}]
    found = runs.throughput(runs.read_run(make_run(tmp_path / "a", log=log)))
    np.testing.assert_array_equal(found, [[9], [20 * 100 / 4]])


def test_steps_of_an_epoch(make_run, tmp_path, values):
    config, summary = values
    assert runs.steps_per_epoch(runs.read_run(make_run(tmp_path / "logged"))) == 20
    log = [{"step": 40, "train/loss": 1.0}]
    run = make_run(tmp_path / "total", log=log)
    assert runs.steps_per_epoch(runs.read_run(run)) == 20
    config["total"] = "40 steps"
    run = make_run(tmp_path / "steps", log=log, config=config, summary=summary)
    assert runs.steps_per_epoch(runs.read_run(run)) is None


def test_the_best_value_follows_the_metric_and_is_sought_on_held_out_data(make_run, tmp_path):
    log = [{"step": s, "test/error": e, "train/loss": e} for s, e in ((1, 0.3), (2, 0.1), (3, 0.2))]
    run = runs.read_run(make_run(tmp_path / "a", log=log, summary=None))
    assert runs.best_metrics(run) == {"test/error": 0.1}
    assert runs.final_metrics(run) == {"test/error": 0.2, "train/loss": 0.2}


def test_overrides_are_dotted_paths_however_they_were_stored():
    stored = [{"augment[0].padding": 2, "optimizer.learning_rate": 0.1}]
    stored.append(["--config.augment[0].padding=2", "config.optimizer.learning_rate=0.1"])
    for overrides in stored:
        found = runs.overrides({"_config": {"overrides": overrides}})
        assert list(found) == ["augment.0.padding", "optimizer.learning_rate"]
    assert runs.overrides({}) == {}


def test_a_run_without_a_summary_gets_the_command_its_config_amounts_to(make_run, tmp_path, values):
    config, _ = values
    config["_config"]["overrides"] = {"optimizer.learning_rate": 0.2, "augment[0].padding": 4}
    config["_config"]["overrides"]["dataset.train"] = "train[:10%]"
    found = runs.read_run(make_run(tmp_path / "a", config=config, summary=None))
    assert runs.command(found) == (
        "python -m experiments.train --config=configs/cifar/resnet.py:resnet18 "
        "--config.optimizer.learning_rate=0.2 '--config.augment[0].padding=4' "
        "'--config.dataset.train=train[:10%]'"
    )
    assert runs.status(found) == "unfinished"


def test_flatten_reaches_into_lists_of_specs_only():
    nested = {"a": [{"name": "x"}], "b": {"c": [1, 2], "d": {}}}
    assert runs.flatten(nested) == {"a.0.name": "x", "b.c": [1, 2], "b.d": {}}


def test_a_claim_needs_no_reported_value(make_run, tmp_path, values):
    config, summary = values
    config["reported"], summary["result"] = None, None
    found = runs.claim(runs.read_run(make_run(tmp_path / "a", config=config, summary=summary)))
    assert found == runs.Claim("test/accuracy", None, None, 0.9267)
    assert found.gap is None
