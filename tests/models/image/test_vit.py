import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.layers.positions import sincos2d
from library.models.image.vit import vit, vit_s16, vit_ti4

TINY = dict(num_classes=3, width=16, depth=2, num_heads=2, patch_size=4)


@pytest.fixture
def image():
    return jax.random.normal(jax.random.key(0), (2, 8, 12, 3))


def randomized(variables):
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda p: jnp.float32(rng.normal(0, 0.2, p.shape)), variables)


def recorded_by(model, variables, image):
    apply = jax.jit(
        lambda variables, image: model.apply(variables, image, mutable=["intermediates"])
    )
    logits, updated = apply(variables, image)
    return logits, updated["intermediates"]


def patch_embeddings(image, params):
    """Cuts the image by hand, row by row, and projects each patch."""
    kernel = np.float64(params["patches"]["kernel"]).reshape(-1, 16)
    rows = [
        np.float64(image)[:, i : i + 4, j : j + 4].reshape(2, -1) @ kernel
        for i in range(0, 8, 4)
        for j in range(0, 12, 4)
    ]
    return np.stack(rows, axis=1) + params["patches"]["bias"]


def test_tokens_are_the_class_the_patches_and_learned_positions(image):
    model = vit(**TINY)
    variables = randomized(jax.eval_shape(model.init, jax.random.key(0), image))
    params = variables["params"]
    assert params["positions"]["embedding"].shape == (1, 7, 16)
    _, recorded = recorded_by(model, variables, image)
    cls = np.broadcast_to(params["cls"], (2, 1, 16))
    expected = np.concatenate([cls, patch_embeddings(image, params)], axis=1)
    expected += params["positions"]["embedding"]
    np.testing.assert_allclose(recorded["tokens"], expected, atol=1e-5)


def test_fixed_positions_are_of_the_patches_only(image):
    model = vit(**TINY, positions="sincos2d")
    variables = randomized(jax.eval_shape(model.init, jax.random.key(0), image))
    params = variables["params"]
    assert "positions" not in params
    _, recorded = recorded_by(model, variables, image)
    expected = patch_embeddings(image, params) + sincos2d(2, 3, 16)
    np.testing.assert_allclose(recorded["tokens"][:, 1:], expected, atol=1e-5)
    cls = np.broadcast_to(params["cls"][0], (2, 16))
    np.testing.assert_array_equal(recorded["tokens"][:, 0], cls)


@pytest.mark.parametrize("pool", ["cls", "gap"])
def test_features_are_the_pooled_normalized_tokens(image, pool):
    model = vit(**TINY, pool=pool)
    variables = randomized(jax.eval_shape(model.init, jax.random.key(0), image))
    logits, recorded = recorded_by(model, variables, image)
    x = np.float64(recorded["stage2"])
    assert x.shape[1] == (7 if pool == "cls" else 6)
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    x = x * variables["params"]["norm"]["scale"] + variables["params"]["norm"]["bias"]
    features = x[:, 0] if pool == "cls" else x.mean(axis=1)
    np.testing.assert_allclose(recorded["features"], features, atol=1e-5)
    head = variables["params"]["head"]
    np.testing.assert_allclose(logits, features @ head["kernel"] + head["bias"], atol=1e-5)


def test_block_adds_attention_then_feed_forward(image):
    model = vit(**TINY)
    variables = randomized(jax.eval_shape(model.init, jax.random.key(0), image))
    silent = {**variables["params"]}
    for name in ("block1", "block2"):
        block = dict(silent[name])
        for layer, last in (("attention", "out"), ("feed_forward", "fc2")):
            zero = jax.tree.map(jnp.zeros_like, block[layer][last])
            block[layer] = {**block[layer], last: zero}
        silent[name] = block
    _, recorded = recorded_by(model, {"params": silent}, image)
    np.testing.assert_array_equal(recorded["stage2"], recorded["tokens"])
    _, recorded = recorded_by(model, variables, image)
    assert abs(recorded["stage2"] - recorded["tokens"]).max() > 0.01


def test_head_starts_at_zero(image):
    model = vit(**TINY)
    logits, _ = jax.jit(model.init_with_output)(jax.random.key(0), image)
    np.testing.assert_array_equal(logits, np.zeros((2, 3)))


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((30, 32), "a 30x32 image does not divide into 4x4 patches; nearest: 32x32"),
        ((32, 1), "a 32x1 image does not divide into 4x4 patches; nearest: 32x4"),
    ],
)
def test_an_image_that_does_not_divide_is_refused(size, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(vit_ti4().init, jax.random.key(0), jnp.zeros((1, *size, 3)))


@pytest.mark.full
def test_remat_changes_neither_params_nor_results(image):
    results = []
    for remat in (False, True):
        model = vit(**TINY, dropout=0.1, drop_path=0.5, remat=remat)
        variables = randomized(jax.eval_shape(model.init, jax.random.key(0), image))

        def loss(params, model=model):
            rngs = {"dropout": jax.random.key(1)}
            return jnp.square(model.apply(params, image, True, rngs=rngs)).sum()

        results.append((variables, jax.jit(jax.value_and_grad(loss))(variables)))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), *results)


def test_dropout_and_drop_path_are_for_training(image):
    model = vit(**TINY, dropout=0.2, drop_path=0.5)
    variables = randomized(jax.eval_shape(model.init, jax.random.key(0), image))
    plain = vit(**TINY).apply(variables, image)
    np.testing.assert_array_equal(model.apply(variables, image), plain)
    rngs = {"dropout": jax.random.key(1)}
    assert abs(model.apply(variables, image, True, rngs=rngs) - plain).max() > 1e-3


def test_big_visions_small_vit_has_no_class_and_no_learned_positions():
    model = vit_s16(pool="gap", positions="sincos2d")
    variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 224, 224, 3)))
    count = sum(p.size for p in jax.tree.leaves(variables["params"]))
    assert count == 22_050_664 - 197 * 384 - 384
