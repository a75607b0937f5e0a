import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError, build
from library.models.image.inception_resnet_v1 import inception_resnet_v1
from tests import sizes

STAGES = {
    "stage1": (77, 77, 64),
    "stage2": (17, 17, 256),
    "stage3": (17, 17, 256),
    "stage4": (8, 8, 896),
    "stage5": (3, 3, 1792),
    "features": (512,),
    "embedding": (512,),
}


@pytest.mark.full
def test_params_and_stages_are_those_of_the_published_network():
    logits, params, recorded = sizes.traced(inception_resnet_v1(), 160)
    assert logits == (8631,)
    assert params == 27_910_327
    assert {name: recorded[name] for name in STAGES} == STAGES
    embedding, params, _ = sizes.traced(inception_resnet_v1(output="embedding"), 160)
    assert embedding == (512,)
    assert params == 23_482_624


@pytest.mark.full
def test_embeddings_have_length_one():
    model = inception_resnet_v1(output="embedding")
    image = jax.random.normal(jax.random.key(0), (2, 75, 75, 3))
    variables = jax.jit(model.init)(jax.random.key(1), image)
    made = jax.jit(model.apply)(variables, image)
    np.testing.assert_allclose(jnp.linalg.norm(made, axis=-1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(num_classes=0), "num_classes=0"),
        (dict(output="vector"), "output 'vector'"),
        (dict(dropout=1.0), "dropout=1.0"),
        (dict(dtype="f16"), "dtype 'f16'"),
    ],
)
def test_a_misunderstood_argument_builds_nothing(arguments, message):
    with pytest.raises(ConfigError, match=message):
        build(dict(name="inception_resnet_v1", **arguments), "library.models", "model")
