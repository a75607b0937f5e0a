"""SE-ResNet-50 of timm, with the names of a ResNet, and "se" in each block."""

from library.weights import resnet
from library.weights.mapping import conv_rules
from library.weights.published import Published, Reported, Table, Transform

_EXCITE, _THERE = r"stage(\d+)_block(\d+)/squeeze_excite", "layer{1}.{2-1}.se"
RULES = (
    *resnet.RULES,
    *conv_rules(f"{_EXCITE}/reduce", f"{_THERE}.fc1", bias=True),
    *conv_rules(f"{_EXCITE}/expand", f"{_THERE}.fc2", bias=True),
)

PUBLISHED: Table = {
    "seresnet50": Published(
        model=dict(name="senet.seresnet50"),
        rules=RULES,
        paper="Hu et al. 2018, Squeeze-and-excitation networks, arXiv 1709.01507",
        parameters=28_088_024,
        gflops=2 * 6.8,
        reference="timm/seresnet50",
        stages=resnet.STAGES,
        transform=Transform(size=288, resize=303, interpolation="bicubic"),
        reported=Reported(81.284, 95.652, "timm, results-imagenet.csv, seresnet50.ra2_in1k"),
    )
}
