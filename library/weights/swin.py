"""Swin Transformers of torchvision, and those of the authors, with their names or timm's."""

from collections.abc import Iterable

from library.weights.mapping import DENSE, INPUTS, Rule, conv_rules, dense_rules, norm_rules
from library.weights.published import V1, Published, Reported, Table, Transform, Weights
from library.weights.vit import fused_rules


def _stage(stage: int, there: str, merged: str, mlp: tuple[str, str]) -> tuple[Rule, ...]:
    """Returns the rows of one stage's blocks and of the merging before them.

    Args:
      stage: number of the stage, from 1.
      there: published name of its blocks, in which {1} is the number of the block.
      merged: published name of the merging.
      mlp: published names of a block's two dense layers.
    """
    here, merging = rf"stage{stage}_block(\d+)", f"stage{stage}_merging"
    qkv, (fc1, fc2) = f"{there}.attn.qkv", mlp
    return (
        *norm_rules(rf"{here}/norm(\d)", f"{there}.norm{{2}}"),
        *fused_rules(f"{here}/attention", f"{qkv}.weight", f"{qkv}.bias"),
        *dense_rules(f"{here}/attention/out", f"{there}.attn.proj", INPUTS),
        Rule(
            f"params/{here}/attention/relative_bias", f"{there}.attn.relative_position_bias_table"
        ),
        *dense_rules(f"{here}/fc1", f"{there}.mlp.{fc1}"),
        *dense_rules(f"{here}/fc2", f"{there}.mlp.{fc2}"),
        *norm_rules(f"{merging}/norm", f"{merged}.norm"),
        Rule(f"params/{merging}/reduction/kernel", f"{merged}.reduction.weight", DENSE),
    )


def _table(stem: tuple[str, str], stages: Iterable[tuple[Rule, ...]], head: str) -> tuple:
    conv, norm = stem
    return (
        *conv_rules("stem_conv", conv, bias=True),
        *norm_rules("stem_norm", norm),
        *(rule for stage in stages for rule in stage),
        *norm_rules("norm", "norm"),
        *dense_rules("head", head),
    )


def _layers(merged: int) -> list[tuple[Rule, ...]]:
    """Returns the rows of all stages, with a merging in the published stage `merged` later."""
    return [
        _stage(
            stage,
            f"layers.{stage - 1}.blocks.{{1-1}}",
            f"layers.{stage - 1 + merged}.downsample",
            ("fc1", "fc2"),
        )
        for stage in (1, 2, 3, 4)
    ]


RULES = _table(
    ("features.0.0", "features.0.2"),
    [
        _stage(i, f"features.{2 * i - 1}.{{1-1}}", f"features.{2 * i - 2}", ("0", "3"))
        for i in (1, 2, 3, 4)
    ],
    "head",
)
_PATCHES = ("patch_embed.proj", "patch_embed.norm")
# The authors put a merging at the end of a stage, timm at the beginning of the next stage.
TIMM_RULES = _table(_PATCHES, _layers(0), "head.fc")
MICROSOFT_RULES = _table(_PATCHES, _layers(-1), "head")
# The indices of the biases and the attention masks follow from the window.
IGNORED = (r".*\.relative_position_index", r".*\.attn_mask")
_PAPER = (
    "Liu et al. 2021, Swin Transformer: Hierarchical vision transformer using shifted windows, "
    "arXiv 2103.14030"
)

# Parameters, GMACs, side to resize to, top-1 and top-5; name in timm, top-1 and top-5 of the
# authors' weights.
_SIZES = {
    "swin_t": (28_288_354, 4.491, 232, 81.474, 95.776, "tiny", 81.376, 95.544),
    "swin_s": (49_606_258, 8.741, 246, 83.196, 96.360, "small", 83.208, 96.316),
    "swin_b": (87_768_224, 15.431, 238, 83.582, 96.640, "base", 83.606, 96.452),
}
_TIMM = "timm, results-imagenet.csv, swin_{}_patch4_window7_224.ms_in1k"
PUBLISHED: Table = {
    name: Published(
        model=dict(name=f"swin.{name}"),
        rules=RULES,
        paper=_PAPER,
        parameters=parameters,
        gflops=2 * gmacs,
        reference=f"torchvision/{name}",
        stages=("features.1", "features.3", "features.5", "features.7"),
        ignored=IGNORED,
        transform=Transform(resize=resize, interpolation="bicubic"),
        reported=Reported(top1, top5, V1),
        others=(TIMM_RULES, MICROSOFT_RULES),
        weights={
            "ms_in1k": Weights(
                Transform(resize=248, interpolation="bicubic"),
                Reported(ms_top1, ms_top5, _TIMM.format(size)),
            )
        },
    )
    for name, (parameters, gmacs, resize, top1, top5, size, ms_top1, ms_top5) in _SIZES.items()
}
