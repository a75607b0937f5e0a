"""Small params, and the updates that an optimizer makes of them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from library import trees
from library.config import duration
from library.optim.optimizers import make_optimizer

TOTAL, BATCH, EXAMPLES = 100, 10, 100  # ten steps an epoch


def steps(text):
    """Returns the steps of a duration in a run of `TOTAL` steps."""
    return duration(text, batch_size=BATCH, num_examples=EXAMPLES, total=TOTAL)


def make(**spec):
    """Makes the optimizer of a spec, and its learning rate."""
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
    """Returns the tree of leaves by path."""
    tree = {}
    for path, leaf in flat.items():
        *folders, name = path.split("/")
        node = tree
        for folder in folders:
            node = node.setdefault(folder, {})
        node[name] = leaf
    return tree


def flat(tree):
    """Returns the leaves by path of a tree."""
    return dict(zip(trees.paths(tree), jax.tree.leaves(tree), strict=True))


def gradients(params, number=5):
    """Returns random gradients of some steps."""
    rng = np.random.default_rng(1)
    return [
        jax.tree.map(lambda p: rng.normal(size=p.shape).astype(np.float32), params)
        for _ in range(number)
    ]


def descend(tx, params, grads):
    """Returns the params after a step a gradient."""
    params = jax.tree.map(jnp.asarray, params)
    state = tx.init(params)

    @jax.jit
    def update(params, state, grad):
        updates, state = tx.update(grad, state, params)
        return optax.apply_updates(params, updates), state

    for grad in grads:
        params, state = update(params, state, grad)
    return params


def assert_same(actual, expected, rtol=2e-6):
    """Compares a tree with leaves by path."""
    actual = flat(actual)
    assert actual.keys() == expected.keys()
    for path in actual:
        np.testing.assert_allclose(actual[path], expected[path], rtol, 1e-6, err_msg=path)


def first_update(params, grad, **spec):
    """Returns the first update of the optimizer of a spec, by path."""
    tx, _ = make(**spec)
    updates, _ = tx.update(grad, tx.init(params), params)
    return flat(updates)


KERNELS = {
    "embed/kernel",
    "embed/words/embedding",
    "block0/conv/kernel",
    "block10/dense/kernel",
    "head/kernel",
}
