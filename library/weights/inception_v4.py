"""Inception-v4: the authors' weights, with timm's names."""

from library.weights.mapping import Rule, conv_rules, dense_rules, norm_rules
from library.weights.published import HALF, Published, Reported, Table, Transform

# Modules here, and their numbers in timm's sequence.
_PLACES = (
    ("stem_3a", "3"),
    ("stem_4a", "4"),
    ("stem_5a", "5"),
    (r"inception_a(\d)", "{1+5}"),
    ("reduction_a", "10"),
    (r"inception_b(\d)", "{1+10}"),
    ("reduction_b", "18"),
    (r"inception_c(\d)", "{1+18}"),
)


def _layers(here: str, there: str) -> tuple[Rule, ...]:
    return (
        *conv_rules(f"{here}/conv", f"{there}.conv"),
        *norm_rules(f"{here}/norm", f"{there}.bn"),
    )


def _module(here: str, there: str) -> tuple[Rule, ...]:
    """Returns the rows of a module; timm has sequences as branches, except in inception_c."""
    # The numbers of the groups of a branch, of a step in it, and of the end of a fork.
    branch, step, end = (i + here.count("(") for i in (1, 2, 3))
    chain = "_" if here.startswith("inception_c") else "."
    there = f"features.{there}.branch"
    return (
        *_layers(rf"{here}/branch(4)_(2)", f"{there}{{{branch}-1}}.{{{step}-1}}"),
        *_layers(
            rf"{here}/branch(\d)_(\d)([ab]?)",
            f"{there}{{{branch}-1}}{chain}{{{step}-1}}{{{end}}}",
        ),
        *_layers(rf"{here}/branch(\d)", f"{there}{{{branch}-1}}"),
    )


RULES = (
    *_layers(r"conv(\d)", "features.{1-1}"),
    # These two modules are a convolution beside a pooling.
    *_layers("stem_3a/branch2", "features.3.conv"),
    *_layers("stem_5a/branch1", "features.5.conv"),
    *(rule for here, there in _PLACES for rule in _module(here, there)),
    *dense_rules("head", "last_linear"),
)

PUBLISHED: Table = {
    "inception_v4": Published(
        model=dict(name="inception_v4"),
        rules=RULES,
        paper="Szegedy et al. 2016, Inception-v4, Inception-ResNet and the impact of residual "
        "connections on learning, arXiv 1602.07261",
        parameters=42_679_816,
        gflops=2 * 12.28,
        reference="timm/inception_v4",
        stages=("features.2", "features.3", "features.9", "features.17", "features.21"),
        transform=Transform(size=299, resize=341, interpolation="bicubic", mean=HALF, std=HALF),
        reported=Reported(80.156, 94.968, "timm's results-imagenet.csv, inception_v4.tf_in1k"),
    )
}
