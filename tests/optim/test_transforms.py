"""What an optimizer's settings do to gradients and updates, leaf by leaf."""

import jax
import numpy as np
import optax

from tests.optim.updates import (
    KERNELS,
    descend,
    first_update,
    flat,
    gradients,
    make,
    nested,
    parameters,
)


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
