"""SE-ResNet: residual blocks with squeeze-and-excitation.

Hu, Shen, Albanie, Sun & Wu 2018, "Squeeze-and-excitation networks" (arXiv 1709.01507). What the
convolutions of a block add to the shortcut is weighted channel by channel, by a layer that sees
the mean over space (figure 3), a sixteenth as wide as the block (table 1). As in timm's seresnet50
the stride is in the 3x3 convolution.

  seresnet50  28,088,024
"""

from library.config import ConfigError
from library.layers.checks import check_sizes
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
    """Builds SE-ResNet-50; see `library.models.image.resnet.resnet50` for the other arguments.

    Args:
      num_classes: size of the logits.
      stem: "imagenet" or "cifar".
      norm: "batch" or "group".
      reduction: channels of a block over those between the two layers of its excitation, the
        paper's r; at most 256, the channels of the first stage.
      zero_init: whether each block starts as its shortcut.
      remat: recomputes blocks in the backward pass to save memory, see `layers.remat`.
      dtype: of the computation.
      param_dtype: of the params.

    Raises:
      ConfigError: an unknown stem, norm or dtype, a size below 1, a reduction above 256.
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
    if reduction > 4 * network.widths[0]:
        raise ConfigError(f"reduction={reduction} leaves no channel of {4 * network.widths[0]}")
    return network.clone(reduction=reduction)
