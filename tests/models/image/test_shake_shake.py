import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError, build
from library.models.image.shake_shake import Block, shake, shake_shake26, shake_shake29
from tests import sizes


@pytest.mark.full
def test_params_of_tables_1_to_3():
    # 26.2 and 2.9 million in table 3 of the paper, counted here layer by layer.
    def branch(inputs, features):
        return 9 * inputs * features + 9 * features**2 + 4 * features

    def counted(width):
        widths, inputs, total = (width, 2 * width, 4 * width), 16, 3 * 9 * 16 + 2 * 16
        for features in widths:
            total += inputs * features + 2 * features
            for i in range(4):
                total += 2 * branch(features if i else inputs, features)
            inputs = features
        return total + 4 * width * 10 + 10

    for width, millions in ((96, 26.2), (32, 2.9)):
        assert sizes.parameters(shake_shake26(width=width), 32) == counted(width)
        assert round(counted(width) / 1e6, 1) == millions
    # ResNeXt-29, 8x64d has as many params: two branches of four groups are eight groups.
    assert round(sizes.parameters(shake_shake29(10), 32) / 1e6, 1) == 34.4
    assert sizes.parameters(shake_shake26(), 32) == 26_192_922
    assert sizes.parameters(shake_shake29(), 32) == 34_529_700


def test_stages():
    assert sizes.shapes(shake_shake29(width=8), 32) == {
        "stage1": (32, 32, 32),
        "stage2": (16, 16, 64),
        "stage3": (8, 8, 128),
        "features": (128,),
    }


def test_the_gradient_is_that_of_other_weights():
    first, second, co = (jax.random.normal(jax.random.key(i), (2, 3, 3, 4)) for i in range(3))
    forward, backward = jnp.array([0.25, 1.0]), jnp.array([0.75, 0.5])
    mixed, pull = jax.vjp(lambda a, b: shake(a, b, forward, backward), first, second)
    weight = np.asarray(forward)[:, None, None, None]
    np.testing.assert_allclose(mixed, weight * first + (1 - weight) * second, atol=1e-6)
    weight = np.asarray(backward)[:, None, None, None]
    for got, expected in zip(pull(co), (weight * co, (1 - weight) * co)):
        np.testing.assert_allclose(got, expected, atol=1e-6)


def drawn(block, x):
    variables = block.init(jax.random.key(1), x, False)
    # Normalizations that tell the branches and leave none of them at zero.
    random = np.random.default_rng(0)
    params = jax.tree.map(lambda p: np.float32(random.standard_normal(p.shape)), variables)
    return {"params": params["params"], "batch_stats": variables["batch_stats"]}


@pytest.mark.parametrize("groups", [0, 2])
def test_weights_are_halves_in_evaluation_and_each_images_own_in_training(groups):
    x = jax.random.normal(jax.random.key(0), (3, 4, 4, 4))
    x = jnp.concatenate([x, x])
    block = Block(features=4, width=4, stride=1, groups=groups, backward="even")
    variables = drawn(block, x)

    def apply(variables, train):
        rngs = {"dropout": jax.random.key(2)}
        return block.apply(variables, x, train, rngs=rngs, mutable=["batch_stats"])[0]

    def without(kept):
        last = "conv3" if groups else "conv2"
        gone = f"branch{3 - kept}_{last}"
        norm = gone.replace("conv", "norm")
        zeroed = {name: jax.tree.map(jnp.zeros_like, variables["params"][name]) for name in (norm,)}
        return {**variables, "params": {**variables["params"], **zeroed}}

    # With an identity that is large, the relu of bottlenecks is out of the way.
    variables = jax.tree.map(lambda leaf: 0.01 * leaf, variables)
    variables["batch_stats"] = jax.tree.map(jnp.ones_like, variables["batch_stats"])
    x = x + 10 if groups else x
    halves = [apply(without(kept), False) - x for kept in (1, 2)]
    np.testing.assert_allclose(apply(variables, False) - x, sum(halves), atol=1e-5)
    one, two = ((apply(without(kept), True) - x) for kept in (1, 2))
    np.testing.assert_allclose(apply(variables, True) - x, one + two, atol=1e-5)
    # The same image twice: its branches are weighted otherwise, each by one number.
    for branch in (one, two):
        once, again = np.float64(branch[:3]).reshape(3, -1), np.float64(branch[3:]).reshape(3, -1)
        ratio = (once * again).sum(1) / (again**2).sum(1)
        np.testing.assert_allclose(once, ratio[:, None] * again, atol=1e-5)
        assert (abs(ratio - 1) > 0.01).all()


def test_a_shortcut_that_strides_sees_the_pixels_between():
    block = Block(features=4, width=4, stride=2, groups=0, backward="shake")
    x = jnp.abs(jax.random.normal(jax.random.key(0), (1, 4, 4, 2)))
    variables = drawn(block, x)
    params = variables["params"]
    for i in (1, 2):
        zeros = jax.tree.map(jnp.zeros_like, params[f"branch{i}_norm2"])
        params[f"branch{i}_norm2"] = zeros
    params["shortcut_norm"] = {"scale": jnp.ones(4), "bias": jnp.zeros(4)}
    y = block.apply(variables, x, False) * np.sqrt(1 + 1e-5)
    one, two = (params[f"shortcut_conv{i}"]["kernel"][0, 0] for i in (1, 2))
    np.testing.assert_allclose(y[..., :2], x[:, ::2, ::2] @ one, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(y[0, 1, 1, 2:], x[0, 1, 1] @ two, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(y[0, 0, :, 2:], 0)


def test_only_without_groups_the_width_is_even():
    with pytest.raises(ConfigError, match=r"width=7: .* nearest: 8"):
        shake_shake26(width=7)
    model = shake_shake29(width=1, cardinality=3)
    jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 4, 4, 3)))


@pytest.mark.parametrize("name", ["shake_shake.shake_shake26", "shake_shake.shake_shake29"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(num_classes=0), "num_classes=0"),
        (dict(backward="keep"), "backward 'keep': .*shake"),
        (dict(dtype="f16"), "dtype 'f16'"),
    ],
)
def test_a_misunderstood_argument_builds_nothing(name, arguments, message):
    with pytest.raises(ConfigError, match=message):
        build(dict(name=name, **arguments), "library.models", "model")
