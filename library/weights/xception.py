"""Xception: the author's weights, converted from Keras, of timm's legacy_xception."""

from library.weights.mapping import Rule, conv_rules, dense_rules, norm_rules
from library.weights.published import HALF, Published, Reported, Table, Transform


def _separable(here: str, there: str) -> tuple[Rule, ...]:
    return (
        *conv_rules(f"{here}/depthwise", f"{there}.conv1"),
        *conv_rules(f"{here}/pointwise", f"{there}.pointwise"),
    )


def _block(here: str, first: int) -> tuple[Rule, ...]:
    """Returns the rows of a block, in timm a sequence of relu, convolution, normalization, ..."""
    rows = [
        *conv_rules(f"{here}/shortcut_conv", "block{1}.skip"),
        *norm_rules(f"{here}/shortcut_norm", "block{1}.skipbn"),
    ]
    for i in range(3):
        rows += _separable(f"{here}/conv{i + 1}", f"block{{1}}.rep.{first + 3 * i}")
        rows += norm_rules(f"{here}/norm{i + 1}", f"block{{1}}.rep.{first + 3 * i + 1}")
    return tuple(rows)


RULES = (
    *conv_rules("conv([12])", "conv{1}"),
    *_separable("conv([34])", "conv{1}"),
    *norm_rules(r"norm(\d)", "bn{1}"),
    # The first block has no relu at its start.
    *_block("block(1)", 0),
    *_block(r"block(\d+)", 1),
    *dense_rules("head", "fc"),
)

PUBLISHED: Table = {
    "xception": Published(
        model=dict(name="xception"),
        rules=RULES,
        paper="Chollet 2017, Xception: deep learning with depthwise separable convolutions, "
        "arXiv 1610.02357",
        parameters=22_855_952,
        gflops=2 * 8.4,
        reference="timm/legacy_xception",
        stages=("act2", "block1", "block2", "block11", "act4"),
        transform=Transform(size=299, resize=333, interpolation="bicubic", mean=HALF, std=HALF),
        reported=Reported(79.040, 94.382, "timm's results-imagenet.csv, legacy_xception.tf_in1k"),
    )
}
