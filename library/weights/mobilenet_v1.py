"""MobileNet of timm, trained by timm's author."""

from library.weights.mapping import conv_rules, dense_rules, norm_rules
from library.weights.published import HALF, Published, Reported, Table, Transform

_BLOCK, _THERE = r"stage(\d+)_block(\d+)", "blocks.{1-1}.{2-1}"
RULES = (
    *conv_rules("stem_conv", "conv_stem"),
    *norm_rules("stem_norm", "bn1"),
    *conv_rules(f"{_BLOCK}/depthwise", f"{_THERE}.conv_dw"),
    *conv_rules(f"{_BLOCK}/pointwise", f"{_THERE}.conv_pw"),
    *norm_rules(rf"{_BLOCK}/norm(\d)", f"{_THERE}.bn{{3}}"),
    *dense_rules("head", "classifier"),
)

PUBLISHED: Table = {
    "mobilenet_v1": Published(
        model=dict(name="mobilenet_v1"),
        rules=RULES,
        paper="Howard et al. 2017, MobileNets, arXiv 1704.04861",
        parameters=4_231_976,
        gflops=2 * 0.569,
        reference="timm/mobilenetv1_100",
        stages=("blocks.0", "blocks.1", "blocks.2", "blocks.3", "blocks.4"),
        transform=Transform(interpolation="bicubic", mean=HALF, std=HALF),
        reported=Reported(
            75.382, 92.312, "timm, model card of mobilenetv1_100.ra4_e3600_r224_in1k, at 224x224"
        ),
    )
}
