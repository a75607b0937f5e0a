"""ShuffleNetV2s of torchvision, whose layers are numbered within each branch."""

from library.weights.mapping import conv_rules, dense_rules, norm_rules
from library.weights.published import V1, Published, Reported, Table, Transform

_UNIT, _THERE = r"stage(\d)_unit(\d+)", "stage{1}.{2-1}"
# The position of each layer in its branch.
_LAYERS = {
    "branch1": {
        "shortcut_depthwise": 0,
        "shortcut_norm1": 1,
        "shortcut_conv": 2,
        "shortcut_norm2": 3,
    },
    "branch2": {"conv1": 0, "norm1": 1, "depthwise": 3, "norm2": 4, "conv2": 5, "norm3": 6},
}
RULES = (
    *conv_rules("stem_conv", "conv1.0"),
    *norm_rules("stem_norm", "conv1.1"),
    *(
        rule
        for branch, layers in _LAYERS.items()
        for layer, i in layers.items()
        for rule in (norm_rules if "norm" in layer else conv_rules)(
            f"{_UNIT}/{layer}", f"{_THERE}.{branch}.{i}"
        )
    ),
    *conv_rules("last_conv", "conv5.0"),
    *norm_rules("last_norm", "conv5.1"),
    *dense_rules("head", "fc"),
)

# Parameters, GMACs, top-1 and top-5 of torchvision's weights, and the resized shorter side.
_SIZES = {
    "shufflenet_v2_x0_5": (1_366_792, 0.040, 60.552, 81.746, 256),
    "shufflenet_v2_x1_0": (2_278_604, 0.145, 69.362, 88.316, 256),
    "shufflenet_v2_x1_5": (3_503_624, 0.296, 72.996, 91.086, 232),
    "shufflenet_v2_x2_0": (7_393_996, 0.583, 76.230, 93.006, 232),
}
PUBLISHED: Table = {
    name: Published(
        model=dict(name=f"shufflenet_v2.{name}"),
        rules=RULES,
        paper="Ma et al. 2018, ShuffleNet V2, arXiv 1807.11164",
        parameters=parameters,
        gflops=2 * gmacs,
        reference=f"torchvision/{name}",
        stages=("maxpool", "stage2", "stage3", "stage4"),
        transform=Transform(resize=resize),
        reported=Reported(top1, top5, V1),
    )
    for name, (parameters, gmacs, top1, top5, resize) in _SIZES.items()
}
