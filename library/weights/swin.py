"""Swin Transformers of torchvision."""

from library.weights.mapping import DENSE, INPUTS, Rule, conv_rules, dense_rules, norm_rules
from library.weights.published import Published, Reported, Table, Transform
from library.weights.vit import fused_rules


def _stage(stage: int) -> tuple[Rule, ...]:
    """Returns the rows of one stage's blocks and of the merging before them."""
    here, there = rf"stage{stage}_block(\d+)", f"features.{2 * stage - 1}.{{1-1}}"
    merging, merged = f"stage{stage}_merging", f"features.{2 * stage - 2}"
    qkv = f"{there}.attn.qkv"
    return (
        *norm_rules(rf"{here}/norm(\d)", f"{there}.norm{{2}}"),
        *fused_rules(f"{here}/attention", f"{qkv}.weight", f"{qkv}.bias"),
        *dense_rules(f"{here}/attention/out", f"{there}.attn.proj", INPUTS),
        Rule(
            f"params/{here}/attention/relative_bias", f"{there}.attn.relative_position_bias_table"
        ),
        *dense_rules(f"{here}/fc1", f"{there}.mlp.0"),
        *dense_rules(f"{here}/fc2", f"{there}.mlp.3"),
        *norm_rules(f"{merging}/norm", f"{merged}.norm"),
        Rule(f"params/{merging}/reduction/kernel", f"{merged}.reduction.weight", DENSE),
    )


RULES = (
    *conv_rules("stem_conv", "features.0.0", bias=True),
    *norm_rules("stem_norm", "features.0.2"),
    *(rule for stage in (1, 2, 3, 4) for rule in _stage(stage)),
    *norm_rules("norm", "norm"),
    *dense_rules("head", "head"),
)
# The rows of the tables of biases, which follow from the window.
IGNORED = (r".*\.relative_position_index",)
_PAPER = (
    "Liu et al. 2021, Swin Transformer: Hierarchical vision transformer using shifted windows, "
    "arXiv 2103.14030"
)
_V1 = "torchvision 0.28, IMAGENET1K_V1"

# Parameters, GMACs, side to resize to, top-1 and top-5.
_SIZES = {
    "swin_t": (28_288_354, 4.491, 232, 81.474, 95.776),
    "swin_s": (49_606_258, 8.741, 246, 83.196, 96.360),
    "swin_b": (87_768_224, 15.431, 238, 83.582, 96.640),
}
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
        reported=Reported(top1, top5, _V1),
    )
    for name, (parameters, gmacs, resize, top1, top5) in _SIZES.items()
}
