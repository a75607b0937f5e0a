import json
import re

import pytest

from library.config import ConfigError
from library.reporting import compare, curve_figures, notation, runs, seeds


def table_rows(path):
    """Returns the cells of every table row of a page, tags removed."""
    rows = re.findall(r"<tr>(.*?)</tr>", path.read_text(), re.DOTALL)
    cells = [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.DOTALL) for row in rows]
    return [[re.sub(r"<[^>]*>", "", cell) for cell in row] for row in cells]


def changed(values, **leaves):
    config = json.loads(json.dumps(values[0]))
    for key, value in leaves.items():
        config["optimizer"][key] = value
    return config


def test_the_table_holds_what_differs_and_what_came_of_it(make_run, tmp_path, values):
    summary = values[1]
    make_run(tmp_path / "sweep" / "a", config=changed(values, learning_rate=0.1), summary=None)
    better = summary | {"metrics": {"test/accuracy": 0.95}, "best": {}, "result": None}
    make_run(tmp_path / "b", config=changed(values, clip=1.0), summary=better)
    path = compare.compare(tmp_path)
    assert path == tmp_path / "report.html"
    header = ["run", "status", "best", "final", "optimizer.learning_rate", "optimizer.clip"]
    ended, going = ("12 min 34 s", "812"), ("1 min 20 s", "825")
    assert table_rows(path) == [
        [*header, "wall time", "examples/s", "parameters"],
        ["b", "finished", "95.00%", "95.00%", "0.2", "1", *ended, "11,173,962"],
        ["sweep/a", "unfinished", "92.00%", "92.00%", "0.1", "", *going, notation.NONE],
    ]
    assert "Reported: 93.02% (Someone, README)" in path.read_text()
    assert "Each run: 40 steps.</p>" in path.read_text()


def test_lower_is_better_for_errors_and_groups_are_by_metric(make_run, tmp_path, values):
    def log(metric, value):
        return [{"step": 1, "wall_time": 1.0, metric: value}]

    for name, metric, value in (
        ("high", "test/error", 0.4),
        ("low", "test/error", 0.1),
        ("nan", "test/error", float("nan")),
        ("other", "test/fid", 9.5),
    ):
        config = changed(values)
        config["reported"] = {"metric": metric, "value": None, "source": None}
        make_run(tmp_path / name, config=config, summary=None, log=log(metric, value))
    path = compare.compare(tmp_path)
    assert [row[0] for row in table_rows(path)] == ["run", "low", "high", "nan", "run", "other"]
    assert "test/error (lower is better)" in path.read_text()


def test_two_hundred_runs_are_read_once_each(make_run, tmp_path, values, monkeypatch):
    for i in range(200):
        config = changed(values, learning_rate=0.01 * (i + 1))
        log = [{"step": 1, "wall_time": 1.0, "train/loss": 1.0, "test/accuracy": i / 1000}]
        make_run(tmp_path / f"run{i:03}", config=config, summary=None, log=log)
    (tmp_path / "run000" / "checkpoints" / "4").mkdir(parents=True)
    for name in ("config.json", "metrics.jsonl"):
        (tmp_path / "run000" / "checkpoints" / "4" / name).write_text("{}")
    read, rows = runs.read_rows, []
    monkeypatch.setattr(runs, "read_rows", lambda path: rows.append(path) or read(path))
    path = compare.compare(tmp_path)
    table = table_rows(path)
    assert len(rows) == 200
    assert len(table) == 201
    assert table[1][:5] == ["run199", "unfinished", "19.90%", "19.90%", "2"]
    assert path.read_text().count("<img") == 1


def test_differing_values_after_the_sixth_are_folded(make_run, tmp_path, values):
    for run in range(2):
        many = {f"key{i:02}": i + run for i in range(20)}
        make_run(tmp_path / f"{run}", config=changed(values, **many))
    path = compare.compare(tmp_path)
    header, first, _ = table_rows(path)
    assert header[4:11] == [*(f"optimizer.key{i:02}" for i in range(6)), "14 more"]
    assert first[10] == "14 values" + "".join(f"optimizer.key{i:02}{i}" for i in range(6, 20))
    assert path.read_text().count("<details><summary>") == 2


def test_a_damaged_run_is_named_and_left_out(make_run, tmp_path):
    make_run(tmp_path / "good")
    make_run(tmp_path / "bad<b>")
    (tmp_path / "bad<b>" / "summary.json").write_text("{")
    path = compare.compare(tmp_path)
    assert [row[0] for row in table_rows(path)] == ["run", "good"]
    assert "bad&lt;b&gt;/summary.json is damaged: Expecting property name" in path.read_text()


def test_a_damaged_line_costs_a_run_no_more_than_itself(make_run, tmp_path):
    make_run(tmp_path / "good")
    log = make_run(tmp_path / "torn") / "metrics.jsonl"
    log.write_text("{\n" + log.read_text())
    good, torn = table_rows(compare.compare(tmp_path))[1:]
    assert good[:2] == ["good", "finished"]
    assert torn[:2] == ["torn", "finished (damaged lines)"]
    assert good[2:] == torn[2:]


def test_the_claim_of_changed_recipes_is_that_of_the_unchanged_one(make_run, tmp_path, values):
    config, _ = values
    make_run(tmp_path / "a", config=json.loads(json.dumps(config)))
    assert "Reported: 93.02% (Someone, README)</p>" in compare.compare(tmp_path).read_text()
    for name, total in (("a", "1 epoch"), ("b", "2 epochs")):
        config["_config"]["overrides"] = {"total": total}
        make_run(tmp_path / "changed" / name, config=config)
    said = "Reported: 93.02% (Someone, README), of the unchanged recipe</p>"
    assert said in compare.compare(tmp_path / "changed").read_text()


def test_runs_link_to_their_reports(make_run, tmp_path):
    make_run(tmp_path / "a b")
    (tmp_path / "a b" / "report.html").write_text("")
    assert '<a href="./a%20b/report.html">a b</a>' in compare.compare(tmp_path).read_text()


def test_no_runs_is_an_error(tmp_path, make_run):
    with pytest.raises(ConfigError, match="no run below"):
        compare.compare(tmp_path)
    with pytest.raises(ConfigError, match="there is no folder"):
        compare.compare(tmp_path / "absent")
    make_run(tmp_path / "a")
    (tmp_path / "a" / "config.json").write_text("[")
    with pytest.raises(ConfigError, match=r"can be read: .*config\.json is damaged: .*line 1"):
        compare.compare(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_the_workdir_of_one_run_keeps_its_own_report(run):
    with pytest.raises(ConfigError, match="is the workdir of one run"):
        compare.compare(run)


def test_differing_keys_tell_types_and_absence_apart():
    flat = [{"a": 1, "b": 2, "c": [1]}, {"a": True, "b": 2, "c": [1], "d": None}]
    assert compare.differing_keys(flat) == ["a", "d"]
    assert compare.differing_keys(flat[:1]) == []


def test_runs_are_grouped_by_system_and_metric(make_run, tmp_path, values):
    for name, model, dataset in (
        ("a", "vit", "mnist"),
        ("b", "vit", "cifar10"),
        ("c", "vit", "mnist"),
    ):
        config = changed(values, learning_rate=0.1 if name == "a" else 0.2)
        config["model"]["name"], config["dataset"]["name"] = model, dataset
        make_run(tmp_path / name, config=config)
    path = compare.compare(tmp_path)
    headings = re.findall(r"<h2>(.*?)</h2>", path.read_text())
    said = "test/accuracy (higher is better)"
    assert headings == [f"vit on cifar10: {said}", f"vit on mnist: {said}"]
    assert [row[0] for row in table_rows(path)] == ["run", "b", "run", "a", "c"]


def test_several_seeds_are_a_mean_and_a_band(make_run, tmp_path, values, monkeypatch):
    drawn = []
    real = curve_figures.compared
    monkeypatch.setattr(
        curve_figures, "compared", lambda lines, keys: drawn.append(lines) or real(lines, keys)
    )
    for seed, accuracy in enumerate((0.5, 0.75, 1.0)):
        config = changed(values) | {"seed": seed}
        log = [
            {"step": step, "wall_time": float(step), "test/accuracy": accuracy * step / 20}
            for step in ((10, 20) if seed else (5, 10, 20))
        ]
        make_run(tmp_path / f"seed={seed}", config=config, summary=None, log=log)
    summary = values[1] | {"metrics": {"test/accuracy": 0.25}, "best": {}, "result": None}
    log = [{"step": 1, "wall_time": 1.0, "test/accuracy": 0.25}]
    make_run(tmp_path / "other", config=changed(values, clip=1.0), summary=summary, log=log)
    (tmp_path / "seed=1" / "report.html").write_text("")
    path = compare.compare(tmp_path)
    header, several, other = table_rows(path)
    assert header[:5] == ["run", "status", "best", "final", "optimizer.clip"]
    assert several[:2] == ["seed (3 seeds): 0, 1, 2", "unfinished"]
    assert several[2:4] == ["75.00 ± 25.00%"] * 2
    assert other[:4] == ["other", "finished", "25.00%", "25.00%"]
    assert '<a href="./seed%3D1/report.html">1</a>' in path.read_text()
    ((name, curves), (_, alone)) = drawn[0]
    assert name == "seed (3 seeds)"
    steps, mean, low, high = (line.tolist() for line in curves["test/accuracy"])
    assert (steps, mean, low, high) == ([10, 20], [0.375, 0.75], [0.25, 0.5], [0.5, 1.0])
    assert len(alone["test/accuracy"]) == 2


def test_runs_of_one_seed_are_no_repetitions(make_run, tmp_path, values):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        make_run(tmp_path / name, config=changed(values) | {"seed": seed})
    assert [row[0] for row in table_rows(compare.compare(tmp_path))][1:] == ["a", "b", "c"]


def test_seeds_that_differ_in_their_status_are_counted(make_run, tmp_path, values):
    make_run(tmp_path / "a1", config=changed(values) | {"seed": 1})
    make_run(tmp_path / "a2", config=changed(values) | {"seed": 2}, summary=None)
    (row,) = table_rows(compare.compare(tmp_path))[1:]
    assert row[:2] == ["a (2 seeds): 1, 2", "1 finished, 1 unfinished"]


def test_the_name_of_several_runs_is_what_they_share():
    assert seeds.name(["lenet5/seed=0", "lenet5/seed=1"]) == "lenet5"
    assert seeds.name(["sweep-lr=0.1-seed=0", "sweep-lr=0.1-seed=1"]) == "sweep-lr=0.1"
    assert seeds.name(["seed=0", "seed=1"]) == "seed"
    assert seeds.name(["lenet5/10", "lenet5/11"]) == "lenet5"
    assert seeds.name(["run10", "run11"]) == "run"
    assert seeds.name(["one", "two"]) == "one"
