import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError, build
from library.models.image import squeezenet
from library.weights import costs
from library.weights.catalogue import find

# Table 1 of the paper: what is squeezed, expanded by 1x1, by 3x3. Its 224x224 images give 111x111
# features by 7x7 kernels of stride 2, as torchvision's 109x109 do not: it leaves out the padding.
FIRES = {
    "fire2": (16, 64, 64),
    "fire3": (16, 64, 64),
    "fire4": (32, 128, 128),
    "fire5": (32, 128, 128),
    "fire6": (48, 192, 192),
    "fire7": (48, 192, 192),
    "fire8": (64, 256, 256),
    "fire9": (64, 256, 256),
}
SIDES = {
    "squeezenet1_0": dict(conv1=109, fire2=54, fire5=27, fire9=13, head=13),
    "squeezenet1_1": dict(conv1=111, fire2=55, fire4=27, fire6=13, head=13),
}
PARAMS = {"squeezenet1_0": 1_248_424, "squeezenet1_1": 1_235_496}


@pytest.mark.parametrize("name", PARAMS)
def test_layers_of_the_paper(name):
    rows = {row.path: row for row in costs.layers(find(name))}
    branches = ("squeeze", "expand1x1", "expand3x3")
    made = {fire: tuple(rows[f"{fire}/{b}"].shape[-1] for b in branches) for fire in FIRES}
    assert made == FIRES
    for layer, side in SIDES[name].items():
        path = layer if layer in rows else f"{layer}/squeeze"
        assert rows[path].shape[:2] == (side, side), layer
    assert sum(row.params for row in rows.values()) == PARAMS[name]


def shapes_of(model, size):
    image = jnp.zeros((2, size, size, 3))
    return jax.eval_shape(
        lambda: model.init_with_output(jax.random.key(0), image, mutable=True, train=False)
    )


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("squeezenet1_0", ((109, 96), (54, 256), (27, 512), (13, 512))),
        ("squeezenet1_1", ((111, 64), (55, 128), (27, 256), (13, 512))),
    ],
)
def test_stages_are_recorded_before_they_are_pooled(name, stages):
    model = build(dict(name=f"squeezenet.{name}", dtype="bfloat16"), "library.models", "model")
    logits, variables = shapes_of(model, 224)
    recorded = variables["intermediates"]
    expected = {f"stage{i}": (2, side, side, c) for i, (side, c) in enumerate(stages, 1)}
    assert {k: v.shape for k, v in recorded.items()} == {**expected, "features": (2, 512)}
    assert {leaf.dtype for leaf in jax.tree.leaves(recorded)} == {jnp.dtype("bfloat16")}
    assert {leaf.dtype for leaf in jax.tree.leaves(variables["params"])} == {jnp.dtype("float32")}
    assert (logits.shape, logits.dtype) == ((2, 1000), jnp.float32)


@pytest.mark.full
def test_logits_are_means_of_what_the_head_rectifies():
    image = jax.random.normal(jax.random.key(0), (2, 40, 33, 3))
    model = squeezenet.squeezenet1_1(num_classes=4)
    variables = jax.jit(model.init)(jax.random.key(1), image)
    apply = jax.jit(lambda v, x: model.apply(v, x, mutable=["intermediates"]))
    logits, recorded = apply(variables, image)
    last = np.float64(recorded["intermediates"]["stage4"])
    kernel = np.float64(variables["params"]["head"]["kernel"])[0, 0]
    np.testing.assert_allclose(logits, np.maximum(last @ kernel, 0).mean((1, 2)), rtol=1e-5)
    np.testing.assert_allclose(
        recorded["intermediates"]["features"], last.mean((1, 2)), rtol=1e-5, atol=1e-7
    )


def test_fire_concatenates_1x1_and_3x3_of_what_is_squeezed():
    x = jax.random.normal(jax.random.key(0), (1, 4, 5, 6))
    fire = squeezenet.Fire(2)
    variables = fire.init(jax.random.key(1), x)
    p = jax.tree.map(np.float64, variables["params"])
    squeezed = np.maximum(np.float64(x) @ p["squeeze"]["kernel"][0, 0], 0)
    padded = np.pad(squeezed, ((0, 0), (1, 1), (1, 1), (0, 0)))
    three = sum(
        padded[:, i : i + 4, j : j + 5] @ p["expand3x3"]["kernel"][i, j]
        for i in range(3)
        for j in range(3)
    )
    one = squeezed @ p["expand1x1"]["kernel"][0, 0]
    expected = np.maximum(np.concatenate([one, three], -1), 0)
    np.testing.assert_allclose(fire.apply(variables, x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", PARAMS)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(num_classes=0), "num_classes=0"),
        (dict(dropout=1.0), "dropout=1.0"),
        (dict(dtype="f16"), "dtype 'f16'"),
    ],
)
def test_a_misunderstood_argument_builds_nothing(name, arguments, message):
    with pytest.raises(ConfigError, match=message):
        build(dict(name=f"squeezenet.{name}", **arguments), "library.models", "model")
