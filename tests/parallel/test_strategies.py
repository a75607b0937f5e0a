"""The same run on any mesh, and under pmap what its definition says."""

import jax
import numpy as np
import pytest

from library import rng, trees
from library.config import ConfigError
from library.parallel.sharding import bytes_per_device
from library.parallel.strategies import make_strategy
from library.run import stepping
from library.run.feed import Feed
from library.summaries import summarize
from tests import often, tiny

STEPS = 20
MESHES = [[8, 1, 1], [1, 8, 1], [4, 2, 1]]
# At rates at which the loss stays well above the float noise of logits.
MODELS = {"conv": (tiny.CONV, 0.1), "vit": (tiny.VIT, 0.02)}
GROUP = {**tiny.CONV, "norm": "group"}
AUGMENT = [dict(name="random_crop", padding=1), dict(name="flip_lr")]
ADAM = dict(name="adamw", learning_rate=1e-2, weight_decay=0.01)


@pytest.fixture(scope="module", autouse=True)
def data():
    with pytest.MonkeyPatch.context() as patch:
        tiny.serve(patch, train=tiny.arrays(50), test=tiny.arrays(21, seed=1))
        yield


@pytest.fixture(scope="module")
def alone():
    """The steps of each model on one device."""
    found = {}

    def steps(name):
        if name not in found:
            found[name] = tiny.take_steps(tiny.plan_on(1, **settings(name)), STEPS)
        return found[name]

    return steps


def settings(name):
    model, rate = MODELS[name]
    return dict(model=model, optimizer=dict(name="sgd", learning_rate=rate, momentum=0.9))


def on_mesh(shape, **changes):
    axes = dict(zip(("data", "fsdp", "tensor"), shape))
    return tiny.plan_on(8, parallel=dict(mesh=axes), **changes)


def held(tree):
    """Returns the bytes of the fullest device, and those of the tree."""
    total = sum(x.nbytes for x in jax.tree.leaves(tree))
    return max(bytes_per_device(tree).values()), total


@pytest.mark.parametrize("mesh", often.only([MESHES[1]], MESHES))
@pytest.mark.parametrize("model", often.only(["conv"], MODELS))
def test_losses_on_every_mesh_equal_those_of_one_device(alone, model, mesh):
    expected = alone(model)
    got = tiny.take_steps(on_mesh(mesh, **settings(model)), STEPS)
    assert len(got.losses) == STEPS
    assert got.losses[-1] < got.losses[0]
    np.testing.assert_allclose(got.losses, expected.losses, rtol=1e-5)
    assert got.update._cache_size() == 1


def test_fsdp_holds_an_eighth_of_params_and_moments_on_each_device():
    model = dict(name="mlp.mlp", hidden=(64, 32))
    plan = on_mesh((1, 8, 1), model=model, optimizer=ADAM, ema=dict(decay=0.9))
    steps = tiny.take_steps(plan, 2)
    state = steps.carry.state
    moments = state.opt_state[0][0]
    for tree in (state.params, moments.mu, moments.nu, state.ema):
        most, total = held(tree)
        assert total == 4 * (64 * 64 + 64 + 64 * 32 + 32 + 32 * 4 + 4)
        # Only the head's four biases do not divide by eight.
        assert most == (total - 16) / 8 + 16
    kernel = state.params["hidden1"]["kernel"]
    assert {shard.data.shape for shard in kernel.addressable_shards} == {(64, 8)}
    for path, leaf in trees.flatten(steps.carry._replace(state=None)).items():
        assert leaf.is_fully_replicated, path
    replicated, total = held(tiny.take_steps(on_mesh((8, 1, 1), model=model), 0).carry.state.params)
    assert replicated == total


def test_rules_of_the_config_place_params():
    rules = [["^params/hidden1/kernel$", ["tensor", None]], [".*", "replicated"]]
    parallel = dict(mesh=dict(data=4, tensor=2), rules=rules)
    expected = tiny.take_steps(tiny.plan_on(1), 3)
    got = tiny.take_steps(tiny.plan_on(8, parallel=parallel), 3)
    kernel = got.carry.state.params["hidden1"]["kernel"]
    assert {shard.data.shape for shard in kernel.addressable_shards} == {(32, 5)}
    assert got.carry.state.params["hidden1"]["bias"].is_fully_replicated
    np.testing.assert_allclose(got.losses, expected.losses, rtol=1e-5)


def test_the_carry_is_donated_and_keeps_its_place():
    plan = on_mesh((1, 8, 1), optimizer=ADAM)
    feed = Feed(plan)
    carry = stepping.initial_carry(plan, feed)
    places = [x.sharding for x in jax.tree.leaves(carry)]
    update = plan.strategy.update(lambda *a: stepping.step(plan, *a), carry)
    moved, _ = update(carry, next(feed.train(0)), feed.constants)
    assert all(x.is_deleted() for x in jax.tree.leaves(carry.state.params))
    for place, leaf in zip(places, jax.tree.leaves(moved)):
        assert leaf.sharding.is_equivalent_to(place, leaf.ndim)


def test_pmap_equals_jit_where_no_statistics_are_a_devices_own():
    changes = dict(model=GROUP, augment=AUGMENT, optimizer=ADAM)
    expected = tiny.take_steps(tiny.plan_on(1, **changes), STEPS)
    plain = tiny.take_steps(tiny.plan_on(1, **{**changes, "augment": []}), 1)
    got = tiny.take_steps(tiny.plan_on(8, parallel=dict(strategy="pmap"), **changes), STEPS)
    assert expected.losses[0] != plain.losses[0]
    np.testing.assert_allclose(got.losses, expected.losses, rtol=1e-5)
    norms = [[summarize(row)["gradient_norm"] for row in s.sums] for s in (got, expected)]
    np.testing.assert_allclose(*norms, rtol=1e-4)
    assert got.update._cache_size() == 1


@pytest.mark.full
def test_the_form_of_pmap_for_several_processes_equals_pmap(monkeypatch):
    model = dict(name="mlp.mlp", hidden=(5,), dropout=0.2)
    plan = tiny.plan_on(8, model=model, parallel=dict(strategy="pmap"), augment=AUGMENT)
    expected = tiny.take_steps(plan, 3)

    def update(f, carry):
        # pmap would refuse arrays of other processes; which form is compiled is decided here.
        with monkeypatch.context() as patch:
            patch.setattr(jax, "process_count", lambda: 2)
            return plan.strategy.update(f, carry)

    several = plan._replace(strategy=plan.strategy._replace(update=update))
    got = tiny.take_steps(several, 3)
    assert hasattr(got.update, "trace")
    assert not hasattr(expected.update, "trace")
    np.testing.assert_allclose(got.losses, expected.losses, rtol=1e-6)
    assert got.update._cache_size() == expected.update._cache_size() == 1


@pytest.fixture(scope="module")
def normalized_steps():
    """The first step of a net with batch statistics, under jit and under pmap, on eight devices."""

    def steps(strategy):
        optimizer = dict(name="sgd", learning_rate=0.1)
        plan = tiny.plan_on(
            8, model=tiny.CONV, parallel=dict(strategy=strategy), optimizer=optimizer
        )
        return plan, tiny.take_steps(plan, 1).carry.state

    return {name: steps(name) for name in ("jit", "pmap")}


def first_activations():
    """Returns what the first norm of the first step sees, (16, 8, 8, 4), computed in float64."""
    plan = tiny.plan_on(1, model=tiny.CONV)
    feed = Feed(plan)
    kernel = np.asarray(stepping.initial_carry(plan, feed).state.params["stage1_conv1"]["kernel"])
    image = (np.asarray(feed.first["image"], np.float64) / 255 - 0.4) / 0.25
    padded = np.pad(image, ((0, 0), (1, 1), (1, 1), (0, 0)))
    patches = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    return np.einsum("bhwcij,ijco->bhwo", patches, kernel)


def test_batch_statistics_are_of_the_whole_batch_under_jit_and_a_devices_own_under_pmap(
    normalized_steps,
):
    seen = first_activations()
    whole = seen.var(axis=(0, 1, 2))
    each = seen.reshape(8, -1, 4).var(axis=1).mean(axis=0)
    assert np.all(whole > 1.005 * each)
    for strategy, variance in (("jit", whole), ("pmap", each)):
        _, state = normalized_steps[strategy]
        statistics = state.variables["batch_stats"]["stage1_norm1"]
        # One step of running averages that start at 0 and 1.
        np.testing.assert_allclose(statistics["var"], 0.9 + 0.1 * variance, rtol=1e-5)
        mean = 0.1 * seen.mean(axis=(0, 1, 2))
        np.testing.assert_allclose(statistics["mean"], mean, rtol=1e-4, atol=1e-6)


def evaluated(plan, state):
    """Returns the summary of a split of 21 examples in batches of 8, and what was collected."""
    context = Feed(plan).context()

    def logits(state, batch, key):
        found = plan.task.outputs["logits"](state, batch, key)
        return {"logits": found, "row": batch["row"], "mask": batch["mask"]}

    measure, collect = context.measure(plan.task.evaluate), context.collect(logits)
    totals, parts = None, []
    for batch in context.batches("test", 8):
        sums = measure(state, batch)
        totals = sums if totals is None else trees.add(totals, sums)
        parts.append(collect(state, batch))
    return summarize(jax.device_get(totals), plan.task.summaries), parts


def test_evaluation_under_pmap_equals_that_under_jit(normalized_steps):
    plan, state = normalized_steps["jit"]
    expected, expected_parts = evaluated(plan, state)
    plan, _ = normalized_steps["pmap"]
    got, parts = evaluated(plan, plan.strategy.init(lambda x: x, jax.device_get(state)))
    assert expected["confusion"].sum() == 21
    assert got.keys() == expected.keys()
    for name, value in got.items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-5, err_msg=name)
    assert [part["logits"].shape for part in parts] == [(8, 4)] * 3
    for a, b in zip(parts, expected_parts, strict=True):
        np.testing.assert_array_equal(a["row"], b["row"])
        np.testing.assert_array_equal(a["mask"], b["mask"])
        np.testing.assert_allclose(a["logits"], b["logits"], rtol=1e-4, atol=1e-5)


@pytest.mark.full
def test_dropout_is_the_same_on_one_and_on_eight_devices():
    model = dict(name="mlp.mlp", hidden=(8,), dropout=0.5)
    one = tiny.take_steps(tiny.plan_on(1, model=model), STEPS)
    eight = tiny.take_steps(on_mesh((4, 2, 1), model=model), STEPS)
    none = tiny.take_steps(tiny.plan_on(1, model={**model, "dropout": 0.0}), 1)
    assert abs(one.losses[0] / none.losses[0] - 1) > 1e-2
    np.testing.assert_allclose(eight.losses, one.losses, rtol=1e-6)


@pytest.mark.parametrize("strategy", ["jit", "pmap"])
def test_put_gives_each_device_its_contiguous_part(strategy):
    made = make_strategy(strategy, {"data": 8}, [(".*", "fsdp")])
    batch = made.put({"row": np.arange(16), "image": np.arange(32.0).reshape(16, 2)})
    parts = {shard.device: np.ravel(shard.data) for shard in batch["row"].addressable_shards}
    for i, device in enumerate(jax.devices()):
        np.testing.assert_array_equal(parts[device], [2 * i, 2 * i + 1])
    shape = (16, 2) if strategy == "jit" else (8, 2, 2)
    assert batch["image"].shape == shape


def test_typed_keys_can_be_replicated():
    made = make_strategy("jit", {"data": 8}, [(".*", "fsdp")])
    key = made.replicate(rng.root(3))
    np.testing.assert_array_equal(jax.random.key_data(key), jax.random.key_data(rng.root(3)))
    assert key.is_fully_replicated


@pytest.mark.parametrize(
    ("name", "mesh", "rules", "said"),
    [
        ("pjit", {"data": 8}, [(".*", "fsdp")], ["'pjit'", "valid: jit, pmap"]),
        ("pmap", {"data": 4, "fsdp": 2}, [(".*", "fsdp")], ["'pmap'", "'fsdp': 2"]),
        ("pmap", {"data": 8}, [("kernel", "fsdp")], ["'pmap' takes no sharding rules", "kernel"]),
        ("jit", {"data": 5}, [(".*", "fsdp")], ["multiplies to 5", "8 devices"]),
    ],
)
def test_errors_name_the_strategy(name, mesh, rules, said):
    with pytest.raises(ConfigError) as caught:
        make_strategy(name, mesh, rules)
    for text in said:
        assert text in str(caught.value)
