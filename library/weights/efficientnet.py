"""Published weights of EfficientNet: torchvision's, and timm's of Noisy Student."""

import math

from library.weights.mapping import Rule, conv_rules, dense_rules, norm_rules
from library.weights.published import V1, V2, Published, Reported, Table, Transform, Weights


def _block(here: str, layers: dict[str, tuple[str, str]], excite: tuple[str, str]) -> tuple:
    """Returns the rows of blocks, from the names of convolutions and of their normalizations."""
    reduce, expand = excite
    return (
        *(
            rule
            for name, (conv, norm) in layers.items()
            for rule in (
                *conv_rules(f"{here}/{name}_conv", conv),
                *norm_rules(f"{here}/{name}_norm", norm),
            )
        ),
        *conv_rules(f"{here}/squeeze_excite/reduce", reduce, bias=True),
        *conv_rules(f"{here}/squeeze_excite/expand", expand, bias=True),
    )


def _torchvision(here: str, there: str, names: tuple[str, ...]) -> tuple[Rule, ...]:
    # torchvision numbers the layers of a block; squeeze-and-excitation comes before the last.
    layers = {name: i + (name == "project") for i, name in enumerate(names)}
    excite = f"{there}.block.{layers['project'] - 1}"
    convs = {name: f"{there}.block.{i}" for name, i in layers.items()}
    return _block(
        here,
        {name: (f"{conv}.0", f"{conv}.1") for name, conv in convs.items()},
        (f"{excite}.fc1", f"{excite}.fc2"),
    )


def _timm(here: str, there: str, layers: dict[str, str]) -> tuple[Rule, ...]:
    return _block(
        here,
        {
            name: (f"{there}.{conv}", f"{there}.bn{i}")
            for i, (name, conv) in enumerate(layers.items(), 1)
        },
        (f"{there}.se.conv_reduce", f"{there}.se.conv_expand"),
    )


# Blocks of the first stage do not expand, so they have fewer layers.
_FIRST, _LATER = r"stage1_block(\d+)", r"stage(\d+)_block(\d+)"
RULES = (
    *conv_rules("stem_conv", "features.0.0"),
    *norm_rules("stem_norm", "features.0.1"),
    *_torchvision(_FIRST, "features.1.{1-1}", ("depthwise", "project")),
    *_torchvision(_LATER, "features.{1}.{2-1}", ("expand", "depthwise", "project")),
    *conv_rules("final_conv", "features.8.0"),
    *norm_rules("final_norm", "features.8.1"),
    *dense_rules("head", "classifier.1"),
)
TIMM_RULES = (
    *conv_rules("stem_conv", "conv_stem"),
    *norm_rules("stem_norm", "bn1"),
    *_timm(_FIRST, "blocks.0.{1-1}", dict(depthwise="conv_dw", project="conv_pw")),
    *_timm(
        _LATER,
        "blocks.{1-1}.{2-1}",
        dict(expand="conv_pw", depthwise="conv_dw", project="conv_pwl"),
    ),
    *conv_rules("final_conv", "conv_head"),
    *norm_rules("final_norm", "bn2"),
    *dense_rules("head", "classifier"),
)

_PAPER = "Tan & Le 2019, EfficientNet: Rethinking model scaling, arXiv 1905.11946"
_STUDENT = (
    "Xie et al. 2020, Self-training with Noisy Student improves ImageNet classification, "
    "arXiv 1911.04252"
)
# Parameters, GMACs, size of the image, length of the resized shorter side, top-1 and top-5.
_TORCHVISION = {
    "b0": (5_288_548, 0.386, 224, 256, 77.692, 93.532),
    "b1": (7_794_184, 0.687, 240, 256, 78.642, 94.186),
    "b2": (9_109_994, 1.088, 288, 288, 80.608, 95.310),
    "b3": (12_233_232, 1.827, 300, 320, 82.008, 96.054),
    "b4": (19_341_616, 4.394, 380, 384, 83.384, 96.594),
    "b5": (30_389_784, 10.266, 456, 456, 83.444, 96.628),
    "b6": (43_040_704, 19.068, 528, 528, 84.008, 96.916),
    "b7": (66_347_960, 37.746, 600, 600, 84.122, 96.908),
}
_TIMM = "timm, results-imagenet.csv, efficientnet_{}"


def _timm_weights(name: str, size: int, resize: int, top1: float, top5: float) -> Weights:
    transform = Transform(size, resize, "bicubic")
    return Weights(transform, Reported(top1, top5, f"{_TIMM.format(name)} at {size}"))


# timm's networks with PyTorch's padding; from B5 on torchvision's networks have another epsilon.
_OTHERS = {
    "b0": {"ra_in1k": _timm_weights("b0.ra_in1k", 224, 256, 77.694, 93.532)},
    "b1": {
        "v2": Weights(Transform(240, 255, "bilinear"), Reported(79.838, 94.934, V2)),
        "ft_in1k": _timm_weights("b1.ft_in1k", 256, 256, 78.800, 94.342),
    },
    "b2": {"ra_in1k": _timm_weights("b2.ra_in1k", 288, 288, 80.610, 95.314)},
    "b3": {"ra2_in1k": _timm_weights("b3.ra2_in1k", 320, 320, 82.242, 96.118)},
    "b4": {"ra2_in1k": _timm_weights("b4.ra2_in1k", 384, 384, 83.414, 96.598)},
}
# timm's parameters, size of the image, share of the resized image that is cropped, top-1 and top-5.
# timm's GMACs are left out because they count activations, too.
_NOISY_STUDENT = {
    "b0": (5_288_548, 224, 0.875, 78.670, 94.374),
    "b1": (7_794_184, 240, 0.882, 81.394, 95.736),
    "b2": (9_109_994, 260, 0.890, 82.378, 96.254),
    "b3": (12_233_232, 300, 0.904, 84.056, 96.918),
    "b4": (19_341_616, 380, 0.922, 85.162, 97.470),
    "b5": (30_389_784, 456, 0.934, 86.088, 97.754),
    "b6": (43_040_704, 528, 0.942, 86.456, 97.884),
    "b7": (66_347_960, 600, 0.949, 86.840, 98.094),
    "l2": (480_309_308, 800, 0.960, 88.352, 98.648),
}
PUBLISHED: Table = {
    f"efficientnet_{name}": Published(
        model=dict(name=f"efficientnet.efficientnet_{name}"),
        rules=RULES,
        paper=_PAPER,
        parameters=parameters,
        gflops=2 * gmacs,
        reference=f"torchvision/efficientnet_{name}",
        stages=tuple(f"features.{stage}" for stage in range(1, 8)),
        transform=Transform(size, resize, "bicubic"),
        reported=Reported(top1, top5, V1),
        others=(TIMM_RULES,) if name in _OTHERS else (),
        weights=_OTHERS.get(name, {}),
    )
    for name, (parameters, gmacs, size, resize, top1, top5) in _TORCHVISION.items()
} | {
    f"noisy_student_{name}": Published(
        model=dict(name=f"efficientnet.efficientnet_{name}", variant="tensorflow"),
        rules=TIMM_RULES,
        paper=_STUDENT,
        parameters=parameters,
        gflops=None,
        reference=f"timm/tf_efficientnet_{name}.ns_jft_in1k",
        # The authors' momentum is 0.99; timm keeps PyTorch's, which changes only training.
        options=dict(bn_momentum=0.01),
        stages=tuple(f"blocks.{stage}" for stage in range(7)),
        transform=Transform(size, math.floor(size / share), "bicubic"),
        reported=Reported(
            top1, top5, f"timm, results-imagenet.csv, tf_efficientnet_{name}.ns_jft_in1k"
        ),
    )
    for name, (parameters, size, share, top1, top5) in _NOISY_STUDENT.items()
}
