"""Inception-v2 and Inception-ResNet-v1 beside definitions in PyTorch, with the published names."""

import jax
import numpy as np
import pytest

from library.models.image.inception_v2 import STAGES
from library.weights import catalogue
from library.weights.drawn import drawn
from library.weights.mapping import assign


def relative(found, expected):
    return np.abs(np.asarray(found, np.float64) - expected).max() / np.abs(expected).max()


def compared(torch, name, network, side, classes):
    """Compares the logits here with those of a PyTorch network, on the same weights.

    Returns the relative error here, and that of PyTorch's own float32, both against float64.
    """
    arrays = drawn({k: tuple(x.shape) for k, x in network.state_dict().items()})
    network.load_state_dict({k: torch.from_numpy(np.asarray(x)) for k, x in arrays.items()})
    published = catalogue.find(name)
    image = np.random.default_rng(0).normal(size=(2, side, side, 3)).astype(np.float32)
    theirs = image[..., ::-1] if name == "inception_v2" else image
    theirs = torch.from_numpy(theirs.transpose(0, 3, 1, 2).copy())
    with torch.no_grad():
        single = network.eval()(theirs).numpy()
        double = network.double()(theirs.double()).numpy()
    model = published.build(num_classes=classes)
    variables = assign(arrays, published.rules, published.shapes(model, side), where="drawn")
    found = jax.jit(model.apply)(variables, image)
    return relative(found, double), relative(single, double)


def bn_inception(torch, classes):
    nn = torch.nn

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv("conv1_7x7_s2", 3, 64, 7, 2)
            self.conv("conv2_3x3_reduce", 64, 64, 1)
            self.conv("conv2_3x3", 64, 192, 3)
            width = 192
            for modules in STAGES.values():
                for module, channels in modules.items():
                    width = self.module(module.replace("inception", "inception_"), width, channels)
            self.last_linear = nn.Linear(width, classes)

        def conv(self, name, before, after, size, stride=1):
            layer = nn.Conv2d(before, after, size, stride, size // 2)
            setattr(self, name, layer)
            setattr(self, f"{name}_bn", nn.BatchNorm2d(after))

        def module(self, name, before, channels):
            one, reduce3, three, reduce, double, pool = channels
            stride = 1 if one else 2
            self.conv(f"{name}_3x3_reduce", before, reduce3, 1)
            self.conv(f"{name}_3x3", reduce3, three, 3, stride)
            self.conv(f"{name}_double_3x3_reduce", before, reduce, 1)
            self.conv(f"{name}_double_3x3_1", reduce, double, 3)
            self.conv(f"{name}_double_3x3_2", double, double, 3, stride)
            if one:
                self.conv(f"{name}_1x1", before, one, 1)
                self.conv(f"{name}_pool_proj", before, pool, 1)
            return one + three + double + (pool or before)

        def run(self, x, *names):
            for name in names:
                x = torch.relu(getattr(self, f"{name}_bn")(getattr(self, name)(x)))
            return x

        def forward(self, x):
            pool = nn.MaxPool2d(3, 2, ceil_mode=True)
            x = pool(self.run(x, "conv1_7x7_s2"))
            x = pool(self.run(x, "conv2_3x3_reduce", "conv2_3x3"))
            for modules in STAGES.values():
                for module in modules:
                    x = self.joined(x, module.replace("inception", "inception_"), pool)
            return self.last_linear(x.mean((2, 3)))

        def joined(self, x, name, pool):
            double = [f"{name}_double_3x3_{part}" for part in ("reduce", "1", "2")]
            ends = [self.run(x, f"{name}_3x3_reduce", f"{name}_3x3"), self.run(x, *double)]
            if not hasattr(self, f"{name}_1x1"):
                return torch.cat([*ends, pool(x)], 1)
            kind = nn.MaxPool2d if name.endswith("5b") else nn.AvgPool2d
            pooled = self.run(kind(3, 1, 1)(x), f"{name}_pool_proj")
            return torch.cat([self.run(x, f"{name}_1x1"), *ends, pooled], 1)

    return Network()


def facenet(torch, classes):
    nn = torch.nn

    class Conv(nn.Module):
        def __init__(self, before, after, size, stride=1, padding=0):
            super().__init__()
            self.conv = nn.Conv2d(before, after, size, stride, padding, bias=False)
            self.bn = nn.BatchNorm2d(after, eps=1e-3)

        def forward(self, x):
            return torch.relu(self.bn(self.conv(x)))

    class Joined(nn.Module):
        def __init__(self, *branches, residual=None):
            super().__init__()
            self.branches = len(branches)
            for i, branch in enumerate(branches):
                setattr(self, f"branch{i}", branch)
            self.residual = residual
            if residual:
                self.conv2d = nn.Conv2d(*residual[:2], 1)

        def forward(self, x):
            y = torch.cat([getattr(self, f"branch{i}")(x) for i in range(self.branches)], 1)
            if not self.residual:
                return y
            _, _, scale, rectified = self.residual
            y = self.conv2d(y) * scale + x
            return torch.relu(y) if rectified else y

    def a():
        chain = nn.Sequential(Conv(256, 32, 1), Conv(32, 32, 3, 1, 1))
        longer = nn.Sequential(Conv(256, 32, 1), Conv(32, 32, 3, 1, 1), Conv(32, 32, 3, 1, 1))
        return Joined(Conv(256, 32, 1), chain, longer, residual=(96, 256, 0.17, True))

    def split(channels, width, size, scale, rectified=True):
        sides = [((1, size), (0, size // 2)), ((size, 1), (size // 2, 0))]
        parts = [Conv(width, width, kernel, 1, padding) for kernel, padding in sides]
        chain = nn.Sequential(Conv(channels, width, 1), *parts)
        residual = (2 * width, channels, scale, rectified)
        return Joined(Conv(channels, width, 1), chain, residual=residual)

    def reduction_b():
        first = nn.Sequential(Conv(896, 256, 1), Conv(256, 384, 3, 2))
        second = nn.Sequential(Conv(896, 256, 1), Conv(256, 256, 3, 2))
        third = nn.Sequential(Conv(896, 256, 1), Conv(256, 256, 3, 1, 1), Conv(256, 256, 3, 2))
        return Joined(first, second, third, nn.MaxPool2d(3, 2))

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv2d_1a, self.conv2d_2a = Conv(3, 32, 3, 2), Conv(32, 32, 3)
            self.conv2d_2b, self.conv2d_3b = Conv(32, 64, 3, 1, 1), Conv(64, 80, 1)
            self.conv2d_4a, self.conv2d_4b = Conv(80, 192, 3), Conv(192, 256, 3, 2)
            self.repeat_1 = nn.Sequential(*(a() for _ in range(5)))
            chain = (Conv(256, 192, 1), Conv(192, 192, 3, 1, 1), Conv(192, 256, 3, 2))
            pool = nn.MaxPool2d(3, 2)
            self.mixed_6a = Joined(Conv(256, 384, 3, 2), nn.Sequential(*chain), pool)
            self.repeat_2 = nn.Sequential(*(split(896, 128, 7, 0.1) for _ in range(10)))
            self.mixed_7a = reduction_b()
            self.repeat_3 = nn.Sequential(*(split(1792, 192, 3, 0.2) for _ in range(5)))
            self.block8 = split(1792, 192, 3, 1.0, rectified=False)
            self.last_linear = nn.Linear(1792, 512, bias=False)
            self.last_bn = nn.BatchNorm1d(512, eps=1e-3)
            self.logits = nn.Linear(512, classes)

        def forward(self, x):
            x = self.conv2d_2b(self.conv2d_2a(self.conv2d_1a(x)))
            x = self.conv2d_3b(nn.functional.max_pool2d(x, 3, 2))
            x = self.repeat_1(self.conv2d_4b(self.conv2d_4a(x)))
            x = self.repeat_3(self.mixed_7a(self.repeat_2(self.mixed_6a(x))))
            x = self.last_bn(self.last_linear(self.block8(x).mean((2, 3))))
            return self.logits(x)

    return Network()


@pytest.mark.full
@pytest.mark.parametrize(
    ("name", "make", "side"),
    [("inception_v2", bn_inception, 96), ("facenet_vggface2", facenet, 96)],
)
def test_logits_within_the_noise_of_float32(torch, name, make, side):
    error, noise = compared(torch, name, make(torch, 7), side, 7)
    assert error < 10 * max(noise, 1e-6)
