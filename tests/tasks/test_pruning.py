"""Training with masks: what is zero when, and that it stays zero."""

import contextlib
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from library import trees
from library.config import ConfigError
from library.run import checkpoints, loop, preemption
from library.task import HALTED, Average, averaged, minimize
from library.tasks.classification import classification
from library.tasks.pruning import pruning
from tests import often, tiny

BATCH = {
    "image": jax.random.normal(jax.random.key(0), (6, 2, 2, 1)),
    "label": jnp.array([0, 2, 1, 0, 1, 2]),
    "index": jnp.arange(6, dtype=jnp.uint32),
    "row": jnp.arange(6, dtype=jnp.uint32),
    "mask": jnp.ones(6),
}
PRUNED = dict(sparsity=0.75, begin="2 steps", end="8 steps", every="2 steps")
EVERY = dict(name="pruning", **PRUNED)


class Small(nn.Module):
    """A network with 4 x 5 and 5 x 3 weights and a normalization."""

    num_classes: int = 3

    @nn.compact
    def __call__(self, image, train=False):
        """Returns logits (b, 3)."""
        x = nn.Dense(5, name="hidden")(image.reshape(len(image), -1))
        x = nn.BatchNorm(not train, momentum=0.9, name="norm")(x)
        self.sow("intermediates", "features", x, init_fn=lambda: 0, reduce_fn=lambda _, new: new)
        return nn.Dense(3, name="head")(nn.relu(x))


def build(optimizer=None, average=None, **options):
    optimizer = optimizer or optax.sgd(0.1)
    return pruning(
        Small(),
        functools.partial(minimize, optimizer=optimizer, average=average),
        **dict(num_classes=3, num_examples=60, batch_size=6, **options),
    )


def run(task, steps, state=None):
    """Returns the states after each step, the first at the start, and the metrics of each."""
    update = jax.jit(task.update)
    states = [task.init(jax.random.key(1), BATCH) if state is None else state]
    measured = []
    for step in range(steps):
        state, metrics = update(states[-1], BATCH, jax.random.key(step))
        states.append(state)
        measured.append(metrics)
    return states, measured


def zeros(tree):
    return sum(int((np.asarray(tree[name]["kernel"]) == 0).sum()) for name in ("hidden", "head"))


def test_the_schedule_by_hand():
    states, measured = run(build(**PRUNED), 11)
    # Of 35 weights; prunings before the steps 2, 4, 6 and 8, s = 3/4 - 3/4 (1 - i/3)^3.
    parts = [0, 0.75 - 0.75 * (2 / 3) ** 3, 0.75 - 0.75 / 27, 0.75]
    counts = [round(35 * part) for part in parts]
    assert counts == [0, 18, 25, 26]
    expected = [0, 0, 0, 0, 18, 18, 25, 25, 26, 26, 26]
    assert [zeros(state.params) for state in states[1:]] == expected
    for count, state, metrics in zip(expected, states[1:], measured):
        assert metrics["sparsity"][0] / metrics["sparsity"][1] == np.float32(count / 35)
        gone = [int((~mask).sum()) for mask in jax.tree.leaves(state.variables["masks"])]
        assert sum(gone) == count


def test_the_smallest_go_and_the_rest_learns_as_ever():
    task = build(**PRUNED)
    states, _ = run(task, 5)
    before = np.concatenate([np.ravel(states[4].params[k]["kernel"]) for k in ("head", "hidden")])
    masks = states[5].variables["masks"]
    gone = ~np.concatenate([np.ravel(masks[k]["kernel"]) for k in ("head", "hidden")])
    assert np.abs(before[gone]).max() < np.abs(before[~gone]).min()
    # One step of a network that has zeros there, by the task that knows nothing of them.
    plain = classification(
        Small(), functools.partial(minimize, optimizer=optax.sgd(0.1)), num_classes=3
    )
    params = jax.tree.map(lambda x: x, states[4].params)
    for name in ("hidden", "head"):
        params[name]["kernel"] = jnp.where(masks[name]["kernel"], params[name]["kernel"], 0)
    start = plain.init(jax.random.key(1), BATCH).replace(
        params=params, variables={"batch_stats": states[4].variables["batch_stats"]}
    )
    moved, _ = jax.jit(plain.update)(start, BATCH, jax.random.key(4))
    for name in ("hidden", "head"):
        mask = masks[name]["kernel"]
        expected = jnp.where(mask, moved.params[name]["kernel"], 0)
        np.testing.assert_allclose(states[5].params[name]["kernel"], expected, rtol=1e-6)
        np.testing.assert_allclose(
            states[5].params[name]["bias"], moved.params[name]["bias"], rtol=1e-6
        )


@pytest.mark.parametrize(
    "optimizer",
    [
        optax.chain(optax.add_decayed_weights(0.1), optax.sgd(0.3, 0.9, nesterov=True)),
        optax.adamw(0.1, weight_decay=0.1),
    ],
    ids=["momentum and decay", "adamw"],
)
def test_zeros_stay_zero_in_params_and_averages(optimizer):
    average = Average(0.8)
    states, _ = run(build(optimizer, average, **PRUNED), 20)
    for before, after in itertools.pairwise(states):
        for name in ("hidden", "head"):
            gone = ~np.asarray(after.variables["masks"][name]["kernel"])
            assert np.all(gone >= ~np.asarray(before.variables["masks"][name]["kernel"]))
            for tree in (after.params, after.ema["params"]):
                held = np.asarray(tree[name]["kernel"])
                np.testing.assert_array_equal(held[gone], 0)
                assert not np.signbit(held[gone]).any()
    assert zeros(states[-1].params) == zeros(states[-1].ema["params"]) == 26
    moments = [np.asarray(x) for x in jax.tree.leaves(states[5].opt_state) if np.ndim(x) == 2]
    # Momentum would have moved what was just pruned.
    masks = [np.asarray(m) for m in jax.tree.leaves(states[5].variables["masks"])]
    assert any(m.shape == x.shape and np.any(x[~m]) for m in masks for x in moments)


def test_one_shot_prunes_once_what_it_is_given():
    task = build(schedule="one_shot", sparsity=0.6, scope="layer")
    states, _ = run(task, 4)
    found = [[int((~m).sum()) for m in jax.tree.leaves(s.variables["masks"])] for s in states]
    # 60 % of 15 and of 20.
    assert found == [[0, 0]] + 4 * [[9, 12]]
    trees_of = [s.variables["masks"] for s in states[1:]]
    assert all(trees.digest(tree) == trees.digest(trees_of[0]) for tree in trees_of)
    for name, count in (("hidden", 12), ("head", 9)):
        start = np.abs(states[0].params[name]["kernel"]).ravel()
        gone = ~np.asarray(trees_of[0][name]["kernel"]).ravel()
        assert set(np.flatnonzero(gone)) == set(np.argsort(start)[:count])


def test_durations_in_epochs_and_what_is_kept():
    # An epoch is ten steps.
    options = dict(schedule="one_shot", sparsity=0.5, begin="0.2 epochs", kept=("head",))
    states, _ = run(build(**options), 4)
    assert [zeros(state.params) for state in states] == [0, 0, 0, 10, 10]
    assert list(states[0].variables["masks"]) == ["hidden"]


def test_evaluation_and_outputs_are_those_of_the_pruned_network():
    task = build(average=Average(0.8), **PRUNED)
    states, _ = run(task, 9)
    for state in (states[-1], averaged(states[-1])):
        metrics = task.evaluate(state, BATCH, jax.random.key(0))
        variables = {"params": state.params, "batch_stats": state.variables["batch_stats"]}
        logits = Small().apply(variables, BATCH["image"])
        np.testing.assert_allclose(
            task.outputs["logits"](state, BATCH, jax.random.key(0)), logits, rtol=1e-6
        )
        hits = (np.argmax(logits, -1) == np.asarray(BATCH["label"])).sum()
        assert metrics["accuracy"] == (hits, 6)
        assert metrics["sparsity"] == (np.float32(26 / 35), 1)
        nonzero = sum(np.count_nonzero(x) for x in jax.tree.leaves(state.params))
        assert metrics["nonzero"] == (nonzero, 1)
    features = task.outputs["features"](states[-1], BATCH, jax.random.key(0))
    assert features.shape == (6, 5)
    # Params that do not know of their masks are masked.
    fresh = states[-1].replace(params=states[0].params)
    nonzero = task.evaluate(fresh, BATCH, jax.random.key(0))["nonzero"][0]
    assert nonzero == sum(np.count_nonzero(x) for x in jax.tree.leaves(states[0].params)) - 26


def test_arguments_of_the_classifier_are_its_own():
    task = build(**PRUNED, classifier=dict(loss="sigmoid", label_smoothing=0.1))
    other = build(**PRUNED)
    state = task.init(jax.random.key(1), BATCH)
    losses = [
        jax.jit(t.update)(state, BATCH, jax.random.key(0))[1]["loss"][0] for t in (task, other)
    ]
    assert losses[0] != losses[1]


def test_the_network_takes_the_features_that_are_named():
    task = build(**PRUNED, inputs=("photo",))
    batch = {"photo" if name == "image" else name: x for name, x in BATCH.items()}
    key = jax.random.key(1)
    ours, theirs = task.init(key, batch), build(**PRUNED).init(key, BATCH)
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    found = task.outputs["logits"](ours, batch, key)
    np.testing.assert_array_equal(found, build(**PRUNED).outputs["logits"](theirs, BATCH, key))


def test_a_step_after_the_end_of_a_run_prunes_nothing():
    task = build(schedule="one_shot", sparsity=0.6)
    start = task.init(jax.random.key(1), BATCH)
    halted = {**BATCH, HALTED: jnp.array(True)}
    state, _ = jax.jit(task.update)(start, halted, jax.random.key(0))
    # Only the count goes on.
    assert trees.digest(state.replace(step=start.step)) == trees.digest(start)


def test_a_step_that_is_not_finite_is_left_out_and_prunes_all_the_same():
    task = build(schedule="one_shot", sparsity=0.6)
    start = task.init(jax.random.key(1), BATCH)
    broken = {**BATCH, "image": BATCH["image"].at[0].set(jnp.nan)}
    state, metrics = jax.jit(task.update)(start, broken, jax.random.key(0))
    assert np.any(metrics["nonfinite"][0])
    assert state.step == 1
    assert zeros(state.params) == 21
    kept = np.asarray(state.variables["masks"]["head"]["kernel"])
    np.testing.assert_array_equal(
        np.asarray(state.params["head"]["kernel"])[kept],
        np.asarray(start.params["head"]["kernel"])[kept],
    )


REFUSED = {
    "sparsity": (dict(PRUNED, sparsity=1.0), "sparsity=1.0: valid are shares of zeros from 0"),
    "order": (dict(PRUNED, initial_sparsity=0.8), "initial_sparsity=0.8, sparsity=0.75"),
    "no end": (dict(sparsity=0.5), "end=None: schedule='cubic' needs a duration"),
    "end first": (dict(PRUNED, end="3 steps"), "are steps 2, 3 and 2: the end must be one"),
    "no duration": (dict(PRUNED, end="8"), "end: '8' is not a duration"),
    "percentage": (dict(PRUNED, end="50%"), "end: '50%': percentages have no meaning here"),
    "unread": (dict(PRUNED, schedule="one_shot"), "end='8 steps' is read with schedule='cubic'"),
    "argument": (dict(PRUNED, classifier=dict(smooth=1)), "classifier takes no 'smooth'"),
    "model": (dict(PRUNED, classifier=dict(model=1)), "classifier takes no 'model'"),
    "inputs": (dict(PRUNED, classifier=dict(inputs=["a"])), "classifier takes no 'inputs'"),
}


@pytest.mark.parametrize(("options", "message"), REFUSED.values(), ids=REFUSED)
def test_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        build(**options)


def test_a_pattern_that_matches_nothing_is_refused():
    with pytest.raises(ConfigError, match="'tail' matches no kernel: "):
        build(**PRUNED, kept=("tail",)).init(jax.random.key(0), BATCH)


# Whole runs.


@pytest.fixture
def data(monkeypatch):
    tiny.serve(monkeypatch, train=tiny.arrays(50), test=tiny.arrays(21, seed=1))


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param(dict(parallel=dict(mesh=dict(data=2, fsdp=2))), marks=pytest.mark.full),
        dict(parallel=dict(strategy="pmap", mesh=dict(data=4))),
        pytest.param(dict(accumulate=2), marks=pytest.mark.full),
    ],
    ids=["jit", "pmap", "accumulated"],
)
def test_strategies_prune_the_same(data, changes):
    options = dict(task=EVERY, ema=dict(decay=0.9))
    reference = tiny.take_steps(tiny.plan_on(1, **options), 9).carry.state
    devices = 4 if "parallel" in changes else 1
    found = tiny.take_steps(tiny.plan_on(devices, **options, **changes), 9)
    state = jax.device_get(found.carry.state)
    assert found.update._cache_size() == 1
    total = 64 * 5 + 5 * 4
    gone = sum(int((~m).sum()) for m in jax.tree.leaves(state.variables["masks"]))
    assert gone == round(0.75 * total)
    jax.tree.map(np.testing.assert_array_equal, state.variables, reference.variables)
    for ours, theirs in zip(jax.tree.leaves(state.params), jax.tree.leaves(reference.params)):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
    sums, count = found.sums[-1]["sparsity"]
    assert sums / count == np.float32(gone / total)


@pytest.mark.full
@pytest.mark.parametrize("stop", [3, 7])
def test_a_run_that_was_stopped_ends_with_the_same_bits(data, tmp_path, stop, monkeypatch):
    # A run without evaluations before its end asks once a step.
    test = dict(test=dict(kind="metrics", every="100%"))
    plan = tiny.plan_on(1, task=EVERY, ema=dict(decay=0.9), evaluate=test)
    whole = tiny.run(plan, tmp_path / "whole")
    with monkeypatch.context() as patched:

        @contextlib.contextmanager
        def watch():
            asked = itertools.count(1)
            yield lambda: next(asked) == stop

        patched.setattr(preemption, "watch", watch)
        with pytest.raises(loop.Preempted):
            tiny.run(plan, tmp_path / "cut")
    resumed = tiny.run(plan, tmp_path / "cut")
    assert resumed["state_sha256"] == whole["state_sha256"]
    assert resumed["metrics"]["test/sparsity"] == pytest.approx(0.75, abs=1e-7)
    assert resumed["metrics"]["test_ema/sparsity"] == pytest.approx(0.75, abs=1e-7)


MODELS = {
    "convolutional": dict(name="cnn.small", widths=(4, 6)),
    "residual": dict(name="resnet.resnet20", width=2),
    "transformer": tiny.VIT,
}


@pytest.mark.parametrize("name", often.but(["residual"], MODELS))
def test_any_classifier(data, name):
    options = dict(name="pruning", schedule="one_shot", sparsity=0.8, kept=("head",))
    plan = tiny.plan_on(1, model=MODELS[name], task=options)
    kernels = {
        path: leaf.shape
        for path, leaf in trees.flatten(plan.state.params).items()
        if path.endswith("kernel") and not path.startswith("head")
    }
    masks = trees.flatten(plan.state.variables["masks"])
    assert {path: mask.shape for path, mask in masks.items()} == kernels


@pytest.mark.full
@pytest.mark.parametrize("name", ["convolutional", "transformer"])
def test_any_classifier_is_pruned(data, name):
    options = dict(name="pruning", schedule="one_shot", sparsity=0.8, kept=("head",))
    state = tiny.take_steps(tiny.plan_on(1, model=MODELS[name], task=options), 2).carry.state
    masks = jax.tree.leaves(state.variables["masks"])
    assert sum(int((~m).sum()) for m in masks) == round(0.8 * sum(m.size for m in masks))


@pytest.mark.full
def test_what_was_trained_before_is_pruned_first_and_goes_on(data, tmp_path):
    plan = tiny.plan_on(1)
    tiny.run(plan, tmp_path / "dense")
    options = dict(name="pruning", schedule="one_shot", sparsity=0.7)
    start = dict(init_from=dict(workdir=str(tmp_path / "dense")), total="2 steps")
    tiny.run(tiny.plan_on(1, task=options, **start), tmp_path / "pruned")
    _, dense = checkpoints.load(tmp_path / "dense")
    _, pruned = checkpoints.load(tmp_path / "pruned")
    names = [f"{name}/kernel" for name in ("head", "hidden1")]
    before = np.concatenate([np.ravel(dense[f"state/params/{name}"]) for name in names])
    kept = np.concatenate([np.ravel(pruned[f"state/variables/masks/{name}"]) for name in names])
    assert (~kept).sum() == round(0.7 * 340)
    assert np.abs(before[~kept]).max() <= np.abs(before[kept]).min()
    # Another run that starts there has its zeros, and adds to them.
    again = dict(name="pruning", schedule="one_shot", sparsity=0.9)
    start["init_from"]["workdir"] = str(tmp_path / "pruned")
    tiny.run(tiny.plan_on(1, task=again, **start), tmp_path / "more")
    _, more = checkpoints.load(tmp_path / "more")
    left = np.concatenate([np.ravel(more[f"state/variables/masks/{name}"]) for name in names])
    assert (~left).sum() == round(0.9 * 340)
    assert np.all(~left[~kept])
