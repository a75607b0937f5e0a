"""Published weights of ConvNeXt: torchvision's."""

from library.weights.mapping import CHANNELS, Rule, conv_rules, dense_rules, norm_rules
from library.weights.published import Published, Reported, Table, Transform


def _stage(stage: int) -> tuple[Rule, ...]:
    # There the blocks of a stage and what precedes them are children 0, 1, 2, ... of one sequence.
    here, there = rf"stage{stage}_block(\d+)", f"features.{2 * stage - 1}.{{1-1}}"
    before = f"features.{2 * stage - 2}"
    return (
        *norm_rules(f"stage{stage}_norm", f"{before}.0"),
        *conv_rules(f"stage{stage}_conv", f"{before}.1", bias=True),
        *conv_rules(f"{here}/depthwise", f"{there}.block.0", bias=True),
        *norm_rules(f"{here}/norm", f"{there}.block.2"),
        *dense_rules(f"{here}/expand", f"{there}.block.3"),
        *dense_rules(f"{here}/project", f"{there}.block.5"),
        Rule(f"params/{here}/layer_scale", f"{there}.layer_scale", CHANNELS),
    )


RULES = (
    *conv_rules("stem_conv", "features.0.0", bias=True),
    *norm_rules("stem_norm", "features.0.1"),
    *(rule for stage in (1, 2, 3, 4) for rule in _stage(stage)),
    *norm_rules("final_norm", "classifier.0"),
    *dense_rules("head", "classifier.2"),
)
# Parameters, GMACs, what the shorter side is resized to, top-1 and top-5.
_SIZES = {
    "convnext_tiny": (28_589_128, 4.456, 236, 82.520, 96.146),
    "convnext_small": (50_223_688, 8.684, 230, 83.616, 96.650),
    "convnext_base": (88_591_464, 15.355, 232, 84.062, 96.870),
    "convnext_large": (197_767_336, 34.361, 232, 84.414, 96.976),
}
PUBLISHED: Table = {
    name: Published(
        model=dict(name=f"convnext.{name}"),
        rules=RULES,
        paper="Liu et al. 2022, A ConvNet for the 2020s, arXiv 2201.03545",
        parameters=parameters,
        gflops=2 * gmacs,
        reference=f"torchvision/{name}",
        stages=("features.1", "features.3", "features.5", "features.7"),
        transform=Transform(resize=resize),
        reported=Reported(top1, top5, "torchvision 0.28, IMAGENET1K_V1"),
    )
    for name, (parameters, gmacs, resize, top1, top5) in _SIZES.items()
}
