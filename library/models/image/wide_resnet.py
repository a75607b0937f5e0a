"""Wide residual networks (Zagoruyko & Komodakis 2016, arXiv 1605.07146).

`wide_resnet` are pre-activation residual networks for CIFAR, with few layers that are
`widen_factor` times as wide. WRN-28-10 has 36,479,194 params with ten classes and 36,536,884 with a
hundred. `wide_resnet50_2` is WRN-50-2-bottleneck (section 3) for ImageNet: a ResNet-50 whose
bottlenecks are twice as wide between their 1x1 convolutions. It is numerically the same as
torchvision's wide_resnet50_2, with 68,883,240 params.
"""

from library.config import ConfigError, check_choice
from library.layers.checks import check_dtypes, check_rates, check_sizes
from library.layers.normalization import NORMS
from library.models.image.resnet import ResNet, resnet50


def wide_resnet(
    num_classes: int = 10,
    depth: int = 28,
    widen_factor: int = 10,
    dropout: float = 0.0,
    norm: str = "batch",
    zero_init: bool = False,
    remat: bool | str = False,
    dtype: str = "float32",
    param_dtype: str = "float32",
) -> ResNet:
    """Builds WRN-depth-widen_factor: a 16-wide stem and stages of 16, 32 and 64 times the factor.

    Args:
      num_classes: size of the logits.
      depth: number of convolutions, with projections: 6n + 4 for n blocks in each stage.
      widen_factor: factor of the widths of the stages, k in the paper.
      dropout: rate between the two convolutions of a block; the paper's is 0.3.
      norm: "batch" or "group".
      zero_init: whether each block starts as its shortcut, unlike in the paper.
      remat: recomputes blocks in the backward pass to save memory, see `layers.remat`.
      dtype: type of the computation.
      param_dtype: type of the params.

    Raises:
      ConfigError: the depth is not 6n + 4, a norm or dtype is unknown, a size is below 1, or a rate
        is outside [0, 1).
    """
    blocks, remainder = divmod(depth - 4, 6)
    if remainder or blocks < 1:
        below = max(4 + 6 * blocks, 10)
        raise ConfigError(f"depth={depth} is not 6n + 4; nearest: {below} or {below + 6}")
    check_sizes(num_classes=num_classes, widen_factor=widen_factor)
    check_rates(dropout=dropout)
    check_choice("norm", norm, NORMS)
    check_dtypes(dtype, param_dtype)
    return ResNet(
        num_classes=num_classes,
        stage_sizes=(blocks,) * 3,
        widths=tuple(width * widen_factor for width in (16, 32, 64)),
        stem_width=16,
        kind="basic",
        preactivation=True,
        stem="cifar",
        shortcut="projection",
        norm=norm,
        zero_init=zero_init,
        dropout=dropout,
        remat=remat,
        dtype=dtype,
        param_dtype=param_dtype,
    )


def wide_resnet50_2(
    num_classes: int = 1000,
    stem: str = "imagenet",
    norm: str = "batch",
    zero_init: bool = True,
    remat: bool | str = False,
    dtype: str = "float32",
    param_dtype: str = "float32",
) -> ResNet:
    """Builds WRN-50-2. For arguments and errors see `library.models.image.resnet.resnet50`."""
    network = resnet50(
        num_classes=num_classes,
        stem=stem,
        norm=norm,
        zero_init=zero_init,
        remat=remat,
        dtype=dtype,
        param_dtype=param_dtype,
    )
    return network.clone(widen=2)
