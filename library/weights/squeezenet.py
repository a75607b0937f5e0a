"""SqueezeNets of torchvision, whose numbers of fire modules also count relus and poolings."""

from library.weights.mapping import Rule, conv_rules
from library.weights.published import V1, Published, Reported, Table

_PAPER = (
    "Iandola et al. 2016, SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and "
    "<0.5MB model size, arXiv 1602.07360"
)
# Positions of fire2, fire3, ..., fire9.
_PLACES = {
    "squeezenet1_0": (3, 4, 5, 7, 8, 9, 10, 12),
    "squeezenet1_1": (3, 4, 6, 7, 9, 10, 11, 12),
}
_STAGES = {
    "squeezenet1_0": ("features.1", "features.5", "features.10", "features.12"),
    "squeezenet1_1": ("features.1", "features.4", "features.7", "features.12"),
}


def _rules(places: tuple[int, ...]) -> tuple[Rule, ...]:
    rules = [*conv_rules("conv1", "features.0", bias=True)]
    for layer, place in enumerate(places, 2):
        rules += conv_rules(rf"fire{layer}/(\w+)", f"features.{place}.{{1}}", bias=True)
    return (*rules, *conv_rules("head", "classifier.1", bias=True))


# Parameters, GMACs, top-1 and top-5 of torchvision's weights.
_SIZES = {
    "squeezenet1_0": (1_248_424, 0.819, 58.092, 80.420),
    "squeezenet1_1": (1_235_496, 0.349, 58.178, 80.624),
}
PUBLISHED: Table = {
    name: Published(
        model=dict(name=f"squeezenet.{name}"),
        rules=_rules(_PLACES[name]),
        paper=_PAPER,
        parameters=parameters,
        gflops=2 * gmacs,
        reference=f"torchvision/{name}",
        stages=_STAGES[name],
        reported=Reported(top1, top5, V1),
    )
    for name, (parameters, gmacs, top1, top5) in _SIZES.items()
}
