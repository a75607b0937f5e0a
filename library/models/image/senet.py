"""SE-ResNet: residual blocks with squeeze-and-excitation.

Hu, Shen, Albanie, Sun & Wu 2018, "Squeeze-and-excitation networks" (arXiv 1709.01507). Squeeze-and-
excitation weights each channel of a block's residual branch. Its factors come from the mean over
space (figure 3), through a layer that is a sixteenth as wide as the block (table 1). As in timm's
seresnet50, the stride is in the 3x3 convolution. Params:

  seresnet50  28,088,024
"""

from library.config import ConfigError
from library.layers.checks import check_sizes, divisors
from library.models.image.resnet import ResNet, resnet50


def seresnet50(
    num_classes: int = 1000,
    stem: str = "imagenet",
    norm: str = "batch",
    reduction: int = 16,
    zero_init: bool = True,
    remat: bool | str = False,
    dtype: str = "float32",
    param_dtype: str = "float32",
) -> ResNet:
    """Builds SE-ResNet-50.

    Args:
      num_classes: size of the logits.
      stem: "imagenet", "cifar" or "strided", see `library.models.image.resnet.resnet50`.
      norm: "batch" or "group".
      reduction: channels of a block divided by the channels between the two layers of its
        excitation, r in the paper; a divisor of 256, the channels of the first stage.
      zero_init: whether each block starts as its shortcut.
      remat: recomputes blocks in the backward pass to save memory, see `layers.remat`.
      dtype: type of the computation.
      param_dtype: type of the params.

    Raises:
      ConfigError: a stem, norm or dtype is unknown, a size is below 1, or the reduction does
        not divide 256.
    """
    check_sizes(reduction=reduction)
    network = resnet50(
        num_classes=num_classes,
        stem=stem,
        norm=norm,
        zero_init=zero_init,
        remat=remat,
        dtype=dtype,
        param_dtype=param_dtype,
    )
    channels = 4 * network.widths[0]
    if channels % reduction:
        nearest = min(divisors(channels), key=lambda n: abs(n - reduction))
        raise ConfigError(
            f"reduction={reduction} does not divide {channels}, the channels of the first stage; "
            f"nearest: {nearest}"
        )
    return network.clone(reduction=reduction)
