"""What a step is said to cost, against sums by hand and against what XLA says."""

import functools

import jax
import pytest

from library.parallel.chips import CHIPS, Chip
from library.training import loop, planning
from library.training.feed import Feed
from tests import tiny

HIDDEN, CLASSES, PIXELS, BATCH = 5, len(tiny.CLASSES), 64, 16
PARAMS = PIXELS * HIDDEN + HIDDEN + HIDDEN * CLASSES + CLASSES


@pytest.fixture(autouse=True)
def data(monkeypatch):
    tiny.serve(monkeypatch, train=tiny.arrays(48), test=tiny.arrays(20, seed=1))


def test_flops_are_those_of_the_products():
    found = planning.cost(tiny.plan_on(1))
    # Forward; the gradients of both kernels; that of the hidden layer, not of the image; and the
    # losses' product with their mask.
    products = PIXELS * HIDDEN + HIDDEN * CLASSES
    assert found.flops == 2 * BATCH * (2 * products + HIDDEN * CLASSES + 1)
    assert found.parameters == PARAMS
    assert found.collectives == ()


@pytest.mark.parametrize("strategy", ["jit", "pmap"])
def test_eight_devices_share_the_work_and_sum_the_gradients(strategy):
    one = planning.cost(tiny.plan_on(1))
    found = planning.cost(tiny.plan_on(8, parallel=dict(strategy=strategy)))
    assert found.devices == 8
    assert found.flops == one.flops
    sums = [each for each in found.collectives if each.kind == "all-reduce"]
    assert {each.devices for each in sums} == {8}
    # Beside the gradients there are sums of metrics, a few numbers each.
    assert PARAMS * 4 <= sum(each.bytes for each in sums) <= PARAMS * 4 + 200


def test_fsdp_divides_the_state():
    changes = dict(
        model=dict(name="mlp.mlp", hidden=(64, 32)), optimizer=dict(name="adam", learning_rate=0.1)
    )
    one = planning.cost(tiny.plan_on(1, **changes))
    found = planning.cost(tiny.plan_on(8, parallel=dict(mesh=dict(fsdp=8)), **changes))
    assert found.state_bytes < one.state_bytes / 7
    assert {each.kind for each in found.collectives} >= {"all-gather"}


def test_peak_memory_is_that_of_the_step_that_is_run():
    plan = tiny.plan_on(1)
    feed = Feed(plan)
    carry = loop.initial_carry(plan, feed)
    update = plan.strategy.update(functools.partial(loop.step, plan), carry)
    compiled = update.lower(carry, next(feed.train(0)), feed.constants).compile()
    found = planning.cost(plan)
    assert found.peak_bytes == planning.peak_bytes(compiled.memory_analysis())
    assert found.state_bytes == sum(x.nbytes for x in jax.tree.leaves(carry.state))


def test_a_roofline_is_its_lowest_part():
    found = planning.Cost(
        devices=2,
        parameters=1,
        state_bytes=1,
        flops=8_000,
        bytes=30,
        peak_bytes=1,
        collectives=(planning.Collective("all-reduce", 2, 1, 10),),
    )
    bound = planning.roofline(found, Chip(flops=1000, bandwidth=10, memory=1, link=5))
    assert bound == planning.Roofline(compute=4.0, memory=3.0, links=2.0)
    assert bound.seconds == 4.0


def test_chips_are_named_with_plausible_ratios():
    for name, chip in CHIPS.items():
        # FLOPs for each byte of memory traffic that keep the chip busy.
        assert 100 < chip.flops / chip.bandwidth < 600, name
        assert chip.link < chip.bandwidth, name


def test_planning_allocates_nothing():
    plan = tiny.plan_on(1)
    before = {id(x) for x in jax.live_arrays()}
    planning.cost(plan)
    assert {id(x) for x in jax.live_arrays()} <= before
