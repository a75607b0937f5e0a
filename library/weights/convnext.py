"""Published weights of ConvNeXt: torchvision's, and the authors', with their names or timm's."""

from library.weights.mapping import CHANNELS, Rule, conv_rules, dense_rules, norm_rules
from library.weights.published import V1, Published, Reported, Table, Transform, Weights


def _stage(stage: int) -> tuple[Rule, ...]:
    # torchvision numbers the downsampling layers and the stages as 0, 1, 2, ... of one sequence.
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


def _named(block: dict[str, str], stem: str, before: str, final: str, head: str):
    """Returns the table of a project whose names have one form for all stages.

    Args:
      block: published names of a block ("there") and of its layers, by their names here.
      stem: prefix of the stem's layers, ".0", a convolution, and ".1", a normalization.
      before: prefix of the layers before a later stage, ".0", a normalization, and ".1", a
        convolution.
      final: published name of the last normalization.
      head: published name of the head.
    """
    here, there = r"stage(\d)_block(\d+)", block["there"]
    return (
        *conv_rules("stem_conv", f"{stem}.0", bias=True),
        *norm_rules("stem_norm", f"{stem}.1"),
        *norm_rules(r"stage(\d)_norm", f"{before}.0"),
        *conv_rules(r"stage(\d)_conv", f"{before}.1", bias=True),
        *conv_rules(f"{here}/depthwise", f"{there}.{block['depthwise']}", bias=True),
        *norm_rules(f"{here}/norm", f"{there}.norm"),
        *dense_rules(f"{here}/expand", f"{there}.{block['expand']}"),
        *dense_rules(f"{here}/project", f"{there}.{block['project']}"),
        Rule(f"params/{here}/layer_scale", f"{there}.gamma"),
        *norm_rules("final_norm", final),
        *dense_rules("head", head),
    )


TIMM_RULES = _named(
    dict(
        there="stages.{1-1}.blocks.{2-1}",
        depthwise="conv_dw",
        expand="mlp.fc1",
        project="mlp.fc2",
    ),
    stem="stem",
    before="stages.{1-1}.downsample",
    final="head.norm",
    head="head.fc",
)
FACEBOOK_RULES = _named(
    dict(
        there="stages.{1-1}.{2-1}",
        depthwise="dwconv",
        expand="pwconv1",
        project="pwconv2",
    ),
    stem="downsample_layers.0",
    before="downsample_layers.{1-1}",
    final="norm",
    head="head",
)
_TIMM = "timm, results-imagenet.csv, {}.fb_in1k at 288"
# Parameters, GMACs, length of the resized shorter side, top-1 and top-5; top-1 and top-5 of the
# authors' weights.
_SIZES = {
    "convnext_tiny": (28_589_128, 4.456, 236, 82.520, 96.146, 82.698, 96.144),
    "convnext_small": (50_223_688, 8.684, 230, 83.616, 96.650, 83.700, 96.808),
    "convnext_base": (88_591_464, 15.355, 232, 84.062, 96.870, 84.428, 96.968),
    "convnext_large": (197_767_336, 34.361, 232, 84.414, 96.976, 84.846, 97.214),
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
        reported=Reported(top1, top5, V1),
        others=(TIMM_RULES, FACEBOOK_RULES),
        weights={
            "fb_in1k": Weights(
                Transform(size=288, resize=288, interpolation="bicubic"),
                Reported(fb_top1, fb_top5, _TIMM.format(name)),
            )
        },
    )
    for name, (parameters, gmacs, resize, top1, top5, fb_top1, fb_top5) in _SIZES.items()
}
