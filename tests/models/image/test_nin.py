import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError, build
from library.models.image.nin import NIN, Perceptron, nin_cifar, nin_imagenet
from tests import sizes


@pytest.mark.parametrize(
    ("model", "side", "params", "stages"),
    [
        (
            nin_cifar(),
            32,
            966_986,
            {"stage1": (32, 32, 96), "stage2": (16, 16, 192), "stage3": (8, 8, 192)},
        ),
        (
            nin_imagenet(),
            227,
            7_595_176,
            {
                "stage1": (55, 55, 96),
                "stage2": (27, 27, 256),
                "stage3": (13, 13, 384),
                "stage4": (6, 6, 1024),
            },
        ),
    ],
    ids=["cifar", "imagenet"],
)
def test_params_and_stages(model, side, params, stages):
    logits, count, recorded = sizes.traced(model, side)
    assert logits == (model.num_classes,)
    assert count == params
    assert {name: recorded[name] for name in stages} == stages


def test_a_logit_is_the_mean_of_its_classs_map():
    blocks = (Perceptron(3, (4, 3)), Perceptron(3, (5,), pool="max"))
    model = NIN(num_classes=3, blocks=blocks)
    image = jax.random.normal(jax.random.key(0), (2, 8, 8, 3))
    variables = model.init(jax.random.key(1), image)
    logits, recorded = model.apply(variables, image, mutable=["intermediates"])
    head = variables["params"]["head"]
    maps = recorded["intermediates"]["stage2"] @ head["kernel"] + head["bias"]
    np.testing.assert_allclose(logits, maps.mean((1, 2)), rtol=1e-4, atol=1e-5)


def test_the_average_at_the_edge_is_over_the_pixels_there_are():
    blocks = (Perceptron(1, (1,)), Perceptron(1, (1,), pool="average"))
    model = NIN(num_classes=2, blocks=blocks)
    image = jnp.arange(16.0).reshape(1, 4, 4, 1)
    variables = model.init(jax.random.key(0), image)
    params = jax.tree.map(jnp.ones_like, variables["params"])
    for name in ("block1_conv", "block2_conv"):
        params[name]["bias"] = jnp.zeros(1)
    _, recorded = model.apply({"params": params}, image, mutable=["intermediates"])
    expected = [[5, 6.5], [11, 12.5]]
    np.testing.assert_allclose(recorded["intermediates"]["stage2"][0, :, :, 0], expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(num_classes=0), "num_classes=0"),
        (dict(dropout=1.0), "dropout=1.0"),
        (dict(dtype="f16"), "dtype 'f16'"),
        (dict(blocks=[]), "blocks"),
    ],
)
def test_a_misunderstood_argument_builds_nothing(arguments, message):
    with pytest.raises(ConfigError, match=message):
        build(dict(name="nin.nin_cifar", **arguments), "library.models", "model")
