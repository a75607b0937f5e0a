import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError, build
from library.models.image.inception_resnet_v2 import Block, inception_resnet_v2
from library.models.image.inception_v3 import Conv
from tests import sizes

# Side of the grid and channels, of the authors' code.
MODULES = {
    "inception_a": (35, 320),
    **{f"block_a{i}": (35, 320) for i in range(1, 11)},
    "reduction_a": (17, 1088),
    **{f"block_b{i}": (17, 1088) for i in range(1, 21)},
    "reduction_b": (8, 2080),
    **{f"block_c{i}": (8, 2080) for i in range(1, 11)},
    "conv2d_7b": (8, 1536),
}
STAGES = {
    "stage1": (147, 147, 64),
    "stage2": (71, 71, 192),
    "stage3": (35, 35, 320),
    "stage4": (17, 17, 1088),
    "stage5": (8, 8, 1536),
    "features": (1536,),
}


def test_params_and_outputs_of_the_modules_are_the_authors():
    logits, params, recorded = sizes.traced(inception_resnet_v2(), 299)
    assert logits == (1000,)
    assert params == 55_843_464
    made = {name: recorded[name]["__call__"][0] for name in MODULES}
    assert made == {name: (side, side, c) for name, (side, c) in MODULES.items()}
    assert {name: recorded[name] for name in STAGES} == STAGES
    width = {"a1": 128, "b1": 384, "c1": 448}
    for name, channels in width.items():
        assert recorded[f"block_{name}"]["branches"]["__call__"][0][-1] == channels


@pytest.mark.parametrize("activate", [True, False])
def test_a_block_adds_scaled_branches(activate):
    branches = ((Conv("branch1", 3, (1, 1)),), (Conv("branch2_1", 2, (1, 1)),))
    block = Block(branches, 0.25, activate)
    random = np.random.default_rng(0)
    x = np.float32(random.standard_normal((2, 3, 3, 4)))
    shapes = jax.eval_shape(lambda: block.init(jax.random.key(0), jnp.asarray(x), False))
    variables = jax.tree.map(lambda s: np.float32(random.uniform(0.5, 1.5, s.shape) - 0.3), shapes)
    params, stats = variables["params"], variables["batch_stats"]["branches"]
    ends = []
    for name in ("branch1", "branch2_1"):
        own, moments = params["branches"][name], stats[name]["norm"]
        y = np.float64(x) @ own["conv"]["kernel"][0, 0]
        y = (y - moments["mean"]) / np.sqrt(moments["var"] + 1e-3)
        ends.append(np.maximum(y * own["norm"]["scale"] + own["norm"]["bias"], 0))
    y = np.concatenate(ends, -1) @ params["conv"]["kernel"][0, 0] + params["conv"]["bias"]
    expected = np.maximum(x + 0.25 * y, 0) if activate else x + 0.25 * y
    got = jax.jit(block.apply, static_argnums=2)(variables, x, False)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
    assert (np.asarray(got).min() >= 0) == activate


@pytest.mark.full
def test_the_last_block_is_neither_scaled_nor_rectified():
    seen = {}

    def note(next_function, arguments, options, context):
        module = context.module
        if isinstance(module, Block):
            seen[module.name] = (module.scale, module.activate)
        return next_function(*arguments, **options)

    with nn.intercept_methods(note):
        jax.eval_shape(inception_resnet_v2().init, jax.random.key(0), jnp.zeros((1, 75, 75, 3)))
    scales = {"a": 0.17, "b": 0.1, "c": 0.2}
    assert seen.pop("block_c10") == (1.0, False)
    assert seen == {name: (scales[name[6]], True) for name in seen}
    assert len(seen) == 39


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(num_classes=0), "num_classes=0"),
        (dict(dropout=-0.1), "dropout=-0.1"),
        (dict(dtype="f16"), "dtype 'f16'"),
    ],
)
def test_a_misunderstood_argument_builds_nothing(arguments, message):
    with pytest.raises(ConfigError, match=message):
        build(dict(name="inception_resnet_v2", **arguments), "library.models", "model")
