"""GoogLeNet: torchvision's weights with batch normalization, and Caffe's weights without."""

from library.weights.mapping import (
    BLUE_FIRST,
    Rule,
    after_flattening,
    conv_rules,
    dense_rules,
    norm_rules,
)
from library.weights.published import GREY_LEVELS, HALF, V1, Published, Reported, Table, Transform

_PAPER = "Szegedy et al. 2014, Going deeper with convolutions, arXiv 1409.4842"
# The names of an Inception module's convolutions: here, in torchvision, in Caffe.
_BRANCHES = (
    ("conv1x1", "branch1", "1x1"),
    ("reduce3x3", "branch2.0", "3x3_reduce"),
    ("conv3x3", "branch2.1", "3x3"),
    ("reduce5x5", "branch3.0", "5x5_reduce"),
    ("conv5x5", "branch3.1", "5x5"),
    ("pool_projection", "branch4.1", "pool_proj"),
)
_FLATTENED = after_flattening(128, 4, 4)


def _layers(here: str, there: str) -> tuple[Rule, ...]:
    return (
        *conv_rules(f"{here}/conv", f"{there}.conv"),
        *norm_rules(f"{here}/norm", f"{there}.bn"),
    )


def _flat(*groups: tuple[Rule, ...]) -> tuple[Rule, ...]:
    return tuple(rule for group in groups for rule in group)


RULES = _flat(
    _layers(r"conv(\d)", "conv{1}"),
    *(
        _layers(rf"inception(\w+)/{here}", f"inception{{1}}.{torchvision}")
        for here, torchvision, _ in _BRANCHES
    ),
    _layers(r"aux(\d)/conv1", "aux{1}.conv"),
    dense_rules(r"aux(\d)/fc1", "aux{1}.fc1", _FLATTENED),
    dense_rules(r"aux(\d)/head", "aux{1}.fc2"),
    dense_rules("head", "fc"),
)
# Auxiliary classifiers are ignored, because only a model that is built with them has them.
IGNORED = (r"aux\d\..*",)

_STEM = (("conv1", "conv1/7x7_s2"), ("conv2", "conv2/3x3_reduce"), ("conv3", "conv2/3x3"))
CAFFE = _flat(
    (Rule("params/conv1/conv/kernel", "conv1/7x7_s2.weight", BLUE_FIRST),),
    *(conv_rules(f"{here}/conv", caffe, bias=True) for here, caffe in _STEM),
    *(
        conv_rules(rf"inception(\w+)/{here}/conv", f"inception_{{1}}/{caffe}", bias=True)
        for here, _, caffe in _BRANCHES
    ),
    conv_rules(r"aux(\d)/conv1/conv", "loss{1}/conv", bias=True),
    dense_rules(r"aux(\d)/fc1", "loss{1}/fc", _FLATTENED),
    dense_rules(r"aux(\d)/head", "loss{1}/classifier"),
    dense_rules("head", "loss3/classifier"),
)

PUBLISHED: Table = {
    "googlenet": Published(
        model=dict(name="googlenet"),
        rules=RULES,
        paper=_PAPER,
        parameters=6_624_904,
        gflops=2 * 1.498,
        reference="torchvision/googlenet",
        stages=("conv1", "conv3", "inception3b", "inception4e", "inception5b"),
        ignored=IGNORED,
        transform=Transform(mean=HALF, std=HALF),
        reported=Reported(69.778, 89.530, V1),
        options=dict(aux_logits=False, transform_input=False, init_weights=False),
    ),
    "googlenet_2014": Published(
        model=dict(name="googlenet.googlenet_2014"),
        rules=CAFFE,
        paper=_PAPER,
        parameters=6_998_552,
        gflops=None,
        ignored=(r"loss[12]/.*",),
        # Caffe resizes with OpenCV, which does not antialias.
        transform=Transform(squash=True, mean=(123 / 255, 117 / 255, 104 / 255), std=GREY_LEVELS),
        reported=Reported(68.7, 88.9, "BVLC Caffe, models/bvlc_googlenet, center crop"),
    ),
}
