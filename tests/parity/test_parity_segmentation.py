"""Unpooling, SegNet and the bottlenecks of ENet against PyTorch's layers with the same weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.layers.unpooling import max_pool_with_switches, max_unpool
from library.models.dense import enet, segnet

KEY = jax.random.key(0)
TYPES = dict(dtype="float32", param_dtype="float32")
RANDOM = np.random.default_rng(0)


def image(*shape):
    return jnp.asarray(RANDOM.normal(size=shape), jnp.float32)


def first(torch, x):
    """Returns an array with channels first."""
    return torch.from_numpy(np.moveaxis(np.asarray(x), -1, 1).copy())


def last(x):
    return np.moveaxis(x.detach().numpy(), 1, -1)


def stirred(variables):
    """Returns variables with random values, the positive ones near 1."""
    return jax.tree.map(lambda x: np.float32(x + RANDOM.uniform(0.05, 0.3, x.shape)), variables)


def loaded(torch, layer, params, stats=None):
    """Copies the params of a convolution or a normalization into a layer of PyTorch."""
    if stats is not None:
        layer.weight.data = torch.from_numpy(params["scale"])
        layer.bias.data = torch.from_numpy(params["bias"])
        layer.running_mean, layer.running_var = map(torch.from_numpy, (stats["mean"], stats["var"]))
        return layer
    kernel = params["kernel"]
    if isinstance(layer, torch.nn.ConvTranspose2d):
        layer.weight.data = torch.from_numpy(kernel[::-1, ::-1].transpose(2, 3, 0, 1).copy())
    else:
        layer.weight.data = torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy())
    if "bias" in params:
        layer.bias.data = torch.from_numpy(params["bias"])
    return layer


@pytest.mark.parametrize("shape", [(6, 8), (5, 7)])
def test_pooling_and_unpooling_are_those_of_pytorch(torch, shape):
    # Few values, so that windows have several greatest ones.
    x = RANDOM.integers(-2, 3, (2, *shape, 3)).astype(np.float32)
    pooled, switches = max_pool_with_switches(jnp.asarray(x))
    pool = torch.nn.MaxPool2d(2, ceil_mode=True, return_indices=True)
    theirs, indices = pool(first(torch, x))
    np.testing.assert_array_equal(pooled, last(theirs))
    spread = torch.nn.MaxUnpool2d(2)(theirs, indices, output_size=shape)
    np.testing.assert_array_equal(max_unpool(pooled, switches, shape), last(spread))


def test_segnet_is_that_of_pytorch(torch):
    model, x = segnet.segnet(3, width=2), image(2, 35, 50, 3)
    variables = stirred(model.init(KEY, x))
    params, stats = variables["params"], variables["batch_stats"]

    def convolved(y, stage):
        for i in range(1, 4):
            if (own := f"{stage}_conv{i}") not in params:
                break
            shape = params[own]["kernel"].shape
            conv = loaded(torch, torch.nn.Conv2d(*shape[2:], 3, padding=1), params[own])
            name = f"{stage}_norm{i}"
            norm = loaded(torch, torch.nn.BatchNorm2d(shape[3]).eval(), params[name], stats[name])
            y = torch.relu(norm(conv(y)))
        return y

    y, pooled = first(torch, x), []
    for stage in range(1, 6):
        y = convolved(y, f"stage{stage}")
        shape = y.shape
        y, indices = torch.nn.functional.max_pool2d(y, 2, ceil_mode=True, return_indices=True)
        pooled.append((indices, shape))
    for stage in range(5, 0, -1):
        indices, shape = pooled[stage - 1]
        y = torch.nn.functional.max_unpool2d(y, indices, 2, output_size=shape)
        y = convolved(y, f"up{stage}")
    head = loaded(torch, torch.nn.Conv2d(2, 3, 3, padding=1), params["head"])
    expected = last(head(y))
    found = model.apply(variables, x)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


class Theirs:
    """The layers of a bottleneck of ENet in PyTorch, with the params of ours."""

    def __init__(self, torch, variables):
        self.torch, self.nn = torch, torch.nn
        self.params, self.stats = variables["params"], variables["batch_stats"]

    def conv(self, y, name, **options):
        height, width, ours, theirs = self.params[name]["kernel"].shape
        bias = "bias" in self.params[name]
        kind = self.nn.ConvTranspose2d if "output_padding" in options else self.nn.Conv2d
        layer = kind(ours, theirs, (height, width), bias=bias, **options)
        return loaded(self.torch, layer, self.params[name])(y)

    def norm(self, y, name):
        layer = self.nn.BatchNorm2d(y.shape[1], eps=1e-3).eval()
        return loaded(self.torch, layer, self.params[name], self.stats[name])(y)

    def prelu(self, y, name):
        slope = self.torch.from_numpy(np.asarray(self.params[name]["slope"]))
        return self.torch.nn.functional.prelu(y, slope)


@pytest.mark.parametrize("kind", ["plain", "split", "dilated4"])
def test_a_bottleneck_of_enet_is_that_of_pytorch(torch, kind):
    x, block = image(2, 10, 12, 8), enet.Bottleneck(8, kind=kind, types=TYPES)
    variables = stirred(block.init(KEY, x))
    t, given = Theirs(torch, variables), first(torch, x)
    y = t.prelu(t.norm(t.conv(given, "reduce"), "reduce_norm"), "reduce_prelu")
    if kind == "split":
        y = t.conv(t.conv(y, "column", padding=(2, 0)), "row", padding=(0, 2))
    else:
        dilation = 4 if kind == "dilated4" else 1
        y = t.conv(y, "conv", padding=dilation, dilation=dilation)
    y = t.prelu(t.norm(y, "conv_norm"), "conv_prelu")
    y = t.norm(t.conv(y, "expand"), "expand_norm")
    expected = last(t.prelu(given + y, "prelu"))
    np.testing.assert_allclose(block.apply(variables, x), expected, rtol=1e-4, atol=1e-4)


def test_halving_and_doubling_in_enet_are_those_of_pytorch(torch):
    x = image(2, 8, 12, 8)
    down, up = enet.Down(16, types=TYPES), enet.Up(8, types=TYPES)
    variables = stirred(down.init(KEY, x))
    halved, switches = down.apply(variables, x)
    t, given = Theirs(torch, variables), first(torch, x)
    y = t.prelu(t.norm(t.conv(given, "reduce", stride=2), "reduce_norm"), "reduce_prelu")
    y = t.prelu(t.norm(t.conv(y, "conv", padding=1), "conv_norm"), "conv_prelu")
    y = t.norm(t.conv(y, "expand"), "expand_norm")
    pooled, indices = torch.nn.functional.max_pool2d(given, 2, return_indices=True)
    theirs = t.prelu(torch.cat([pooled, torch.zeros_like(pooled)], dim=1) + y, "prelu")
    np.testing.assert_allclose(halved, last(theirs), rtol=1e-4, atol=1e-4)

    variables = stirred(up.init(KEY, halved, switches))
    doubled, t = up.apply(variables, halved, switches), Theirs(torch, variables)
    y = torch.relu(t.norm(t.conv(theirs, "reduce"), "reduce_norm"))
    y = t.conv(y, "conv", stride=2, padding=1, output_padding=1)
    y = t.norm(t.conv(torch.relu(t.norm(y, "conv_norm")), "expand"), "expand_norm")
    main = t.norm(t.conv(theirs, "main"), "main_norm")
    main = torch.nn.functional.max_unpool2d(main, indices, 2, output_size=(8, 12))
    np.testing.assert_allclose(doubled, last(torch.relu(main + y)), rtol=1e-4, atol=1e-3)
