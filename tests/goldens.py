"""Logits and stages of other projects' networks, with weights drawn by name, on one image."""

import json
from pathlib import Path

import numpy as np
import pytest

from library.weights.catalogue import CATALOGUE

FILE = Path(__file__).with_name("weights") / "goldens.json"
# One network a family, and the side of its image: the usual one where there is no other.
SIZES = {
    "alexnet": 224,
    "bit_r50x1": 64,
    "convnext_tiny": 64,
    "deit_tiny_distilled_patch16_224": 224,
    "densenet121": 64,
    "efficientnet_b0": 64,
    "googlenet": 64,
    "inception_resnet_v2": 75,
    "inception_v3": 75,
    "inception_v4": 75,
    "mixer_s16_224": 224,
    "mobilenet_v1": 64,
    "mobilenet_v2": 64,
    "mobilenet_v3_small": 64,
    "noisy_student_b0": 64,
    "resnet18": 64,
    "resnetv2_18": 64,
    "resnext50_32x4d": 64,
    "seresnet50": 64,
    "shufflenet_v2_x0_5": 64,
    "squeezenet1_1": 64,
    "swin_t": 64,
    "vgg11": 224,
    "vit_tiny_patch16_224": 224,
    "wide_resnet50_2": 64,
    "xception": 75,
}
# These take seconds each; smaller networks have their layers.
LARGE = (
    *("alexnet", "vgg11", "bit_r50x1", "convnext_tiny", "densenet121", "inception_resnet_v2"),
    *("inception_v4", "noisy_student_b0", "resnext50_32x4d", "seresnet50", "wide_resnet50_2"),
    "xception",
)
# Of the logits every 40th is kept.
EVERY = 40


def image(size: int) -> np.ndarray:
    """Returns an image (1, size, size, 3) like none of noise: waves in all directions."""
    row, column, channel = np.indices((size, size, 3))
    return np.sin(row * column / 300 + channel).astype(np.float32)[None]


def sums(features) -> list[float]:
    """Returns the sum of features and that of their absolute values, of a stage."""
    wide = np.asarray(features, np.float64)
    return [float(wide.sum()), float(np.abs(wide).sum())]


# Those that take longest to trace; what traces a network only to count it leaves them to the full
# tests.
LONG = (
    "inception_v3",
    "inception_v4",
    "inception_resnet_v2",
    "densenet121",
    "efficientnet_b0",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "convnext_tiny",
    "googlenet",
    "xception",
    "noisy_student_b0",
    "swin_t",
    "bit_r50x1",
    "seresnet50",
    "resnext50_32x4d",
    "wide_resnet50_2",
)


def read() -> dict[str, dict]:
    """Returns what the file holds, by the name of the network."""
    return json.loads(FILE.read_text())


def compared() -> list:
    """Returns the networks of the file for `parametrize`; the large ones only in the full tests."""
    return [pytest.param(n, marks=pytest.mark.full) if n in LARGE else n for n in SIZES]


def one_a_family() -> list:
    """Returns all networks for `parametrize`; those without a golden only run in the full tests."""
    short = read()
    return [n if n in short else pytest.param(n, marks=pytest.mark.full) for n in CATALOGUE]
