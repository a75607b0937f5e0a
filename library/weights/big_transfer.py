"""BiT-M of timm: weights that the paper's authors pre-trained on ImageNet-21k and fine-tuned.

The float32 noise of these networks exceeds the tolerance of the comparison of other networks: with
random weights, the float32 result of R50x1's last stage differs from the float64 result by 1.7e-5,
and from timm's by 1.6e-5.
"""

import numpy as np

from library.weights.mapping import Layout, Rule, Shape, conv_rules, norm_rules
from library.weights.published import HALF, Published, Reported, Table, Transform


def _without_window(x: np.ndarray, shape: Shape) -> np.ndarray:
    if x.ndim != 4:
        raise ValueError(x.shape)
    return x[:, :, 0, 0].T


# timm's dense layer is a 1x1 convolution, (out, in, 1, 1).
POINTWISE = Layout(_without_window, lambda x: x.T[:, :, None, None])

_BLOCK, _THERE = r"stage(\d+)_block(\d+)", "stages.{1-1}.blocks.{2-1}"
RULES = (
    *conv_rules("stem_conv", "stem.conv"),
    *conv_rules(rf"{_BLOCK}/conv(\d)", f"{_THERE}.conv{{3}}"),
    *norm_rules(rf"{_BLOCK}/norm(\d)", f"{_THERE}.norm{{3}}"),
    *conv_rules(rf"{_BLOCK}/shortcut_conv", f"{_THERE}.downsample.conv"),
    *norm_rules("final_norm", "norm"),
    Rule("params/head/kernel", "head.fc.weight", POINTWISE),
    Rule("params/head/bias", "head.fc.bias"),
)

STAGES = ("stages.0", "stages.1", "stages.2", "stages.3")
# Parameters, GMACs (timm's model cards), size of the image, and timm's top-1 and top-5.
_SIZES = {
    "r50x1": (25_549_352, 16.62, 448, 80.340, 95.680),
    "r50x3": (217_319_080, 145.7, 448, 84.020, 97.126),
    "r101x1": (44_541_480, 31.65, 448, 82.342, 96.520),
    "r101x3": (387_934_888, 280.3, 448, 84.438, 97.382),
    "r152x2": (236_335_208, 185.0, 448, 84.510, 97.434),
    "r152x4": (936_533_224, 844.8, 480, 84.916, 97.438),
}
PUBLISHED: Table = {
    f"bit_{name}": Published(
        model=dict(name=f"big_transfer.bit_{name}"),
        rules=RULES,
        paper="Kolesnikov et al. 2020, Big Transfer, arXiv 1912.11370",
        parameters=parameters,
        gflops=2 * gmacs,
        reference=f"timm/resnetv2_{name[1:]}_bit",
        stages=STAGES,
        transform=Transform(size=size, resize=size, mean=HALF, std=HALF),
        reported=Reported(
            top1, top5, f"timm, results-imagenet.csv, resnetv2_{name[1:]}_bit.goog_in21k_ft_in1k"
        ),
    )
    for name, (parameters, gmacs, size, top1, top5) in _SIZES.items()
}
