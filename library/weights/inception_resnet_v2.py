"""Inception-ResNet-v2: the authors' weights, with timm's names."""

from library.weights.mapping import Rule, conv_rules, dense_rules, norm_rules
from library.weights.published import HALF, Published, Reported, Table, Transform

# Names here and in timm. In timm the blocks of a stage are a sequence, but the last block is not.
_MODULES = (
    ("inception_a", "mixed_5b"),
    ("reduction_a", "mixed_6a"),
    ("reduction_b", "mixed_7a"),
)
_BLOCKS = (
    ("block_c(10)", "block8"),
    (r"block_a(\d+)", "repeat.{1-1}"),
    (r"block_b(\d+)", "repeat_1.{1-1}"),
    (r"block_c(\d+)", "repeat_2.{1-1}"),
)


def _layers(here: str, there: str) -> tuple[Rule, ...]:
    return (
        *conv_rules(f"{here}/conv", f"{there}.conv"),
        *norm_rules(f"{here}/norm", f"{there}.bn"),
    )


def _block(here: str, there: str) -> tuple[Rule, ...]:
    return (
        *_layers(rf"{here}/branches/branch(\d)_(\d)", f"{there}.branch{{2-1}}.{{3-1}}"),
        *_layers(rf"{here}/branches/branch(\d)", f"{there}.branch{{2-1}}"),
        *conv_rules(f"{here}/conv", f"{there}.conv2d", bias=True),
    )


def _module(here: str, there: str) -> tuple[Rule, ...]:
    return (
        *_layers(rf"{here}/branch(\d)_(\d)", f"{there}.branch{{1-1}}.{{2-1}}"),
        *_layers(rf"{here}/branch(\d)", f"{there}.branch{{1-1}}"),
    )


RULES = (
    *_layers(r"conv2d_(\d[ab])(?:_\dx\d)?", "conv2d_{1}"),
    *(rule for names in _MODULES for rule in _module(*names)),
    *(rule for names in _BLOCKS for rule in _block(*names)),
    *dense_rules("head", "classif"),
)

PUBLISHED: Table = {
    "inception_resnet_v2": Published(
        model=dict(name="inception_resnet_v2"),
        rules=RULES,
        paper="Szegedy et al. 2016, Inception-v4, Inception-ResNet and the impact of residual "
        "connections on learning, arXiv 1602.07261",
        parameters=55_843_464,
        gflops=2 * 13.18,
        reference="timm/inception_resnet_v2",
        stages=("conv2d_2b", "conv2d_4a", "repeat", "repeat_1", "conv2d_7b"),
        transform=Transform(size=299, resize=333, interpolation="bicubic", mean=HALF, std=HALF),
        reported=Reported(
            80.462, 95.308, "timm's results-imagenet.csv, inception_resnet_v2.tf_in1k"
        ),
    )
}
