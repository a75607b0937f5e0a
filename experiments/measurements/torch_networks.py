"""U-Net, ENet and YOLOv8 in PyTorch, with the layers, names and params of the networks here.

They are the other side of the benchmark `dense`. A layer is made when it is applied for the first
time, so a network is written once, as in Linen's compact methods. This file can be imported where
PyTorch is not installed.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

from library.models.dense.enet import MIDDLE
from library.models.dense.yolo_v8 import BLOCKS, CHANNELS

Network = Callable[["Layers", Any], Any]


class Layers:
    """The layers of a network by the paths of the layers here.

    Args:
      made: the layers that there are, a `torch.nn.ModuleDict`.
      train: whether the network is in training.
    """

    def __init__(self, made: Any, train: bool):
        self.made, self.train = made, train

    def conv(
        self,
        x: Any,
        features: int,
        size: int | tuple[int, int],
        name: str,
        *,
        bias: bool = True,
        **options: Any,
    ) -> Any:
        """Applies a convolution to (b, c, h, w), by default with the padding that keeps the size.

        Args:
          x: features.
          features: channels of the output.
          size: sides of the window.
          name: path of the layer.
          bias: whether it has a bias.
          **options: further arguments of `torch.nn.Conv2d`.
        """
        import torch

        sides = (size, size) if isinstance(size, int) else size
        dilation = options.get("dilation", 1)
        options.setdefault("padding", tuple(dilation * (side // 2) for side in sides))
        make = functools.partial(torch.nn.Conv2d, bias=bias, **options)
        return self._layer(name, lambda: make(x.shape[1], features, sides))(x)

    def up_conv(self, x: Any, features: int, size: int, name: str, **options: Any) -> Any:
        """Applies a transposed convolution with stride 2."""
        import torch

        make = functools.partial(torch.nn.ConvTranspose2d, stride=2, **options)
        return self._layer(name, lambda: make(x.shape[1], features, size))(x)

    def norm(self, x: Any, name: str, epsilon: float = 1e-5) -> Any:
        """Applies batch normalization."""
        import torch

        return self._layer(name, lambda: torch.nn.BatchNorm2d(x.shape[1], eps=epsilon))(x)

    def prelu(self, x: Any, name: str) -> Any:
        """Applies ReLU with a learned slope below zero for each channel."""
        import torch

        return self._layer(name, lambda: torch.nn.PReLU(x.shape[1]))(x)

    def _layer(self, name: str, make: Callable[[], Any]) -> Any:
        if name not in self.made:
            self.made[name] = make().train(self.train)
        return self.made[name]


def module(network: Network, image: Any) -> Any:
    """Returns a network as a module with all its layers, `layers[path]`.

    Args:
      network: (layers, image) -> outputs.
      image: an image (1, c, h, w) of a size that the network takes.
    """
    import torch

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = torch.nn.ModuleDict()

        def forward(self, image):
            return network(Layers(self.layers, self.training), image)

    net = Net().eval()
    with torch.no_grad():
        net(image)
    return net.train()


def unet(
    layers: Layers,
    x: Any,
    *,
    num_classes: int,
    widths: Sequence[int],
    dropout: float,
) -> Any:
    """Applies the padded U-Net with batch normalization: (b, c, h, w) -> (b, classes, h, w)."""
    import torch
    from torch.nn import functional

    def block(x: Any, features: int, name: str) -> Any:
        for number in (1, 2):
            own = f"{name}_conv{number}"
            x = layers.norm(layers.conv(x, features, 3, own, bias=False), f"{own}_norm")
            x = functional.relu(x)
        return x

    kept, levels = [], len(widths) - 1
    for level, features in enumerate(widths[:-1], 1):
        x = block(x, features, f"down{level}")
        if level == levels:
            x = functional.dropout(x, dropout, layers.train)
        kept.append(x)
        x = functional.max_pool2d(x, 2)
    x = functional.dropout(block(x, widths[-1], "bottom"), dropout, layers.train)
    for level in range(levels, 0, -1):
        x = layers.up_conv(x, widths[level - 1], 2, f"up{level}")
        x = block(torch.cat([kept[level - 1], x], dim=1), widths[level - 1], f"join{level}")
    return layers.conv(x, num_classes, 1, "head")


def enet(
    layers: Layers,
    image: Any,
    *,
    num_classes: int,
    width: int = 16,
    dropout: tuple[float, float] = (0.01, 0.1),
) -> Any:
    """Applies ENet: (b, c, h, w) -> (b, classes, h, w)."""
    import torch
    from torch.nn import functional

    early, late = dropout
    convolved = layers.conv(image, width - image.shape[1], 3, "initial_conv", stride=2)
    x = torch.cat([convolved, functional.max_pool2d(image, 2)], dim=1)
    x = layers.prelu(layers.norm(x, "initial_norm", 1e-3), "initial_prelu")
    x, first = _enet_down(layers, x, 4 * width, "block1_0", early)
    for i in range(1, 5):
        x = _enet_block(layers, x, f"block1_{i}", early)
    x, second = _enet_down(layers, x, 8 * width, "block2_0", late)
    for stage in (2, 3):
        for i, kind in enumerate(MIDDLE, 1):
            x = _enet_block(layers, x, f"block{stage}_{i}", late, kind)
    x = _enet_up(layers, x, second, 4 * width, "block4_0", late)
    for i in (1, 2):
        x = _enet_block(layers, x, f"block4_{i}", late, decoder=True)
    x = _enet_up(layers, x, first, width, "block5_0", late)
    x = _enet_block(layers, x, "block5_1", late, decoder=True)
    return layers.up_conv(x, num_classes, 2, "head")


def _enet_activated(layers: Layers, x: Any, name: str, decoder: bool) -> Any:
    from torch.nn import functional

    return functional.relu(x) if decoder else layers.prelu(x, name)


def _enet_expanded(layers: Layers, x: Any, features: int, name: str, dropout: float) -> Any:
    from torch.nn import functional

    x = layers.conv(x, features, 1, f"{name}/expand", bias=False)
    x = layers.norm(x, f"{name}/expand_norm", 1e-3)
    return functional.dropout2d(x, dropout, layers.train)


def _enet_block(
    layers: Layers, x: Any, name: str, dropout: float, kind: str = "plain", decoder: bool = False
) -> Any:
    features, activated = x.shape[1], functools.partial(_enet_activated, layers, decoder=decoder)
    inside = features // 4
    y = layers.conv(x, inside, 1, f"{name}/reduce", bias=False)
    y = activated(layers.norm(y, f"{name}/reduce_norm", 1e-3), f"{name}/reduce_prelu")
    if kind == "split":
        y = layers.conv(y, inside, (5, 1), f"{name}/column", bias=False)
        y = layers.conv(y, inside, (1, 5), f"{name}/row")
    else:
        dilation = int(kind.removeprefix("dilated")) if kind != "plain" else 1
        y = layers.conv(y, inside, 3, f"{name}/conv", dilation=dilation)
    y = activated(layers.norm(y, f"{name}/conv_norm", 1e-3), f"{name}/conv_prelu")
    return activated(x + _enet_expanded(layers, y, features, name, dropout), f"{name}/prelu")


def _enet_down(layers: Layers, x: Any, features: int, name: str, dropout: float) -> tuple[Any, Any]:
    """Returns halved features, and the places of the maxima."""
    from torch.nn import functional

    inside = features // 4
    y = layers.conv(x, inside, 2, f"{name}/reduce", bias=False, stride=2, padding=0)
    y = layers.prelu(layers.norm(y, f"{name}/reduce_norm", 1e-3), f"{name}/reduce_prelu")
    y = layers.conv(y, inside, 3, f"{name}/conv")
    y = layers.prelu(layers.norm(y, f"{name}/conv_norm", 1e-3), f"{name}/conv_prelu")
    y = _enet_expanded(layers, y, features, name, dropout)
    pooled, places = functional.max_pool2d(x, 2, return_indices=True)
    pooled = functional.pad(pooled, (0, 0, 0, 0, 0, features - x.shape[1]))
    return layers.prelu(pooled + y, f"{name}/prelu"), places


def _enet_up(layers: Layers, x: Any, places: Any, features: int, name: str, dropout: float) -> Any:
    from torch.nn import functional

    inside = features // 4
    y = layers.conv(x, inside, 1, f"{name}/reduce", bias=False)
    y = functional.relu(layers.norm(y, f"{name}/reduce_norm", 1e-3))
    y = layers.up_conv(y, inside, 3, f"{name}/conv", padding=1, output_padding=1)
    y = functional.relu(layers.norm(y, f"{name}/conv_norm", 1e-3))
    y = _enet_expanded(layers, y, features, name, dropout)
    main = layers.conv(x, features, 1, f"{name}/main", bias=False)
    main = layers.norm(main, f"{name}/main_norm", 1e-3)
    return functional.relu(functional.max_unpool2d(main, places, 2) + y)


def yolo_v8(
    layers: Layers,
    x: Any,
    *,
    num_classes: int = 80,
    depth: float = 0.33,
    width: float = 0.25,
    num_bins: int = 16,
) -> list[Any]:
    """Applies YOLOv8: (b, c, h, w) -> maps (b, 4 bins + classes, h / s, w / s), s = 8, 16, 32."""
    import torch
    from torch.nn import functional

    widths = [math.ceil(each * width / 8) * 8 for each in CHANNELS]
    counts = [max(round(each * depth), 1) for each in BLOCKS]
    x = _yolo_conv(layers, x, widths[0], 3, 2, "stem")
    stages = {}
    for stage, (features, count) in enumerate(zip(widths[1:], counts), 2):
        x = _yolo_conv(layers, x, features, 3, 2, f"down{stage}")
        x = stages[stage] = _yolo_split(layers, x, features, count, f"stage{stage}", True)
    x = stages[5] = _yolo_pooled(layers, x, widths[4])
    count, fused = max(round(3 * depth), 1), {5: x}
    for stage in (4, 3):
        x = torch.cat([functional.interpolate(x, scale_factor=2), stages[stage]], dim=1)
        x = fused[stage] = _yolo_split(layers, x, widths[stage - 1], count, f"up{stage}", False)
    maps = [x]
    for stage in (4, 5):
        x = _yolo_conv(layers, x, widths[stage - 2], 3, 2, f"back{stage}")
        x = torch.cat([x, fused[stage]], dim=1)
        x = _yolo_split(layers, x, widths[stage - 1], count, f"merge{stage}", False)
        maps.append(x)
    bins = 4 * num_bins
    branches = (
        ("box", max(16, widths[2] // 4, bins), bins),
        ("class", max(widths[2], min(num_classes, 100)), num_classes),
    )
    return [_yolo_headed(layers, x, level, branches) for level, x in enumerate(maps, 3)]


def _yolo_conv(layers: Layers, x: Any, features: int, size: int, stride: int, name: str) -> Any:
    from torch.nn import functional

    x = layers.conv(x, features, size, name, bias=False, stride=stride)
    return functional.silu(layers.norm(x, f"{name}_norm", 1e-3))


def _yolo_split(
    layers: Layers, x: Any, features: int, count: int, name: str, residual: bool
) -> Any:
    import torch

    half = features // 2
    kept = list(_yolo_conv(layers, x, 2 * half, 1, 1, f"{name}_in").split(half, dim=1))
    for block in range(1, count + 1):
        own = f"{name}_block{block}"
        y = _yolo_conv(layers, kept[-1], half, 3, 1, f"{own}_conv1")
        y = _yolo_conv(layers, y, half, 3, 1, f"{own}_conv2")
        kept.append(kept[-1] + y if residual else y)
    return _yolo_conv(layers, torch.cat(kept, dim=1), features, 1, 1, f"{name}_out")


def _yolo_pooled(layers: Layers, x: Any, features: int) -> Any:
    import torch
    from torch.nn import functional

    kept = [_yolo_conv(layers, x, x.shape[1] // 2, 1, 1, "pool_in")]
    for _ in range(3):
        kept.append(functional.max_pool2d(kept[-1], 5, 1, 2))
    return _yolo_conv(layers, torch.cat(kept, dim=1), features, 1, 1, "pool_out")


def _yolo_headed(
    layers: Layers, x: Any, level: int, branches: Sequence[tuple[str, int, int]]
) -> Any:
    import torch

    made = []
    for name, features, outputs in branches:
        own = f"head{level}_{name}"
        y = _yolo_conv(layers, x, features, 3, 1, f"{own}1")
        y = _yolo_conv(layers, y, features, 3, 1, f"{own}2")
        made.append(layers.conv(y, outputs, 1, own))
    return torch.cat(made, dim=1)
