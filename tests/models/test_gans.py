"""Generators and discriminators: shapes, published sizes, labels, names, types."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from library import config
from library.models import dcgan, sngan

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


@pytest.mark.parametrize("family", FAMILIES)
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
