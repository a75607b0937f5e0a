"""Several steps at each call: where calls end, and that nothing else changes."""

import re

import jax
import numpy as np
import pytest

from library.config import ConfigError
from library.data import pipeline
from library.run import calls, loop, restoring, session
from library.run.recipe import make_plan
from tests import runs, tiny
from tests.xla import USUAL_FUSIONS

ON_DEVICE = dict(cache="device")
EVERYTHING = dict(
    augment=[dict(name="random_crop", padding=1), dict(name="flip_lr")],
    optimizer=dict(name="adamw", learning_rate=0.01, schedule=dict(name="cosine")),
    ema=dict(decay=0.9, every=2, warmup=True),
    evaluate=dict(test=dict(kind="metrics", every="8 steps")),
    checkpoint=dict(every="9 steps"),
    log_every="5 steps",
    total="23 steps",
)


@pytest.fixture(autouse=True)
def data(monkeypatch):
    real = jax.jit

    def usual(f, inline=False, **options):
        # What is written into another program is compiled as that is.
        given = {} if inline else dict(compiler_options=USUAL_FUSIONS)
        return real(f, inline=inline, **given, **options)

    monkeypatch.setattr(jax, "jit", usual)
    tiny.serve(monkeypatch, train=tiny.arrays(50), test=tiny.arrays(21, seed=1))


def rows(workdir):
    return [runs.without_rates(row) for row in runs.rows(workdir)]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (dict(start=0, total=10, most=4, every=[100]), [1, 5, 9, 10]),
        (dict(start=0, total=10, most=4, every=[5, 7]), [1, 5, 7, 10]),
        (dict(start=6, total=12, most=100, every=[5]), [7, 10, 12]),
        (dict(start=0, total=12, most=100, every=[50], after=[8, 3]), [1, 3, 8, 12]),
        (dict(start=2, total=6, most=1, every=[50]), [3, 4, 5, 6]),
        (dict(start=0, total=14, most=9, every=[50], alone=[5]), [1, 4, 5, 9, 10, 14]),
        (dict(start=4, total=9, most=9, every=[50], alone=[5]), [5, 9]),
        (dict(start=0, total=4, most=9, every=[50], alone=[1]), [1, 2, 3, 4]),
        (dict(start=6, total=6, most=9, every=[2]), []),
    ],
)
def test_calls_end_where_something_is_due(arguments, expected):
    assert list(calls.ends(**arguments)) == expected


@pytest.mark.parametrize(
    ("devices", "parallel"),
    [
        (1, {}),
        pytest.param(8, dict(mesh=dict(data=4, fsdp=2)), marks=pytest.mark.full),
        pytest.param(4, dict(strategy="pmap"), marks=pytest.mark.full),
    ],
    ids=["one device", "jit", "pmap"],
)
def test_runs_of_many_steps_a_call_are_those_of_one(tmp_path, devices, parallel):
    whole = {}
    for most in (1, 4):
        plan = tiny.plan_on(
            devices, parallel=parallel, dataset=ON_DEVICE, steps_per_call=most, **EVERYTHING
        )
        whole[most] = tiny.run(plan, tmp_path / str(most))
        assert whole[most]["train_step_compilations"] == 1
    assert whole[4]["state_sha256"] == whole[1]["state_sha256"]
    assert rows(tmp_path / "4") == rows(tmp_path / "1")
    assert [row["step"] for row in rows(tmp_path / "4")] == [5, 8, 10, 15, 16, 20, 23]


@pytest.mark.full
def test_runs_of_convolutions_are_those_of_one_step_a_call(tmp_path):
    changes = dict(model={**tiny.CONV, "norm": "batch"}, dataset=ON_DEVICE, total="7 steps")
    digests = {
        tiny.run(tiny.plan_on(1, steps_per_call=most, **changes), tmp_path / str(most))[
            "state_sha256"
        ]
        for most in (1, 3)
    }
    assert len(digests) == 1


def test_the_calls_of_a_run_are_few(tmp_path, monkeypatch):
    made = []
    real = calls.ends
    monkeypatch.setattr(calls, "ends", lambda *a, **k: made.append([*real(*a, **k)]) or made[-1])
    rare = dict(log_every="12 steps", checkpoint=dict(every="12 steps"))
    tiny.run(tiny.plan_on(1, dataset=ON_DEVICE, steps_per_call=6, **rare), tmp_path)
    assert made[-1] == [1, 7, 12]


@pytest.mark.full
def test_a_stopped_run_goes_on_with_calls_of_another_length(tmp_path, monkeypatch):
    expected = tiny.run(tiny.plan_on(1, dataset=ON_DEVICE, **EVERYTHING), tmp_path / "whole")
    asked = []

    def watch():
        class Asking:
            def __enter__(self):
                return lambda: asked.append(True) or len(asked) == 3

            def __exit__(self, *_):
                pass

        return Asking()

    monkeypatch.setattr(loop.preemption, "watch", watch)
    plan = tiny.plan_on(1, dataset=ON_DEVICE, steps_per_call=4, **EVERYTHING)
    with pytest.raises(loop.Preempted, match="saved at step 8"):
        tiny.run(plan, tmp_path / "stopped")
    # After 1, 5 and 8 steps, there before the evaluation that is due.
    assert len(asked) == 3
    plan = tiny.plan_on(1, dataset=ON_DEVICE, steps_per_call=3, **EVERYTHING)
    got = tiny.run(plan, tmp_path / "stopped")
    assert got["state_sha256"] == expected["state_sha256"]
    assert rows(tmp_path / "stopped") == rows(tmp_path / "whole")


def test_a_step_within_a_call_that_is_not_finite_is_named(tmp_path, monkeypatch):
    images = tiny.arrays(160)
    images["image"] = images["image"].astype(np.float32) / 255
    images["image"][pipeline.rows(np.array([7 * 16 + 5]), 0, 160)[0], 3, 3] = np.nan
    tiny.serve(monkeypatch, train=images, test=tiny.arrays(21, seed=1))
    plan = tiny.plan_on(1, dataset=ON_DEVICE, steps_per_call=5, checkpoint=dict(every="100%"))
    with pytest.raises(
        loop.NonFiniteError, match=r"step 8 is not finite in loss.* step 7 is saved"
    ):
        tiny.run(plan, tmp_path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (dict(steps_per_call=0), "steps_per_call=0: valid are 1 to 1000"),
        (dict(steps_per_call=10**9), "steps_per_call=1000000000: valid are 1 to 1000"),
        (dict(steps_per_call=4), "needs dataset.cache='device', but that is 'none'"),
    ],
)
def test_what_is_no_number_of_steps(changes, said):
    with pytest.raises(ConfigError, match=re.escape(said)):
        tiny.plan_on(1, **changes)


def test_a_run_of_many_steps_a_call_is_restored(tmp_path):
    """Programs that do not train open it without the split on the device, a step a call."""
    values = tiny.config(dataset=ON_DEVICE, steps_per_call=4, total="4 steps")
    tiny.run(make_plan(values, devices=jax.devices()[:1]), tmp_path)
    restored = session.restore(values, tmp_path)
    assert restored.step == 4
    assert restored.plan.dataset.cache == "none"
    opened = restoring.without_training(values)
    assert (opened["steps_per_call"], values["steps_per_call"]) == (1, 4)
