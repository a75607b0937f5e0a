"""AlexNet: torchvision's weights of the one tower; the two towers by the names of their layers."""

from library.weights.mapping import Rule, after_flattening, conv_rules, dense_rules
from library.weights.published import Published, Reported, Table

# Places in torchvision's sequence of layers, where relus and poolings count too.
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
TWO_TOWERS = (
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
        reported=Reported(56.522, 79.066, "torchvision 0.28, IMAGENET1K_V1"),
    ),
    "alexnet_2012": Published(
        model=dict(name="alexnet.alexnet_2012"),
        rules=TWO_TOWERS,
        paper="Krizhevsky, Sutskever & Hinton 2012, ImageNet classification with deep "
        "convolutional neural networks, NeurIPS 25",
        parameters=60_965_224,
        # Sze et al. 2017 (arXiv 1703.09039), table II.
        gflops=2 * 0.724,
        reported=Reported(59.3, 81.8, "the paper, table 2, 1 CNN: the average of ten crops"),
    ),
}
