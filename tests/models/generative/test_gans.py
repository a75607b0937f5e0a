"""Generators and discriminators: shapes, published sizes, by hand, labels, names, types."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from library import config
from library.models.generative import dcgan, sngan
from tests import often

SHAPES = [(28, 28, 1), (32, 32, 3), (64, 64, 3), (8, 12, 1)]
FAMILIES = {
    "gan": (dict(hidden=[8, 6]), dict(hidden=[8, 6], pieces=2)),
    "dcgan": (dict(width=4), dict(width=4)),
    "sngan": (dict(width=8), dict(width=8)),
}


def build(name, **options):
    return config.build(dict(name=name, **options), "library.models", "model")


def pair(family, shape, **types):
    ours, theirs = FAMILIES[family]
    generator = build(
        f"{family}.generator", image_shape=list(shape), num_classes=3, **ours, **types
    )
    return generator, build(f"{family}.discriminator", num_classes=3, **theirs, **types)


def count(model, *inputs):
    variables = jax.eval_shape(model.init, jax.random.key(0), *inputs)
    return sum(math.prod(x.shape) for x in jax.tree.leaves(variables["params"]))


@pytest.mark.parametrize("labelled", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_images_of_every_size_and_their_scores(family, labelled):
    label = jnp.arange(2) if labelled else None
    for shape in SHAPES:
        generator, discriminator = pair(family, shape)
        image, held = jax.eval_shape(
            generator.init_with_output, jax.random.key(0), jnp.zeros((2, 7)), label
        )
        assert image.shape == (2, *shape)
        assert image.dtype == jnp.float32
        held = jax.eval_shape(discriminator.init, jax.random.key(0), image, label)
        keys = {"dropout": jax.random.key(0)}
        mutable = ["intermediates", "batch_stats", "spectral"]

        def score(held, image, model=discriminator, mutable=mutable, keys=keys):
            return model.apply(held, image, label, train=True, mutable=mutable, rngs=keys)

        found, recorded = jax.eval_shape(score, held, image)
        assert found.shape == (2,)
        features = recorded["intermediates"]["features"]
        assert features.shape == (2, held["params"]["head"]["kernel"].shape[0])
        assert "stage1" in recorded["intermediates"]


def test_sizes_are_the_published_ones():
    assert count(dcgan.generator((64, 64, 3)), jnp.zeros((1, 100))) == 3_576_704
    assert count(dcgan.discriminator(), jnp.zeros((1, 64, 64, 3))) == 2_765_568
    assert count(sngan.generator((32, 32, 3)), jnp.zeros((1, 128))) == 4_276_739
    image = jnp.zeros((1, 32, 32, 3))
    assert count(sngan.discriminator(), image) == 1_053_825
    # The projection adds one vector a class; the generator trades six norms for six a class.
    label = jnp.zeros(1, jnp.int32)
    assert count(sngan.discriminator(), image, label) == 1_053_825 + 10 * 128
    labelled = count(sngan.generator((32, 32, 3)), jnp.zeros((1, 128)), label)
    assert labelled == 4_276_739 + 6 * 2 * 256 * 9


@pytest.mark.parametrize("family", FAMILIES)
def test_players_run_in_bfloat16_and_name_their_submodules(family):
    generator, discriminator = pair(family, (8, 8, 1), dtype="bfloat16", param_dtype="bfloat16")
    label = jnp.arange(2)
    image, held = jax.eval_shape(
        generator.init_with_output, jax.random.key(0), jnp.zeros((2, 7)), label
    )
    score, other = jax.eval_shape(
        discriminator.init_with_output, jax.random.key(0), jnp.zeros((2, 8, 8, 1)), label
    )
    assert image.dtype == score.dtype == jnp.float32
    for variables in (held, other):
        kinds = {leaf.dtype for leaf in jax.tree.leaves(variables["params"])}
        assert kinds == {jnp.dtype("bfloat16")}
        for path in flatten_dict(variables):
            assert all(part == part.lower() for part in path), path


# One forward pass of each by hand, all params, statistics and vectors of which are noise.


def noisy(model, *inputs):
    """Returns the variables of a model, none of them what it starts with."""
    shapes = flatten_dict(jax.eval_shape(model.init, jax.random.key(0), *inputs))
    random = np.random.default_rng(0)
    held = {}
    for path, leaf in shapes.items():
        noise = 0.4 * random.normal(size=leaf.shape).astype(np.float32)
        held[path] = np.abs(noise) + 0.5 if path[-1] == "var" else noise
    return unflatten_dict(held)


def convolved(x, kernel, *, stride=1):
    """Convolves, with zeros around as far as the kernel reaches beyond its centre."""
    size, (height, width) = len(kernel), x.shape[1:3]
    low = (size - stride) // 2
    x = np.pad(x, [(0, 0), (low, size), (low, size), (0, 0)])
    parts = [
        x[:, i : i + height : stride, j : j + width : stride] @ kernel[i, j]
        for i in range(size)
        for j in range(size)
    ]
    return sum(parts)


def twice(x):
    return x.repeat(2, axis=1).repeat(2, axis=2)


def bilinear(x):
    """Doubles height and width: new pixels lie a quarter from one old one, and what is outside
    is as the border."""
    for axis in (1, 2):
        x = np.moveaxis(x, axis, 0)
        before, after = np.concatenate([x[:1], x[:-1]]), np.concatenate([x[1:], x[-1:]])
        x = np.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], axis=1)
        x = np.moveaxis(x.reshape(-1, *x.shape[2:]), 0, axis)
    return x


def halved(x):
    return (x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]) / 4


def relu(x):
    return np.maximum(x, 0)


def normalized(x, statistics, scale, bias):
    """Normalizes by running statistics, or, if there are none, by those of the batch."""
    mean = x.mean(axis=(0, 1, 2)) if statistics is None else statistics["mean"]
    var = x.var(axis=(0, 1, 2)) if statistics is None else statistics["var"]
    return (x - mean) / np.sqrt(var + 1e-5) * scale + bias


def divided(kernel, u):
    """Divides by the singular value that one step from u finds."""
    matrix = kernel.reshape(-1, kernel.shape[-1])
    v = matrix @ u / np.linalg.norm(matrix @ u)
    return kernel / np.linalg.norm(v @ matrix)


def sngan_by_hand(held, image, label, *, pool, spectral):
    def kernel(block, name, leaf="kernel"):
        of = {kind: tree[block] if block else tree for kind, tree in held.items()}
        value = of["params"][name][leaf]
        return divided(value, of["spectral"][f"{name}_spectral"]["u"]) if spectral else value

    def conv(block, name, x):
        return convolved(x, kernel(block, name)) + held["params"][block][name]["bias"]

    x = conv("block1", "conv2", relu(conv("block1", "conv1", image)))
    x = halved(x) + conv("block1", "shortcut", halved(image))
    for block in ("block2", "block3", "block4"):
        y = conv(block, "conv2", relu(conv(block, "conv1", relu(x))))
        x = halved(y + conv(block, "shortcut", x)) if block == "block2" else x + y
    x = relu(x).sum(axis=(1, 2)) if pool == "sum" else relu(x).mean(axis=(1, 2))
    score = (x @ kernel(None, "head") + held["params"]["head"]["bias"])[:, 0]
    if label is None:
        return score
    return score + np.sum(x * kernel(None, "classes", "embedding")[label], axis=1)


@pytest.mark.parametrize(
    ("options", "label"),
    [
        (dict(pool="sum", spectral=True), np.array([2, 0, 2])),
        (dict(pool="mean", spectral=False), None),
    ],
    ids=["projection", "critic"],
)
def test_the_discriminator_of_sngan_by_hand(options, label):
    model = sngan.discriminator(num_classes=3, width=5, **options)
    image = np.random.default_rng(1).normal(size=(3, 8, 12, 2)).astype(np.float32)
    held = noisy(model, image, label)
    expected = sngan_by_hand(held, np.float64(image), label, **options)
    found = jax.jit(model.apply)(held, image, label)
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize(
    ("upsampling", "label", "train"),
    [("nearest", np.array([2, 0, 2]), False), ("bilinear", None, True)],
    ids=["by class", "by batch"],
)
def test_the_generator_of_sngan_by_hand(upsampling, label, train):
    model = sngan.generator((8, 12, 2), num_classes=3, width=5, upsampling=upsampling)
    latent = np.random.default_rng(1).normal(size=(3, 4)).astype(np.float32)
    held = noisy(model, latent, label)
    params, statistics = held["params"], held["batch_stats"]
    up = twice if upsampling == "nearest" else bilinear

    def norm(of, at, x, label):
        own = None if train else at["norm"]
        if label is None:
            return normalized(x, own, of["norm"]["scale"], of["norm"]["bias"])
        scale, bias = (of[name]["embedding"][label][:, None, None] for name in ("scale", "bias"))
        return normalized(x, own, scale, bias)

    def conv(of, x):
        return convolved(x, of["kernel"]) + of["bias"]

    x = np.float64(latent) @ params["project"]["kernel"] + params["project"]["bias"]
    x = x.reshape(3, 4, 6, 5)
    block, at = params["block1"], statistics["block1"]
    y = conv(block["conv1"], up(relu(norm(block["norm1"], at["norm1"], x, label))))
    y = conv(block["conv2"], relu(norm(block["norm2"], at["norm2"], y, label)))
    x = y + conv(block["shortcut"], up(x))
    x = relu(norm(params["final_norm"], statistics["final_norm"], x, None))
    expected = np.tanh(conv(params["final_conv"], x))
    apply = jax.jit(functools.partial(model.apply, train=train, mutable=["batch_stats"]))
    found, _ = apply(held, latent, label)
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)


def test_the_players_of_dcgan_by_hand():
    generator, discriminator = pair("dcgan", (16, 16, 1))
    latent = np.random.default_rng(1).normal(size=(2, 7)).astype(np.float32)
    label = np.array([2, 0])
    told = np.eye(3)[label]

    def leaky(x):
        return np.where(x > 0, x, 0.2 * x)

    def transposed(x, kernel):
        # Zeros between the pixels, and two around them for a kernel of four.
        spread = np.zeros((len(x), 2 * x.shape[1], 2 * x.shape[2], x.shape[3]))
        spread[:, ::2, ::2] = x
        shifted = np.pad(spread, [(0, 0), (1, 0), (1, 0), (0, 0)])
        return convolved(shifted, kernel)[:, : spread.shape[1], : spread.shape[2]]

    held = noisy(generator, latent, label)
    params, at = held["params"], held["batch_stats"]
    x = np.concatenate([latent, told], axis=1) @ params["project"]["kernel"]
    x = x.reshape(2, 4, 4, 8)
    for layer in (1, 2):
        norm = f"norm{layer - 1}"
        x = relu(normalized(x, at[norm], **params[norm]))
        x = transposed(x, params[f"upsample{layer}"]["kernel"])
    image = jax.jit(generator.apply)(held, latent, label)
    np.testing.assert_allclose(image, np.tanh(x), rtol=2e-5, atol=2e-5)

    held = noisy(discriminator, image, label)
    params, at = held["params"], held["batch_stats"]
    planes = np.broadcast_to(told[:, None, None], (2, 16, 16, 3))
    x = np.concatenate([np.float64(image), planes], axis=-1)
    x = leaky(convolved(x, params["conv1"]["kernel"], stride=2))
    x = convolved(x, params["conv2"]["kernel"], stride=2)
    x = leaky(normalized(x, at["norm2"], **params["norm2"]))
    expected = (x.reshape(2, -1) @ params["head"]["kernel"])[:, 0]
    found = jax.jit(discriminator.apply)(held, image, label)
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)


def test_the_perceptrons_by_hand():
    generator, discriminator = pair("gan", (2, 3, 1))
    latent = np.random.default_rng(1).normal(size=(4, 7)).astype(np.float32)
    label = np.array([2, 0, 1, 1])
    told = np.eye(3)[label]

    def dense(of, x):
        return x @ np.float64(of["kernel"]) + of["bias"]

    params = noisy(generator, latent, label)["params"]
    x = np.concatenate([latent, told], axis=1)
    x = relu(dense(params["hidden2"], relu(dense(params["hidden1"], x))))
    expected = 2 / (1 + np.exp(-dense(params["output"], x))) - 1
    image = jax.jit(generator.apply)({"params": params}, latent, label)
    np.testing.assert_allclose(image, expected.reshape(4, 2, 3, 1), rtol=2e-5, atol=2e-5)

    params = noisy(discriminator, image, label)["params"]
    x = np.concatenate([np.asarray(image).reshape(4, -1), told], axis=1)
    for name in ("hidden1", "hidden2"):
        y = dense(params[name], x)
        # Each unit has two pieces, which lie side by side.
        x = np.maximum(y[:, ::2], y[:, 1::2])
    expected = dense(params["head"], x)[:, 0]
    found = jax.jit(discriminator.apply)({"params": params}, image, label)
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("family", often.but(["dcgan", "sngan"], FAMILIES))
def test_the_label_is_heard(family):
    generator, discriminator = pair(family, (8, 8, 1))
    latent = jax.random.normal(jax.random.key(1), (3, 7))
    image = jax.random.normal(jax.random.key(2), (3, 8, 8, 1))
    for model, x in ((generator, latent), (discriminator, image)):
        held = model.init(jax.random.key(0), x, jnp.arange(3))
        if family == "sngan" and model is generator:
            # Its classes start alike.
            noise = lambda p: p + 0.1 * jax.random.normal(jax.random.key(3), p.shape)  # noqa: E731
            held = jax.tree.map(noise, held)
        one, two = (model.apply(held, x, label) for label in (jnp.zeros(3, int), jnp.ones(3, int)))
        differing = np.abs(np.asarray(one - two)).reshape(3, -1).max(axis=1)
        assert differing.min() > 1e-3 * np.abs(one).max()


@pytest.mark.full
def test_the_spectral_discriminator_has_a_bounded_slope_and_the_critic_none_of_it():
    image = jax.random.uniform(jax.random.key(0), (4, 8, 8, 1))
    critic = sngan.discriminator(width=4, spectral=False, pool="mean")
    assert set(critic.init(jax.random.key(0), image)) == {"params"}
    model = sngan.discriminator(width=4)
    held = model.init(jax.random.key(0), image)
    scaled = {**held, "params": jax.tree.map(lambda p: 5.0 * p, held["params"])}
    # Biases start at zero: whatever the size of the kernels, the scores are the same.
    np.testing.assert_allclose(
        model.apply(scaled, image), model.apply(held, image), rtol=1e-4, atol=1e-6
    )


def test_halvings_end_at_four_pixels_or_more():
    assert dcgan.coarsest_grid((28, 28, 1)) == (2, 7, 7)
    assert dcgan.coarsest_grid((32, 32, 3)) == (3, 4, 4)
    assert dcgan.coarsest_grid((64, 64, 3)) == (4, 4, 4)
    assert dcgan.coarsest_grid((8, 12, 1)) == (1, 4, 6)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("dcgan.generator", dict(image_shape=[27, 27, 1]), "27x27 cannot be halved.*28x28"),
        ("sngan.generator", dict(image_shape=[6, 6, 1]), "6x6 cannot be halved.*8x8"),
        ("dcgan.discriminator", dict(norm="bach"), "norm 'bach': did you mean 'batch'"),
        ("sngan.discriminator", dict(pool="max"), "pool 'max'"),
        (
            "sngan.generator",
            dict(image_shape=[8, 8, 1], upsampling="linear"),
            "upsampling 'linear'.*'bilinear'",
        ),
        ("gan.discriminator", dict(dropout=1.0), "dropout=1.0"),
        ("gan.generator", dict(image_shape=[8, 8, 1], hidden=[0]), "hidden"),
    ],
)
def test_a_misunderstood_argument_builds_no_player(name, options, message):
    with pytest.raises(config.ConfigError, match=message):
        build(name, **options)
