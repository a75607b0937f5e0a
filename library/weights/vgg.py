"""VGG networks of torchvision, whose layers are numbered in one sequence."""

from library.models.image.vgg import STAGES
from library.weights.mapping import Rule, after_flattening, conv_rules, dense_rules, norm_rules
from library.weights.published import V1, Published, Reported, Table

_PAPER = (
    "Simonyan & Zisserman 2014, Very deep convolutional networks for large-scale image "
    "recognition, arXiv 1409.1556"
)


def _rules(sizes: tuple[int, ...], batch_norm: bool) -> tuple[tuple[Rule, ...], tuple[str, ...]]:
    """Returns the table of a network, and the published name of the last relu of each stage."""
    rules: list[Rule] = []
    ends, place = [], 0
    for stage, layers in enumerate(sizes, 1):
        for i in range(1, layers + 1):
            rules += conv_rules(f"stage{stage}_conv{i}", f"features.{place}", bias=True)
            if batch_norm:
                rules += norm_rules(f"stage{stage}_norm{i}", f"features.{place + 1}")
            # A layer is a convolution, perhaps a normalization, and a relu.
            place += 3 if batch_norm else 2
        ends.append(f"features.{place - 1}")
        place += 1
    dense = (
        *dense_rules("fc1", "classifier.0", after_flattening(512, 7, 7)),
        *dense_rules("fc2", "classifier.3"),
        *dense_rules("head", "classifier.6"),
    )
    return (*rules, *dense), tuple(ends)


# Parameters, GMACs, top-1 and top-5 of torchvision's weights.
_SIZES = {
    "vgg11": (132_863_336, 7.609, 69.020, 88.628),
    "vgg13": (133_047_848, 11.308, 69.928, 89.246),
    "vgg16": (138_357_544, 15.470, 71.592, 90.382),
    "vgg19": (143_667_240, 19.632, 72.376, 90.876),
    "vgg11_bn": (132_868_840, 7.609, 70.370, 89.810),
    "vgg13_bn": (133_053_736, 11.308, 71.586, 90.374),
    "vgg16_bn": (138_365_992, 15.470, 73.360, 91.516),
    "vgg19_bn": (143_678_248, 19.632, 74.218, 91.842),
}


def _published(name: str) -> Published:
    base, _, batch_norm = name.partition("_")
    rules, ends = _rules(STAGES[base], bool(batch_norm))
    parameters, gmacs, top1, top5 = _SIZES[name]
    return Published(
        model=dict(name=f"vgg.{name}"),
        rules=rules,
        paper=_PAPER,
        parameters=parameters,
        gflops=2 * gmacs,
        reference=f"torchvision/{name}",
        stages=ends,
        reported=Reported(top1, top5, V1),
        options=dict(init_weights=False),
    )


PUBLISHED: Table = {name: _published(name) for name in _SIZES}
