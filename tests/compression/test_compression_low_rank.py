"""Kernels as two: the theorem of Eckart and Young, and layers that compute by the factors."""

import functools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.compression import kernels, low_rank
from library.config import ConfigError
from library.models.image import cnn, mlp, vit
from library.models.image.resnet import ResNet

MODELS = {
    "mlp": mlp.mlp(4, hidden=(12, 9)),
    "cnn": cnn.small(num_classes=4, widths=(6, 8)),
    "resnet": ResNet(
        num_classes=4,
        stage_sizes=(1, 1),
        widths=(6, 8),
        stem_width=6,
        kind="basic",
        preactivation=False,
        stem="cifar",
        shortcut="projection",
    ),
    "vit": vit.vit(num_classes=4, width=12, depth=1, num_heads=3, patch_size=4, hidden=20),
}
IMAGE = jax.random.normal(jax.random.key(1), (2, 8, 8, 3))


@functools.cache
def drawn(name):
    """Returns a network's variables, all of them noise, and its kernels."""
    shapes = jax.eval_shape(MODELS[name].init, jax.random.key(0), IMAGE)
    random = np.random.default_rng(0)
    variables = jax.tree.map(lambda x: np.float32(random.normal(size=x.shape)) / 3, shapes)
    if "batch_stats" in variables:
        variables["batch_stats"] = jax.tree.map(np.abs, variables["batch_stats"])
    return variables, kernels.survey(MODELS[name], variables, IMAGE)


def logits(model, variables, image=IMAGE):
    with nn.intercept_methods(low_rank.two_steps):
        return jax.jit(lambda v, x: model.apply(v, x))(variables, image)


def through(layer, params, image, **options):
    """Returns what a layer makes with its kernel, and with its factors."""
    found = kernels.survey(layer_as_model(layer), {"params": {"head": params}}, image)
    parts = low_rank.decompose({"head": params}, found, scheme=options.pop("scheme", "channel"))
    factors = low_rank.factored({"head": params}, parts, **options)["head"]
    with nn.intercept_methods(low_rank.two_steps):
        return (
            layer.apply({"params": params}, image),
            layer.apply({"params": factors}, image),
            factors,
        )


class One(nn.Module):
    """A network of one layer."""

    make: object

    @nn.compact
    def __call__(self, image, train=False):
        """Returns what the layer does."""
        return self.make.clone(name="head", parent=self)(image)


def layer_as_model(layer):
    return One(layer)


@pytest.mark.parametrize("rank", [1, 3, 7])
def test_no_matrix_of_that_rank_is_closer(rank):
    matrix = np.random.default_rng(0).normal(size=(8, 30)).astype(np.float32)
    found = low_rank.decompose({"kernel": matrix}, {"kernel": kernels.Kernel((8, 30), 1)})["kernel"]
    first, second = low_rank._factors(found, rank)
    assert (first.shape, second.shape) == ((8, rank), (rank, 30))
    values = np.linalg.svd(matrix.astype(np.float64), compute_uv=False)
    error = matrix - first @ second
    assert np.linalg.norm(error) == pytest.approx(math.sqrt((values[rank:] ** 2).sum()), rel=1e-6)
    assert np.linalg.norm(error, 2) == pytest.approx(values[rank], rel=1e-6)


def test_full_rank_is_the_matrix_itself():
    matrix = np.random.default_rng(0).normal(size=(8, 30)).astype(np.float32)
    found = low_rank.decompose({"kernel": matrix}, {"kernel": kernels.Kernel((8, 30), 1)})["kernel"]
    first, second = low_rank._factors(found, 8)
    np.testing.assert_allclose(first @ second, matrix, atol=1e-6)


CONVOLUTIONS = {
    "3x3": dict(kernel_size=(3, 3)),
    "strided, padded by number": dict(kernel_size=(3, 5), strides=(2, 1), padding=1),
    "padded unevenly": dict(kernel_size=(3, 3), strides=2, padding=((0, 1), 2)),
    "dilated": dict(kernel_size=(3, 3), kernel_dilation=(1, 2), padding="VALID", use_bias=False),
}


@pytest.mark.parametrize("scheme", ["channel", "spatial"])
@pytest.mark.parametrize("options", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_a_convolution_is_two(options, scheme):
    layer = nn.Conv(20, **options)
    image = jax.random.normal(jax.random.key(0), (2, 9, 10, 8))
    params = layer.init(jax.random.key(1), image)["params"]
    rows, columns = options["kernel_size"]
    # A kernel of rank 2, so that two factors of that rank are all of it.
    left = jax.random.normal(jax.random.key(3), (rows * 8, 2))
    right = jax.random.normal(jax.random.key(4), (2, columns * 20))
    if scheme == "channel":
        left = jax.random.normal(jax.random.key(3), (rows * columns * 8, 2))
        right = jax.random.normal(jax.random.key(4), (2, 20))
        params["kernel"] = (left @ right).reshape(rows, columns, 8, 20)
    else:
        whole = (left @ right).reshape(rows, 8, columns, 20)
        params["kernel"] = whole.swapaxes(1, 2)
    plain, parts, factors = through(layer, params, image, rank=2, scheme=scheme)
    shapes = {
        "channel": ((rows, columns, 8, 2), (1, 1, 2, 20)),
        "spatial": ((rows, 1, 8, 2), (1, columns, 2, 20)),
    }[scheme]
    assert (factors["kernel_first"].shape, factors["kernel_second"].shape) == shapes
    np.testing.assert_allclose(parts, plain, atol=2e-5 * float(jnp.abs(plain).max()))


def test_a_convolution_of_lower_rank_by_hand():
    layer = nn.Conv(6, (3, 3), padding="VALID")
    image = jax.random.normal(jax.random.key(0), (1, 3, 3, 5))
    params = layer.init(jax.random.key(1), image)["params"]
    params["bias"] = jnp.arange(6.0)
    _, parts, _ = through(layer, params, image, rank=2)
    left, values, right = np.linalg.svd(np.float64(params["kernel"]).reshape(45, 6))
    nearest = left[:, :2] * values[:2] @ right[:2]
    expected = np.float64(image).reshape(45) @ nearest + np.arange(6)
    np.testing.assert_allclose(parts[0, 0, 0], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_any_classifier_by_its_full_rank_factors(name):
    variables, found = drawn(name)
    parts = low_rank.decompose(variables["params"], found)
    # Factors of full rank have more numbers than the kernel, and are not made by themselves.
    whole = low_rank.factored(variables["params"], parts, rank=1000)
    assert jax.tree.structure(whole) == jax.tree.structure(variables["params"])
    flat = {path.rpartition("/")[0] for path in parts}
    assert len(flat) == len(found) > 2
    forced = jax.tree.map(lambda x: x, variables["params"])
    for path, part in parts.items():
        holder = functools.reduce(lambda tree, key: tree[key], path.split("/")[:-1], forced)
        del holder["kernel"]
        first, second = low_rank._factors(part, len(part.values))
        holder |= {"kernel_first": jnp.float32(first), "kernel_second": jnp.float32(second)}
    plain = logits(MODELS[name], variables)
    made = logits(MODELS[name], {**variables, "params": forced})
    np.testing.assert_allclose(made, plain, atol=1e-5 * float(jnp.abs(plain).max()))


def test_a_network_that_computes_so_is_a_module_like_others():
    variables, found = drawn("cnn")
    params = low_rank.factored(
        variables["params"], low_rank.decompose(variables["params"], found), rank=2
    )
    model = kernels.Intercepted(MODELS["cnn"], low_rank.two_steps)
    stored = {**variables, "params": params}
    apply = jax.jit(lambda v, x: model.apply(v, x, mutable=["intermediates"]))
    found, recorded = apply(stored, IMAGE)
    np.testing.assert_allclose(found, logits(MODELS["cnn"], stored), rtol=1e-5)
    assert recorded["intermediates"]["features"].shape == (2, 8)
    fresh = jax.eval_shape(model.init, jax.random.key(0), IMAGE)
    assert jax.tree.structure(fresh) == jax.tree.structure(variables)


def test_ranks_and_energies_by_hand():
    matrix = np.diag([3.0, 2.0, 1.0, 0.0]).astype(np.float32)
    found = low_rank.decompose({"kernel": matrix}, {"kernel": kernels.Kernel((4, 4), 1)})["kernel"]
    # Squares are 9, 4 and 1 of 14.
    energies = {9 / 14: 1, 0.65: 2, 13 / 14: 2, 0.93: 3, 1.0: 3}
    assert {e: low_rank.rank_for(found, None, e) for e in energies} == energies
    ranks = {1: 1, 3: 3, 9: 4, 0.25: 1, 0.26: 2, 0.99: 4}
    assert {r: low_rank.rank_for(found, r, None) for r in ranks} == ranks


def test_what_would_not_be_smaller_and_what_is_kept_stays_whole():
    variables, found = drawn("mlp")
    parts = low_rank.decompose(variables["params"], found, kept=("hidden1",))
    assert sorted(parts) == ["head/kernel", "hidden2/kernel"]
    # 12 x 9 by rank 5 is 105 numbers for 108, 9 x 4 by rank 3 is 39 for 36.
    made = low_rank.factored(variables["params"], parts, rank=5)
    assert sorted(made["hidden2"]) == ["bias", "kernel_first", "kernel_second"]
    assert sorted(made["head"]) == ["bias", "kernel"]
    assert sorted(made["hidden1"]) == ["bias", "kernel"]
    assert sorted(low_rank.factored(variables["params"], parts, rank=6)["hidden2"]) == [
        "bias",
        "kernel",
    ]


def test_convolutions_in_groups_are_left_out():
    class Grouped(nn.Module):
        @nn.compact
        def __call__(self, image, train=False):
            x = nn.Conv(6, (3, 3), feature_group_count=3, name="depthwise")(image)
            return nn.Dense(4, name="head")(x.mean((1, 2)))

    variables = Grouped().init(jax.random.key(0), IMAGE)
    found = kernels.survey(Grouped(), variables, IMAGE)
    assert found["depthwise/kernel"].groups == 3
    assert list(low_rank.decompose(variables["params"], found)) == ["head/kernel"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(rank=0), "rank=0: valid are whole numbers from 1 and shares from 0 to 1"),
        (dict(rank=1.5), "rank=1.5"),
        (dict(energy=0.0), "energy=0.0: valid are above 0 to 1"),
        (dict(energy=1.1), "energy=1.1"),
        (dict(), "rank=None, energy=None: one of them"),
        (dict(rank=2, energy=0.5), "rank=2, energy=0.5: one of them"),
        (dict(rank=2, scheme="spacial"), "unknown scheme 'spacial': did you mean 'spatial'"),
        (dict(rank=2, kept=("tail",)), "'tail' matches no kernel"),
    ],
)
def test_refused(options, message):
    variables, found = drawn("mlp")
    own = {name: options[name] for name in ("scheme", "kept") if name in options}
    rest = {name: value for name, value in options.items() if name not in own}
    with pytest.raises(ConfigError, match=message):
        low_rank.factored(
            variables["params"], low_rank.decompose(variables["params"], found, **own), **rest
        )
