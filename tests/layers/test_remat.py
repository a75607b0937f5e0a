"""What the backward pass computes again, by name."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.layers.remat import with_remat
from library.models.image.vit import VisionTransformer

VIT = dict(num_classes=3, patch_size=2, width=8, depth=2, num_heads=2, hidden=16)


class Squared(nn.Module):
    """tanh(dense layer)^2, of which the gradient needs the tanh."""

    @nn.compact
    def __call__(self, x, train):
        return jnp.tanh(nn.Dense(4, name="dense")(x)) ** 2


def recomputed(remat):
    """Counts the products of matrices and the tanhs of a gradient."""
    layer = with_remat(Squared, remat, static_argnums=(2,))(name="layer")
    x = jnp.ones((2, 4))
    variables = layer.init(jax.random.key(0), x, False)
    program = jax.make_jaxpr(jax.grad(lambda v: layer.apply(v, x, False).sum()))(variables)
    text = str(program)
    return text.count("dot_general["), text.count(" tanh ")


def test_full_computes_everything_again_and_dots_the_rest_alone():
    dots, tanhs = recomputed("none")
    assert recomputed("full") == (dots + 1, tanhs + 1)
    assert recomputed("dots") == (dots, tanhs + 1)
    assert recomputed(True) == recomputed("full")
    assert recomputed(False) == recomputed("none")


def test_an_unknown_name():
    with pytest.raises(ConfigError, match=r"remat 'dot'.*dots"):
        with_remat(Squared, "dot")


def test_each_policy_has_the_same_gradients_and_names():
    image = jnp.asarray(np.random.default_rng(0).normal(size=(2, 4, 4, 3)), jnp.float32)
    found = {}
    for remat in (False, "full", "dots"):
        model = VisionTransformer(**VIT, remat=remat)
        variables = jax.jit(model.init)(jax.random.key(0), image)
        gradient = jax.grad(lambda v, m=model: (m.apply(v, image) ** 2).sum())
        found[remat] = jax.jit(gradient)(variables)
    for remat in ("full", "dots"):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
            found[remat],
            found[False],
        )
