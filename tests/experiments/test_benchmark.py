import importlib.util
import itertools
import math
import os

import jax
import jax.numpy as jnp
import pytest

from experiments.measurements import (
    accelerator,
    data,
    dense,
    families,
    networks,
    peers,
    scale,
    sequences,
    timing,
    training,
)
from experiments.measurements.timing import Budget
from library import costs
from library.weights import catalogue
from tests import tiny


def test_things_are_measured_in_turn_and_compared_within_a_round():
    order, speed = [], itertools.count(1)

    def measure(name, seconds):
        # The machine slows down all the time: only a round's own ratio means something.
        order.append(name)
        return seconds * 2.0 ** ((next(speed) - 1) // 2)

    found = timing.pairs(Budget(10, 3), lambda: measure("a", 3.0), lambda: measure("b", 4.0))
    assert order == ["a", "b"] * 3
    assert found == {"ms": 6_000, "against ms": 8_000, "ratio": 0.75}


def test_a_step_is_called_once_to_warm_up():
    calls = []
    seconds = timing.seconds_each(lambda: calls.append(1), Budget(10, 1))
    assert len(calls) == 11
    assert seconds >= 0


@pytest.mark.parametrize(("steps", "few"), [(200, 5), (10, 2)])
def test_large_steps_are_taken_less_often(steps, few):
    assert Budget(steps, 3).for_large_steps() == Budget(few, 3)


@pytest.mark.full
def test_every_sampler_that_is_measured_makes_samples():
    values = families.command_line.load_config("configs/ddpm/mnist.py:cpu")[0]
    for name, sampler in families.SAMPLERS.items():
        step = families._sampling_step(values, sampler)
        assert jax.eval_shape(step).shape == (16, 28, 28, 1), name


@pytest.mark.full
def test_decoding_is_measured_with_and_without_the_cache(monkeypatch):
    tiny = dict(vocab_size=7, context=6, width=8, depth=1, num_heads=2)
    monkeypatch.setattr(families, "GPT", tiny)
    found = families.decoding(Budget(2, 1))
    assert set(found) == {"cached tokens/s", "uncached tokens/s", "speed-up"}
    assert all(0 < value < math.inf for value in found.values())
    expected = found["cached tokens/s"] / found["uncached tokens/s"]
    assert found["speed-up"] == pytest.approx(expected)


@pytest.mark.full
def test_masking_is_measured_on_a_quarter_of_the_patches(monkeypatch):
    decoder = dict(decoder_width=8, decoder_depth=1, decoder_heads=2)
    size = dict(width=16, depth=1, num_heads=2, **decoder)
    monkeypatch.setitem(families.MAE, "cpu", (size, 2, 64))
    found = families.masking(Budget(2, 1))
    assert found["ratio"] == pytest.approx(found["75 % masked ms"] / found["unmasked ms"])
    # The embedding, of all patches, is most of what so narrow a network computes.
    assert 0.3 < found["ratio of FLOP"] < 0.8


class Machine:
    """Takes a second a step and a thousandth for each image; memory ends somewhere."""

    def __init__(self, memory, slow_from=math.inf, error="RESOURCE_EXHAUSTED: 1 GiB"):
        self.memory, self.slow_from, self.error = memory, slow_from, error
        self.tried = []

    def seconds(self, batch):
        self.tried.append(batch)
        if batch > self.memory:
            raise RuntimeError(self.error)
        return (1 + batch / 1000) * (2 if batch >= self.slow_from else 1)


@pytest.mark.parametrize(
    ("machine", "best", "tried"),
    [
        (Machine(memory=300), 256, [32, 64, 128, 256, 512]),
        (Machine(memory=64, error="CUDA out of memory. Tried"), 64, [32, 64, 128]),
        (Machine(memory=math.inf, slow_from=512), 256, [32, 64, 128, 256, 512]),
        (Machine(memory=math.inf), 4096, [32, 64, 128, 256, 512, 1024, 2048, 4096]),
    ],
)
def test_the_batch_is_doubled_while_that_pays_and_fits(machine, best, tried):
    found = accelerator.best_batch(machine.seconds)
    assert machine.tried == tried
    assert found.batch == best
    assert found.rate == pytest.approx(best / (1 + best / 1000))


def test_what_is_not_for_want_of_memory_is_an_error():
    for machine in (Machine(memory=32, error="no such kernel"), Machine(memory=0)):
        with pytest.raises(RuntimeError, match=machine.error):
            accelerator.best_batch(machine.seconds)


def test_networks_on_an_accelerator_beside_pytorch(monkeypatch):
    """Of a peak of 1 TFLOP/s: ResNet-50 has 8.18 GFLOP forward, ViT-B/16 35.16."""
    ours, theirs = {}, {}
    monkeypatch.setattr(training, "matmul_peak", lambda dtype: 1e12)
    monkeypatch.setattr(accelerator, "_pytorch", lambda: True)
    monkeypatch.setattr(
        accelerator, "_our_seconds", lambda name, budget, batch: ours[name].seconds(batch)
    )
    monkeypatch.setattr(
        accelerator,
        "_their_seconds",
        lambda name, budget, compiled, batch: theirs[name, compiled].seconds(batch),
    )
    for name in accelerator.NAMES:
        ours[name] = Machine(memory=300)
        theirs |= {(name, compiled): Machine(memory=64) for compiled in (False, True)}
    found = accelerator.at_their_best(Budget(200, 5))
    rate, eager = 256 / 1.256, 64 / 1.064
    for name, gflops in zip(accelerator.NAMES, (8.18, 35.16), strict=True):
        assert found[f"{name} batch"] == 256
        assert found[f"{name} images/s"] == pytest.approx(rate)
        share = found[f"{name} share of bfloat16 matmul peak"]
        assert share == pytest.approx(3 * gflops / 1000 * rate, rel=2e-3)
        for kind in ("eager", "torch.compile"):
            assert found[f"{name} {kind} batch"] == 64
            assert found[f"{name} to {kind}"] == pytest.approx(eager / rate)
    assert found["bfloat16 matmul peak TFLOP/s"] == 1


@pytest.mark.parametrize("backend", ["gpu", "tpu"])
def test_gpt2_on_an_accelerator_beside_pytorch(monkeypatch, backend):
    theirs = {compiled: Machine(memory=8) for compiled in (False, True)}
    ours = {"xla": Machine(16), "cudnn": Machine(32)}
    monkeypatch.setattr(training, "matmul_peak", lambda dtype: 1e12)
    monkeypatch.setattr(accelerator, "_pytorch", lambda: True)
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    monkeypatch.setattr(
        accelerator, "_our_gpt_seconds", lambda by, budget, windows: ours[by].seconds(windows)
    )
    monkeypatch.setattr(
        accelerator,
        "_their_gpt_seconds",
        lambda budget, compiled, windows: theirs[compiled].seconds(windows),
    )
    found = accelerator.gpt2_at_its_best(Budget(200, 5))
    rates = {"xla": 16 / 1.016, "cudnn": 32 / 1.032}
    measured = {"gpu": ("xla", "cudnn"), "tpu": ("xla",)}[backend]
    assert any("cudnn" in name for name in found) == (backend == "gpu")
    for by in measured:
        assert found[f"{by}: windows"] == {"xla": 16, "cudnn": 32}[by]
        assert found[f"{by}: tokens/s"] == pytest.approx(1024 * rates[by])
        share = found[f"{by}: share of bfloat16 matmul peak"]
        assert share == pytest.approx(797.8e6 * 1024 * rates[by] / 1e12, rel=1e-3)
        assert found[f"{by}: to torch.compile"] == pytest.approx(8 / 1.008 / rates[by])
    assert theirs[True].tried == [4, 8, 16]
    assert found["eager tokens/s"] == pytest.approx(1024 * 8 / 1.008)


def test_the_operations_of_a_gpt_are_those_of_its_step():
    size = dict(vocab_size=64, context=8, width=64, depth=2, num_heads=2)
    task, state, batch = families.gpt_task(3, size["context"], size)
    jaxpr = jax.make_jaxpr(task.update)(state, batch, jax.random.key(0))
    counted = sum(costs.flops_by_path(jaxpr.jaxpr).values()) / (3 * size["context"])
    # Attention, a small part of so short a window, is counted whole there.
    assert counted == pytest.approx(accelerator.gpt_flops(size), rel=0.05)


def test_the_step_of_gpt2_has_124_million_params():
    state = jax.eval_shape(lambda: families.gpt_task(1, 8, families.GPT2, "bfloat16")[1])
    assert sum(x.size for x in jax.tree.leaves(state.params)) == 124_475_904


def test_what_is_measured_depends_on_the_devices(monkeypatch):
    monkeypatch.setattr(networks, "networks", lambda budget: {"of a CPU": budget.steps})
    monkeypatch.setattr(accelerator, "at_their_best", lambda budget: {"at best": budget.steps})
    budget = Budget(steps=7, rounds=1)
    assert accelerator.networks_here(budget) == {"of a CPU": 7}
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert accelerator.networks_here(budget) == {"at best": 7}
    monkeypatch.setattr(accelerator, "gpt2_at_its_best", lambda budget: {"of GPT-2": budget.steps})
    assert accelerator.gpt_here(budget) == {"of GPT-2": 7}


@pytest.mark.full
def test_a_step_in_bfloat16_of_any_batch(monkeypatch):
    small = catalogue.find("squeezenet1_1")
    small = small._replace(transform=small.transform._replace(size=32))
    monkeypatch.setitem(catalogue.CATALOGUE, "squeezenet1_1", small)
    step = networks.our_step("squeezenet1_1", batch=3, dtype="bfloat16")
    total, count = step()
    assert count == 3
    assert jnp.isfinite(total)


def test_without_pytorch_there_is_nothing_to_compare_with(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for measure in (peers.gpt, peers.mlp, dense.dense, sequences.sequences):
        assert list(measure(Budget(2, 1))) == ["torch is not installed, ratio"]


def test_saves_are_measured(monkeypatch):
    monkeypatch.setattr(scale, "_LEAVES", 2)
    monkeypatch.setattr(scale, "_LEAF", (8, 8))
    monkeypatch.setattr(scale, "_SAVES", 2)
    found = scale.checkpoints(Budget(2, 1))
    assert found["state MB"] == 2 * 8 * 8 * 4 / 1e6
    assert 0 < found["stall ms, median"] <= found["stall ms, p95"]
    assert found["restore s"] > 0


@pytest.mark.full
def test_devices_share_the_work(monkeypatch):
    tiny.serve(monkeypatch, train=tiny.arrays(48), test=tiny.arrays(20, seed=1))
    found = scale.devices(tiny.config())
    strong = [found[f"strong, {count}: GFLOP a device"] for count in (1, 2, 4, 8)]
    assert strong == pytest.approx([strong[0] / count for count in (1, 2, 4, 8)])
    weak = [found[f"weak, {count}: GFLOP a device"] for count in (1, 2, 4, 8)]
    assert weak == pytest.approx([weak[0]] * 4)
    assert found["strong, 1: MB sent by each"] == 0 < found["strong, 8: MB sent by each"]


@pytest.mark.full
def test_layers_are_measured(monkeypatch):
    monkeypatch.setattr(scale, "_LAYERS", dict(vocab_size=4, context=4, width=8, num_heads=2))
    monkeypatch.setattr(scale, "_DEPTHS", (4, 8))
    found = scale.layers(Budget(2, 1))
    assert found["scan: 8/4"] > 0
    memory = [found[f"remat {name}: MB between"] for name in ("full", "dots", "none")]
    assert memory[0] < memory[1] < memory[2]


@pytest.mark.full
def test_calls_of_many_steps_are_measured(monkeypatch):
    tiny.serve(monkeypatch, train=tiny.arrays(48), test=tiny.arrays(20, seed=1))
    small = tiny.config(model={**tiny.CONV, "norm": "batch"})
    monkeypatch.setattr(training, "RESNET20", {k: v for k, v in small.items() if k != "total"})
    found = training.calls(Budget(2, 1), tiny.config())
    for name in ("tiny", "recipe", "resnet20", "resnet20 in 4 parts"):
        expected = found[f"{name}: ms"] / found[f"{name}: against ms"]
        assert found[f"{name}: ratio"] == pytest.approx(expected)
    assert 0 < found["tiny: ratio"] < 1


def test_loading_is_measured_on_one_core(monkeypatch):
    for name, value in dict(_PHOTOGRAPHS=5, _BATCH=4, _BATCHES=1, _EXAMPLES=999).items():
        monkeypatch.setattr(data, name, value)
    setting = data._Setting((40, 60), 0, None)
    monkeypatch.setattr(data, "_SETTINGS", {"tiny": setting})
    monkeypatch.setattr(data.importlib.util, "find_spec", lambda name: None)
    before = os.sched_getaffinity(0)
    found = data.loading(Budget(1, 1))
    assert os.sched_getaffinity(0) == before
    assert set(found) == {
        "tiny: here records/s",
        "tiny: finished records/s",
        "seek to step 10^6 s",
    }
    assert all(value > 0 for value in found.values())


@pytest.mark.full
def test_runs_of_one_and_of_two_processes_are_timed():
    found = scale.processes(Budget(12, 1), "configs/cnn/digits.py")
    expected = found["two processes ms"] / found["one process ms"]
    assert found["two over one"] == pytest.approx(expected)


@pytest.mark.full
def test_a_step_that_is_decided_on_needs_no_second_state(monkeypatch):
    monkeypatch.setattr(training, "WIDE", (128,) * 9)
    figures = training.finite()
    ratios = {k: v for k, v in figures.items() if k.endswith("/plain") and k.startswith("clipped")}
    assert len(ratios) == 8
    for where, found in ratios.items():
        # Of two players one is kept twice.
        assert found < (1.1 if "minimize" in where else 2.7), where
