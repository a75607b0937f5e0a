"""MobileNetV3s of torchvision, whose layers have numbers that depend on the block's layers.

timm's networks have another epsilon of normalization, 1e-5, or another padding, so their weights do
not fit.
"""

from library.models.image.mobilenet_v3 import LARGE, SMALL, STEM, Row
from library.weights.mapping import Rule, conv_rules, dense_rules, norm_rules
from library.weights.published import V1, V2, Published, Reported, Table, Transform, Weights


def _rules(rows: tuple[Row, ...]) -> tuple[Rule, ...]:
    last = f"features.{len(rows) + 1}"
    rules = [
        *conv_rules("stem_conv", "features.0.0"),
        *norm_rules("stem_norm", "features.0.1"),
        *conv_rules("last_conv", f"{last}.0"),
        *norm_rules("last_norm", f"{last}.1"),
        *dense_rules("hidden", "classifier.0"),
        *dense_rules("head", "classifier.3"),
    ]
    widths = (STEM, *(row.out for row in rows))
    for number, (row, width) in enumerate(zip(rows, widths), 1):
        rules += _block(row, width, f"block{number}", f"features.{number}.block")
    return tuple(rules)


def _block(row: Row, width: int, here: str, there: str) -> list[Rule]:
    """Returns the rows of a block with `width` input channels."""
    layers = [("depthwise", "norm2"), ("project", "norm3")]
    if row.expanded != width:
        layers.insert(0, ("expand", "norm1"))
    if row.squeeze_excite:
        layers.insert(-1, ("squeeze_excite", ""))
    rules = []
    for i, (layer, norm) in enumerate(layers):
        if norm:
            rules += conv_rules(f"{here}/{layer}", f"{there}.{i}.0")
            rules += norm_rules(f"{here}/{norm}", f"{there}.{i}.1")
        else:
            rules += conv_rules(f"{here}/{layer}/reduce", f"{there}.{i}.fc1", bias=True)
            rules += conv_rules(f"{here}/{layer}/expand", f"{there}.{i}.fc2", bias=True)
    return rules


# Blocks, parameters, GMACs, top-1 and top-5, and the last block of each height.
_SIZES = {
    "mobilenet_v3_large": (LARGE, 5_483_032, 0.217, 74.042, 91.340, (1, 3, 6, 12, 15)),
    "mobilenet_v3_small": (SMALL, 2_542_856, 0.057, 67.668, 87.402, (1, 3, 8, 11)),
}
_OTHERS = {
    "mobilenet_v3_large": {"v2": Weights(Transform(resize=232), Reported(75.274, 92.566, V2))}
}
PUBLISHED: Table = {
    name: Published(
        model=dict(name=f"mobilenet_v3.{name}"),
        rules=_rules(rows),
        paper="Howard et al. 2019, Searching for MobileNetV3, arXiv 1905.02244",
        parameters=parameters,
        gflops=2 * gmacs,
        reference=f"torchvision/{name}",
        stages=tuple(f"features.{i}" for i in lasts),
        reported=Reported(top1, top5, V1),
        weights=_OTHERS.get(name, {}),
    )
    for name, (rows, parameters, gmacs, top1, top5, lasts) in _SIZES.items()
}
