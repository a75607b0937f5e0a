"""A computation in bfloat16 keeps params, statistics and logits in float32, in training, too."""

import jax
import jax.numpy as jnp
import pytest
from flax.traverse_util import flatten_dict

from library import config
from tests import often

# Arguments of a model, and the side of its images.
MODELS = {
    "densenet": (dict(name="densenet.densenet40", dropout=0.1), 8),
    "inception_resnet_v2": (dict(name="inception_resnet_v2"), 75),
    "inception_v4": (dict(name="inception_v4"), 75),
    "xception": (dict(name="xception"), 32),
}


@pytest.mark.parametrize("name", often.but(["inception_resnet_v2"], MODELS))
def test_only_features_have_the_type_of_the_computation(name):
    spec, side = MODELS[name]
    spec = dict(spec, num_classes=5, dtype="bfloat16")
    model = config.build(spec, "library.models", "model")

    def train(image):
        keys = {name: jax.random.key(0) for name in ("params", "dropout")}
        return model.init_with_output(keys, image, train=True, mutable=True)

    image = jax.ShapeDtypeStruct((2, side, side, 3), jnp.float32)
    logits, variables = jax.eval_shape(train, image)
    recorded = variables.pop("intermediates")
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    assert all(path == path.lower() for path in flatten_dict(variables, sep="/"))
    assert recorded["features"].dtype == jnp.bfloat16
    assert (logits.shape, logits.dtype) == ((2, 5), jnp.float32)
