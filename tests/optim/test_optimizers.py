import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from library import trees
from library.config import ConfigError, duration
from library.optim.optimizers import check_patterns, make_optimizer, make_schedule, optimizers

TOTAL, BATCH, EXAMPLES = 100, 10, 100  # ten steps an epoch


def steps(text):
    return duration(text, batch_size=BATCH, num_examples=EXAMPLES, total=TOTAL)


def make(**spec):
    return make_optimizer(spec, total_steps=TOTAL, steps=steps, batch_size=BATCH)


def parameters():
    """Every kind of leaf that a rule tells apart, on numbers that no rule happens to keep."""
    shapes = {
        "embed/kernel": (2, 3),
        "embed/positions/embedding": (4, 3),
        "embed/words/embedding": (4, 3),
        "block0/conv/kernel": (1, 1, 3, 2),
        "block0/conv/bias": (2,),
        "block1/norm/scale": (2,),
        "block10/dense/kernel": (2, 3),
        "head/kernel": (3, 2),
        "head/bias": (2,),
    }
    rng = np.random.default_rng(0)
    flat = {path: rng.normal(size=shape).astype(np.float32) for path, shape in shapes.items()}
    return nested(flat)


def nested(flat):
    tree = {}
    for path, leaf in flat.items():
        *folders, name = path.split("/")
        node = tree
        for folder in folders:
            node = node.setdefault(folder, {})
        node[name] = leaf
    return tree


def flat(tree):
    return dict(zip(trees.paths(tree), jax.tree.leaves(tree), strict=True))


def gradients(params, number=5):
    rng = np.random.default_rng(1)
    return [
        jax.tree.map(lambda p: rng.normal(size=p.shape).astype(np.float32), params)
        for _ in range(number)
    ]


def descend(tx, params, grads):
    params = jax.tree.map(jnp.asarray, params)
    state = tx.init(params)

    @jax.jit
    def update(params, state, grad):
        updates, state = tx.update(grad, state, params)
        return optax.apply_updates(params, updates), state

    for grad in grads:
        params, state = update(params, state, grad)
    return params


def by_hand(rule, params, grads):
    """Runs `rule(path, p, g, memory, t) -> p` in float64, a leaf at a time."""
    params = {path: np.float64(leaf) for path, leaf in flat(params).items()}
    memory = {path: {} for path in params}
    for t, grad in enumerate(grads):
        for path, g in flat(grad).items():
            params[path] = rule(path, params[path], np.float64(g), memory[path], t)
    return params


def assert_same(actual, expected, rtol=2e-6):
    actual = flat(actual)
    assert actual.keys() == expected.keys()
    for path in actual:
        np.testing.assert_allclose(actual[path], expected[path], rtol, 1e-6, err_msg=path)


def first_update(params, grad, **spec):
    tx, _ = make(**spec)
    updates, _ = tx.update(grad, tx.init(params), params)
    return flat(updates)


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_with_coupled_decay_is_torchs(nesterov):
    lr, mu, wd = 0.1, 0.9, 5e-2
    tx, _ = make(
        name="sgd", learning_rate=lr, momentum=mu, nesterov=nesterov, weight_decay=wd, decayed="all"
    )

    def rule(_, p, g, memory, t):
        g = g + wd * p
        memory["b"] = mu * memory.get("b", 0) + g
        return p - lr * (g + mu * memory["b"] if nesterov else memory["b"])

    params = parameters()
    grads = gradients(params)
    assert_same(descend(tx, params, grads), by_hand(rule, params, grads))


def adam(g, memory, t, b1=0.9, b2=0.99, eps=1e-8):
    memory["m"] = b1 * memory.get("m", 0) + (1 - b1) * g
    memory["v"] = b2 * memory.get("v", 0) + (1 - b2) * g * g
    m, v = memory["m"] / (1 - b1 ** (t + 1)), memory["v"] / (1 - b2 ** (t + 1))
    return m / (np.sqrt(v) + eps)


def test_adam_couples_its_decay_and_adamw_does_not():
    lr, wd, params = 0.01, 0.3, parameters()
    grads = gradients(params)

    def decay(path):
        return wd if path in KERNELS else 0.0

    def coupled(path, p, g, memory, t):
        return p - lr * adam(g + decay(path) * p, memory, t)

    def decoupled(path, p, g, memory, t):
        return p - lr * (adam(g, memory, t) + decay(path) * p)

    for name, rule in (("adam", coupled), ("adamw", decoupled)):
        tx, _ = make(name=name, learning_rate=lr, b2=0.99, weight_decay=wd)
        assert_same(descend(tx, params, grads), by_hand(rule, params, grads), rtol=1e-5)


def test_decoupled_decay_follows_the_schedule():
    params = parameters()
    zero = jax.tree.map(np.zeros_like, params)
    schedule = dict(name="linear", final=0.0)
    tx, _ = make(name="adamw", learning_rate=0.5, weight_decay=0.1, schedule=schedule)
    after = flat(descend(tx, params, [zero] * 3))
    shrunk = np.prod([1 - 0.5 * (1 - t / TOTAL) * 0.1 for t in range(3)])
    before = flat(params)
    np.testing.assert_allclose(after["head/kernel"], before["head/kernel"] * shrunk, 1e-6)
    np.testing.assert_array_equal(after["head/bias"], before["head/bias"])


KERNELS = {
    "embed/kernel",
    "embed/words/embedding",
    "block0/conv/kernel",
    "block10/dense/kernel",
    "head/kernel",
}


@pytest.mark.parametrize(
    ("decayed", "expected"),
    [
        (None, KERNELS),
        ("kernels", KERNELS),
        ("all", set(flat(parameters()))),
        (["^head", "norm"], {"head/kernel", "head/bias", "block1/norm/scale"}),
    ],
)
@pytest.mark.parametrize("name", ["sgd", "adamw", "lion"])
def test_what_decays(name, decayed, expected):
    params = parameters()
    zero = jax.tree.map(np.zeros_like, params)
    rule = {} if decayed is None else {"decayed": decayed}
    updates = first_update(params, zero, name=name, learning_rate=1.0, weight_decay=0.5, **rule)
    assert {path for path, u in updates.items() if np.any(u)} == expected
    for path in expected:
        np.testing.assert_allclose(updates[path], -0.5 * flat(params)[path], 1e-6)


@pytest.mark.parametrize("name", ["adamw", "lion", "adamaxw", "adafactor"])
def test_weight_decay_is_zero_unless_written(name):
    params = parameters()
    zero = jax.tree.map(np.zeros_like, params)
    updates = first_update(params, zero, name=name, learning_rate=1.0)
    assert not any(np.any(update) for update in updates.values())


def test_lars_adapts_and_decays_the_same_leaves():
    params, lr, wd, trust = parameters(), 0.2, 0.1, 0.001
    grad = gradients(params, 1)[0]
    updates = first_update(params, grad, name="lars", learning_rate=lr, weight_decay=wd)
    for path, p in flat(params).items():
        g = flat(grad)[path]
        if path in KERNELS:
            g = g + wd * p
            g = g * trust * np.linalg.norm(p) / np.linalg.norm(g)
        np.testing.assert_allclose(updates[path], -lr * g, 2e-6, err_msg=path)


def test_penalties_are_gradients_of_the_loss_and_clipped_with_it():
    params = parameters()
    grad = gradients(params, 1)[0]
    spec = dict(name="sgd", learning_rate=1.0, l1=0.3, l2=0.2)
    expected = {
        path: g + (0.3 * np.sign(p) + 0.2 * p if path in KERNELS else 0)
        for (path, g), p in zip(flat(grad).items(), flat(params).values(), strict=True)
    }
    for clip, limit in ((None, np.inf), (dict(value=0.5), 0.5)):
        updates = first_update(params, grad, **spec, clip=clip)
        for path, g in expected.items():
            np.testing.assert_allclose(-updates[path], np.clip(g, -limit, limit), 1e-6, 1e-7)


def test_clipping_by_global_norm_comes_before_coupled_decay():
    params = parameters()
    grad = gradients(params, 1)[0]
    norm = np.sqrt(sum(np.sum(np.float64(g) ** 2) for g in flat(grad).values()))
    for limit in (norm / 4, norm * 4):
        updates = first_update(
            params,
            grad,
            **dict(name="sgd", learning_rate=1.0, weight_decay=0.1, decayed="all"),
            clip=dict(global_norm=limit),
        )
        for path, g in flat(grad).items():
            expected = g * min(1, limit / norm) + 0.1 * flat(params)[path]
            np.testing.assert_allclose(-updates[path], expected, 2e-6, 1e-7)


def test_global_norm_is_of_what_is_neither_frozen_nor_excluded():
    params = parameters()
    grad = gradients(params, 1)[0]
    clip = dict(global_norm=0.1, exclude=["^head"])
    updates = first_update(
        params, grad, name="sgd", learning_rate=1.0, clip=clip, frozen=["^embed", "bias"]
    )
    inside = [p for p in flat(params) if p.startswith("block") and not p.endswith("bias")]
    norm = np.sqrt(sum(np.sum(np.float64(flat(grad)[path]) ** 2) for path in inside))
    for path in inside:
        np.testing.assert_allclose(-updates[path], flat(grad)[path] * 0.1 / norm, 2e-6)
    np.testing.assert_array_equal(-updates["head/kernel"], flat(grad)["head/kernel"])
    assert not np.any(updates["head/bias"])


def test_adaptive_clipping_by_unit():
    params = parameters()
    grad = gradients(params, 1)[0]
    params["head"]["kernel"][:, 0] = 0  # its norm counts as 1e-3
    updates = first_update(
        params, grad, name="sgd", learning_rate=1.0, clip=dict(adaptive=0.5, exclude=["embed"])
    )
    for path, axes in (("head/kernel", 0), ("block0/conv/kernel", (0, 1, 2)), ("head/bias", None)):
        p, g = np.float64(flat(params)[path]), np.float64(flat(grad)[path])
        limit = 0.5 * np.maximum(np.sqrt(np.sum(p**2, axes, keepdims=True)), 1e-3)
        norm = np.sqrt(np.sum(g**2, axes, keepdims=True))
        np.testing.assert_allclose(-updates[path], g * np.minimum(1, limit / norm), 2e-6)
    np.testing.assert_array_equal(-updates["embed/kernel"], flat(grad)["embed/kernel"])


def test_frozen_parameters_keep_their_bits_and_have_no_state():
    params = parameters()
    params["embed"]["kernel"][0] = [-0.0, 0.0, 1e-30]
    spec = dict(name="adamw", learning_rate=0.1, weight_decay=0.1, l2=0.1, rates=[("embed", 0.5)])
    tx, _ = make(**spec, frozen=["^embed", "head/bias"])
    state = jax.eval_shape(tx.init, params)
    after = descend(tx, params, gradients(params))
    for path, leaf in flat(params).items():
        frozen = path.startswith("embed") or path == "head/bias"
        assert (flat(after)[path].tobytes() == leaf.tobytes()) == frozen, path
    # Not under jit too, where XLA has no part in it.
    updates, _ = tx.update(params, tx.init(params), params)
    kept = flat(optax.apply_updates(params, updates))["embed/kernel"]
    assert np.asarray(kept).tobytes() == params["embed"]["kernel"].tobytes()
    trained = {
        path: leaf.size
        for path, leaf in flat(params).items()
        if not path.startswith("embed") and path != "head/bias"
    }
    moments = {path: leaf for path, leaf in flat(state).items() if leaf.ndim}
    assert sum(leaf.size for leaf in moments.values()) == 2 * sum(trained.values())
    assert all(any(path.endswith(name) for name in trained) for path in moments)


def test_rates_multiply_the_whole_step_and_the_first_match_holds():
    params = parameters()
    grad = gradients(params, 1)[0]
    spec = dict(name="adamw", learning_rate=0.1, weight_decay=0.2)
    plain = first_update(params, grad, **spec)
    scaled = first_update(params, grad, **spec, rates=[("head/bias", 3.0), ("^head|scale", 10)])
    rates = {"head/bias": 3.0, "head/kernel": 10.0, "block1/norm/scale": 10.0}
    for path, update in plain.items():
        np.testing.assert_allclose(scaled[path], update * rates.get(path, 1.0), 1e-6)


def test_decay_rates_multiply_coupled_decay_and_the_first_match_holds():
    params = parameters()
    zero = jax.tree.map(np.zeros_like, params)
    spec = dict(name="sgd", learning_rate=1.0, weight_decay=0.5, decayed="all")
    updates = first_update(params, zero, **spec, decay_rates=[("head/bias", 0.25), ("^head", 0.0)])
    rates = {"head/bias": 0.25, "head/kernel": 0.0}
    for path, update in updates.items():
        expected = -0.5 * rates.get(path, 1.0) * flat(params)[path]
        np.testing.assert_allclose(update, expected, 1e-6, 1e-12)


def test_parameters_frozen_from_a_step_on_move_until_then():
    params = parameters()
    grads = gradients(params, 4)
    tx, _ = make(
        name="sgd",
        learning_rate=0.1,
        momentum=0.9,
        weight_decay=0.1,
        decayed="all",
        frozen_from=[["head/bias", "2 steps"]],
    )
    plain, _ = make(name="sgd", learning_rate=0.1, momentum=0.9, weight_decay=0.1, decayed="all")
    after = flat(descend(tx, params, grads))
    for path, leaf in flat(descend(plain, params, grads)).items():
        moved = flat(descend(plain, params, grads[:2]))[path] if path == "head/bias" else leaf
        np.testing.assert_array_equal(after[path], moved)


def test_layer_decay_counts_from_the_head():
    params = parameters()
    ones = jax.tree.map(np.ones_like, params)
    updates = first_update(
        params,
        ones,
        **dict(name="sgd", learning_rate=1.0, rates=[("head", 2.0), ("block0", 10.0)]),
        layer_decay=dict(rate=0.5, pattern=r"block(\d+)", stem=["^embed"]),
        frozen=["block10"],
    )
    # Three layers, in the order of their numbers: 0, 1, 10. A frozen one still is a layer.
    expected = {
        "embed/kernel": 1 / 16,
        "embed/positions/embedding": 1 / 16,
        "embed/words/embedding": 1 / 16,
        "block0/conv/kernel": 10 / 8,
        "block0/conv/bias": 10 / 8,
        "block1/norm/scale": 1 / 4,
        "block10/dense/kernel": 0,
        "head/kernel": 2,
        "head/bias": 2,
    }
    for path, update in updates.items():
        np.testing.assert_array_equal(-update, np.full_like(update, expected[path]))


def test_layers_may_have_several_numbers():
    leaf = np.ones(1, np.float32)
    params = nested({f"stage{s}/block{b}/w": leaf for s in (1, 2) for b in (0, 1)} | {"stem": leaf})
    updates = first_update(
        params,
        params,
        **dict(name="sgd", learning_rate=1.0),
        layer_decay=dict(rate=0.5, pattern=r"stage(\d+)/block(\d+)", stem=["stem"]),
    )
    rates = [-float(updates[f"stage{s}/block{b}/w"][0]) for s in (1, 2) for b in (0, 1)]
    assert rates == [1 / 16, 1 / 8, 1 / 4, 1 / 2]
    assert -float(updates["stem"][0]) == 1 / 32


def test_every_optimizer_that_may_be_named_takes_a_step():
    params = {"dense": {"kernel": np.ones((3, 2), np.float32), "bias": np.ones(2, np.float32)}}
    assert {"sgd", "adam", "adamw", "lamb", "lars", "lion", "rmsprop", "adagrad", "muon"} <= set(
        optimizers()
    )
    for name in optimizers():
        tx, _ = make(name=name, learning_rate=0.1, weight_decay=0.1, decayed="all")
        updates = jax.eval_shape(lambda p, tx=tx: tx.update(p, tx.init(p), p)[0], params)
        assert jax.tree.map(np.shape, updates) == jax.tree.map(np.shape, params), name


def test_base_batch_scales_the_rate_linearly():
    _, schedule = make(name="sgd", learning_rate=0.1, base_batch=256)
    np.testing.assert_allclose(schedule(0), 0.1 * BATCH / 256, 1e-7)


def test_own_arguments_reach_optax():
    tx, _ = make(name="sgd", learning_rate=0.1, momentum=0.9, accumulator_dtype="bfloat16")
    state = tx.init({"w": jnp.ones(2)})
    assert {leaf.dtype for leaf in jax.tree.leaves(state) if leaf.ndim} == {jnp.dtype("bfloat16")}


# Schedules: (spec, {step: rate as a fraction of the peak}), over 100 steps of which 20 warm up.
COS = np.cos
CORNERS = [
    (dict(name="constant"), {0: 1, 50: 1, 100: 1, 101: 1}),
    (dict(name="constant", warmup="2 epochs"), {0: 0, 1: 0.05, 19: 0.95, 20: 1, 100: 1}),
    (
        dict(name="constant", warmup="20%", warmup_from=0.1, cooldown="10 steps"),
        {0: 0.1, 10: 0.55, 20: 1, 90: 1, 91: 0.9, 99: 0.1, 100: 0, 150: 0},
    ),
    (dict(name="cosine"), {0: 1, 25: (1 + COS(np.pi / 4)) / 2, 50: 0.5, 100: 0, 120: 0}),
    (
        dict(name="cosine", warmup="2 epochs", final=0.1),
        {0: 0, 10: 0.5, 20: 1, 30: 0.1 + 0.45 * (1 + COS(np.pi / 8)), 60: 0.55, 100: 0.1, 200: 0.1},
    ),
    (dict(name="linear", warmup="20 steps"), {0: 0, 20: 1, 21: 79 / 80, 60: 0.5, 100: 0, 101: 0}),
    (dict(name="linear", final=0.2), {0: 1, 50: 0.6, 100: 0.2}),
    (
        dict(name="polynomial", power=0.9, warmup="20 steps"),
        {0: 0, 20: 1, 40: 0.75**0.9, 99: (1 / 80) ** 0.9, 100: 0},
    ),
    (
        dict(name="exponential", factor=0.97, every="2.4 epochs", warmup="2 epochs"),
        {0: 0, 10: 0.5, 20: 1, 32: 0.97**0.5, 44: 0.97, 100: 0.97 ** (80 / 24)},
    ),
    (
        dict(name="exponential", factor=0.5, every="10 steps", staircase=True),
        {0: 1, 9: 1, 10: 0.5, 19: 0.5, 20: 0.25, 100: 2**-10},
    ),
    (
        dict(
            name="exponential",
            factor=0.97,
            every="9 steps",
            staircase=True,
            warmup="2 epochs",
            since="start",
        ),
        {0: 0, 10: 0.5, 19: 0.95, 20: 0.97**2, 26: 0.97**2, 27: 0.97**3, 100: 0.97**11},
    ),
    (
        dict(name="step", boundaries=["5 epochs", "75%"], warmup="10 steps"),
        {0: 0, 5: 0.5, 10: 1, 49: 1, 50: 0.1, 74: 0.1, 75: 0.01, 100: 0.01, 200: 0.01},
    ),
    (dict(name="step", boundaries=["30 steps"], factor=0.2), {29: 1, 30: 0.2}),
    (
        dict(name="one_cycle", peak="23%", start=0.2, final=0.07),
        {0: 0.2, 11: 0.2 + 0.8 * 11 / 23, 23: 1, 50: 1 - 0.93 * 27 / 77, 100: 0.07, 120: 0.07},
    ),
    (
        dict(name="piecewise", boundaries=["4 steps", "75%"], fractions=[0.1, 1.0, 0.3]),
        {0: 0.1, 3: 0.1, 4: 1, 74: 1, 75: 0.3, 100: 0.3, 200: 0.3},
    ),
    (dict(name="one_cycle", peak="200 steps"), {0: 0, 100: 0.5}),
    (
        dict(name="rsqrt", timescale="40 steps", warmup="20 steps", cooldown="20 steps"),
        {0: 0, 20: 1, 60: 0.5**0.5, 80: 0.4**0.5, 90: 0.5 * (40 / 110) ** 0.5, 100: 0},
    ),
    # Vaswani et al.: the same numbers as min(step^-0.5, step * warmup^-1.5) * warmup^0.5.
    (dict(name="rsqrt", timescale="20 steps", warmup="20 steps"), {5: 0.25, 20: 1, 80: 0.5}),
]


@pytest.mark.parametrize(("spec", "corners"), CORNERS, ids=lambda v: v.get("name", ""))
def test_schedules_at_their_corners(spec, corners):
    peak = 0.3
    schedule = make_schedule(spec, peak=peak, total_steps=TOTAL, steps=steps)
    at = np.asarray(sorted(corners), np.int32)
    rates = jax.jit(jax.vmap(schedule))(at)
    assert rates.dtype == jnp.float32
    np.testing.assert_allclose(rates, [peak * corners[s] for s in at], 1e-6, 1e-8)
    full = [s for s in corners if corners[s] == 1]
    assert all(float(schedule(s)) == np.float32(peak) for s in full)


JUMPING = ("step", "constant", "piecewise")


@pytest.mark.parametrize("spec", [s for s, _ in CORNERS if s["name"] not in JUMPING])
def test_schedules_have_no_jumps(spec):
    if spec.get("staircase"):
        spec = {**spec, "staircase": False}
    schedule = make_schedule(spec, peak=1.0, total_steps=TOTAL, steps=steps)
    rates = jax.vmap(schedule)(jnp.arange(TOTAL + 20))
    assert np.all(np.isfinite(rates))
    assert np.max(np.abs(np.diff(rates))) < 0.0701


def test_a_schedule_longer_than_the_run_is_cut_short():
    spec = dict(name="cosine", warmup="20 steps")
    schedule = make_schedule(spec, peak=1.0, total_steps=5, steps=steps)
    np.testing.assert_allclose([schedule(s) for s in range(7)], np.minimum(range(7), 5) / 20, 1e-6)


SGD = dict(name="sgd", learning_rate=0.1)
LAYERS = dict(rate=0.5, pattern=r"block(\d+)", stem=["embed"])


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({**SGD, "name": "adamv"}, "unknown optimizer 'adamv': did you mean 'adam"),
        ({**SGD, "name": "lbfgs"}, "unknown optimizer 'lbfgs'"),
        (dict(learning_rate=0.1), "unknown optimizer None"),
        ("sgd", "write dict"),
        (dict(name="sgd"), "needs 'learning_rate'"),
        ({**SGD, "momentun": 0.9}, "takes no 'momentun': did you mean 'momentum'"),
        ({**SGD, "weigth_decay": 0.9}, "takes no 'weigth_decay': did you mean 'weight_decay'"),
        ({**SGD, "b1": 0.9}, "optimizer 'sgd' takes no 'b1'"),
        ({**SGD, "mask": True}, "takes no 'mask'"),
        ({**SGD, "momentum": "0.9"}, "momentum='0.9' is of type str, expected float or None"),
        ({**SGD, "nesterov": 1}, "nesterov=1 is of type int, expected bool"),
        ({**SGD, "accumulator_dtype": "bfloat"}, "accumulator_dtype='bfloat': did you mean 'bfl"),
        ({**SGD, "learning_rate": -0.1}, "learning_rate=-0.1"),
        ({**SGD, "weight_decay": float("nan")}, "weight_decay=nan"),
        ({**SGD, "base_batch": 0}, "base_batch=0"),
        ({**SGD, "decayed": "kernel"}, "decayed='kernel': did you mean 'kernels'"),
        ({**SGD, "frozen": ["("]}, r"'\(' is not a regular expression"),
        ({**SGD, "clip": dict(global_norm=1.0, value=1.0)}, "exactly one of"),
        ({**SGD, "clip": {}}, "exactly one of"),
        ({**SGD, "clip": dict(norm=1.0)}, "clip takes no 'norm': did you mean 'global_norm'"),
        ({**SGD, "layer_decay": dict(rate=0.5)}, "layer_decay needs 'pattern'"),
        (
            {**SGD, "schedule": dict(name="cosin")},
            "unknown schedule 'cosin': did you mean 'cosine'",
        ),
        (
            {**SGD, "schedule": dict(name="cosine", warmpu="5 steps")},
            "schedule 'cosine' takes no 'warmpu': did you mean 'warmup'",
        ),
        (
            {**SGD, "schedule": dict(name="cosine", total=3)},
            r"takes no 'total': .*\(valid: final, warmup, warmup_from, cooldown\)",
        ),
        ({**SGD, "schedule": dict(name="cosine", warmup="5")}, "'5' is not a duration"),
        ({**SGD, "schedule": dict(name="cosine", warmup_from=0.1)}, "set warmup, too"),
        (
            {**SGD, "schedule": dict(name="step", boundaries=["9 steps", "3 steps"])},
            r"are the steps \[9, 3\]: they are not sorted",
        ),
        (
            {**SGD, "schedule": dict(name="piecewise", boundaries=["9 steps"], fractions=[1.0])},
            "has 1 boundaries and 1 fractions: 2 are needed",
        ),
        (
            {**SGD, "schedule": dict(name="one_cycle", peak="20%", warmup="5 steps")},
            "leave out warmup",
        ),
        ({**SGD, "schedule": dict(name="rsqrt", timescale="0 steps")}, "at least one"),
        ({**SGD, "name": "novograd", "weight_decay": 0.1}, "write decayed='all'"),
        (
            dict(name="adamw", learning_rate=0.1, weight_decay=0.1, decay_rates=[["head", 0.5]]),
            "has no coupled weight decay",
        ),
        ({**SGD, "decay_rates": [["head", 0.5]]}, "has no coupled weight decay"),
        ({**SGD, "decay_rates": [["head", -1.0]]}, "decay_rates 'head'=-1.0"),
        ({**SGD, "frozen_from": [["head", "3"]]}, "'3' is not a duration"),
        ({**SGD, "lookahead": dict(every=0)}, "every is 1 or more"),
        ({**SGD, "lookahead": dict(dekay=0.5)}, "takes no 'dekay': did you mean 'decay'"),
    ],
)
def test_what_is_not_understood_is_an_error(spec, message):
    with pytest.raises(ConfigError, match=message):
        make_optimizer(spec, total_steps=TOTAL, steps=steps, batch_size=BATCH)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (dict(frozen=["embed/kernal"]), "frozen: 'embed/kernal' matches no .*'embed/kernel'"),
        (dict(rates=[("heads", 2.0)]), "rates: 'heads' matches no parameter"),
        (
            dict(decay_rates=[("heads", 2.0)], weight_decay=0.1),
            "decay_rates: 'heads' matches no parameter",
        ),
        (dict(frozen_from=[("heads", "1%")]), "frozen_from: 'heads' matches no parameter"),
        (dict(weight_decay=0.1, decayed=["weights"]), "decayed: 'weights' matches no parameter"),
        (dict(clip=dict(value=1.0, exclude=["fc"])), "clip, exclude: 'fc' matches no parameter"),
        (dict(layer_decay={**LAYERS, "pattern": r"layer(\d+)"}), "pattern: .* matches no"),
        (dict(layer_decay={**LAYERS, "pattern": "block"}), "captures no layer numbers"),
        (dict(layer_decay={**LAYERS, "stem": ["patches"]}), "stem: 'patches' matches no"),
        (dict(frozen=["."]), "nothing is left to train"),
    ],
)
def test_patterns_are_checked_against_abstract_parameters(rules, message):
    params = jax.eval_shape(parameters)
    check_patterns({**SGD, "weight_decay": 0.1}, {"dense": {"kernel": 0, "bias": 0}})
    check_patterns({**SGD, "frozen": ["head/bias"], "layer_decay": LAYERS}, params)
    with pytest.raises(ConfigError, match=message):
        check_patterns({**SGD, **rules}, params)


# Steps that were left out.


@pytest.mark.parametrize("name", sorted(optimizers()))
def test_the_rate_that_is_applied_is_that_of_the_step(name):
    schedule = dict(name="step", boundaries=["3 steps"], factor=0.5)
    tx, rate = make(name=name, learning_rate=0.1, decayed="all", schedule=schedule)
    halved, _ = make(name=name, learning_rate=0.05, decayed="all")
    assert float(rate(3)) == pytest.approx(0.05)
    params = {"dense": {"kernel": jnp.ones((3, 2)), "bias": jnp.ones(2)}}
    grad = jax.tree.map(lambda p: 0.1 * jnp.ones_like(p), params)

    @jax.jit
    def second_update(params):
        _, state = tx.update(grad, tx.init(params), params, step=jnp.int32(0))
        moves = ((tx, 3), (halved, 3), (halved, 1))
        return [each.update(grad, state, params, step=jnp.int32(step)) for each, step in moves]

    # Two steps are left out: the rate goes by the step, all else by the updates that were made.
    found, halved_rate, none_left_out = second_update(params)
    assert_same(found, flat(halved_rate))
    assert_same(found, flat(none_left_out))


def test_everything_that_goes_by_the_step_leaves_out_what_was_left_out():
    spec = dict(name="sgd", learning_rate=1.0, schedule=dict(name="linear"))
    frozen = dict(frozen_from=[["bias", "4 steps"]])
    tx, rate = make(**spec, **frozen, phases=2)
    params = {"kernel": jnp.zeros(1), "bias": jnp.zeros(1)}
    ones, state = jax.tree.map(jnp.ones_like, params), tx.init(params)
    # The first step of the second phase is one of those that were left out.
    for step in (0, 1, 3, 4, 49, 51, 99):
        updates, state = tx.update(ones, state, params, step=jnp.int32(step))
        np.testing.assert_array_equal(updates["kernel"], -rate(step))
        np.testing.assert_array_equal(updates["bias"], -rate(step) if step < 4 else 0)
    assert float(rate(50)) == 1 > float(rate(51))


def test_a_phase_whose_first_step_was_left_out_begins_afresh():
    tx, _ = make(name="sgd", learning_rate=1.0, momentum=0.9, phases=2)
    params = {"kernel": jnp.zeros(1)}
    state = tx.init(params)
    for step, expected in ((0, 1.0), (1, 1.9), (51, 1.0), (52, 1.9)):
        updates, state = tx.update({"kernel": jnp.ones(1)}, state, params, step=jnp.int32(step))
        np.testing.assert_allclose(updates["kernel"], -expected, rtol=1e-6)
