"""FCN, DeconvNet, SegNet and ENet: their params, sizes, and what makes each what it is."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.layers import unpooling
from library.layers.upsampling import bilinear
from library.models.dense import deconvnet, enet, fcn, segnet
from tests import often

KEY = jax.random.key(0)
SMALL = {
    "fcn_32s": fcn.fcn_32s(3, width=2, hidden_size=4),
    "fcn_8s": fcn.fcn_8s(3, width=2, hidden_size=4, batch_norm=True),
    "deconvnet": deconvnet.deconvnet(3, width=2, hidden_size=4, window=1),
    "segnet": segnet.segnet(3, width=2),
    "segnet_basic": segnet.segnet_basic(3, width=2),
    "enet": enet.enet(3, width=4),
}
# Weights and biases of the layers as in the papers, and scales and biases of normalizations.
PUBLISHED = {
    "fcn_32s": (fcn.fcn_32s(), 134_346_581),
    "fcn_16s": (fcn.fcn_16s(), 134_346_581 + 513 * 21 + 16 * 21**2),
    "fcn_8s": (fcn.fcn_8s(), 134_346_581 + (513 + 257) * 21 + 2 * 16 * 21**2),
    "deconvnet": (deconvnet.deconvnet(), 251_805_653),
    "segnet": (segnet.segnet(), 29_449_355),
    "segnet_basic": (segnet.segnet_basic(), 1_416_075),
    "enet": (enet.enet(), 363_856),
}


@functools.cache
def shapes(model, *shape):
    image = jax.ShapeDtypeStruct(shape, jnp.float32)
    variables = jax.eval_shape(model.init, KEY, image)
    logits, recorded = jax.eval_shape(
        lambda v, x: model.apply(v, x, mutable=["intermediates"]), variables, image
    )
    return variables, logits, recorded["intermediates"]


# A recipe counts the params of ENet at every commit.
@pytest.mark.parametrize("name", often.but(["fcn_16s", "enet"], PUBLISHED))
def test_params_are_those_of_the_paper(name):
    model, expected = PUBLISHED[name]
    variables, logits, recorded = shapes(model, 2, 224, 256, 3)
    assert logits.shape == (2, 224, 256, model.num_classes)
    assert recorded["features"].shape[0] == 2
    assert sum(x.size for x in jax.tree.leaves(variables["params"])) == expected


@pytest.mark.parametrize("name", often.but(["enet"], SMALL))
def test_images_keep_their_size_and_types_are_as_stated(name):
    odd = (40, 56) if name == "enet" else (35, 50)
    variables, logits, _ = shapes(SMALL[name], 2, *odd, 3)
    assert (logits.shape, logits.dtype) == ((2, *odd, 3), jnp.float32)
    half = SMALL[name].clone(dtype="bfloat16", param_dtype="bfloat16")
    variables, logits, recorded = shapes(half, 2, *odd, 3)
    assert {x.dtype for x in jax.tree.leaves(variables["params"])} == {jnp.dtype("bfloat16")}
    assert (logits.dtype, recorded["features"].dtype) == (jnp.float32, jnp.bfloat16)
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(variables)]
    assert all(path == path.lower() for path in paths)


@pytest.mark.full
def test_fcn_adds_the_scores_of_finer_features():
    """A score that is the same in all cells is that of all pixels, from each of the three heads."""
    model = SMALL["fcn_8s"]
    image = jnp.asarray(np.random.default_rng(0).normal(size=(1, 128, 128, 3)), jnp.float32)
    variables, applied = jax.jit(model.init)(KEY, image), jax.jit(model.apply)
    # Heads start at zero.
    assert not np.any(applied(variables, image))
    bias = jnp.array([1.0, 0.0, -2.0])
    for name, cells in (("head_pool3", 1), ("head_pool4", 2), ("head", 4)):
        params = {**variables["params"], name: {**variables["params"][name], "bias": bias}}
        logits = applied({**variables, "params": params}, image)
        inside = logits[0, 8 * cells : -8 * cells, 8 * cells : -8 * cells]
        # At the border of the image the learned enlargements fade.
        np.testing.assert_allclose(inside, np.broadcast_to(bias, inside.shape), atol=1e-6)
    # The coarse scores are doubled bilinearly until they are learned.
    cells = jnp.asarray(np.random.default_rng(1).normal(size=(1, 6, 6, 3)), jnp.float32)
    kernel = variables["params"]["up1"]["kernel"]
    doubled = jax.lax.conv_transpose(cells, kernel, (2, 2), "SAME")
    inside = (slice(None), slice(2, -2), slice(2, -2))
    np.testing.assert_allclose(doubled[inside], bilinear(cells, 2)[inside], atol=1e-6)


@pytest.mark.parametrize(
    ("name", "module"),
    often.first(2, [("deconvnet", deconvnet), ("segnet", segnet), ("enet", enet)]),
)
def test_unpoolings_take_the_places_of_their_own_poolings(name, module, monkeypatch):
    pools, unpools = [], []

    def pool(x):
        made = unpooling.max_pool_with_switches(x)
        pools.append((made[1], x.shape[1:3]))
        return made

    def unpool(x, switches, shape):
        unpools.append((switches, shape))
        return unpooling.max_unpool(x, switches, shape)

    monkeypatch.setattr(module, "max_pool_with_switches", pool)
    monkeypatch.setattr(module, "max_unpool", unpool)
    jax.eval_shape(lambda x: SMALL[name].init(KEY, x), jnp.zeros((1, 40, 56, 3)))
    assert len(unpools) == (2 if name == "enet" else 5)
    for (ours, shape), (theirs, before) in zip(unpools, reversed(pools)):
        assert ours is theirs
        assert shape == before


def test_a_segnet_without_weights_keeps_the_greatest_of_each_window_where_it_was():
    model = segnet.segnet_basic(3, width=3, depth=1, size=1)
    image = jnp.asarray(np.random.default_rng(0).uniform(size=(1, 4, 6, 3)), jnp.float32)
    variables = model.init(KEY, image)
    # Each layer returns what it gets.
    same = jax.tree.map(lambda x: jnp.eye(3)[None, None] if x.ndim == 4 else x, variables["params"])
    logits = np.asarray(model.apply({**variables, "params": same}, image)) * (1 + 1e-5)
    windows = np.asarray(image).reshape(2, 2, 3, 2, 3)
    greatest = windows == windows.max(axis=(1, 3), keepdims=True)
    np.testing.assert_allclose(logits.reshape(windows.shape), windows * greatest, rtol=1e-6)


@pytest.mark.full
def test_enet_has_asymmetric_kernels_and_slopes_for_each_channel():
    variables = shapes(enet.enet(), 2, 224, 256, 3)[0]["params"]
    assert variables["block2_3"]["column"]["kernel"].shape == (5, 1, 32, 32)
    assert variables["block2_3"]["row"]["kernel"].shape == (1, 5, 32, 32)
    assert variables["block1_1"]["prelu"]["slope"].shape == (64,)
    assert "prelu" not in variables["block4_1"]


def test_enet_drops_whole_channels():
    block = enet.Bottleneck(
        8, dropout=0.5, train=True, types=dict(dtype="float32", param_dtype="float32")
    )
    x = jnp.ones((64, 2, 2, 8))
    variables = block.init({"params": KEY, "dropout": KEY}, x)
    _, found = block.apply(
        variables,
        x,
        rngs={"dropout": KEY},
        mutable=True,
        capture_intermediates=lambda module, _: module.name == "dropout",
    )
    (kept,) = found["intermediates"]["dropout"]["__call__"]
    dropped = np.asarray(kept == 0).reshape(64, 4, 8)
    assert (dropped == dropped[:, :1]).all()
    assert 0.3 < dropped.mean() < 0.7


def test_bad_arguments_and_sizes_are_refused():
    with pytest.raises(ConfigError, match="stride 4: "):
        fcn.FCN(3, stride=4)
    with pytest.raises(ConfigError, match=r"width=6: .*nearest: 8"):
        enet.enet(3, width=6)
    with pytest.raises(ValueError, match="multiples of 8, not 20x24; nearest: 16x24"):
        shapes(SMALL["enet"], 1, 20, 24, 3)
    with pytest.raises(
        ValueError, match="DeconvNet takes images of 193x193 or larger, not 192x250"
    ):
        shapes(deconvnet.deconvnet(3, width=2, hidden_size=2), 1, 192, 250, 3)
