"""AlexNet: torchvision's weights of the version with one tower, Caffe's bvlc_alexnet with two.

Caffe's response normalization is (1 + alpha / 5 * s) ** -0.75, the paper's is
(2 + alpha * s) ** -0.75. For inputs divided by the root of 2.5 the paper's is Caffe's times a
constant. The table multiplies both factors into the convolutions, because relus and poolings do not
change factors.
"""

from library.weights.mapping import (
    BLUE_FIRST,
    CONV,
    SAME,
    Rule,
    after_flattening,
    conv_rules,
    dense_rules,
    scaled,
)
from library.weights.published import GREY_LEVELS, V1, Published, Reported, Table, Transform

# Positions in torchvision's sequence of layers, which also contains relus and poolings.
_PLACES = {"conv1": 0, "conv2": 3, "conv3": 6, "conv4": 8, "conv5": 10}
_FLATTENED = after_flattening(256, 6, 6)


def _convs() -> tuple[Rule, ...]:
    rules = [conv_rules(name, f"features.{i}", bias=True) for name, i in _PLACES.items()]
    return tuple(rule for rows in rules for rule in rows)


RULES = (
    *_convs(),
    *dense_rules("fc6", "classifier.1", _FLATTENED),
    *dense_rules("fc7", "classifier.4"),
    *dense_rules("head", "classifier.6"),
)
# Inputs of a response normalization here are Caffe's times the first factor; its outputs are
# Caffe's times both.
_ENTERS, _LEAVES = 2.5**-0.5, 2**-0.75
TWO_TOWERS = (
    Rule("params/conv1/kernel", "conv1.weight", scaled(BLUE_FIRST, _ENTERS)),
    Rule("params/conv2/kernel", "conv2.weight", scaled(CONV, 1 / _LEAVES)),
    Rule("params/conv3/kernel", "conv3.weight", scaled(CONV, 1 / (_ENTERS * _LEAVES))),
    Rule(r"params/conv([12])/bias", "conv{1}.bias", scaled(SAME, _ENTERS)),
    *conv_rules(r"conv(\d)", "conv{1}", bias=True),
    *dense_rules("fc6", "fc6", _FLATTENED),
    *dense_rules("fc7", "fc7"),
    *dense_rules("head", "fc8"),
)

PUBLISHED: Table = {
    "alexnet": Published(
        model=dict(name="alexnet"),
        rules=RULES,
        paper="Krizhevsky 2014, One weird trick for parallelizing convolutional neural networks, "
        "arXiv 1404.5997",
        parameters=61_100_840,
        gflops=2 * 0.714,
        reference="torchvision/alexnet",
        stages=("features.1", "features.4", "features.11"),
        reported=Reported(56.522, 79.066, V1),
    ),
    "alexnet_2012": Published(
        model=dict(name="alexnet.alexnet_2012"),
        rules=TWO_TOWERS,
        paper="Krizhevsky, Sutskever & Hinton 2012, ImageNet classification with deep "
        "convolutional neural networks, NeurIPS 25",
        parameters=60_965_224,
        # Sze et al. 2017 (arXiv 1703.09039), table II.
        gflops=2 * 0.724,
        # Caffe subtracts a mean image that is not in the file; this is the mean colour of it.
        transform=Transform(
            size=227,
            squash=True,
            mean=(122.679 / 255, 116.669 / 255, 104.007 / 255),
            std=GREY_LEVELS,
        ),
        reported=Reported(57.1, 80.2, "BVLC Caffe, bvlc_alexnet, center crop and mean image"),
    ),
}
