import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError, build
from library.layers.stochastic_depth import StochasticDepth
from library.models.image import efficientnet
from library.models.image.efficientnet import Block, Convention, Stage, scaled

# Of the authors' code: blocks and widths of the stages, width before and after them.
SCALED = {
    "b0": ((1, 2, 2, 3, 3, 4, 1), (16, 24, 40, 80, 112, 192, 320), 32, 1280),
    "b1": ((2, 3, 3, 4, 4, 5, 2), (16, 24, 40, 80, 112, 192, 320), 32, 1280),
    "b4": ((2, 4, 4, 6, 6, 8, 2), (24, 32, 56, 112, 160, 272, 448), 48, 1792),
    "b7": ((4, 7, 7, 10, 10, 13, 4), (32, 48, 80, 160, 224, 384, 640), 64, 2560),
    "l2": ((6, 11, 11, 16, 16, 22, 6), (72, 104, 176, 344, 480, 824, 1376), 136, 5504),
}
SYMMETRIC = Convention("symmetric", 1e-5, 0.9)
SAME = Convention("SAME", 1e-3, 0.99)


def tiny(**options):
    stages = (Stage(1, 3, 1, 8, 1), Stage(6, 5, 2, 8, 2))
    return efficientnet.efficientnet_b0(num_classes=3, **options).clone(stem=8, stages=stages)


def normalized(x, params, stats, epsilon):
    scale = params["scale"] / np.sqrt(np.float64(stats["var"]) + epsilon)
    return (x - stats["mean"]) * scale + params["bias"]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def swish(x):
    return x * sigmoid(x)


def window(x, kernel, stride, before, after):
    """Convolves each channel by loops over pixels, in float64."""
    x = np.pad(x, ((0, 0), (before, after), (before, after), (0, 0)))
    size = len(kernel)
    rows, columns = ((side - size) // stride + 1 for side in x.shape[1:3])
    y = np.zeros((len(x), rows, columns, x.shape[-1]))
    for i in range(rows):
        for j in range(columns):
            top, left = i * stride, j * stride
            y[:, i, j] = (x[:, top : top + size, left : left + size] * kernel).sum((1, 2))
    return y


def by_hand(x, variables, stride, epsilon, before, after):
    p, s = variables["params"], variables["batch_stats"]
    y = np.float64(x)
    if "expand_conv" in p:
        y = y @ np.float64(p["expand_conv"]["kernel"][0, 0])
        y = swish(normalized(y, p["expand_norm"], s["expand_norm"], epsilon))
    y = window(y, p["depthwise_conv"]["kernel"][:, :, 0], stride, before, after)
    y = swish(normalized(y, p["depthwise_norm"], s["depthwise_norm"], epsilon))
    reduce, expand = (p["squeeze_excite"][name] for name in ("reduce", "expand"))
    hidden = swish(y.mean((1, 2)) @ np.float64(reduce["kernel"][0, 0]) + reduce["bias"])
    factors = sigmoid(hidden @ np.float64(expand["kernel"][0, 0]) + expand["bias"])
    y = (y * factors[:, None, None]) @ np.float64(p["project_conv"]["kernel"][0, 0])
    return normalized(y, p["project_norm"], s["project_norm"], epsilon)


@pytest.mark.parametrize(
    ("convention", "expansion", "size", "stride", "width", "padding"),
    [
        (SYMMETRIC, 1, 3, 1, 8, (1, 1)),
        (SYMMETRIC, 6, 5, 2, 8, (2, 2)),
        (SAME, 6, 5, 2, 12, (1, 2)),
        (SAME, 1, 3, 1, 12, (1, 1)),
    ],
)
def test_a_block_by_hand(convention, expansion, size, stride, width, padding):
    x = jax.random.normal(jax.random.key(0), (2, 8, 6, 8))
    block = Block(expansion, size, stride, width, convention)
    shapes = jax.eval_shape(lambda: block.init(jax.random.key(0), x, False))
    rng = np.random.default_rng(0)
    variables = jax.tree.map(lambda v: np.float32(rng.uniform(-1, 1, v.shape)), shapes)
    variables["batch_stats"] = jax.tree.map(lambda v: np.abs(v) + 0.1, variables["batch_stats"])
    assert variables["params"]["squeeze_excite"]["reduce"]["kernel"].shape[-1] == 2
    expected = by_hand(x, variables, stride, convention.epsilon, *padding)
    if stride == 1 and width == 8:
        expected = expected + x
    got = jax.jit(block.apply, static_argnums=2)(variables, x, False)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_widths_are_multiples_of_eight_that_lose_less_than_a_tenth():
    # 11 is as near to 8 as to no other, but 8 would be less than nine tenths of it.
    assert [scaled(w, 1.0) for w in (1, 11, 12, 18, 20, 27)] == [8, 16, 16, 24, 24, 32]
    assert [scaled(w, f) for w, f in ((16, 1.1), (24, 1.4), (320, 4.3))] == [16, 32, 1376]


@pytest.mark.parametrize("name", SCALED)
def test_scaled_as_in_the_authors_code(name):
    model = getattr(efficientnet, f"efficientnet_{name}")()
    blocks, widths, stem, last = SCALED[name]
    assert tuple(stage.blocks for stage in model.stages) == blocks
    assert tuple(stage.width for stage in model.stages) == widths
    assert model.stem == stem
    assert 4 * model.stages[-1].width == last


def test_the_conventions_of_the_variants():
    b4, b5, l2 = (getattr(efficientnet, f"efficientnet_{n}") for n in ("b4", "b5", "l2"))
    assert b4().convention == ("symmetric", 1e-5, 0.9)
    assert b5().convention == ("symmetric", 1e-3, 0.99)
    assert b4(variant="tensorflow").convention == ("SAME", 1e-3, 0.99)
    assert l2().convention == ("SAME", 1e-3, 0.99)


def test_records_and_types():
    model = efficientnet.efficientnet_b0(num_classes=5, dtype="bfloat16")
    image = jnp.zeros((2, 224, 224, 3))
    logits, variables = jax.eval_shape(
        lambda key: model.init_with_output(key, image, mutable=True), jax.random.key(0)
    )
    recorded = variables["intermediates"]
    # Table 1.
    assert {name: leaf.shape for name, leaf in recorded.items()} == {
        "stage1": (2, 112, 112, 16),
        "stage2": (2, 56, 56, 24),
        "stage3": (2, 28, 28, 40),
        "stage4": (2, 14, 14, 80),
        "stage5": (2, 14, 14, 112),
        "stage6": (2, 7, 7, 192),
        "stage7": (2, 7, 7, 320),
        "features": (2, 1280),
    }
    assert {leaf.dtype for leaf in recorded.values()} == {jnp.dtype("bfloat16")}
    assert {leaf.dtype for leaf in jax.tree.leaves(variables["params"])} == {jnp.dtype("float32")}
    assert logits.shape == (2, 5)
    assert logits.dtype == jnp.float32


def test_rates_of_stochastic_depth_stay_one_step_below_the_whole():
    model = tiny().clone(stages=(Stage(1, 3, 1, 8, 2), Stage(1, 3, 2, 8, 3)))
    seen = {}

    def note(next_function, args, kwargs, context):
        if isinstance(context.module, StochasticDepth):
            seen[context.module.path[0]] = context.module.rate
        return next_function(*args, **kwargs)

    with nn.intercept_methods(note):
        jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 8, 8, 3)))
    # Not the third, which is strided and has no shortcut.
    expected = {"stage1_block1": 0.0, "stage1_block2": 0.04}
    expected |= {"stage2_block2": 0.12, "stage2_block3": 0.16}
    assert seen == pytest.approx(expected)


@pytest.mark.parametrize(("variant", "weight"), [("torchvision", 5), ("tensorflow", 1)])
def test_the_stem_pads_as_its_convention_says(variant, weight):
    model = tiny(variant=variant)
    image = jnp.zeros((1, 8, 8, 3)).at[0, 0, 0].set(1.0)
    shapes = jax.eval_shape(model.init, jax.random.key(0), image)
    variables = jax.tree.map(lambda v: jnp.ones(v.shape), shapes)
    kernel = np.arange(1.0, 10).reshape(3, 3, 1, 1) * np.ones((3, 3, 3, 8))
    variables["params"]["stem_conv"]["kernel"] = jnp.float32(kernel)
    seen = {}

    def note(next_function, args, kwargs, context):
        made = next_function(*args, **kwargs)
        seen.setdefault("/".join(context.module.path), made)
        return made

    with nn.intercept_methods(note):
        stem = jax.jit(lambda v, x: (model.apply(v, x), seen["stem_conv"])[1])(variables, image)
    # The first pixel meets the weight in the middle of the window, or its first one.
    assert stem.shape == (1, 4, 4, 8)
    np.testing.assert_allclose(stem[0, 0, 0], 3 * weight)


@pytest.mark.full
def test_remat_changes_neither_params_nor_results():
    image = jnp.float32(np.random.default_rng(0).normal(size=(2, 8, 8, 3)))
    results = []
    for remat in (False, True):
        model = tiny(remat=remat)
        shapes = jax.eval_shape(model.init, jax.random.key(0), image)
        rng = np.random.default_rng(1)
        variables = jax.tree.map(lambda v, r=rng: jnp.float32(r.uniform(0.1, 1, v.shape)), shapes)

        def loss(params, model=model, variables=variables):
            logits, updated = model.apply(
                {**variables, "params": params},
                image,
                True,
                mutable=["batch_stats"],
                rngs={"dropout": jax.random.key(2)},
            )
            return jnp.square(logits).sum(), updated

        results.append((variables, jax.jit(jax.grad(loss, has_aux=True))(variables["params"])))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4), *results)


def test_kernels_start_as_in_the_authors_code():
    block = Block(6, 5, 2, 64, SYMMETRIC)
    init = jax.jit(block.init, static_argnums=2)
    params = init(jax.random.key(0), jnp.zeros((1, 2, 2, 32)), False)["params"]
    variances = {"expand_conv": 2 / 192, "depthwise_conv": 2 / 25, "project_conv": 2 / 64}
    for name, variance in variances.items():
        kernel = params[name]["kernel"]
        allowed = 4 / (2 * kernel.size) ** 0.5
        assert float(kernel.std()) == pytest.approx(variance**0.5, rel=allowed)
    model = tiny().clone(num_classes=100, stages=(Stage(1, 3, 1, 8, 1),))
    variables = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 8, 8, 3)))
    assert 0.095 < np.abs(variables["params"]["head"]["kernel"]).max() <= 0.1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(variant="tf"), r"variant 'tf': .*valid: torchvision, tensorflow"),
        (dict(num_classes=0), "num_classes=0"),
        (dict(dropout=1.0), "dropout=1.0"),
        (dict(drop_path=-0.1), "drop_path=-0.1"),
        (dict(dtype="f16"), "dtype 'f16'"),
    ],
)
def test_a_misunderstood_argument_builds_nothing(arguments, message):
    with pytest.raises(ConfigError, match=message):
        build(dict(name="efficientnet.efficientnet_b0", **arguments), "library.models", "model")


def test_any_size():
    model = efficientnet.efficientnet(width=2.0, depth=3.1, dropout=0.5)
    assert model.clone(convention=efficientnet.TORCHVISION_LARGE) == efficientnet.efficientnet_b7()
    model = model.clone(convention=efficientnet.TENSORFLOW)
    assert model == efficientnet.efficientnet_b7(variant="tensorflow")
    with pytest.raises(ConfigError, match="factors are more than 0"):
        efficientnet.efficientnet(depth=0.0)
