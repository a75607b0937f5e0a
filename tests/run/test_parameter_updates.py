"""How a step moves the params: what is measured, in rows and in TensorBoard's events."""

import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.parallel import chips
from library.run import parameter_updates
from tests import runs, tiny
from tests.run.events import values

RATIO, SHARE = "train/update_ratio", "train/flops_utilization"


@pytest.fixture
def data(monkeypatch):
    tiny.serve(monkeypatch, train=tiny.arrays(50), test=tiny.arrays(21, seed=1))


def test_histograms_count_every_value():
    before = {"a": jnp.arange(-64, 64, dtype=jnp.bfloat16), "b": jnp.zeros((0, 3))}
    after = {"a": before["a"] * 2, "b": before["b"]}
    found = parameter_updates.measured(before, after)
    assert found.params.keys() == found.updates.keys() == {"a"}
    for made, exact in (
        (found.params, np.arange(-128, 128, 2.0)),
        (found.updates, np.arange(-64, 64.0)),
    ):
        counts, edges = np.histogram(exact, parameter_updates.BINS)
        np.testing.assert_array_equal(made["a"].counts.sum(), counts.sum())
        np.testing.assert_allclose(made["a"].edges, edges, rtol=1e-6)
        assert (made["a"].total, made["a"].squares) == (exact.sum(), np.square(exact).sum())
    # The params have twice the values of the update.
    assert found.ratio() == 0.5


def test_params_that_stay_have_updates_of_zero():
    params = {"a": jnp.full(3, 2.0)}
    found = parameter_updates.measured(params, params)
    assert found.updates["a"].counts.tolist() == [3, *([0] * (parameter_updates.BINS - 1))]
    assert found.ratio() == 0
    nothing = {"a": jnp.zeros(3)}
    assert parameter_updates.measured(nothing, nothing).ratio() is None


def test_a_complex_number_is_two_values():
    found = parameter_updates.measured(
        {"a": jnp.zeros(1, jnp.complex64)}, {"a": jnp.array([3 + 4j])}
    )
    assert found.params["a"].counts.sum() == 2
    assert found.ratio() == 1


def test_updates_of_one_step_are_measured_and_change_nothing(data, tmp_path):
    # A call could have four steps.
    rare = dict(log_every="12 steps", checkpoint=dict(every="12 steps"))
    changes = dict(dataset=dict(cache="device"), **rare)
    plain = tiny.run(tiny.plan_on(1, **changes), tmp_path / "0")
    ratios = {}
    for most in (1, 4):
        plan = tiny.plan_on(1, histograms_every="4 steps", steps_per_call=most, **changes)
        summary = tiny.run(plan, tmp_path / str(most))
        rows = runs.rows(tmp_path / str(most))
        ratios[most] = {row["step"]: row[RATIO] for row in rows if RATIO in row}
        assert [row["step"] for row in rows] == [4, 8, 12]
        if most == 1:
            assert summary["state_sha256"] == plain["state_sha256"]
    assert [*ratios[1]] == [4, 8, 12]
    # An update of several steps would be several times as large.
    assert ratios[4] == pytest.approx(ratios[1], rel=0.01)
    shown = values(tmp_path / "1")
    kinds = {tag.partition("/")[0] for tag, each in shown.items() if each[0][1].HasField("histo")}
    assert kinds == {"params", "updates"}
    (kernel,) = [tag for tag in shown if tag.startswith("updates/") and "head/kernel" in tag]
    assert [step for step, _ in shown[kernel]] == [4, 8, 12]
    histogram = shown[kernel][0][1].histo
    assert len(histogram.bucket) == len(histogram.bucket_limit) == parameter_updates.BINS + 1
    assert sum(histogram.bucket) == histogram.num


@pytest.mark.full
@pytest.mark.parametrize("parallel", [dict(mesh=dict(data=2, fsdp=2)), dict(strategy="pmap")])
def test_several_devices_measure_what_one_does(data, tmp_path, parallel):
    changes = dict(histograms_every="2 steps", total="2 steps")
    tiny.run(tiny.plan_on(1, **changes), tmp_path / "1")
    tiny.run(tiny.plan_on(4, parallel=parallel, **changes), tmp_path / "4")
    one, four = (runs.rows(tmp_path / name)[-1][RATIO] for name in ("1", "4"))
    assert four == pytest.approx(one, rel=0.01)


def test_an_interval_of_nothing_is_refused(data):
    with pytest.raises(ConfigError, match="histograms_every='0 steps' is less than one step"):
        tiny.plan_on(1, histograms_every="0 steps")


def test_the_share_of_the_peak_is_that_of_all_steps(data, tmp_path, monkeypatch):
    chip = chips.CHIPS["h200"]
    monkeypatch.setattr(chips, "of", lambda device: chip)
    plan = tiny.plan_on(2, total="3 steps")
    # Of 16 images of 64 pixels, a layer has three products, but none for the gradient of the image.
    # The losses are weighted by one more product.
    assert plan.flops == 2 * 16 * (2 * 64 * 5 + 3 * 5 * 4 + 1)
    tiny.run(plan, tmp_path)
    (row,) = runs.rows(tmp_path)
    steps_per_second = row["train/examples_per_second"] / 16
    assert row[SHARE] == pytest.approx(plan.flops * steps_per_second / (2 * chip.flops))


def test_on_a_cpu_there_is_no_share(data, tmp_path):
    plan = tiny.plan_on(1, total="3 steps")
    assert plan.flops is None
    tiny.run(plan, tmp_path)
    assert SHARE not in runs.rows(tmp_path)[0]


@pytest.mark.parametrize(
    ("platform", "kind", "name"),
    [
        ("gpu", "NVIDIA H200", "h200"),
        ("gpu", "NVIDIA A100-SXM4-80GB", "a100"),
        ("gpu", "NVIDIA H100 80GB HBM3", "h100"),
        ("gpu", "NVIDIA H100 PCIe", None),
        ("gpu", "NVIDIA H200 MIG 1g.18gb", None),
        ("tpu", "TPU v5 lite", "v5e"),
        ("tpu", "TPU v5", "v5p"),
        ("tpu", "TPU v3", None),
        ("cpu", "cpu", None),
    ],
)
def test_chips_are_known_by_their_name(platform, kind, name):
    device = type("Device", (), {"platform": platform, "device_kind": kind})
    assert chips.of(device) == (name and chips.CHIPS[name])
