"""Published weights of EfficientNet-Lite: Google's, as timm and another project converted them."""

import math

from library.models.image import efficientnet
from library.weights.mapping import Rule, conv_rules, dense_rules, norm_rules
from library.weights.published import Published, Reported, Table, Transform

# Google's code subtracts 127 of 255 and divides by 128. timm, which has the same weights, scales to
# [-1, 1].
_MEAN, _STD = (127 / 255,) * 3, (128 / 255,) * 3


def _layers(here: str, convs: dict[str, str], norms: dict[str, str]) -> tuple[Rule, ...]:
    """Returns the rows of the convolutions of blocks and of their normalizations."""
    return tuple(
        rule
        for layer, conv in convs.items()
        for rule in (
            *conv_rules(f"{here}/{layer}_conv", conv),
            *norm_rules(f"{here}/{layer}_norm", norms[layer]),
        )
    )


def _timm(here: str, there: str, convs: dict[str, str]) -> tuple[Rule, ...]:
    norms = {layer: f"{there}.bn{i}" for i, layer in enumerate(convs, 1)}
    return _layers(here, {layer: f"{there}.{conv}" for layer, conv in convs.items()}, norms)


TIMM_RULES = (
    *conv_rules("stem_conv", "conv_stem"),
    *norm_rules("stem_norm", "bn1"),
    # Blocks of the first stage do not expand.
    *_timm(r"stage1_block(\d+)", "blocks.0.{1-1}", dict(depthwise="conv_dw", project="conv_pw")),
    *_timm(
        r"stage(\d+)_block(\d+)",
        "blocks.{1-1}.{2-1}",
        dict(expand="conv_pw", depthwise="conv_dw", project="conv_pwl"),
    ),
    *conv_rules("final_conv", "conv_head"),
    *norm_rules("final_norm", "bn2"),
    *dense_rules("head", "classifier"),
)


def _in_a_row(blocks: list[int]) -> tuple[Rule, ...]:
    """Returns the rows of a file that numbers the blocks of all stages, of so many blocks each."""
    places = [(s, i) for s, count in enumerate(blocks, 1) for i in range(1, count + 1)]
    layers = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}
    rules: list[Rule] = []
    for number, (stage, i) in enumerate(places):
        there, of = f"_blocks.{number}", [*layers][stage == 1 :]
        convs = {layer: f"{there}._{layer}_conv" for layer in of}
        norms = {layer: f"{there}.{layers[layer]}" for layer in of}
        rules += _layers(f"stage{stage}_block{i}", convs, norms)
    return (
        *conv_rules("stem_conv", "_conv_stem"),
        *norm_rules("stem_norm", "_bn0"),
        *rules,
        *conv_rules("final_conv", "_conv_head"),
        *norm_rules("final_norm", "_bn1"),
        *dense_rules("head", "_fc"),
    )


# The factor of depth; params; Google's top-1 and size of the image; timm's share of the resized
# image that is cropped, and interpolation.
_SIZES = {
    "lite0": (1.0, 4_652_008, 75.1, 224, 0.875, "bicubic"),
    "lite1": (1.1, 5_416_680, 76.7, 240, 0.882, "bicubic"),
    "lite2": (1.2, 6_092_072, 77.6, 260, 0.890, "bicubic"),
    "lite3": (1.4, 8_197_096, 79.8, 280, 0.904, "bilinear"),
    "lite4": (1.8, 13_006_568, 81.5, 300, 0.920, "bilinear"),
}
_SOURCE = "Google, tensorflow/tpu, models/official/efficientnet/lite/README.md, FP32"


def _published(name: str) -> Published:
    depth, parameters, top1, size, share, interpolation = _SIZES[name]
    last = len(efficientnet.STAGES) - 1
    blocks = [
        stage.blocks if at in (0, last) else math.ceil(stage.blocks * depth)
        for at, stage in enumerate(efficientnet.STAGES)
    ]
    return Published(
        model=dict(name=f"efficientnet_lite.efficientnet_{name}"),
        rules=TIMM_RULES,
        paper="Liu 2020, Higher accuracy on vision models with EfficientNet-Lite",
        parameters=parameters,
        gflops=None,
        reference=f"timm/tf_efficientnet_{name}",
        # The authors' momentum is 0.99; timm keeps PyTorch's, which changes only training.
        options=dict(bn_momentum=0.01),
        stages=tuple(f"blocks.{stage}" for stage in range(7)),
        transform=Transform(size, math.floor(size / share), interpolation, _MEAN, _STD),
        reported=Reported(top1, None, _SOURCE),
        others=(_in_a_row(blocks),),
    )


PUBLISHED: Table = {f"efficientnet_{name}": _published(name) for name in _SIZES}
