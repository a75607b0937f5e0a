import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.apps.explain import attention_rollout, layers
from library.config import ConfigError
from library.models.image.mlp import mlp
from library.models.image.vit import vit

IMAGE = jax.random.uniform(jax.random.key(0), (2, 8, 12, 1))
TINY = dict(num_classes=3, width=8, depth=2, num_heads=2, patch_size=4)


def network(seed=0, **changes):
    model = vit(**{**TINY, **changes})
    shapes = jax.eval_shape(model.init, jax.random.key(0), IMAGE)
    random = np.random.default_rng(seed)
    return model, jax.tree.map(lambda p: jnp.float32(random.normal(0, 0.7, p.shape)), shapes)


def test_the_weights_are_those_the_network_uses():
    """Their mix of the values, projected, is what the attention layers return."""
    model, variables = network()
    found = attention_rollout.attention_weights(model, variables, IMAGE)
    assert [w.shape for w in found] == [(2, 2, 7, 7)] * 2
    for i, weights in enumerate(found, 1):
        path = f"block{i}/attention"
        kept = layers.activations(model, variables, IMAGE, [f"{path}/value", path])
        mixed = np.einsum("bhqk,bkhe->bqhe", weights, kept[f"{path}/value"])
        out = variables["params"][f"block{i}"]["attention"]["out"]
        expected = np.einsum("bqhe,hed->bqd", mixed, out["kernel"]) + out["bias"]
        np.testing.assert_allclose(kept[path], expected, atol=1e-5)


def test_more_than_nine_blocks_are_in_order():
    model, variables = network(depth=11, width=4, num_heads=1)
    kept = layers.survey(model, variables, IMAGE)
    queries = [name for name in kept if name.endswith("query")]
    assert queries == [f"block{i}/attention/query" for i in range(1, 12)]


def test_rollout_is_the_product_of_the_layers():
    random = np.random.default_rng(0)
    weights = [random.dirichlet(np.ones(3), size=(1, 2, 3)) for _ in range(2)]
    first, second = (0.5 * w[0].mean(0) + 0.5 * np.eye(3) for w in weights)
    found = attention_rollout.rollout([jnp.float32(w) for w in weights])
    np.testing.assert_allclose(found[0], second @ first, atol=1e-6)
    np.testing.assert_allclose(found.sum(-1), 1, atol=1e-6)
    stayed = attention_rollout.rollout([jnp.float32(w) for w in weights], residual=1.0)
    np.testing.assert_array_equal(stayed[0], np.eye(3))


@pytest.mark.parametrize(("pool", "patches"), [("cls", 6), ("gap", 6)])
def test_attention_to_all_alike(pool, patches):
    """Two layers of uniform attention leave the token of a row a quarter and give 3/4 to all."""
    model, variables = network(pool=pool)
    params = variables["params"]
    for block in ("block1", "block2"):
        query = params[block]["attention"]["query"]
        params[block]["attention"]["query"] = jax.tree.map(jnp.zeros_like, query)
    found = attention_rollout.attention_map(model, variables, IMAGE)
    assert found.shape == (2, 2, 3)
    tokens = 7 if pool == "cls" else patches
    share = 0.75 / tokens if pool == "cls" else 1 / tokens
    np.testing.assert_allclose(found, share, atol=1e-6)


def test_networks_without_attention_are_refused():
    model = mlp(hidden=(4,))
    variables = jax.eval_shape(model.init, jax.random.key(0), IMAGE)
    with pytest.raises(ConfigError, match="MLP has no attention over all tokens"):
        attention_rollout.attention_weights(model, variables, IMAGE)


def test_layers_of_other_lengths_are_refused():
    weights = [jnp.ones((1, 1, t, t)) / t for t in (2, 3)]
    with pytest.raises(ConfigError, match=r"in all layers, not \[2, 3\]"):
        attention_rollout.rollout(weights)
