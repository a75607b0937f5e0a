import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from library import finite, rng, trees
from library.config import ConfigError
from library.optim.optimizers import make_hold, make_optimizer
from library.task import (
    HALTED,
    Average,
    TrainState,
    averaged,
    check_outputs,
    minimize,
    nonfinite_names,
    pair,
    select,
)
from library.tasks.classification import classification

KEY = jax.random.key(0)
SIZE = 32


def make_batch(step, size=SIZE, num_classes=3):
    random = np.random.default_rng(step)
    return {
        "image": jnp.asarray(random.normal(size=(size, 2, 2, 1)), jnp.float32),
        "label": jnp.asarray(random.integers(0, num_classes, size), jnp.int32),
        "index": jnp.arange(step * size, (step + 1) * size, dtype=jnp.uint32),
        "mask": jnp.asarray(random.random(size) < 0.8, jnp.float32),
    }


class Perceptron(nn.Module):
    num_classes: int
    dropout: float = 0.0

    @nn.compact
    def __call__(self, image, train=False):
        x = nn.tanh(nn.Dense(5, name="hidden")(image.reshape(image.shape[0], -1)))
        x = nn.Dropout(self.dropout, deterministic=not train, name="dropout")(x)
        return nn.Dense(self.num_classes, name="head")(x)


class Normalized(nn.Module):
    num_classes: int

    @nn.compact
    def __call__(self, image, train=False):
        x = nn.Dense(5, name="hidden")(image.reshape(image.shape[0], -1))
        x = nn.BatchNorm(use_running_average=not train, momentum=0.9, name="norm")(x)
        return nn.Dense(self.num_classes, name="head")(x)


class Linear(nn.Module):
    dtype: str

    @nn.compact
    def __call__(self, image, train=False):
        x = nn.Dense(3, dtype=self.dtype, name="head")(image.reshape(len(image), -1))
        return x.astype(jnp.float32)


def make_task(model=None, optimizer=None, weights=(1.0, 2.0, 0.5), **options):
    bound = functools.partial(
        minimize, optimizer=optimizer or optax.sgd(0.1, momentum=0.9), **options
    )
    model = model or Perceptron(3)
    return classification(model, bound, num_classes=3, class_weights=weights)


def train(update, state, steps=4, cut=lambda batch: batch):
    history = []
    for step in range(steps):
        key = jax.random.fold_in(KEY, step)
        state, metrics = update(state, cut(make_batch(step)), key)
        history.append(jax.device_get(metrics))
    return state, history


def pmapped(task):
    return jax.pmap(task.update, "data", in_axes=(None, 0, None), out_axes=(None, None))


def eighths(batch):
    return {k: v.reshape(8, -1, *v.shape[1:]) for k, v in batch.items()}


def assert_close(got, expected, rtol=1e-5, atol=2e-6):
    assert trees.paths(got) == trees.paths(expected)
    for path, a, b in zip(trees.paths(got), jax.tree.leaves(got), jax.tree.leaves(expected)):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol, err_msg=path)


def measured(history):
    return [{k: v for k, v in row.items() if k in ("loss", "accuracy")} for row in history]


def test_accumulated_parts_equal_the_whole_batch():
    whole, parts = make_task(), make_task(accumulate=4)
    state = whole.init(KEY, make_batch(0))
    expected, expected_history = train(jax.jit(whole.update), state)
    got, history = train(jax.jit(parts.update), state)
    assert_close(got, expected)
    assert_close(measured(history), measured(expected_history))


def test_the_weighted_loss_of_a_step_by_hand():
    task = make_task(optimizer=optax.sgd(1.0))
    batch = make_batch(0)
    state = task.init(KEY, batch)
    moved, metrics = jax.jit(task.update)(state, batch, KEY)
    logits = Perceptron(3).apply({"params": state.params}, batch["image"])
    label, mask = np.asarray(batch["label"]), np.asarray(batch["mask"])
    weight = mask * np.array([1.0, 2.0, 0.5])[label]
    residual = np.asarray(jax.nn.softmax(logits)) - np.eye(3)[label]
    moved_by = np.asarray(moved.params["head"]["bias"] - state.params["head"]["bias"])
    np.testing.assert_allclose(moved_by, -weight @ residual / weight.sum(), atol=1e-6)
    assert metrics["loss"][1] == pytest.approx(weight.sum())
    moves = jax.tree.map(lambda a, b: a - b, moved.params, state.params)
    assert metrics["gradient_norm"][0] == pytest.approx(float(optax.tree.norm(moves)), rel=1e-5)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_eight_devices_equal_the_whole_batch(accumulate):
    whole, split = make_task(), make_task(axis_name="data", accumulate=accumulate)
    state = whole.init(KEY, make_batch(0))
    expected, expected_history = train(jax.jit(whole.update), state)
    got, history = train(pmapped(split), state, cut=eighths)
    assert_close(got, expected)
    assert_close(measured(history), measured(expected_history))
    np.testing.assert_allclose(
        [row["gradient_norm"][0] for row in history],
        [row["gradient_norm"][0] for row in expected_history],
        rtol=1e-5,
    )


def test_batch_statistics_are_each_devices_own_and_their_averages_the_mean():
    model = Normalized(3)
    task = make_task(model, weights=None, axis_name="data")
    batch = {**make_batch(0), "mask": jnp.ones(SIZE)}
    state = task.init(KEY, batch)
    got, metrics = pmapped(task)(state, eighths(batch), KEY)
    names = [f"variables/{path}" for path in trees.paths(got.variables)]
    assert names == ["variables/batch_stats/norm/mean", "variables/batch_stats/norm/var"]

    hidden = state.params["hidden"]
    x = np.asarray(batch["image"].reshape(SIZE, -1) @ hidden["kernel"] + hidden["bias"])
    x = x.reshape(8, 4, -1)
    statistics = got.variables["batch_stats"]["norm"]
    np.testing.assert_allclose(statistics["mean"], 0.1 * x.mean(1).mean(0), atol=1e-6)
    np.testing.assert_allclose(statistics["var"], 0.9 + 0.1 * x.var(1).mean(0), atol=1e-6)
    # The variance of the whole batch, which one device would see, is another.
    whole = x.reshape(SIZE, -1).var(0)
    assert np.max(np.abs(statistics["var"] - (0.9 + 0.1 * whole))) > 1e-3

    y = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)
    logits = y @ np.asarray(state.params["head"]["kernel"])
    logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    labels = np.asarray(batch["label"]).reshape(8, 4, 1)
    loss = -np.take_along_axis(logs, labels, -1).sum()
    np.testing.assert_allclose(metrics["loss"][0], loss, rtol=1e-5)


def test_accumulated_parts_move_batch_statistics_one_after_the_other():
    task = make_task(Normalized(3), weights=None, accumulate=2)
    batch = {**make_batch(0), "mask": jnp.ones(SIZE)}
    state = task.init(KEY, batch)
    got = jax.jit(task.update)(state, batch, KEY)[0].variables["batch_stats"]["norm"]
    hidden = state.params["hidden"]
    x = np.asarray(batch["image"].reshape(SIZE, -1) @ hidden["kernel"] + hidden["bias"])
    expected = 0.9 * (0.1 * x[0::2].mean(0)) + 0.1 * x[1::2].mean(0)
    np.testing.assert_allclose(got["mean"], expected, atol=1e-6)


def test_dropout_differs_between_devices_and_parts():
    # With equal examples everywhere, equal masks would give equal gradients in every part.
    def loss(params, variables, batch, key):
        key = rng.for_batch(key, batch["index"], "dropout")
        keep = jax.random.bernoulli(key, 0.5, (64,)).astype(jnp.float32)
        metrics = {"loss": (jnp.sum(params["w"] * keep), jnp.float32(1)), "keep": (keep, 1.0)}
        return metrics, variables

    def kept(update, state, batch):
        return np.asarray(update(state, batch, KEY)[1]["keep"][0])

    learner = minimize(loss, optax.sgd(1.0), accumulate=2)
    state = learner.init({"params": {"w": jnp.zeros(64)}})
    batch = {"index": jnp.arange(16, dtype=jnp.uint32)}
    parts = kept(jax.jit(learner.update), state, batch)
    assert set(parts) == {0.0, 1.0, 2.0}
    split = minimize(loss, optax.sgd(1.0), axis_name="data")
    shares = kept(pmapped(split), state, eighths(batch))
    assert len(set(shares)) > 3


def test_masked_examples_do_not_matter():
    task = make_task()
    batch = make_batch(0)
    state = task.init(KEY, batch)
    real = batch["mask"][:, None, None, None] > 0
    changed = {
        **batch,
        "image": jnp.where(real, batch["image"], 5.0),
        "label": jnp.where(batch["mask"] > 0, batch["label"], 2),
    }
    update = jax.jit(task.update)
    assert_close(update(state, changed, KEY), update(state, batch, KEY), rtol=0, atol=0)


def test_a_batch_of_padding_alone_has_no_gradient():
    task = make_task(optimizer=optax.sgd(1.0))
    batch = {**make_batch(0), "mask": jnp.zeros(SIZE)}
    state = task.init(KEY, batch)
    moved, metrics = jax.jit(task.update)(state, batch, KEY)
    assert_close(moved.params, state.params, rtol=0, atol=0)
    assert metrics["loss"] == (0, 0)
    assert not np.any(metrics["nonfinite"][0])


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("warmup", [False, True])
def test_the_running_average_by_hand(every, warmup):
    task = make_task(Normalized(3), average=Average(0.8, every=every, warmup=warmup))
    state = task.init(KEY, make_batch(0))
    tracked = {"params": state.params, **state.variables}
    expected = [np.asarray(x, np.float64) for x in jax.tree.leaves(tracked)]
    update = jax.jit(task.update)
    for step in range(7):
        state, _ = update(state, make_batch(step), KEY)
        if (step + 1) % every:
            continue
        done = step // every
        decay = min(0.8, (1 + done) / (10 + done)) if warmup else 0.8
        values = jax.tree.leaves({"params": state.params, **state.variables})
        expected = [decay * old + (1 - decay) * np.asarray(x) for old, x in zip(expected, values)]
    assert trees.paths(state.ema) == trees.paths(tracked)
    for path, got, want in zip(trees.paths(tracked), jax.tree.leaves(state.ema), expected):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6, err_msg=path)


def test_averaged_puts_the_averages_in_place():
    params = {"w": jnp.ones(2)}
    ema = {"params": {"w": jnp.zeros(2)}, "batch_stats": {"m": jnp.float32(5)}}
    variables = {"batch_stats": {"m": jnp.float32(1)}, "queue": {"q": jnp.float32(2)}}
    state = TrainState(jnp.int32(3), params, variables, (), ema)
    got = averaged(state)
    np.testing.assert_array_equal(got.params["w"], 0)
    assert got.variables == {"batch_stats": {"m": 5.0}, "queue": {"q": 2.0}}
    assert got.step == 3
    np.testing.assert_array_equal(state.params["w"], 1)


def test_averages_of_half_precision_keep_small_steps():
    def loss(params, variables, batch, key):
        return {"loss": (-jnp.sum(params["w"].astype(jnp.float32)), 1.0)}, variables

    learner = minimize(loss, optax.sgd(1.0), average=Average(0.999))
    state = learner.init({"params": {"w": jnp.full(1, 100, jnp.bfloat16)}})
    update = jax.jit(learner.update)
    batch = {"index": jnp.zeros(1, jnp.uint32)}
    for _ in range(3):
        state, _ = update(state, batch, KEY)
    expected = 100.0
    for value in (101, 102, 103):
        expected = 0.999 * expected + 0.001 * value
    assert state.ema["params"]["w"].dtype == jnp.float32
    np.testing.assert_allclose(state.ema["params"]["w"], expected, rtol=1e-7)
    assert averaged(state).params["w"].dtype == jnp.bfloat16


def fragile_loss(params, variables, batch, key):
    """A loss each part of which is well but for one key of the batch."""
    broken_gradient = jnp.sqrt(jnp.square(params["b"]["w"] * batch["b"][0]))
    steep = params["c"] * batch["c"][0]
    loss = jnp.sum(params["a"]) + jnp.sum(broken_gradient) + steep + batch["loss"][0]
    moved = {"stats": {"m": variables["stats"]["m"] + batch["stats"][0], "n": jnp.float32(1)}}
    return {"loss": (loss, jnp.float32(1))}, moved


FRAGILE = {
    "params": {"a": jnp.ones(3), "b": {"w": jnp.ones(2)}, "c": jnp.float32(1)},
    "stats": {"m": jnp.float32(0), "n": jnp.float32(0)},
}
WELL = dict(b=1.0, c=1.0, loss=0.0, stats=1.0)
CLIPPED_ADAM = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(0.1))
ADAM = optax.adam(0.1)
SQUARES = optax.stateless(lambda g, _: jax.tree.map(lambda x: -0.1 * x * jnp.abs(x), g))


def fragile_batch(**values):
    arrays = {k: jnp.full(1, v, jnp.float32) for k, v in {**WELL, **values}.items()}
    return {**arrays, "index": jnp.zeros(1, jnp.uint32)}


@pytest.mark.parametrize("on_nonfinite", ["stop", "skip"])
@pytest.mark.parametrize(
    ("optimizer", "values", "names"),
    [
        (CLIPPED_ADAM, dict(b=0.0), ["params/b/w"]),
        (ADAM, dict(loss=np.inf), ["loss"]),
        (ADAM, dict(stats=np.inf), ["variables/stats/m"]),
        (ADAM, dict(c=1e25), ["opt_state"]),
        (SQUARES, dict(c=1e25), ["params/c"]),
        (CLIPPED_ADAM, dict(b=0.0, loss=np.nan), ["loss", "params/b/w"]),
        (ADAM, dict(b=0.0, stats=np.nan), ["params/b/w", "variables/stats/m"]),
        (ADAM, {}, []),
    ],
)
def test_what_is_not_finite_is_named_and_changes_nothing(optimizer, values, names, on_nonfinite):
    learner = minimize(
        fragile_loss,
        optimizer,
        average=Average(0.9),
        on_nonfinite=on_nonfinite,
        spread={"stats": "averaged"},
    )
    state = learner.init(FRAGILE)
    assert len(nonfinite_names(state)) == 7
    update = jax.jit(learner.update)
    state, metrics = update(state, fragile_batch(), KEY)
    assert not np.any(metrics["nonfinite"][0])
    moved, metrics = update(state, fragile_batch(**values), KEY)
    flags = np.asarray(metrics["nonfinite"][0]) / metrics["nonfinite"][1]
    assert [n for n, flag in zip(nonfinite_names(state), flags) if flag] == names
    assert set(flags.tolist()) <= {0.0, 1.0}
    assert int(moved.step) == 2
    same = trees.digest(moved) == trees.digest(state.replace(step=moved.step))
    assert same == bool(names)
    # And the run can go on from there.
    following, metrics = update(moved, fragile_batch(), KEY)
    assert not np.any(metrics["nonfinite"][0])
    assert trees.digest(following.params) != trees.digest(moved.params)


def test_one_devices_trouble_is_everybodys():
    spread = {"stats": "averaged"}
    learner = minimize(fragile_loss, optax.sgd(0.1), axis_name="data", spread=spread)
    state = learner.init(FRAGILE)
    batch = {k: jnp.tile(v, (8, 1)) for k, v in fragile_batch().items()}
    batch["b"] = batch["b"].at[3].set(0.0)
    moved, metrics = pmapped(learner)(state, batch, KEY)
    flagged = [n for n, f in zip(nonfinite_names(state), metrics["nonfinite"][0]) if f]
    assert flagged == ["params/b/w"]
    assert_close(moved, state.replace(step=jnp.int32(1)), rtol=0, atol=0)


def test_a_step_compiles_once_and_keeps_the_type_of_the_state():
    task = make_task(Normalized(3), average=Average(0.9))
    state = jax.jit(task.init)(KEY, make_batch(0))
    update = jax.jit(task.update, donate_argnums=0)
    state, _ = train(update, state)
    assert update._cache_size() == 1
    assert int(state.step) == 4


def test_select_and_pair():
    yes, no = {"a": jnp.ones(2), "b": (jnp.int32(1),)}, {"a": jnp.zeros(2), "b": (jnp.int32(0),)}
    assert_close(select(jnp.bool_(True), yes, no), yes)
    assert_close(select(jnp.bool_(False), yes, no), no)
    mask = jnp.float32([1, 0, 1])
    total, count = pair(jnp.float32([[1, 2], [3, 4], [5, 6]]), mask)
    np.testing.assert_array_equal(total, [6, 8])
    assert count == 2
    assert pair(jnp.array([True, True, False]), mask) == (1, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(accumulate=0), "accumulate=0: a batch is split into 1 or more parts"),
        (dict(average=Average(1.0)), "decay=1.0: valid decays are above 0 and below 1"),
        (dict(average=Average(0.9, every=0)), "every=0: valid are 1 step or more"),
        (dict(on_nonfinite="ignore"), "unknown on_nonfinite 'ignore'"),
    ],
)
def test_requests_that_do_not_fit(options, message):
    with pytest.raises(ConfigError, match=message):
        minimize(fragile_loss, optax.sgd(0.1), **options)


def test_a_batch_that_does_not_split_is_an_error():
    task = make_task(accumulate=3)
    batch = make_batch(0)
    with pytest.raises(ConfigError, match="accumulate=3 does not divide a device's 32 examples"):
        task.update(task.init(KEY, batch), batch, KEY)


def test_outputs_of_a_model_are_those_of_the_data():
    check_outputs(Perceptron(3), 3, "num_classes")
    check_outputs(nn.Dense(4), 3, "num_classes")
    with pytest.raises(ConfigError, match="Perceptron has num_classes=3, but the task has num_"):
        check_outputs(Perceptron(3), 4, "num_classes")


def test_the_backward_pass_ends_at_what_is_held():
    spec = dict(name="sgd", learning_rate=0.1, frozen=["^hidden"])
    optimizer, _ = make_optimizer(spec, total_steps=9, steps=int, batch_size=SIZE)
    batch = make_batch(0)

    def step(hold):
        task = make_task(optimizer=optimizer, hold=hold)
        state = task.init(KEY, batch)
        compiled = jax.jit(task.update).lower(state, batch, KEY).compile()
        return state, *compiled(state, batch, KEY), compiled.cost_analysis()["flops"]

    _, free, _, all_flops = step(None)
    before, held, metrics, flops = step(make_hold(spec))
    assert_close(held.params, free.params, atol=1e-7)
    assert held.params["hidden"]["kernel"].tobytes() == before.params["hidden"]["kernel"].tobytes()
    assert flops < 0.8 * all_flops
    moves = jax.tree.map(lambda a, b: (b - a) / 0.1, held.params["head"], before.params["head"])
    assert metrics["gradient_norm"][0] == pytest.approx(float(optax.tree.norm(moves)), rel=1e-5)


def test_nothing_is_held_where_nothing_is_frozen():
    assert make_hold(dict(name="sgd", learning_rate=0.1)) is None


# What a run that has ended hands on.


def test_a_step_of_a_run_that_has_ended_moves_nothing():
    learner = minimize(fragile_loss, ADAM, average=Average(0.9), spread={"stats": "averaged"})
    state = learner.init(FRAGILE)
    moved, metrics = jax.jit(learner.update)(
        state, {**fragile_batch(), HALTED: jnp.ones((), bool)}, KEY
    )
    assert trees.digest(moved) == trees.digest(state.replace(step=moved.step))
    assert not np.any(metrics["nonfinite"][0])


def test_a_step_that_is_decided_on_keeps_one_state(monkeypatch):
    def loss(params, variables, batch, key):
        x = batch["x"]
        for kernel in params.values():
            x = jnp.tanh(x @ kernel)
        return {"loss": (jnp.sum(x), jnp.float32(len(x)))}, variables

    learner = minimize(loss, CLIPPED_ADAM)
    state = learner.init({"params": {f"layer{i}": jnp.zeros((128, 128)) for i in range(12)}})
    batch = {"x": jnp.ones((2, 128)), "index": jnp.arange(2, dtype=jnp.uint32)}

    def between():
        compiled = jax.jit(learner.update, donate_argnums=0).lower(state, batch, KEY).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    decided = between()
    monkeypatch.setattr(
        finite, "update_if_finite", lambda change, before, flags, held: (change(before), flags)
    )
    assert decided < 1.1 * between()


# How collections spread over devices.


def counting(spread, **options):
    def loss(params, variables, batch, key):
        held = {name: x + 1 if name != "teacher" else x for name, x in variables.items()}
        return {"loss": (jnp.sum(params["w"] * variables["teacher"]), jnp.float32(1))}, held

    return minimize(loss, optax.sgd(0.1), spread=spread, **options)


# Their sum over three devices, divided by three, is not always what it was.
TEACHER = jnp.asarray(np.random.default_rng(0).normal(size=200), jnp.float32)


def on_three(learner, state):
    batch = {"index": jnp.arange(6, dtype=jnp.uint32).reshape(3, 2)}
    axes = dict(in_axes=(None, 0, None), out_axes=(None, None))
    return jax.pmap(learner.update, "data", devices=jax.devices()[:3], **axes)(state, batch, KEY)


def test_what_is_constant_or_computed_alike_keeps_its_bits_under_pmap():
    spread = {"teacher": "constant", "alike": "replicated"}
    learner = counting(spread, axis_name="data")
    variables = {"teacher": TEACHER, "alike": TEACHER}
    state = learner.init({"params": {"w": jnp.ones(200)}, **variables})
    moved, metrics = on_three(learner, state)
    np.testing.assert_array_equal(moved.variables["teacher"], TEACHER)
    np.testing.assert_array_equal(moved.variables["alike"], TEACHER + 1)
    assert not np.any(metrics["nonfinite"][0])


def test_what_is_constant_is_not_checked_and_no_loss_moves_it():
    def loss(params, variables, batch, key):
        return {"loss": (jnp.sum(params["w"]), jnp.float32(1))}, {"teacher": jnp.zeros(2)}

    learner = minimize(loss, optax.sgd(0.1), spread={"teacher": "constant"})
    state = learner.init({"params": {"w": jnp.ones(2)}, "teacher": jnp.array([1.0, jnp.inf])})
    moved, metrics = jax.jit(learner.update)(state, {"index": jnp.zeros(1, jnp.uint32)}, KEY)
    np.testing.assert_array_equal(moved.variables["teacher"], [1, np.inf])
    assert not np.any(metrics["nonfinite"][0])
    assert np.any(moved.params["w"] != state.params["w"])


@pytest.mark.parametrize(
    ("spread", "axis_name", "message"),
    [
        ({}, None, "has variables 'queue', and the task does not say how devices share them"),
        ({"queue": "mean"}, None, "unknown spread of 'queue': 'mean'"),
        ({"queue": "whole"}, "data", "'queue' belong to the run as a whole: .*'pmap' does not"),
        ({"queue": "averaged"}, None, "queue/at is int32, which has no mean"),
        ({"queue": "whole"}, None, None),
    ],
)
def test_collections_are_declared_before_anything_is_compiled(spread, axis_name, message):
    variables = {"params": {"w": jnp.ones(2)}, "queue": {"at": jnp.int32(0)}}

    def start():
        learner = minimize(fragile_loss, optax.sgd(0.1), spread=spread, axis_name=axis_name)
        return jax.eval_shape(lambda: learner.init(variables))

    if message is None:
        start()
        return
    with pytest.raises(ConfigError, match=message):
        start()


# Half precision.


def half_loss(params, variables, batch, key):
    value = jnp.sum(params["w"] * batch["x"].astype(params["w"].dtype))
    return {"loss": (value, jnp.sum(batch["weight"]))}, variables


def test_parts_in_half_precision_are_summed_in_float32():
    learner = minimize(half_loss, optax.sgd(1.0), accumulate=1024)
    state = learner.init({"params": {"w": jnp.zeros(1, jnp.bfloat16)}})
    x = jnp.full(1024, 1.01, jnp.bfloat16)
    batch = {"x": x, "weight": jnp.ones(1024), "index": jnp.arange(1024, dtype=jnp.uint32)}
    moved, metrics = jax.jit(learner.update)(state, batch, KEY)
    assert moved.params["w"].dtype == jnp.bfloat16
    np.testing.assert_array_equal(moved.params["w"], -x[:1])
    np.testing.assert_allclose(metrics["gradient_norm"][0], float(x[0]), rtol=1e-6)


def skip_without_float16():
    try:
        jax.jit(lambda x: x.astype(jnp.float16))(jnp.ones(2)).block_until_ready()
    except jax.errors.JaxRuntimeError:
        pytest.skip("XLA has no float16 for processors without F16C")


@pytest.mark.parametrize("over", ["parts", "devices"])
def test_a_sum_of_weights_beyond_float16_divides_the_gradient(over):
    skip_without_float16()
    # Each weight fits into float16. The sum of eight, 262,144, does not.
    weight, index = jnp.full(8, 2.0**15, jnp.float16), jnp.arange(8, dtype=jnp.uint32)
    batch = {"x": weight, "weight": weight, "index": index}
    start = {"params": {"w": jnp.zeros(1, jnp.bfloat16)}}
    if over == "parts":
        learner = minimize(half_loss, optax.sgd(1.0), accumulate=8)
        moved, metrics = jax.jit(learner.update)(learner.init(start), batch, KEY)
    else:
        learner = minimize(half_loss, optax.sgd(1.0), axis_name="data")
        batch = {name: x[:, None] for name, x in batch.items()}
        moved, metrics = pmapped(learner)(learner.init(start), batch, KEY)
    assert not np.any(metrics["nonfinite"][0])
    np.testing.assert_array_equal(np.float32(moved.params["w"]), -1)


def test_params_in_float16_are_refused():
    with pytest.raises(ConfigError, match=r"params/w is float16.*bfloat16' or 'float32'"):
        minimize(half_loss, ADAM).init({"params": {"w": jnp.zeros(1, jnp.float16)}})


def test_a_cross_entropy_in_float16_needs_no_scale_and_shows_what_it_cannot_hold():
    skip_without_float16()
    half, whole = (make_task(Linear(dtype), optax.sgd(1.0)) for dtype in ("float16", "float32"))
    batch = make_batch(0, size=1024)
    state = whole.init(KEY, batch)
    found, expected = (jax.jit(t.update)(state, batch, KEY)[0].params for t in (half, whole))
    assert_close(found, expected, rtol=1e-2, atol=1e-3)
    large = {**batch, "image": 1e5 * batch["image"]}
    moved, metrics = jax.jit(half.update)(state, large, KEY)
    assert np.any(metrics["nonfinite"][0])
    assert trees.digest(moved.params) == trees.digest(state.params)


# Steps that are left out.


def test_a_run_that_leaves_out_two_steps_applies_at_each_the_rate_of_that_step():
    def loss(params, variables, batch, key):
        return {"loss": (jnp.sum(params["w"]) * batch["scale"][0], jnp.float32(1))}, variables

    spec = dict(name="sgd", learning_rate=1.0, schedule=dict(name="linear", warmup="3 steps"))
    steps = {"3 steps": 3}.get
    optimizer, rate = make_optimizer(spec, total_steps=9, steps=steps, batch_size=1)
    learner = minimize(loss, optimizer, on_nonfinite="skip", average=Average(0.5, every=3))
    state, update = learner.init({"params": {"w": jnp.zeros(1)}}), jax.jit(learner.update)
    for step in range(9):
        scale = jnp.full(1, np.nan if step in (1, 5) else 1.0)
        index = jnp.full(1, step, jnp.uint32)
        moved, _ = update(state, {"scale": scale, "index": index}, KEY)
        expected = 0 if step in (1, 5) else -rate(step)
        np.testing.assert_allclose(moved.params["w"] - state.params["w"], expected, atol=1e-6)
        averaged_now = np.any(moved.ema["params"]["w"] != state.ema["params"]["w"])
        assert averaged_now == (step in (2, 8))
        state = moved
    assert int(state.step) == 9
