"""WRN-50-2 of torchvision, with the names of its ResNets."""

from library.weights.published import V1, V2, Published, Reported, Table, Weights
from library.weights.resnet import RULES, SECOND, STAGES

PUBLISHED: Table = {
    "wide_resnet50_2": Published(
        model=dict(name="wide_resnet.wide_resnet50_2"),
        rules=RULES,
        paper="Zagoruyko & Komodakis 2016, Wide residual networks, arXiv 1605.07146",
        parameters=68_883_240,
        gflops=2 * 11.398,
        reference="torchvision/wide_resnet50_2",
        stages=STAGES,
        reported=Reported(78.468, 94.086, V1),
        weights={"v2": Weights(SECOND, Reported(81.602, 95.758, V2))},
    )
}
