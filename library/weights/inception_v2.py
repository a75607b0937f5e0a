"""Inception-v2: weights that Xiong Yuanjun trained with Caffe, with the names of Cadene's port."""

from library.weights.mapping import BLUE_FIRST, Rule, conv_rules, dense_rules, norm_rules
from library.weights.published import GREY_LEVELS, Published, Reported, Table, Transform

# The names of the convolutions: here, in Cadene's port of Caffe's.
_STEM = (("conv1", "conv1_7x7_s2"), ("conv2", "conv2_3x3_reduce"), ("conv3", "conv2_3x3"))
_BRANCHES = (
    ("conv1x1", "1x1"),
    ("reduce3x3", "3x3_reduce"),
    ("conv3x3", "3x3"),
    ("reduce_double", "double_3x3_reduce"),
    (r"double(\d)", "double_3x3_{2}"),
    ("pool_projection", "pool_proj"),
)


def _layer(here: str, there: str) -> tuple[Rule, ...]:
    return (
        *conv_rules(f"{here}/conv", there, bias=True),
        *norm_rules(f"{here}/norm", f"{there}_bn"),
    )


RULES = (
    # The published network takes blue, green and red.
    Rule("params/conv1/conv/kernel", "conv1_7x7_s2.weight", BLUE_FIRST),
    *(rule for names in _STEM for rule in _layer(*names)),
    *(
        rule
        for here, there in _BRANCHES
        for rule in _layer(rf"inception(\w+)/{here}", f"inception_{{1}}_{there}")
    ),
    *dense_rules("head", "last_linear"),
)

PUBLISHED: Table = {
    "inception_v2": Published(
        model=dict(name="inception_v2"),
        rules=RULES,
        paper="Ioffe & Szegedy 2015, Batch normalization: Accelerating deep network training by "
        "reducing internal covariate shift, arXiv 1502.03167",
        parameters=11_295_240,
        gflops=None,
        transform=Transform(mean=(128 / 255, 117 / 255, 104 / 255), std=GREY_LEVELS),
        reported=Reported(73.522, 91.560, "Cadene/pretrained-models.pytorch, BNInception"),
    )
}
