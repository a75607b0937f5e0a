"""Pre-activation ResNets of timm, with batch normalization, and with the names of timm's BiT.

They are the networks of He et al. 2016. timm's "d" networks, with another stem, are not here. timm
publishes no weights of the network with 152 layers.
"""

from library.weights.big_transfer import RULES, STAGES
from library.weights.published import HALF, Published, Reported, Table, Transform

_LARGER = dict(size=288, resize=288, interpolation="bicubic", mean=HALF, std=HALF)
_SOURCE = "timm, results-imagenet.csv, {}.a1h_in1k at 288"
# Parameters, and top-1 and top-5 of the weights a1h_in1k; timm lists no accuracies of
# ra4_e3600_r224_in1k.
_SIZES = {
    "resnetv2_18": (11_687_720, None),
    "resnetv2_34": (21_795_880, None),
    "resnetv2_50": (25_549_352, (81.398, 95.726)),
    "resnetv2_101": (44_541_480, (83.002, 96.454)),
    "resnetv2_152": (60_185_128, None),
}
PUBLISHED: Table = {
    name: Published(
        model=dict(name=f"resnet.resnet{name.removeprefix('resnetv2_')}_v2"),
        rules=RULES,
        paper="He, Zhang, Ren & Sun 2016, Identity mappings in deep residual networks, "
        "arXiv 1603.05027",
        parameters=parameters,
        gflops=None,
        reference=f"timm/{name}",
        stages=STAGES,
        transform=Transform(**_LARGER),
        reported=Reported(*accuracies, _SOURCE.format(name)) if accuracies else None,
    )
    for name, (parameters, accuracies) in _SIZES.items()
}
