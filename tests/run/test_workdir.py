"""A workdir belongs to one config, and its files are whole."""

import json
import math
import os

import numpy as np
import pytest
from ml_collections import ConfigDict

from library.config import ConfigError
from library.files import read_json
from library.run import workdir
from library.run.workdir import open_workdir, read_config, read_identity, write_json

VALUES = {
    "dataset": {"name": "tiny", "batch_size": 16, "workers": 0},
    "optimizer": {"name": "sgd", "learning_rate": 0.1},
    "augment": [{"name": "flip_lr"}],
    "seed": 0,
}


def begun(path, values, identity):
    """Opens a workdir for a run that has saved a step."""
    open_workdir(path, values, identity)
    (path / "checkpoints" / "latest" / "3").mkdir(parents=True, exist_ok=True)


def changed(**sections):
    values = json.loads(json.dumps(VALUES))
    for key, value in sections.items():
        values[key] = {**values.get(key, {}), **value} if isinstance(value, dict) else value
    return values


def test_a_new_directory_is_made_and_records_the_config(tmp_path):
    identity = {"path": "configs/a.py", "variant": "b", "overrides": {"seed": "3"}}
    path = open_workdir(tmp_path / "deep" / "run", VALUES, identity)
    assert path == tmp_path / "deep" / "run"
    assert read_config(path) == VALUES
    kept = {**identity, "format": workdir.FORMAT}
    assert read_identity(path) == kept
    assert json.loads((path / "config.json").read_text()) == {**VALUES, "_config": kept}
    assert [p.name for p in path.iterdir()] == ["config.json"]


def test_an_old_run_is_read_under_the_names_of_today(tmp_path):
    def sections(network, encoder, task):
        inner = dict(name="simclr", encoder=dict(name=encoder, width=8))
        return dict(
            model=dict(g=dict(name=network), d=inner), task=dict(name=task, temperature=1.0)
        )

    old = {**VALUES, **sections("unet", "transformer.gpt2", "adversarial")}
    (tmp_path / "config.json").write_text(json.dumps({**old, "_config": {"path": "a.py"}}))
    today = {**VALUES, **sections("ddpm_unet", "gpt.gpt2", "gan")}
    assert read_config(tmp_path) == today
    open_workdir(tmp_path, today, {})
    assert read_config(tmp_path) == today


def test_what_a_later_version_wrote_is_refused(tmp_path):
    later = {**VALUES, "_config": {"format": workdir.FORMAT + 1}}
    (tmp_path / "config.json").write_text(json.dumps(later))
    with pytest.raises(ConfigError, match=r"has format 3, and this version reads formats up to 2"):
        open_workdir(tmp_path, VALUES, {})
    assert json.loads((tmp_path / "config.json").read_text()) == later


def test_the_same_config_opens_it_again(tmp_path):
    open_workdir(tmp_path, VALUES, {"command": "first"})
    (tmp_path / "metrics.jsonl").write_text("kept")
    # As a ConfigDict with tuples it is the same config.
    again = ConfigDict({**VALUES, "augment": ({"name": "flip_lr"},)})
    open_workdir(tmp_path, again, {"command": "second"})
    assert read_config(tmp_path) == VALUES
    assert read_identity(tmp_path)["command"] == "second"
    assert (tmp_path / "metrics.jsonl").read_text() == "kept"


def test_what_concerns_only_the_running_may_differ(tmp_path):
    open_workdir(tmp_path, VALUES, {})
    dataset = dict(data_dir="/elsewhere", manual_dir="/there", workers=4, threads=2)
    values = changed(dataset=dataset, parallel=dict(mesh=dict(fsdp=8)), compile_cache=None)
    open_workdir(tmp_path, values, {})
    assert read_config(tmp_path) == values


OBSERVING = dict(
    dataset=dict(eval_batch_size=4),
    evaluate=dict(test=dict(kind="metrics")),
    splits=dict(half=dict(split="test[:50%]")),
    log_every="5 steps",
    checkpoint=dict(keep=3, best="test/accuracy"),
    reported=dict(metric="test/accuracy", value=0.5, source="a table"),
)


def test_what_does_not_change_the_training_may_differ_until_the_run_is_finished(tmp_path):
    begun(tmp_path, VALUES, {})
    values = changed(**OBSERVING)
    open_workdir(tmp_path, values, {})
    assert read_config(tmp_path) == values
    with pytest.raises(ConfigError, match=r"differs in seed: 1 here, 0 there\. Name another"):
        open_workdir(tmp_path, changed(**OBSERVING, seed=1), {})
    write_json(tmp_path / "summary.json", {})
    open_workdir(tmp_path, changed(**OBSERVING, compile_cache=None), {})
    # It would look as if it had been measured.
    with pytest.raises(ConfigError, match="holds a finished run whose config differs in") as caught:
        open_workdir(tmp_path, changed(**{**OBSERVING, "log_every": "7 steps"}), {})
    assert "log_every: '7 steps' here, '5 steps' there" in str(caught.value)
    assert f"python -m experiments.evaluate --workdir={tmp_path}" in str(caught.value)
    assert read_config(tmp_path)["log_every"] == "5 steps"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (changed(seed=1), ["seed: 1 here, 0 there"]),
        (changed(optimizer=dict(learning_rate=0.2)), ["optimizer.learning_rate: 0.2 here, 0.1"]),
        (changed(dataset=dict(batch_size=32)), ["dataset.batch_size: 32 here, 16 there"]),
        (changed(parallel=dict(strategy="pmap")), ["parallel: {'strategy': 'pmap'}", "unset"]),
        (changed(augment=[]), ["augment: [] here"]),
        (changed(seed=1, dataset=dict(train="x", workers=3)), ["seed", "dataset.train: 'x' here"]),
    ],
)
def test_another_config_is_refused_with_what_differs(tmp_path, values, said):
    begun(tmp_path, VALUES, {"command": "first"})
    before = (tmp_path / "config.json").read_text()
    with pytest.raises(ConfigError) as caught:
        open_workdir(tmp_path, values, {"command": "second"})
    for text in (*said, str(tmp_path), "Name another workdir"):
        assert text in str(caught.value)
    assert "workers" not in str(caught.value)
    assert (tmp_path / "config.json").read_text() == before


def test_a_run_without_a_checkpoint_gets_any_config(tmp_path):
    open_workdir(tmp_path, VALUES, {})
    (tmp_path / "checkpoints" / "latest" / "3.orbax-checkpoint-tmp").mkdir(parents=True)
    other = changed(seed=1, dataset=dict(name="other"))
    assert workdir.replaced(tmp_path, other) == [
        "dataset.name: 'other' here, 'tiny' there",
        "seed: 1 here, 0 there",
    ]
    open_workdir(tmp_path, other, {})
    assert read_config(tmp_path) == other
    assert workdir.replaced(tmp_path, changed(**{**OBSERVING, **other})) == []
    # A finished run keeps its config, also without its checkpoints.
    write_json(tmp_path / "summary.json", {})
    assert workdir.replaced(tmp_path, VALUES) == []
    with pytest.raises(ConfigError, match="belongs to another config"):
        open_workdir(tmp_path, VALUES, {})


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (changed(total="9 steps"), "add --prolong; otherwise name another workdir"),
        (changed(total="9 steps", optimizer=dict(schedule=dict(name="cosine"))), "add --prolong"),
        (changed(total="9 steps", seed=1), "Name another workdir"),
        (changed(optimizer=dict(schedule=dict(name="cosine"))), "Name another workdir"),
    ],
)
def test_a_total_that_differs_names_the_flag(tmp_path, values, said):
    begun(tmp_path, VALUES, {})
    with pytest.raises(ConfigError, match="belongs to another config") as caught:
        open_workdir(tmp_path, values, {})
    assert said in str(caught.value)


@pytest.mark.parametrize("players", [False, True])
def test_a_longer_run_may_differ_in_its_length_also_if_it_is_finished(tmp_path, players):
    def values(rate=0.1, schedule="constant", **sections):
        spec = dict(name="sgd", learning_rate=rate, schedule=dict(name=schedule))
        return {**changed(**sections), "optimizer": dict(a=spec, b=spec) if players else spec}

    begun(tmp_path, values(total="5 steps"), {})
    write_json(tmp_path / "summary.json", {})
    longer = dict(total="9 steps", schedule="cosine", stop=dict(metric="a/b"), **OBSERVING)
    workdir.check_same_run(tmp_path, values(**longer), prolonged=True)
    with pytest.raises(
        ConfigError, match=r"learning_rate: 0\.2 here, 0\.1 there.* another workdir"
    ):
        open_workdir(tmp_path, values(rate=0.2, **longer), {}, prolonged=True)
    open_workdir(tmp_path, values(**longer), {}, prolonged=True)
    assert read_config(tmp_path) == values(**longer)


def test_files_set_aside_replace_none(tmp_path):
    for number in range(3):
        (tmp_path / "a.json").write_text(str(number))
        workdir.set_aside(tmp_path, "before", ("a.json", "b.json"))
    assert workdir.set_aside(tmp_path, "before", ("a.json", "b.json")) is None
    kept = {path.parent.name: path.read_text() for path in tmp_path.rglob("a.json")}
    assert kept == {"before": "0", "before-2": "1", "before-3": "2"}


def test_many_differences_are_cut_short(tmp_path):
    begun(tmp_path, VALUES, {})
    with pytest.raises(ConfigError, match=r"; \.\.\.\. Name another workdir") as caught:
        open_workdir(tmp_path, changed(**{f"key{i}": i for i in range(20)}), {})
    assert str(caught.value).count(" here") == 8


def test_paths_that_can_be_no_directory(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(ConfigError, match="is a file; name a directory"):
        open_workdir(file, VALUES, {})
    with pytest.raises(ConfigError, match="cannot be written: Not a directory"):
        open_workdir(file / "below", VALUES, {})


def test_a_directory_without_a_run_may_become_one(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    open_workdir(tmp_path, VALUES, {})
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_reading_what_is_absent_or_damaged(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere does not exist; name the workdir of a run"):
        read_config(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match=r"has no config\.json"):
        read_config(tmp_path)
    (tmp_path / "config.json").write_text('{"seed": ')
    with pytest.raises(ConfigError, match=r"config\.json is damaged: Expecting value"):
        read_config(tmp_path)
    with pytest.raises(ConfigError, match="is damaged"):
        open_workdir(tmp_path, VALUES, {})


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "summary.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert read_json(path) == {"a": 1}

    def full(*paths):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_json(path, {"a": 2})
    assert read_json(path) == {"a": 1}


def test_what_is_not_finite_is_null_in_a_file(tmp_path):
    path = tmp_path / "summary.json"
    values = {"a": math.nan, "b": [math.inf, {"c": -math.inf}], "d": (0.5, np.float64("nan"))}
    write_json(path, values)

    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    found = json.loads(path.read_text(), parse_constant=refuse)
    assert found == {"a": None, "b": [None, {"c": None}], "d": [0.5, None]}
    # Earlier versions wrote what Python writes.
    path.write_text('{"a": Infinity}')
    assert read_json(path) == {"a": math.inf}


def test_a_config_that_a_file_cannot_hold_is_refused(tmp_path):
    values = {**VALUES, "optimizer": {"betas": [0.9, math.inf]}}
    with pytest.raises(ConfigError, match=r"config\.optimizer\.betas\.1=inf is not finite"):
        open_workdir(tmp_path / "run", values, {})
    assert not (tmp_path / "run").exists()


def test_of_several_processes_the_first_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(workdir.jax, "process_index", lambda: 1)
    assert open_workdir(tmp_path / "run", VALUES, {}) == tmp_path / "run"
    assert list((tmp_path / "run").iterdir()) == []
