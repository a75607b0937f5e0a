"""A run that is made longer is the run that was longer from the start, or says why it is not."""

import io
import json
import shutil

import pytest
from rich.console import Console

from library.config import ConfigError
from library.reporting import report
from library.reporting.runs import read_rows
from library.run import checkpoints, evaluating, preemption, session, workdir
from library.run.clock import Clock
from tests import families, often, tiny
from tests.run.test_stopping import stops_at

# All that a longer run could lose: dropout, batch statistics, averages, parts of a batch.
CNN = dict(
    model=dict(name="cnn.small", widths=(4,), dropout=0.2),
    augment=[dict(name="random_crop", padding=1)],
    optimizer=dict(
        name="adam", learning_rate=1e-2, schedule=dict(name="constant", warmup="2 steps")
    ),
    ema=dict(decay=0.9),
)
CASES = {
    "one batch a step": dict(
        model=dict(tiny.PERCEPTRON, dropout=0.2), optimizer=CNN["optimizer"], ema=CNN["ema"]
    ),
    "accumulated": dict(CNN, accumulate=2),
    "on the device": dict(CNN, dataset=dict(cache="device"), steps_per_call=4),
    "streams": {**families.config("lstm"), "evaluate": {}},
    "players": {**families.config("gan"), "evaluate": {}},
}
TEST = dict(test=dict(kind="metrics", every="3 steps"))


@pytest.fixture(autouse=True)
def data(monkeypatch):
    families.serve(monkeypatch)
    monkeypatch.setattr(report, "write_report", lambda workdir: None)


def train(folder, total, prolongs=False, overrides=(), **changes):
    """Trains in a workdir; returns the exit code and what is shown."""
    shown = io.StringIO()
    values = tiny.config(**{"evaluate": TEST, **changes, "total": total})
    console, identity = Console(file=shown, width=1000), {"overrides": dict(overrides)}
    code = session.train(values, identity, folder, Clock(), console, None, prolongs)
    return code, shown.getvalue()


def rows(folder):
    timed = ("wall_time", "train/examples_per_second")
    found = read_rows(folder / "metrics.jsonl").rows
    return [{k: v for k, v in row.items() if k not in timed} for row in found]


def summary(folder):
    return json.loads((folder / "summary.json").read_text())


def check_same(ours, theirs):
    assert summary(ours)["state_sha256"] == summary(theirs)["state_sha256"]
    assert rows(ours) == rows(theirs)


@pytest.mark.parametrize("case", often.first(1, CASES))
def test_under_a_constant_rate_it_is_the_run_that_was_longer_from_the_start(
    tmp_path, monkeypatch, case
):
    changes = {k: v for k, v in CASES[case].items() if k != "total"}
    train(tmp_path / "whole", "12 steps", **changes)
    whole = summary(tmp_path / "whole")
    assert (whole["steps"], whole["prolonged"]) == (12, [])
    longer = tmp_path / "longer"
    train(longer, "6 steps", **changes)
    first = (longer / "summary.json").read_text()
    # It is asked to stop on its way, and the same command resumes it.
    with monkeypatch.context() as patch:
        patch.setattr(preemption, "watch", stops_at(2))
        code, shown = train(longer, "12 steps", True, **changes)
    assert code == 75
    same = "with the same bits as a run of 12 steps from the start"
    assert f"prolonged after step 6 to 12 steps, {same}" in shown
    assert "resuming at step 6" in shown
    assert not (longer / "summary.json").exists()
    code, shown = train(longer, "12 steps", True, **changes)
    assert code == 0
    assert "prolonged" not in shown
    check_same(longer, tmp_path / "whole")
    assert (longer / "until-6" / "summary.json").read_text() == first
    (entry,) = summary(longer)["prolonged"]
    assert (entry["total"], entry["steps"], entry["at"], entry["exact"]) == ("6 steps", 6, 6, True)
    # Finished, and without the flag.
    for prolongs in (True, False):
        assert (
            "holds a finished run of this config"
            in train(longer, "12 steps", prolongs, **changes)[1]
        )


@pytest.mark.full
def test_a_run_that_was_stopped_goes_on_to_a_later_end(tmp_path, monkeypatch):
    train(tmp_path / "whole", "12 steps", checkpoint=dict(every="10%"))
    with monkeypatch.context() as patch:
        patch.setattr(preemption, "watch", stops_at(4))
        assert train(tmp_path / "longer", "8 steps", checkpoint=dict(every="10%"))[0] == 75
    at = checkpoints.load(tmp_path / "longer")[0]
    assert at < 6
    shown = train(tmp_path / "longer", "12 steps", True, checkpoint=dict(every="10%"))[1]
    assert f"prolonged after step {at} to 12 steps, with the same bits" in shown
    check_same(tmp_path / "longer", tmp_path / "whole")
    assert not list((tmp_path / "longer").glob("until-*"))


def sgd(**schedule):
    return dict(name="sgd", learning_rate=0.1, momentum=0.9, schedule=schedule)


@pytest.mark.full
def test_a_constant_rate_ends_in_a_cooldown(tmp_path):
    cooled = sgd(name="cooldown", over="6 steps", shape="sqrt")
    train(tmp_path / "whole", "12 steps", optimizer=cooled)
    train(tmp_path / "longer", "6 steps", optimizer=sgd(name="constant"))
    shown = train(tmp_path / "longer", "12 steps", True, optimizer=cooled)[1]
    assert "with the same bits" in shown
    assert "learning_rate 0.1 in the next step, 0.008713 in the last" in shown
    check_same(tmp_path / "longer", tmp_path / "whole")


@pytest.mark.full
def test_a_warmup_in_percent_stays_as_long_as_it_was(tmp_path):
    optimizer = sgd(name="constant", warmup="50%")
    train(tmp_path / "whole", "12 steps", optimizer=sgd(name="constant", warmup="3 steps"))
    train(tmp_path / "longer", "6 steps", optimizer=optimizer)
    shown = train(tmp_path / "longer", "12 steps", True, optimizer=optimizer)[1]
    assert "optimizer.schedule: its percentages stay those of 6 steps" in shown
    check_same(tmp_path / "longer", tmp_path / "whole")
    kept = workdir.read_config(tmp_path / "longer")
    assert kept["optimizer"]["schedule"] == dict(name="constant", warmup="3 steps")
    overrides = workdir.read_identity(tmp_path / "longer")["overrides"]
    assert list(overrides) == ["optimizer.schedule"]
    # The same config again still means these steps.
    assert (
        "with the same bits" in train(tmp_path / "longer", "15 steps", True, optimizer=optimizer)[1]
    )
    assert workdir.read_config(tmp_path / "longer")["optimizer"] == kept["optimizer"]


@pytest.mark.full
def test_a_schedule_of_the_total_starts_again(tmp_path):
    folder, optimizer = tmp_path / "run", sgd(name="cosine")
    train(folder, "6 steps", optimizer=optimizer)
    shown = train(folder, "12 steps", True, optimizer=optimizer)[1]
    assert "not with the bits of a run of 12 steps from the start" in shown
    assert "optimizer.schedule: 'cosine' starts again after step 6, for 6 steps" in shown
    assert "learning_rate 0.1 in the next step, 0.006699 in the last" in shown
    rates = {row["step"]: row["train/learning_rate"] for row in rows(folder)}
    assert (rates[9], rates[12]) == (rates[3], rates[6])
    assert rates[3] != rates[6]
    # The same command finds it finished, and the claim is none of this run.
    assert "holds a finished run" in train(folder, "12 steps", True, optimizer=optimizer)[1]
    assert {*workdir.read_identity(folder)["overrides"]} == {"total", "optimizer.schedule"}
    # By its own config it gets a third part.
    kept = workdir.read_config(folder)
    train(folder, "15 steps", True, optimizer=kept["optimizer"])
    parts = workdir.read_config(folder)["optimizer"]["schedule"]["parts"]
    assert [part.get("until") for part in parts] == ["6 steps", "12 steps", None]
    assert [each["at"] for each in summary(folder)["prolonged"]] == [6, 12]
    assert [path.name for path in sorted(folder.glob("until-*"))] == ["until-12", "until-6"]


@pytest.mark.full
def test_the_config_of_a_longer_run_makes_the_run_from_the_start(tmp_path):
    def piecewise(last):
        return sgd(name="piecewise", boundaries=["4 steps"], fractions=[1.0, last])

    train(tmp_path / "longer", "6 steps", optimizer=piecewise(0.5))
    train(tmp_path / "longer", "12 steps", True, optimizer=piecewise(0.25))
    kept = workdir.read_config(tmp_path / "longer")
    assert kept["optimizer"]["schedule"]["name"] == "sequence"
    train(tmp_path / "whole", "12 steps", optimizer=kept["optimizer"])
    check_same(tmp_path / "longer", tmp_path / "whole")


@pytest.mark.full
def test_the_claim_of_a_longer_run_is_void(tmp_path):
    reported = dict(metric="test/accuracy", value=0.5, source="a table")
    changes = dict(reported=reported, optimizer=sgd(name="linear"))
    train(tmp_path, "6 steps", **changes)
    assert "changed" not in summary(tmp_path)["result"]
    # The recipe itself is that of the longer total, so the command has no override.
    train(tmp_path, "12 steps", True, **changes)
    result = summary(tmp_path)["result"]
    assert (result["gap"], set(result["changed"])) == (None, {"total", "optimizer.schedule"})
    # With the override of a start it is void, too.
    other = tmp_path / "other"
    train(other, "6 steps", reported=reported)
    train(other, "12 steps", True, [("total", "12 steps")], reported=reported)
    assert summary(other)["result"]["changed"] == ["total"]


@pytest.mark.full
def test_what_follows_the_total_is_named(tmp_path):
    ahead = dict(sgd(name="constant"), lookahead=dict(every=2), frozen_from=[("head", "50%")])
    train(tmp_path, "6 steps", optimizer=ahead)
    shown = train(tmp_path, "12 steps", True, optimizer=ahead)[1]
    assert "optimizer.lookahead follows the total" in shown
    assert "optimizer.frozen_from of 'head' follows the total" in shown
    assert summary(tmp_path)["prolonged"][0]["exact"] is False


# What is refused.


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return tmp_path_factory.mktemp("kept") / "run"


@pytest.fixture
def finished(tmp_path, kept):
    if not kept.exists():
        train(kept, "6 steps")
    return shutil.copytree(kept, tmp_path / "run")


@pytest.mark.parametrize(
    ("total", "prolongs", "changes", "said"),
    [
        ("12 steps", False, {}, ["total: '12 steps' here, '6 steps' there", "add --prolong"]),
        ("12 steps", False, dict(seed=1), ["seed: 1 here", "total: ", "Name another workdir"]),
        ("12 steps", True, dict(seed=1), ["seed: 1 here, unset there. Name another workdir"]),
        ("6 steps", True, {}, ["total='6 steps' is 6 steps", "has 6, of which 6", "'7 steps' or"]),
        ("2 epochs", True, {}, ["total='2 epochs' is 6 steps", "write '7 steps' or more"]),
        ("3 steps", True, {}, ["total='3 steps' is 3 steps", "write '7 steps' or more"]),
        ("12 stpes", True, {}, ["total='12 stpes' is not a duration"]),
    ],
)
def test_a_length_that_is_refused(finished, total, prolongs, changes, said):
    before = {path.name: path.stat().st_mtime_ns for path in finished.iterdir()}
    with pytest.raises(ConfigError) as caught:
        train(finished, total, prolongs, **changes)
    for text in said:
        assert text in str(caught.value)
    assert {path.name: path.stat().st_mtime_ns for path in finished.iterdir()} == before


def test_runs_that_cannot_be_made_longer(tmp_path, finished):
    with pytest.raises(ConfigError, match="nowhere does not exist"):
        train(tmp_path / "nowhere", "12 steps", True)
    workdir.open_workdir(tmp_path / "empty", tiny.config(total="6 steps"), {})
    with pytest.raises(ConfigError, match="has no checkpoint to go on from: leave --prolong out"):
        train(tmp_path / "empty", "12 steps", True)
    (finished / "data.json").rename(finished / "gone")
    with pytest.raises(ConfigError, match=r"has no data\.json, which states the length of an ep"):
        train(finished, "12 steps", True)
    phased = dict(sgd(name="constant"), phases=2)
    train(tmp_path / "phased", "6 steps", optimizer=phased)
    with pytest.raises(ConfigError, match=r"optimizer\.phases=2 divide the run by its total"):
        train(tmp_path / "phased", "12 steps", True, optimizer=phased)


# Early stopping.


@pytest.mark.full
def test_a_run_that_stopped_early_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluating, "measured", lambda *_: {"test/accuracy": 0.5})
    stop = dict(metric="test/accuracy", patience="1 evaluation")
    train(tmp_path / "whole", "9 steps")
    train(tmp_path / "run", "9 steps", stop=stop)
    assert summary(tmp_path / "run")["steps"] == 6
    with pytest.raises(ConfigError, match=r"or change config\.stop, which ended it"):
        train(tmp_path / "run", "9 steps", True, stop=stop)
    # Its patience begins anew.
    shown = train(tmp_path / "run", "15 steps", True, stop=stop)[1]
    assert "prolonged after step 6 to 15 steps, with the same bits" in shown
    assert summary(tmp_path / "run")["steps"] == 9
    check_same(tmp_path / "run", tmp_path / "whole")
    # Without the section it goes on to its total.
    train(tmp_path / "run", "15 steps", True)
    assert summary(tmp_path / "run")["steps"] == 15
    assert summary(tmp_path / "run")["stopped_early"] is None


# A workdir without a checkpoint.


def test_a_run_without_a_checkpoint_gets_another_config(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    train(tmp_path / "other", "6 steps", dataset=dict(train="test"))

    def fail(*_):
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(session.loop._Run, "_train_row", fail)
        patch.setattr(session.loop._Run, "_keep", lambda run: None)
        with pytest.raises(RuntimeError):
            train(folder, "12 steps", checkpoint=dict(every="100%"))
    assert not workdir.has_checkpoint(folder)
    (folder / "samples").mkdir()
    shown = train(folder, "6 steps", dataset=dict(train="test"))[1]
    assert f"note: {folder} has no checkpoint yet, so its config changes: " in shown
    assert "total: '6 steps' here, '12 steps' there" in shown
    check_same(folder, tmp_path / "other")
    # Its data record is that of its own data.
    ours, theirs = (
        json.loads((path / "data.json").read_text()) for path in (folder, tmp_path / "other")
    )
    assert ours == theirs
    assert {path.name for path in (folder / "replaced").iterdir()} == {
        *("data.json", "metrics.jsonl", "samples")
    }
    # From now on it belongs to this config.
    with pytest.raises(ConfigError, match="belongs to another config"):
        train(folder, "12 steps")
