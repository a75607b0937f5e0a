"""Several seeds or folds as one number, and as one record."""

import json
import statistics

import pytest

from library.config import ConfigError
from library.reporting import compare, results, seeds, sweeps
from library.reporting.sweeps import Member

METRIC = "test/accuracy"
# The accuracy of each fold after each evaluation; the last mean is not the best one.
CURVES = {0: [0.5, 0.875, 0.75], 1: [0.25, 0.625, 0.5], 2: [0.75, 0.75, 0.25]}


def of_folds(make_run, root, values, curves, seed=0, **reported):
    members = []
    for fold, curve in curves.items():
        config, summary = (json.loads(json.dumps(value)) for value in values)
        config["dataset"]["folds"] = {"num": len(curves), "fold": fold, "seed": 0}
        config["seed"] = summary["seed"] = seed
        config["reported"].update(reported)
        config["_config"]["overrides"] = {"dataset.folds.fold": str(fold)}
        summary["metrics"] = {METRIC: curve[-1]}
        summary["result"]["value"] = curve[-1]
        # An epoch of another fold may have another number of steps.
        log = [{"step": (9 + fold) * at, METRIC: x} for at, x in enumerate(curve, 1)]
        name = f"fold={fold},seed={seed}"
        make_run(root / name, config=config, summary=summary, log=log)
        members.append(Member(name, seed, fold, 0))
    return members


def test_a_sweep_has_mean_deviation_and_the_best_mean(make_run, tmp_path, values):
    members = of_folds(make_run, tmp_path, values, CURVES)
    made = sweeps.summary(tmp_path, members, None)
    last, best = [0.75, 0.5, 0.25], [0.875, 0.625, 0.75]
    expected = {"metric": METRIC, "mean": 0.5, "std": 0.25, "count": 3, "min": 0.25, "max": 0.75}
    assert expected.items() <= made.items()
    assert made["best_mean"] == {"evaluation": 2, "mean": 0.75, "std": statistics.stdev(best)}
    assert made["curve"]["mean"] == [0.5, 0.75, 0.5]
    assert [each["value"] for each in made["runs"].values()] == last
    assert sweeps.lines(made) == [
        "test/accuracy 50.00 ± 25.00% over 3 folds, from 25.00% to 75.00%",
        "best mean 75.00 ± 12.50%, after evaluation 2",
        "reported 93.02%",
    ]
    assert made == json.loads(json.dumps(made))


def test_the_best_of_a_loss_is_the_least(make_run, tmp_path, values):
    values[0]["reported"]["metric"] = values[1]["result"]["metric"] = "test/loss"
    members = of_folds(make_run, tmp_path, values, {0: [0.5, 0.25, 0.75], 1: [0.5, 0.25, 0.25]})
    for member in members:
        path = tmp_path / member.name / "metrics.jsonl"
        path.write_text(path.read_text().replace(METRIC, "test/loss"))
    made = sweeps.summary(tmp_path, members, "test/loss")
    assert made["best_mean"] == {"evaluation": 2, "mean": 0.25, "std": 0.0}


def test_runs_without_a_result_are_left_out_and_named(make_run, tmp_path, values):
    members = of_folds(make_run, tmp_path, values, {**CURVES, 3: [0.5, float("nan")]})
    members.append(Member("fold=4,seed=0", 0, 4, 1))
    path = tmp_path / "fold=3,seed=0" / "summary.json"
    path.write_text(path.read_text().replace("NaN", "null"))
    path = tmp_path / "fold=3,seed=0" / "metrics.jsonl"
    path.write_text(path.read_text().replace("NaN", "null"))
    made = sweeps.summary(tmp_path, members, None)
    assert (made["count"], made["mean"], made["curve"], made["best_mean"]) == (3, 0.5, None, None)
    assert sweeps.lines(made)[0] == "fold=3,seed=0 is left out: its test/accuracy is not finite"
    none = sweeps.summary(tmp_path, members[-1:], None)
    assert sweeps.lines(none) == ["no run has finished with a result"]
    with pytest.raises(ConfigError, match="has no 'test/acc': did you mean 'test/accuracy'"):
        sweeps.summary(tmp_path, members, "test/acc")


def test_a_sweep_becomes_one_record(make_run, tmp_path, values):
    members = of_folds(make_run, tmp_path, values, CURVES)
    made = sweeps.summary(tmp_path, members, None)
    command = f"python -m experiments.sweep --config=a.py --folds=3 --root={tmp_path}"
    text = json.dumps({**made, "_config": {"command": command}})
    (tmp_path / sweeps.FILE).write_text(text)
    record = results.record(tmp_path, name="a", system="A")
    assert (record["ours"], record["ours_std"], record["folds"]) == (0.5, 0.25, [0, 1, 2])
    assert record["gap"] == 0.5 - 0.9302
    assert record["overrides"] == {}
    assert record["command"] == "python -m experiments.sweep --config=a.py --folds=3"
    assert "| 50.00 ± 25.00% (3 folds) | -43.02 **miss** |" in results.results_page([record])
    # A sweep that has not ended is no result.
    made["runs"]["fold=1,seed=0"].pop("value")
    (tmp_path / sweeps.FILE).write_text(json.dumps(made))
    with pytest.raises(ConfigError, match="fold=1,seed=0 has not finished"):
        results.record(tmp_path, name="a", system="A")


def test_a_claim_may_be_of_the_best_mean(make_run, tmp_path, values):
    members = of_folds(make_run, tmp_path, values, CURVES, of="best_mean")
    folders = [tmp_path / member.name for member in members]
    record = results.record(folders, name="a", system="A")
    assert (record["ours"], record["ours_std"]) == (0.75, 0.125)
    assert record["gap"] == 0.75 - 0.9302
    short = of_folds(make_run, tmp_path, values, {9: [0.5]}, of="best_mean")
    # The number of folds is a part of the recipe.
    with pytest.raises(ConfigError, match=r"are not one recipe: dataset.folds.num: 1 here, 3"):
        results.record([*folders, tmp_path / short[0].name], name="a", system="A")


def test_folds_and_seeds_are_counted():
    def of(*pairs):
        return seeds.counted([{"seed": s, "dataset.folds.fold": f} for s, f in pairs])

    assert of((0, None), (1, None)) == "2 seeds"
    assert of((0, 0), (0, 1)) == "2 folds"
    assert of((0, 0), (0, 1), (1, 0), (1, 1)) == "2 folds x 2 seeds"
    assert of((0, 0), (0, 1), (1, 0)) == "3 runs"
    assert seeds.counted([{"seed": 0}]) == "1 seed"


def test_folds_are_one_line_of_a_comparison(make_run, tmp_path, values):
    for seed in (0, 1):
        of_folds(make_run, tmp_path, values, CURVES, seed=seed)
    text = compare.compare(tmp_path).read_text()
    assert "(3 folds x 2 seeds)" in text
    assert "fold 2, seed 1" in text
