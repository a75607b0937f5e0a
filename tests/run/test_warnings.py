"""What evaluators warn of: on the console, in the rows, with the run, and through a resumption."""

import io

import jax
import jax.numpy as jnp
import pytest
from rich.console import Console

from library.reporting.runs import read_rows
from library.run import loop
from library.run.clock import Clock
from library.run.recipe import make_plan
from library.run.workdir import open_workdir
from tests import families

# Two perceptrons, of which the generator stays as it is.
GAN = dict(
    model=dict(
        generator=dict(name="gan.generator", hidden=(8,)),
        discriminator=dict(name="gan.discriminator", hidden=(8,), dropout=0.0, input_dropout=0.0),
    ),
    task=dict(name="gan", latent_size=4),
    optimizer=dict(
        discriminator=dict(name="sgd", learning_rate=0.05),
        generator=dict(name="sgd", learning_rate=0.0),
    ),
    ema=None,
    evaluate=dict(coverage=dict(kind="mode_coverage", num=16, every="2 steps")),
    total="6 steps",
    checkpoint=dict(every="2 steps"),
)


def collapsed_plan():
    """Makes the plan of a game whose generator makes the same grey image of everything."""
    plan = make_plan(families.config("gan", **GAN), devices=jax.devices()[:1])

    def init(key, batch):
        state = plan.task.init(key, batch)
        generator = state.params["generator"]
        output = jax.tree.map(jnp.zeros_like, generator["output"])
        params = {**state.params, "generator": {**generator, "output": output}}
        return state.replace(params=params)

    return plan._replace(task=plan.task._replace(init=init))


def train(plan, workdir):
    """Runs the loop; returns what it reports, and what it printed."""
    opened = open_workdir(workdir, families.config("gan", **GAN), {})
    shown = io.StringIO()
    summary = loop.train(plan, opened, Clock(), Console(file=shown, width=1000))
    return summary, shown.getvalue()


@pytest.fixture(scope="module")
def plan():
    with pytest.MonkeyPatch.context() as patch:
        families.serve(patch)
        yield collapsed_plan()


@pytest.fixture(scope="module")
def run(plan, tmp_path_factory):
    """The workdir of a whole run, its summary and what it printed."""
    workdir = tmp_path_factory.mktemp("runs") / "whole"
    return workdir, *train(plan, workdir)


def test_a_collapsed_generator_is_told_and_flagged(run):
    workdir, summary, shown = run
    rows = [row for row in read_rows(workdir / "metrics.jsonl").rows if "coverage/collapsed" in row]
    assert [row["step"] for row in rows] == [2, 4, 6]
    assert [row["coverage/collapsed"] for row in rows] == [1, 1, 1]
    assert [row["coverage/pairwise_distance"] for row in rows] == [0, 0, 0]
    assert shown.count("warning: the generator has collapsed: samples differ by 0%") == 1
    (told,) = [each for each in summary["warnings"] if "collapsed" in each["text"]]
    assert told["step"] == 2
    assert f"warning: {told['text']}\n" in shown


def test_a_resumed_run_keeps_what_was_told_before(plan, run, tmp_path, monkeypatch):
    real = loop._Run._at

    def dies(self, done, *arguments):
        carry = real(self, done, *arguments)
        if done == 3:
            self.checkpoints.wait()
            raise KeyboardInterrupt
        return carry

    monkeypatch.setattr(loop._Run, "_at", dies)
    with pytest.raises(KeyboardInterrupt):
        train(plan, tmp_path / "cut")
    monkeypatch.setattr(loop._Run, "_at", real)
    summary, shown = train(plan, tmp_path / "cut")
    assert "resuming at step 2" in shown
    # The evaluator tells it anew at step 4, where it is known already.
    assert "the generator has collapsed" in shown
    assert summary["warnings"] == run[1]["warnings"]
