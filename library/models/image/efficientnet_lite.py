"""EfficientNet-Lite: EfficientNets of layers that phones compute and round well.

Liu 2020, "Higher accuracy on vision models with EfficientNet-Lite" (TensorFlow's blog), after Tan &
Le 2019 (arXiv 1905.11946), with the layout of the authors' TensorFlow code. They differ from
EfficientNets in three points. They have no squeeze-and-excitation. They have ReLU6 in place of
swish. All sizes have the same stem and the same last convolution, and as many blocks in the first
stage and in the last.
Params with 1000 classes:

  efficientnet_lite0  4,652,008    efficientnet_lite3   8,197,096
  efficientnet_lite1  5,416,680    efficientnet_lite4  13,006,568
  efficientnet_lite2  6,092,072
"""

import math

from library.config import ConfigError
from library.layers.checks import check_dtypes, check_rates, check_sizes
from library.models.image.efficientnet import STAGES, STEM, TENSORFLOW, EfficientNet, scaled
from library.variants import variant


def _efficientnet_lite(
    num_classes: int = 1000,
    width: float = 1.0,
    depth: float = 1.0,
    dropout: float = 0.2,
    drop_path: float = 0.2,
    remat: bool | str = False,
    dtype: str = "float32",
    param_dtype: str = "float32",
) -> EfficientNet:
    """Builds an EfficientNet-Lite.

    Args:
      num_classes: size of the logits.
      width: factor of the widths of the stages, which are rounded to a multiple of 8.
      depth: factor of the numbers of blocks of all but the first and last stage, rounded up.
      dropout: rate before the head.
      drop_path: limit of the rate of stochastic depth, see `efficientnet.EfficientNet`.
      remat: recomputes blocks in the backward pass to save memory, see `layers.remat`.
      dtype: type of the computation.
      param_dtype: type of the params.

    Raises:
      ConfigError: a dtype is unknown, a rate is outside [0, 1), a size is below 1, or a factor is
        not positive.
    """
    check_sizes(num_classes=num_classes)
    if not (width > 0 and depth > 0):
        raise ConfigError(f"width={width}, depth={depth}: factors are more than 0")
    check_rates(dropout=dropout, drop_path=drop_path)
    check_dtypes(dtype, param_dtype)
    factors = [1.0, *[depth] * (len(STAGES) - 2), 1.0]
    return EfficientNet(
        num_classes=num_classes,
        stem=STEM,
        stages=tuple(
            stage._replace(width=scaled(stage.width, width), blocks=math.ceil(stage.blocks * times))
            for stage, times in zip(STAGES, factors)
        ),
        convention=TENSORFLOW,
        dropout=dropout,
        drop_path=drop_path,
        lite=True,
        remat=remat,
        dtype=dtype,
        param_dtype=param_dtype,
    )


efficientnet_lite = variant(_efficientnet_lite, "efficientnet_lite")
# Factors and dropout are those of the authors' code.
efficientnet_lite0 = variant(_efficientnet_lite, "efficientnet_lite0", width=1.0, depth=1.0)
efficientnet_lite1 = variant(_efficientnet_lite, "efficientnet_lite1", width=1.0, depth=1.1)
efficientnet_lite2 = variant(
    _efficientnet_lite, "efficientnet_lite2", width=1.1, depth=1.2, defaults=dict(dropout=0.3)
)
efficientnet_lite3 = variant(
    _efficientnet_lite, "efficientnet_lite3", width=1.2, depth=1.4, defaults=dict(dropout=0.3)
)
efficientnet_lite4 = variant(
    _efficientnet_lite, "efficientnet_lite4", width=1.4, depth=1.8, defaults=dict(dropout=0.3)
)
