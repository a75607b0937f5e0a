import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from library import config
from library.models.image import deit
from library.models.image.vit import vit

TINY = dict(num_classes=3, width=16, depth=2, num_heads=2, patch_size=4)


@pytest.fixture
def image():
    return jax.random.normal(jax.random.key(0), (2, 8, 12, 3))


def randomized(model, image):
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(model.init, jax.random.key(0), image)
    return jax.tree.map(lambda p: jnp.float32(rng.normal(0, 0.2, p.shape)), shapes)


def recorded_by(model, variables, image, train=False):
    apply = jax.jit(lambda v, x: model.apply(v, x, train, mutable=["intermediates"]))
    logits, updated = apply(variables, image)
    return logits, updated["intermediates"]


@pytest.mark.parametrize(
    ("name", "count"),
    [("deit_ti16", 5_910_800), ("deit_s16", 22_436_432), ("deit_b16", 87_338_192)],
)
def test_params_are_those_published(name, count):
    model = config.build(dict(name=f"deit.{name}"), "library.models", "model")
    variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 224, 224, 3)))
    assert sum(math.prod(p.shape) for p in jax.tree.leaves(variables["params"])) == count
    assert variables["params"]["positions"]["embedding"].shape[1] == 2 + 14 * 14


def test_the_distillation_token_stands_between_the_class_and_the_patches(image):
    model = deit.DistilledVisionTransformer(**TINY)
    variables = randomized(model, image)
    params = variables["params"]
    _, recorded = recorded_by(model, variables, image)
    plain = vit(**TINY)
    without = {k: v for k, v in params.items() if k not in ("distillation", "distillation_head")}
    kept = np.r_[0, 2:8]
    without["positions"] = {"embedding": params["positions"]["embedding"][:, kept]}
    _, expected = recorded_by(plain, {"params": without}, image)
    np.testing.assert_allclose(recorded["tokens"][:, kept], expected["tokens"], atol=1e-6)
    token = params["distillation"][0, 0] + params["positions"]["embedding"][0, 1]
    np.testing.assert_allclose(recorded["tokens"][:, 1], np.stack([token] * 2), atol=1e-6)


def test_the_answer_is_the_mean_of_both_heads_in_training_too(image):
    model = deit.DistilledVisionTransformer(**TINY)
    variables = randomized(model, image)
    params = variables["params"]
    mean, recorded = recorded_by(model, variables, image)
    training, _ = recorded_by(model, variables, image, train=True)
    x = np.float64(recorded["stage2"][:, :2])
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    x = x * params["norm"]["scale"] + params["norm"]["bias"]
    np.testing.assert_allclose(recorded["features"], x.mean(axis=1), atol=1e-5)
    heads = [params[name] for name in ("head", "distillation_head")]
    expected = [x[:, i] @ head["kernel"] + head["bias"] for i, head in enumerate(heads)]
    np.testing.assert_allclose(recorded["class_logits"], expected[0], atol=1e-5)
    np.testing.assert_allclose(recorded["distillation_logits"], expected[1], atol=1e-5)
    np.testing.assert_allclose(mean, (expected[0] + expected[1]) / 2, atol=1e-5)
    np.testing.assert_array_equal(training, mean)


def test_remat_recomputes_blocks_and_keeps_their_names(image):
    shapes = {}
    for remat in (False, True):
        model = deit.DistilledVisionTransformer(**TINY, dropout=0.1, drop_path=0.5, remat=remat)
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
    types = dict(dtype="bfloat16", param_dtype="bfloat16")
    model = deit.DistilledVisionTransformer(**TINY, **types)
    variables = jax.eval_shape(model.init, jax.random.key(0), image)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("bfloat16")}
    logits, recorded = jax.eval_shape(
        lambda v: model.apply(v, image, mutable=["intermediates"]), variables
    )
    assert logits.dtype == jnp.float32
    heads = [
        recorded["intermediates"].pop(f"{name}_logits").dtype for name in ("class", "distillation")
    ]
    assert heads == [jnp.float32, jnp.float32]
    assert {leaf.dtype for leaf in jax.tree.leaves(recorded)} == {jnp.dtype("bfloat16")}
    for path in flatten_dict(variables):
        assert all(part == part.lower() for part in path), path


def test_an_image_that_does_not_divide_is_refused():
    message = "a 200x224 image does not divide into 16x16 patches; nearest: 192x224"
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(deit.deit_ti16().init, jax.random.key(0), jnp.zeros((1, 200, 224, 3)))


@pytest.mark.parametrize(
    ("argument", "message"),
    [(dict(num_classes=0), "num_classes=0"), (dict(dropout=-0.1), "dropout=-0.1")],
)
def test_a_misunderstood_argument_builds_nothing(argument, message):
    with pytest.raises(config.ConfigError, match=message):
        deit.deit_s16(**argument)
