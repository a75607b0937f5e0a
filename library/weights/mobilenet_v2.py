"""MobileNetV2 of torchvision, whose layers have numbers."""

from library.weights.mapping import Rule, conv_rules, dense_rules, norm_rules
from library.weights.published import Published, Reported, Table


def _block(here: str, there: str, layers: tuple[str, ...]) -> tuple[Rule, ...]:
    """Returns the rows of blocks, whose layers are activated but for the last."""
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

PUBLISHED: Table = {
    "mobilenet_v2": Published(
        model=dict(name="mobilenet_v2"),
        rules=RULES,
        paper="Sandler et al. 2018, MobileNetV2, arXiv 1801.04381",
        parameters=3_504_872,
        gflops=2 * 0.301,
        reference="torchvision/mobilenet_v2",
        stages=("features.1", "features.3", "features.6", "features.13", "features.17"),
        reported=Reported(71.878, 90.286, "torchvision 0.28, IMAGENET1K_V1"),
    )
}
