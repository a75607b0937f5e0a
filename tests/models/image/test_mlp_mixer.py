import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from scipy.special import erf

from library import config
from library.models.image import mlp_mixer

TINY = dict(num_classes=3, width=8, depth=2, tokens_hidden=5, channels_hidden=12, patch_size=4)


@pytest.fixture
def image():
    return jax.random.normal(jax.random.key(0), (2, 8, 12, 3))


def randomized(model, *arguments):
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(lambda key: model.init(key, *arguments), jax.random.key(0))
    return jax.tree.map(lambda p: jnp.float32(rng.normal(0, 0.5, p.shape)), shapes)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("mixer_s32", 19_104_624),
        ("mixer_s16", 18_528_264),
        ("mixer_b32", 60_293_428),
        ("mixer_b16", 59_880_472),
        ("mixer_l32", 206_939_264),
        ("mixer_l16", 208_196_168),
        # The paper has 431M.
        ("mixer_h14", 432_350_952),
    ],
)
def test_params_are_those_of_table_1(name, count):
    model = config.build(dict(name=f"mlp_mixer.{name}"), "library.models", "model")
    variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 224, 224, 3)))
    assert sum(math.prod(p.shape) for p in jax.tree.leaves(variables["params"])) == count


def norm(x, params):
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    return x * params["scale"] + params["bias"]


def mlp(x, params):
    x = x @ params["fc1"]["kernel"] + params["fc1"]["bias"]
    x = x * (1 + erf(x / np.sqrt(2))) / 2
    return x @ params["fc2"]["kernel"] + params["fc2"]["bias"]


def test_block_mixes_the_columns_and_then_the_rows():
    x = jax.random.normal(jax.random.key(0), (2, 6, 8))
    block = mlp_mixer.Block(tokens_hidden=5, channels_hidden=12)
    variables = randomized(block, x, False)
    params = jax.tree.map(np.float64, variables["params"])
    expected = np.float64(x)
    columns = norm(expected, params["norm1"]).transpose(0, 2, 1)
    expected = expected + mlp(columns, params["token_mixing"]).transpose(0, 2, 1)
    expected = expected + mlp(norm(expected, params["norm2"]), params["channel_mixing"])
    np.testing.assert_allclose(block.apply(variables, x, False), expected, rtol=1e-5, atol=1e-5)


def test_features_are_the_mean_of_normalized_tokens(image):
    model = mlp_mixer.MlpMixer(**TINY)
    variables = randomized(model, image)
    params = variables["params"]
    logits, recorded = model.apply(variables, image, mutable=["intermediates"])
    recorded = recorded["intermediates"]
    assert recorded["stage1"].shape == recorded["stage2"].shape == (2, 6, 8)
    features = norm(np.float64(recorded["stage2"]), params["norm"]).mean(axis=1)
    np.testing.assert_allclose(recorded["features"], features, atol=1e-5)
    expected = features @ params["head"]["kernel"] + params["head"]["bias"]
    np.testing.assert_allclose(logits, expected, atol=1e-5)


def test_head_starts_at_zero(image):
    logits, _ = jax.jit(mlp_mixer.MlpMixer(**TINY).init_with_output)(jax.random.key(0), image)
    np.testing.assert_array_equal(logits, np.zeros((2, 3)))


def test_remat_recomputes_blocks_and_keeps_their_names(image):
    shapes = {}
    for remat in (False, True):
        model = mlp_mixer.MlpMixer(**TINY, dropout=0.1, drop_path=0.5, remat=remat)
        variables = jax.eval_shape(model.init, jax.random.key(0), image)

        def loss(variables, model=model):
            rngs = {"dropout": jax.random.key(1)}
            return model.apply(variables, image, True, rngs=rngs).sum()

        assert str(jax.make_jaxpr(jax.grad(loss))(variables)).count("remat2[") == (
            2 if remat else 0
        )
        shapes[remat] = jax.tree.map(lambda leaf: leaf.shape, variables)
    assert shapes[True] == shapes[False]


def test_types_and_names(image):
    model = mlp_mixer.MlpMixer(**TINY, dtype="bfloat16", param_dtype="bfloat16")
    variables = jax.eval_shape(model.init, jax.random.key(0), image)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("bfloat16")}
    logits, recorded = jax.eval_shape(
        lambda v: model.apply(v, image, mutable=["intermediates"]), variables
    )
    assert logits.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(recorded)} == {jnp.dtype("bfloat16")}
    for path in flatten_dict(variables):
        assert all(part == part.lower() for part in path), path


def test_an_image_that_does_not_divide_is_refused():
    message = "a 224x100 image does not divide into 16x16 patches; nearest: 224x96"
    model = mlp_mixer.mixer_s16()
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 224, 100, 3)))


@pytest.mark.parametrize(
    ("argument", "message"),
    [(dict(num_classes=0), "num_classes=0"), (dict(dtype="f32"), "dtype 'f32'")],
)
def test_a_misunderstood_argument_builds_nothing(argument, message):
    with pytest.raises(config.ConfigError, match=message):
        mlp_mixer.mixer_b16(**argument)


def test_any_size():
    assert mlp_mixer.mlp_mixer() == mlp_mixer.mixer_b16()
    with pytest.raises(config.ConfigError, match="tokens_hidden=0"):
        mlp_mixer.mlp_mixer(tokens_hidden=0)
