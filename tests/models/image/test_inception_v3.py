import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from library.config import ConfigError, build
from library.models.image.inception_v3 import inception_v3
from library.weights.drawn import drawn, zeros
from library.weights.inception_v3 import RULES
from library.weights.mapping import assign, published_as
from tests import often

# Of torchvision's Inception3, and of that with the pools of pytorch-fid, with the weights of
# `drawn` on `golden_image`: sixteen logits and sixteen features.
GOLDEN = {
    "torchvision": {
        "logits": [
            *(-0.2453313, 0.5191044, 0.401955, -2.278067, 2.225755, -1.319563, 1.974628, 1.496245),
            *(-0.2896522, 0.4354812, 0.4022607, 0.6837538, -0.9319835, -3.256194, -2.686303),
            -2.944574,
        ],
        "features": [
            *(0.4899626, 2.042955, 0.0, 0.4215085, 0.8331551, 0.2269545, 0.5332729, 0.09251688),
            *(0.3152445, 0.6024618, 1.621579, 2.002076, 0.1450115, 0.7937123, 0.0, 0.0),
        ],
    },
    "fid": {
        "logits": [
            *(0.2334668, 1.138159, 0.006750771, -1.623319, 3.748223, -1.249688, 2.15396, 2.527267),
            *(-1.083716, 1.630053, 2.820774, 1.464169, -2.254589, -5.225991, -3.040374, -4.723405),
        ],
        "features": [
            *(1.239177, 1.610027, 0.1770312, 0.3400443, 1.740222, 0.1332386, 0.652675, 0.1803709),
            *(0.4223973, 0.4969033, 1.585151, 2.403667, 0.0539673, 0.7525686, 0.0, 0.0),
        ],
    },
}
PLACES = np.arange(16) * 61
CLASSES = {"torchvision": 1000, "fid": 1008}


def golden_image():
    row, column, channel = np.indices((139, 107, 3))
    return np.sin(row * column / 300 + channel).astype(np.float32)[None]


@pytest.mark.full
@pytest.mark.parametrize("variant", often.first(1, GOLDEN))
def test_logits_and_features_of_the_original(variant):
    model = inception_v3(CLASSES[variant], variant)
    image = golden_image()
    shapes = jax.eval_shape(model.init, jax.random.key(0), image)
    names = {name: x.shape for name, x in published_as(zeros(shapes), RULES).items()}
    variables = assign(drawn(names), RULES, shapes, where="drawn")
    apply = jax.jit(lambda v, x: model.apply(v, x, mutable=["intermediates"]))
    logits, recorded = apply(variables, image)
    for name, got in (("logits", logits), ("features", recorded["intermediates"]["features"])):
        expected = np.array(GOLDEN[variant][name])
        error = np.abs(got[0, PLACES] - expected).max()
        assert error <= 1e-5 * np.abs(expected).max()


def shapes_of(model, size=299, **options):
    image = jnp.zeros((2, size, size, 3))
    return jax.eval_shape(lambda: model.init_with_output(jax.random.key(0), image, **options))


@pytest.mark.parametrize(("aux", "expected"), [(False, 23_834_568), (True, 27_161_264)])
def test_params_are_as_many_as_torchvisions(aux, expected):
    logits, variables = shapes_of(inception_v3(aux=aux))
    assert logits.shape == (2, 1000)
    assert sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(variables["params"])) == expected


@pytest.mark.parametrize("train", [False, True])
def test_records_and_types(train):
    spec = dict(name="inception_v3", num_classes=5, aux=True, dtype="bfloat16")
    model = build(spec, "library.models", "model")
    _, variables = shapes_of(model)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    assert all(path == path.lower() for path in flatten_dict(variables, sep="/"))

    def apply(variables, image, key):
        mutable = ["intermediates", "batch_stats"]
        return model.apply(variables, image, train, mutable=mutable, rngs={"dropout": key})

    image = jnp.zeros((2, 299, 299, 3))
    logits, updated = jax.eval_shape(apply, variables, image, jax.random.key(0))
    recorded = updated["intermediates"]
    shapes = {name: leaf.shape for name, leaf in recorded.items()}
    auxiliary = {"aux_logits": (2, 5)} if train else {}
    assert shapes == {
        "stage1": (2, 73, 73, 64),
        "stage2": (2, 35, 35, 192),
        "stage3": (2, 17, 17, 768),
        "stage4": (2, 8, 8, 2048),
        "features": (2, 2048),
        **auxiliary,
    }
    assert recorded["features"].dtype == jnp.bfloat16
    assert logits.dtype == jnp.float32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(variant="tf"), r"variant 'tf': .*valid: torchvision, fid"),
        (dict(num_classes=0), "num_classes=0"),
        (dict(dropout=1.0), "dropout=1.0"),
        (dict(dtype="f16"), "dtype 'f16'"),
    ],
)
def test_a_misunderstood_argument_builds_nothing(arguments, message):
    with pytest.raises(ConfigError, match=message):
        build(dict(name="inception_v3", **arguments), "library.models", "model")
