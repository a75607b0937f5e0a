"""ShuffleNets of pytorchcv (osmr/imgclsmob), whose units are those of the paper's figure 2.

The paper's authors later published another variant, which shuffles after the depthwise convolution
and in the other order of channels; their weights do not fit.
"""

from library.weights.mapping import conv_rules, dense_rules, norm_rules
from library.weights.published import Published, Reported, Table

_UNIT, _THERE = r"stage(\d+)_unit(\d+)", "features.stage{1-1}.unit{2}"
RULES = (
    *conv_rules("stem_conv", "features.init_block.conv"),
    *norm_rules("stem_norm", "features.init_block.bn"),
    *conv_rules(f"{_UNIT}/compress", f"{_THERE}.compress_conv1"),
    *norm_rules(f"{_UNIT}/norm1", f"{_THERE}.compress_bn1"),
    *conv_rules(f"{_UNIT}/depthwise", f"{_THERE}.dw_conv2"),
    *norm_rules(f"{_UNIT}/norm2", f"{_THERE}.dw_bn2"),
    *conv_rules(f"{_UNIT}/expand", f"{_THERE}.expand_conv3"),
    *norm_rules(f"{_UNIT}/norm3", f"{_THERE}.expand_bn3"),
    *dense_rules("head", "output"),
)

# Parameters, GMACs of the paper's table 1, top-1 and top-5 errors, by groups.
_SIZES = {
    1: (1_531_936, 0.143, 34.93, 13.89),
    2: (1_733_848, 0.140, 34.25, 13.63),
    3: (1_865_728, 0.137, 34.39, 13.48),
    4: (1_968_344, 0.133, 34.19, 13.35),
    8: (2_434_768, 0.137, 34.06, 13.42),
}
PUBLISHED: Table = {
    f"shufflenet_v1_g{groups}": Published(
        model=dict(name="shufflenet_v1", groups=groups),
        rules=RULES,
        paper="Zhang et al. 2018, ShuffleNet, arXiv 1707.01083",
        parameters=parameters,
        gflops=2 * gmacs,
        reported=Reported(
            round(100 - error1, 2),
            round(100 - error5, 2),
            f"pytorchcv, table of its models, shufflenet_g{groups}_w1",
        ),
    )
    for groups, (parameters, gmacs, error1, error5) in _SIZES.items()
}
