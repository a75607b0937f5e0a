import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from library import config
from library.config import ConfigError
from library.models.image.simclr import SimCLR, simclr
from tests import often

KEY = jax.random.key(0)
IMAGE = jax.random.normal(jax.random.key(1), (3, 8, 8, 3))
# A model each of those whose heads are reached in different ways.
ENCODERS = {
    "resnet": dict(name="resnet.resnet20", width=8, remat=True),
    "cnn": dict(name="cnn.small", widths=(8, 8)),
    "vit": dict(name="vit", width=8, depth=1, num_heads=2, patch_size=4, hidden=8),
    "mlp": dict(name="mlp.mlp", hidden=(8,)),
}


def apply(model, variables, **options):
    run = jax.jit(
        lambda v: model.apply(v, IMAGE, mutable=["intermediates", "batch_stats"], **options)
    )
    return run(variables)


@pytest.mark.parametrize("name", often.but(["resnet"], ENCODERS))
def test_the_encoder_is_the_image_model_without_its_head(name):
    model = simclr(ENCODERS[name], width=4)
    variables = jax.jit(lambda: model.init(KEY, IMAGE))()
    assert set(variables["params"]) == {"encoder", "projection"}
    whole = config.build(ENCODERS[name], "library.models", "model")
    plain = jax.jit(lambda: whole.init(KEY, IMAGE))()
    shapes = jax.tree.map(jnp.shape, dict(plain["params"]))
    head = plain["params"]["head"]
    del shapes["head"]
    assert jax.tree.map(jnp.shape, dict(variables["params"]["encoder"])) == shapes
    projections, recorded = apply(model, variables)
    assert projections.shape == (3, 4)
    collections = {k: v["encoder"] for k, v in variables.items() if "encoder" in v}
    collections["params"] = {**collections["params"], "head": head}
    _, expected = apply(whole, collections)
    features = recorded["intermediates"]["features"]
    assert features.ndim == 2
    np.testing.assert_allclose(
        features, expected["intermediates"]["features"], rtol=1e-5, atol=1e-6
    )
    assert set(recorded["intermediates"]["encoder"]) == set(expected["intermediates"])


def test_features_do_not_depend_on_the_projection():
    first, second = simclr(ENCODERS["cnn"]), simclr(ENCODERS["cnn"], hidden=5, width=3, depth=3)
    variables = jax.jit(lambda: first.init(KEY, IMAGE))()
    others = jax.jit(lambda: second.init(jax.random.key(5), IMAGE))()
    shared = {
        kind: {"encoder": variables[kind]["encoder"], "projection": others[kind]["projection"]}
        for kind in variables
    }
    one, other = (
        apply(m, v)[1]["intermediates"]["features"]
        for m, v in [(first, variables), (second, shared)]
    )
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (dict(), {"dense1/kernel": (8, 8), "dense2/kernel": (8, 128)}),
        (
            dict(norm="none", hidden=5, width=3),
            {
                "dense1/kernel": (8, 5),
                "dense1/bias": (5,),
                "dense2/kernel": (5, 3),
                "dense2/bias": (3,),
            },
        ),
        (dict(depth=1, width=3), {"dense1/kernel": (8, 3), "norm1/scale": (3,)}),
        (
            dict(depth=3, hidden=5, width=3),
            {
                **{"dense1/kernel": (8, 5), "dense2/kernel": (5, 5), "dense3/kernel": (5, 3)},
                **{f"norm{i}/{leaf}": (5,) for i in (1, 2) for leaf in ("scale", "bias")},
                "norm3/scale": (3,),
            },
        ),
    ],
)
def test_projection_has_the_stated_layers(arguments, expected):
    model = simclr(ENCODERS["cnn"], **arguments)
    params = jax.eval_shape(lambda: model.init(KEY, IMAGE))["params"]["projection"]
    found = {f"{layer}/{leaf}": x.shape for layer, v in params.items() for leaf, x in v.items()}
    if not arguments:
        norms = {"norm1/scale": (8,), "norm1/bias": (8,), "norm2/scale": (128,)}
        expected = expected | norms
    assert found == expected


def test_projection_by_hand():
    model = simclr(ENCODERS["cnn"], hidden=5, width=3)
    variables = jax.jit(lambda: model.init(KEY, IMAGE))()
    z, recorded = apply(model, variables, train=True)
    h = np.float64(recorded["intermediates"]["features"])
    params = jax.tree.map(np.float64, variables["params"]["projection"])

    def normalized(x):
        return (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5)

    hidden = np.maximum(normalized(h @ params["dense1"]["kernel"]), 0)
    expected = normalized(hidden @ params["dense2"]["kernel"])
    np.testing.assert_allclose(z, expected, rtol=1e-3, atol=1e-4)


class Bare(nn.Module):
    @nn.compact
    def __call__(self, image, train=False):
        return nn.Dense(4, name="last")(image.reshape(len(image), -1))


@pytest.mark.parametrize("name", ["cnn.lenet5", None])
def test_an_encoder_without_a_head_is_refused(name):
    model = simclr(ENCODERS["cnn"])
    encoder = Bare() if name is None else config.build(dict(name=name), "library.models", "model")
    model = SimCLR(encoder, model.projection)
    image = jnp.zeros((2, 32, 32, 1))
    with pytest.raises(ConfigError, match="does not end in a submodule 'head'"):
        jax.eval_shape(lambda: model.init(KEY, image))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(width=0), "width=0"),
        (dict(depth=0), "depth=0"),
        (dict(hidden=0), "hidden=0"),
        (dict(norm="batchnorm"), "did you mean 'batch'"),
        (dict(dtype="float23"), "float32"),
        (dict(encoder=dict(name="resnet.resnet21")), "unknown encoder 'resnet.resnet21'"),
        (dict(encoder=dict(name="simclr", encoder=ENCODERS["cnn"])), "not another simclr"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        config.build(
            dict(name="simclr", encoder=ENCODERS["cnn"]) | arguments, "library.models", "model"
        )
