import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from library import config
from library.config import ConfigError
from library.models.image import vit
from library.models.image.mae import mae, mae_b16, mae_l16
from tests import often

SIZES = dict(width=16, depth=2, num_heads=2, patch_size=4)
TINY = dict(**SIZES, decoder_width=8, decoder_depth=1, decoder_heads=2)
ORDER = jnp.asarray([[4, 0, 5, 2, 1, 3], [1, 3, 0, 4, 5, 2]])


@pytest.fixture
def image():
    return jax.random.normal(jax.random.key(0), (2, 8, 12, 3))


def initialised(model, image, seed=0):
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), image, ORDER, 2))
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda p: jnp.float32(rng.normal(0, 0.2, p.shape)), shapes)


def shapes_of(params):
    return {path: leaf.shape for path, leaf in flatten_dict(params, sep="/").items()}


@pytest.mark.parametrize(
    ("make", "twin", "positions"),
    often.first(
        1,
        [
            (mae_b16, vit.vit_b16, "sincos2d"),
            (mae_l16, vit.vit_l16, "sincos2d"),
            (mae_b16, vit.vit_b16, "learned"),
        ],
    ),
)
def test_the_encoder_is_a_vit_without_its_head(make, twin, positions):
    image, order = jnp.zeros((1, 224, 224, 3)), jnp.zeros((1, 196), jnp.int32)
    model, twin = make(positions=positions), twin(positions=positions)
    ours = jax.eval_shape(lambda: model.init(jax.random.key(0), image, order, 49))["params"]
    theirs = jax.eval_shape(twin.init, jax.random.key(0), image)["params"]
    del theirs["head"]
    assert shapes_of(ours["encoder"]) == shapes_of(theirs)
    if make is mae_b16 and positions == "sincos2d":
        # The authors' model counts both tables of fixed positions.
        count = sum(leaf.size for leaf in jax.tree.leaves(ours))
        assert count == 111_907_840 - 197 * (768 + 512)


@pytest.mark.full
@pytest.mark.parametrize("pool", often.only(["cls"], ["cls", "gap"]))
@pytest.mark.parametrize("positions", often.only(["learned"], ["sincos2d", "learned"]))
def test_the_encoder_sees_what_a_vit_sees(image, pool, positions):
    model = mae(**TINY, pool=pool, positions=positions)
    params = initialised(model, image)["params"]
    twin = vit.vit(num_classes=3, **SIZES, pool=pool, positions=positions)
    head = {"kernel": jnp.ones((16, 3)), "bias": jnp.ones(3)}
    twins = {"params": {**params["encoder"], "head": head}}
    apply = jax.jit(lambda v, x: twin.apply(v, x, mutable=["intermediates"]))
    recorded = apply(twins, image)[1]["intermediates"]
    features = model.apply({"params": params}, image, method="features")
    np.testing.assert_allclose(features, recorded["features"], atol=2e-6)

    def part(variables, visible):
        encode = lambda model, *given: model.encoder.encode(*given)  # noqa: E731
        given = (image, False, visible)
        tokens, found = model.apply(variables, *given, method=encode, mutable=["intermediates"])
        return tokens, found["intermediates"]["encoder"]["tokens"]

    first = 1 if pool == "cls" else 0
    whole = np.asarray(recorded["tokens"])
    _, few = part({"params": params}, ORDER[:, :2])
    assert few.shape == (2, 2 + first, 16)
    np.testing.assert_array_equal(few[:, :first], whole[:, :first])
    for row in range(2):
        np.testing.assert_array_equal(few[row, first:], whole[row, first + ORDER[row, :2]])
    # Attention knows no order: shuffled patches come out as they do in order.
    shuffled, _ = part({"params": params}, ORDER)
    in_order, _ = part({"params": params}, None)
    np.testing.assert_allclose(shuffled[:, :first], in_order[:, :first], atol=3e-6)
    for row in range(2):
        back = shuffled[row, first + np.argsort(ORDER[row])]
        np.testing.assert_allclose(back, in_order[row, first:], atol=3e-6)


def test_predictions_do_not_depend_on_hidden_patches(image):
    model = mae(**TINY)
    variables = initialised(model, image)
    predict = jax.jit(lambda image, order: model.apply(variables, image, order, 2))
    predicted = predict(image, ORDER)
    assert predicted.shape == (2, 6, 4 * 4 * 3)
    assert predicted.dtype == jnp.float32
    # Patch 4 is seen in the first example, hidden in the second; it lies in the second row.
    changed = predict(image.at[:, 4:, 4:8].add(1.0), ORDER)
    assert abs(changed[0] - predicted[0]).max() > 1e-3
    np.testing.assert_array_equal(changed[1], predicted[1])


def test_predictions_come_in_the_order_of_the_image(image):
    model = mae(**TINY)
    variables = initialised(model, image)
    predict = jax.jit(lambda order: model.apply(variables, image, order, 2))
    # What is seen first and what is hidden first changes nothing.
    same_sets = jnp.concatenate([ORDER[:, 1::-1], ORDER[:, :1:-1]], axis=1)
    np.testing.assert_allclose(predict(same_sets), predict(ORDER), atol=3e-6)
    assert abs(predict(ORDER[::-1]) - predict(ORDER)).max() > 1e-2


@pytest.mark.full
def test_hiding_patches_saves_the_encoder_their_cost():
    model = mae(**SIZES | dict(depth=4), decoder_width=8, decoder_depth=1, decoder_heads=1)
    image, order = jnp.zeros((2, 32, 32, 3)), jnp.tile(jnp.arange(64), (2, 1))
    variables = jax.eval_shape(lambda: model.init(jax.random.key(0), image, order, 16))

    def flops(count):
        def loss(variables, image):
            encode = lambda model: model.encoder.encode(image, True, order[:, :count])  # noqa: E731
            return model.apply(variables, method=encode).sum()

        step = jax.jit(jax.grad(loss)).lower(variables, image).compile()
        return step.cost_analysis()["flops"]

    # Of 64 tokens 16 are left, and one of the class; attention falls with the square.
    assert flops(16) < 0.3 * flops(64)


@pytest.mark.full
def test_remat_changes_nothing(image):
    results = []
    for remat in (False, True):
        model = mae(**TINY, remat=remat)
        variables = initialised(model, image)

        def loss(variables, model=model):
            return jnp.square(model.apply(variables, image, ORDER, 2, True)).sum()

        results.append(jax.jit(jax.value_and_grad(loss))(variables))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), *results)


def test_half_precision_leaves_predictions_whole(image):
    model = mae(**TINY, dtype="bfloat16")
    shapes = jax.eval_shape(lambda: model.init_with_output(jax.random.key(0), image, ORDER, 2))
    assert shapes[0].dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes[1])} == {jnp.dtype("float32")}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(decoder_width=10), "decoder_width=10: its positions need a multiple of 4"),
        (dict(decoder_width=4), "decoder_width=4"),
        (dict(decoder_heads=3), "decoder_heads=3; nearest: 2 heads"),
        (dict(decoder_depth=0), "decoder_depth=0"),
        (dict(width=18), "width=18: sincos2d"),
        (dict(pool="mean"), "valid: cls, gap"),
    ],
)
def test_requests_that_do_not_fit(arguments, message):
    with pytest.raises(ConfigError, match=message):
        config.build(dict(name="mae", **TINY | arguments), "library.models", "model")
