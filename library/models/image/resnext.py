"""ResNeXt: bottlenecks whose 3x3 convolution is grouped.

Xie, Girshick, Dollar, Tu & He 2017, "Aggregated residual transformations for deep neural networks"
(arXiv 1611.05431). A block sums `cardinality` bottlenecks of the same shape, each with width `d` in
the first stage (figure 3a). This is the same as a bottleneck of a ResNet with width cardinality x d
instead of 64, and a grouped 3x3 convolution (figure 3c). The networks are numerically the same as
torchvision's. Params:

  resnext50_32x4d   25,028,904
  resnext101_32x8d  88,791,336
"""

from collections.abc import Callable

from library.models.image.resnet import ResNet, resnet50, resnet101
from library.variants import variant


def _resnext(
    num_classes: int = 1000,
    stem: str = "imagenet",
    norm: str = "batch",
    zero_init: bool = True,
    remat: bool | str = False,
    dtype: str = "float32",
    param_dtype: str = "float32",
    *,
    resnet: Callable[..., ResNet],
    cardinality: int,
    path: int,
) -> ResNet:
    """Builds a ResNeXt. For arguments and errors see `library.models.image.resnet.resnet50`."""
    network = resnet(
        num_classes=num_classes,
        stem=stem,
        norm=norm,
        zero_init=zero_init,
        remat=remat,
        dtype=dtype,
        param_dtype=param_dtype,
    )
    return network.clone(groups=cardinality, widen=cardinality * path // network.widths[0])


# The ResNet whose blocks are replaced, the cardinality, and the width d of a path.
resnext50_32x4d = variant(_resnext, "resnext50_32x4d", resnet=resnet50, cardinality=32, path=4)
resnext101_32x8d = variant(_resnext, "resnext101_32x8d", resnet=resnet101, cardinality=32, path=8)
