"""What a step is said to cost, against sums by hand and against what XLA says."""

import functools

import jax
import pytest

from library.apps import planning
from library.parallel.chips import CHIPS, Chip
from library.run import stepping
from library.run.feed import Feed
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
    carry = stepping.initial_carry(plan, feed)
    update = plan.strategy.update(functools.partial(stepping.step, plan), carry)
    compiled = update.lower(carry, next(feed.train(0)), feed.constants).compile()
    found = planning.cost(plan)
    assert found.peak_bytes == planning.peak_bytes(compiled.memory_analysis())
    assert found.state_bytes == sum(x.nbytes for x in jax.tree.leaves(carry.state))


IMAGES = dict(
    dataset=dict(name="synthetic/224x1000", train="train[:64]", test="test[:8]"),
    normalize=None,
    evaluate={},
)
# Published multiplications and additions of the forward pass, two a MAC: He et al. 2016, table 1,
# with the first stage's stride where torchvision has it; DeiT, table 5.
NETWORKS = {"resnet.resnet50": 2 * 4.09e9, "vit.vit_b16": 2 * 17.56e9}


@pytest.mark.full
@pytest.mark.parametrize("name", NETWORKS)
def test_flops_of_training_a_published_network(name):
    # The backward pass is two of the forward.
    found = planning.flops(tiny.plan_on(1, model=dict(name=name), **IMAGES))
    assert found == pytest.approx(3 * BATCH * NETWORKS[name], rel=0.05)


@pytest.mark.full
def test_flops_of_training_gpt2(tmp_path):
    width, depth, context, vocabulary = 768, 12, 1024, 50_257
    # As many different characters.
    (tmp_path / "train.txt").write_text("".join(map(chr, range(256, 256 + vocabulary))))
    text = dict(name="text", data_dir=str(tmp_path), batch_size=4)
    found = planning.flops(
        tiny.plan_on(
            1,
            dataset=dict(text, tokenizer=dict(name="character"), context=context),
            normalize=None,
            model=dict(name="gpt.gpt2"),
            task=dict(name="language"),
        )
    )
    # Of each token 6 a weight of a matrix, the output layer's too, and of causal attention half of
    # what attention to all would be: 4 a feature and token that is seen.
    weights = 12 * depth * width**2 + vocabulary * width
    attention = 3 * depth * 4 * width * context / 2
    assert found == pytest.approx(4 * context * (6 * weights + attention), rel=0.05)


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
