import math

import jax
import jax.numpy as jnp
import pytest
from flax.traverse_util import flatten_dict

from library.config import ConfigError, build
from library.models.image.inception_v4 import inception_v4

IMAGE = jax.ShapeDtypeStruct((2, 299, 299, 3), jnp.float32)
# Figures 3 and 9: side of the grid, channels.
MODULES = {
    "conv1": (149, 32),
    "conv2": (147, 32),
    "conv3": (147, 64),
    "stem_3a": (73, 160),
    "stem_4a": (71, 192),
    "stem_5a": (35, 384),
    **{f"inception_a{i}": (35, 384) for i in range(1, 5)},
    "reduction_a": (17, 1024),
    **{f"inception_b{i}": (17, 1024) for i in range(1, 8)},
    "reduction_b": (8, 1536),
    **{f"inception_c{i}": (8, 1536) for i in range(1, 4)},
}
STAGES = {
    "stage1": (2, 147, 147, 64),
    "stage2": (2, 73, 73, 160),
    "stage3": (2, 35, 35, 384),
    "stage4": (2, 17, 17, 1024),
    "stage5": (2, 8, 8, 1536),
    "features": (2, 1536),
}


def test_params_and_outputs_of_the_modules_are_the_papers():
    model = inception_v4()

    def init(image):
        options = dict(mutable=True, capture_intermediates=True)
        return model.init_with_output(jax.random.key(0), image, **options)

    logits, variables = jax.eval_shape(init, IMAGE)
    assert logits.shape == (2, 1000)
    params = jax.tree.leaves(variables["params"])
    assert sum(math.prod(leaf.shape) for leaf in params) == 42_679_816
    recorded = variables["intermediates"]
    made = {name: recorded[name]["__call__"][0].shape for name in MODULES}
    assert made == {name: (2, side, side, c) for name, (side, c) in MODULES.items()}
    assert {name: recorded[name].shape for name in STAGES} == STAGES


def test_types_in_training():
    spec = dict(name="inception_v4", num_classes=5, dtype="bfloat16")
    model = build(spec, "library.models", "model")

    def train(image):
        keys = {name: jax.random.key(0) for name in ("params", "dropout")}
        return model.init_with_output(keys, image, train=True, mutable=True)

    logits, variables = jax.eval_shape(train, IMAGE)
    recorded = variables.pop("intermediates")
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    assert all(path == path.lower() for path in flatten_dict(variables, sep="/"))
    assert recorded["features"].dtype == jnp.bfloat16
    assert (logits.shape, logits.dtype) == ((2, 5), jnp.float32)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(num_classes=0), "num_classes=0"),
        (dict(dropout=1.0), "dropout=1.0"),
        (dict(dtype="f16"), "dtype 'f16'"),
        (dict(aux=True), "aux"),
    ],
)
def test_a_misunderstood_argument_builds_nothing(arguments, message):
    with pytest.raises(ConfigError, match=message):
        build(dict(name="inception_v4", **arguments), "library.models", "model")
