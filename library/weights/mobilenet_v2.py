"""MobileNetV2 of torchvision, whose layers have numbers, and of timm.

The float32 noise of this network exceeds the tolerance of the comparison of other networks: with
random weights, the float32 result of its last stage differs from the float64 result by 2.4e-5, and
from torchvision's by 3.5e-5.
"""

from library.models.image.mobilenet_v2 import BOTTLENECKS
from library.weights.mapping import Rule, conv_rules, dense_rules, norm_rules
from library.weights.published import V1, V2, Published, Reported, Table, Transform, Weights


def _block(here: str, there: str, layers: tuple[str, ...]) -> tuple[Rule, ...]:
    """Returns the rows of blocks, in which all layers but the last have an activation."""
    rules = []
    for i, layer in enumerate(layers):
        last = i == len(layers) - 1
        conv = f"{there}.conv.{i}" if last else f"{there}.conv.{i}.0"
        norm = f"{there}.conv.{i + 1}" if last else f"{there}.conv.{i}.1"
        number = ("expand", "depthwise", "project").index(layer) + 1
        rules += conv_rules(f"{here}/{layer}", conv) + norm_rules(f"{here}/norm{number}", norm)
    return tuple(rules)


RULES = (
    *conv_rules("stem_conv", "features.0.0"),
    *norm_rules("stem_norm", "features.0.1"),
    *_block("block1", "features.1", ("depthwise", "project")),
    *_block(r"block(\d+)", "features.{1}", ("expand", "depthwise", "project")),
    *conv_rules("last_conv", "features.18.0"),
    *norm_rules("last_norm", "features.18.1"),
    *dense_rules("head", "classifier.1"),
)


def _timm() -> tuple[Rule, ...]:
    rules: list[Rule] = []
    places = [(stage, i) for stage, row in enumerate(BOTTLENECKS) for i in range(row[2])]
    for number, (stage, i) in enumerate(places, 1):
        here, there = f"block{number}", f"blocks.{stage}.{i}"
        layers = dict(depthwise="conv_dw", project="conv_pw")
        if stage > 0:
            layers = dict(expand="conv_pw", depthwise="conv_dw", project="conv_pwl")
        for norm, (layer, conv) in enumerate(layers.items(), 1):
            own = ("expand", "depthwise", "project").index(layer) + 1
            rules += conv_rules(f"{here}/{layer}", f"{there}.{conv}")
            rules += norm_rules(f"{here}/norm{own}", f"{there}.bn{norm}")
    return (
        *conv_rules("stem_conv", "conv_stem"),
        *norm_rules("stem_norm", "bn1"),
        *rules,
        *conv_rules("last_conv", "conv_head"),
        *norm_rules("last_norm", "bn2"),
        *dense_rules("head", "classifier"),
    )


TIMM_RULES = _timm()

PUBLISHED: Table = {
    "mobilenet_v2": Published(
        model=dict(name="mobilenet_v2"),
        rules=RULES,
        paper="Sandler et al. 2018, MobileNetV2, arXiv 1801.04381",
        parameters=3_504_872,
        gflops=2 * 0.301,
        reference="torchvision/mobilenet_v2",
        stages=("features.1", "features.3", "features.6", "features.13", "features.17"),
        reported=Reported(71.878, 90.286, V1),
        others=(TIMM_RULES,),
        weights={
            "v2": Weights(Transform(resize=232), Reported(72.154, 90.822, V2)),
            "ra_in1k": Weights(
                Transform(interpolation="bicubic"),
                Reported(72.976, 91.010, "timm, results-imagenet.csv, mobilenetv2_100.ra_in1k"),
            ),
        },
    )
}
