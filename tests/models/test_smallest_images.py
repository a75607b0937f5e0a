"""The smallest image of each network: it leaves no feature map empty, and a smaller one is refused.

The mean over an empty map is NaN without any error.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

import library
from library import config
from tests import often

# Arguments of a model, and the smallest side of its images.
SIDES = {
    "airbench": (dict(name="airbench.airbench94"), 9),
    "airbench, two widths": (dict(name="airbench.airbench96", widths=[26, 26]), 5),
    "alexnet": (dict(name="alexnet"), 63),
    "alexnet cifar": (dict(name="alexnet", stem="cifar"), 29),
    "alexnet 2012": (dict(name="alexnet.alexnet_2012"), 64),
    "art_cnn": (dict(name="art_cnn", widths=[2, 2], hidden=[2]), 4),
    "big_transfer": (dict(name="big_transfer.bit_r50x1"), 1),
    "cnn": (dict(name="cnn.small"), 4),
    "convnext": (dict(name="convnext", stage_sizes=[1] * 4, widths=[4] * 4), 32),
    "convnext, two stages": (dict(name="convnext", stage_sizes=[1, 1], widths=[4, 4]), 8),
    "convnext, five stages": (dict(name="convnext", stage_sizes=[1] * 5, widths=[4] * 5), 64),
    "darknet19": (dict(name="darknet.darknet19", width=2), 32),
    "darknet53": (dict(name="darknet.darknet53", width=2, blocks=[1] * 5), 1),
    "deit": (dict(name="deit.deit_ti16"), 16),
    "densenet": (dict(name="densenet", block_sizes=[1, 1, 1]), 4),
    "densenet imagenet": (dict(name="densenet", block_sizes=[1] * 4, stem="imagenet"), 29),
    "densenet strided": (dict(name="densenet", block_sizes=[1] * 4, stem="strided"), 15),
    "domain_adversarial": (dict(name="domain_adversarial"), 4),
    "efficientnet": (dict(name="efficientnet.efficientnet_b0"), 1),
    "efficientnet_lite": (dict(name="efficientnet_lite.efficientnet_lite0"), 1),
    "googlenet": (dict(name="googlenet", aux=True), 15),
    "googlenet cifar": (dict(name="googlenet", stem="cifar"), 4),
    "googlenet strided": (dict(name="googlenet", stem="strided"), 7),
    "googlenet 2014": (dict(name="googlenet.googlenet_2014"), 31),
    "googlenet 2014 aux": (dict(name="googlenet.googlenet_2014", aux=True), 79),
    "inception_resnet_v1": (dict(name="inception_resnet_v1"), 75),
    "inception_resnet_v2": (dict(name="inception_resnet_v2"), 75),
    "inception_v2": (dict(name="inception_v2"), 7),
    "inception_v3": (dict(name="inception_v3"), 75),
    "inception_v3 aux": (dict(name="inception_v3", aux=True), 299),
    "inception_v4": (dict(name="inception_v4"), 75),
    "kan": (dict(name="kan"), 1),
    "madry": (dict(name="madry"), 1),
    "mlp": (dict(name="mlp"), 1),
    "mlp_mixer": (dict(name="mlp_mixer", patch_size=4, depth=1), 4),
    "mobilenet_v1": (dict(name="mobilenet_v1"), 1),
    "mobilenet_v2": (dict(name="mobilenet_v2"), 1),
    "mobilenet_v3": (dict(name="mobilenet_v3.mobilenet_v3_small"), 1),
    "nin cifar": (dict(name="nin.nin_cifar"), 4),
    "nin imagenet": (dict(name="nin.nin_imagenet"), 39),
    "polynomial": (dict(name="polynomial", degree=1), 1),
    "resnet": (dict(name="resnet.resnet18", width=4), 1),
    "resnet v2": (dict(name="resnet.resnet18_v2", width=4), 1),
    "resnext": (dict(name="resnext.resnext50_32x4d"), 1),
    "senet": (dict(name="senet.seresnet50"), 1),
    "shake_shake": (dict(name="shake_shake.shake_shake26", width=2), 1),
    "shufflenet_v1": (dict(name="shufflenet_v1"), 1),
    "shufflenet_v2": (dict(name="shufflenet_v2.shufflenet_v2_x0_5"), 1),
    "sigmoids": (dict(name="sigmoids"), 1),
    "simclr": (dict(name="simclr", encoder=dict(name="cnn.small")), 4),
    "squeezenet 1.0": (dict(name="squeezenet.squeezenet1_0"), 21),
    "squeezenet 1.1": (dict(name="squeezenet.squeezenet1_1"), 17),
    "swin": (dict(name="swin", width=32, depths=[1, 1, 1, 1]), 4),
    "vgg": (dict(name="vgg.vgg11", width=2, hidden_sizes=[4]), 32),
    "vit": (dict(name="vit", width=8, depth=1, num_heads=2, patch_size=4), 4),
    "wide_resnet": (dict(name="wide_resnet", depth=10, widen_factor=1), 1),
    "xception": (dict(name="xception"), 7),
    # Not classifiers.
    "deconvnet": (dict(name="deconvnet", width=2, hidden_size=4, window=2), 33),
    "enet": (dict(name="enet", width=4), 8),
    "fcn": (dict(name="fcn.fcn_8s", width=2, hidden_size=4), 1),
    "grid_detector": (dict(name="grid_detector"), 1),
    "segnet": (dict(name="segnet", width=2), 1),
    "sngan": (dict(name="sngan.discriminator", width=4), 4),
    "unet": (dict(name="unet", widths=[2, 2, 2]), 4),
    "unet mirror": (dict(name="unet", widths=[2, 2, 2], padding="mirror"), 1),
    "yolo_v1": (dict(name="yolo_v1.fast_yolo", cells=2), 64),
    "yolo_v2": (dict(name="yolo_v2", width=2), 32),
    "yolo_v3": (dict(name="yolo_v3", width=2, blocks=[1] * 5), 32),
    "yolo_v8": (dict(name="yolo_v8.yolo_v8n"), 32),
}
# "mae" encodes with a `vit`.
ELSEWHERE = {"mae"}
# Much like another case, or traced at every commit by another test.
SLOW = (
    *("airbench, two widths", "big_transfer", "convnext", "deit", "densenet strided"),
    *("efficientnet", "efficientnet_lite", "googlenet", "googlenet 2014", "googlenet strided"),
    "inception_resnet_v2",
    *("inception_resnet_v1", "inception_v2", "inception_v3 aux", "inception_v4", "mlp_mixer"),
    *("mobilenet_v1", "mobilenet_v2"),
    *("mobilenet_v3", "resnet v2", "resnext", "senet", "shake_shake", "shufflenet_v1"),
    *("shufflenet_v2", "simclr", "squeezenet 1.1", "wide_resnet", "darknet53", "yolo_v3"),
    *("deconvnet", "enet", "fcn", "segnet", "yolo_v8"),
)


def traced(case, height, width):
    model = config.build(SIDES[case][0], "library.models", "model")

    def init(image):
        keys = {name: jax.random.key(0) for name in ("params", "dropout")}
        return model.init_with_output(keys, image, mutable=True, capture_intermediates=True)

    return jax.eval_shape(init, jax.ShapeDtypeStruct((2, height, width, 3), jnp.float32))


@pytest.mark.parametrize("case", often.but(SLOW, SIDES))
def test_the_smallest_image_leaves_no_map_empty(case):
    side = SIDES[case][1]
    leaves = jax.tree_util.tree_leaves_with_path(traced(case, side, side))
    assert leaves
    assert not [jax.tree_util.keystr(path) for path, leaf in leaves if leaf.size == 0]


@pytest.mark.parametrize("case", [case for case, (_, side) in SIDES.items() if side > 1])
def test_one_pixel_less_is_refused_in_either_direction(case):
    side = SIDES[case][1]
    for height, width in ((side - 1, side), (side, side - 1)):
        with pytest.raises(ValueError, match=f"{height}x{width}.* nearest: {side}x{side}"):
            traced(case, height, width)


@pytest.mark.full
@pytest.mark.parametrize(
    ("case", "large", "small"), [("inception_v3 aux", 299, 75), ("googlenet 2014 aux", 79, 31)]
)
def test_without_its_auxiliary_classifiers_a_network_takes_smaller_images(case, large, small):
    _, variables = traced(case, large, large)
    model = config.build(SIDES[case][0], "library.models", "model")
    kept = {name: variables[name] for name in ("params", "batch_stats") if name in variables}
    image = jnp.zeros((2, small, small, 3))

    def apply(kept, train):
        return model.apply(kept, image, train, mutable=["intermediates"])

    logits, _ = jax.eval_shape(lambda kept: apply(kept, False), kept)
    assert logits.shape == (2, 1000)
    with pytest.raises(ValueError, match=f"aux=True takes images of {large}x{large} or larger"):
        jax.eval_shape(lambda kept: apply(kept, True), kept)


def test_each_file_of_networks_for_images_is_here():
    files = {path.stem for path in (Path(library.__file__).parent / "models/image").glob("*.py")}
    stated = {spec["name"].split(".")[0] for spec, _ in SIDES.values()}
    assert files - {"__init__"} - ELSEWHERE <= stated
