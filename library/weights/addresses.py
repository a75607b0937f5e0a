"""Addresses of published weights, which the packages of torchvision and timm state.

The name of a torchvision file ends in the first digits of its SHA-256, which check the download.
timm's package states no checksums, so files from the Hugging Face hub are not checked. If neither
package has the weights that a network takes, no address is known here.
"""

import re

from library.config import ConfigError
from library.data.origins import Origin
from library.weights import catalogue

_TORCHVISION = "https://download.pytorch.org/models"
_TIMM = "https://huggingface.co/timm"
# Files of torchvision 0.29, by network and weights.
_FILES = {
    "alexnet": "alexnet-owt-7be5be79.pth",
    "convnext_base": "convnext_base-6075fbad.pth",
    "convnext_large": "convnext_large-ea097f82.pth",
    "convnext_small": "convnext_small-0c510722.pth",
    "convnext_tiny": "convnext_tiny-983f1562.pth",
    "densenet121": "densenet121-a639ec97.pth",
    "densenet161": "densenet161-8d451a50.pth",
    "densenet169": "densenet169-b2777c0a.pth",
    "densenet201": "densenet201-c1103571.pth",
    "efficientnet_b0": "efficientnet_b0_rwightman-7f5810bc.pth",
    "efficientnet_b1": "efficientnet_b1_rwightman-bac287d4.pth",
    "efficientnet_b1.v2": "efficientnet_b1-c27df63c.pth",
    "efficientnet_b2": "efficientnet_b2_rwightman-c35c1473.pth",
    "efficientnet_b3": "efficientnet_b3_rwightman-b3899882.pth",
    "efficientnet_b4": "efficientnet_b4_rwightman-23ab8bcd.pth",
    "efficientnet_b5": "efficientnet_b5_lukemelas-1a07897c.pth",
    "efficientnet_b6": "efficientnet_b6_lukemelas-24a108a5.pth",
    "efficientnet_b7": "efficientnet_b7_lukemelas-c5b4e57e.pth",
    "googlenet": "googlenet-1378be20.pth",
    "inception_v3": "inception_v3_google-0cc3c7bd.pth",
    "mobilenet_v2": "mobilenet_v2-b0353104.pth",
    "mobilenet_v2.v2": "mobilenet_v2-7ebf99e0.pth",
    "mobilenet_v3_large": "mobilenet_v3_large-8738ca79.pth",
    "mobilenet_v3_large.v2": "mobilenet_v3_large-5c1a4163.pth",
    "mobilenet_v3_small": "mobilenet_v3_small-047dcff4.pth",
    "resnet101": "resnet101-63fe2227.pth",
    "resnet101.v2": "resnet101-cd907fc2.pth",
    "resnet152": "resnet152-394f9c45.pth",
    "resnet152.v2": "resnet152-f82ba261.pth",
    "resnet18": "resnet18-f37072fd.pth",
    "resnet34": "resnet34-b627a593.pth",
    "resnet50": "resnet50-0676ba61.pth",
    "resnet50.v2": "resnet50-11ad3fa6.pth",
    "resnext101_32x8d": "resnext101_32x8d-8ba56ff5.pth",
    "resnext101_32x8d.v2": "resnext101_32x8d-110c445d.pth",
    "resnext50_32x4d": "resnext50_32x4d-7cdf4587.pth",
    "resnext50_32x4d.v2": "resnext50_32x4d-1a0047aa.pth",
    "shufflenet_v2_x0_5": "shufflenetv2_x0.5-f707e7126e.pth",
    "shufflenet_v2_x1_0": "shufflenetv2_x1-5666bf0f80.pth",
    "shufflenet_v2_x1_5": "shufflenetv2_x1_5-3c479a10.pth",
    "shufflenet_v2_x2_0": "shufflenetv2_x2_0-8be3c8ee.pth",
    "squeezenet1_0": "squeezenet1_0-b66bff10.pth",
    "squeezenet1_1": "squeezenet1_1-b8a52dc0.pth",
    "swin_b": "swin_b-68c6b09e.pth",
    "swin_s": "swin_s-5e29d889.pth",
    "swin_t": "swin_t-704ceda3.pth",
    "vgg11": "vgg11-8a719046.pth",
    "vgg11_bn": "vgg11_bn-6002323d.pth",
    "vgg13": "vgg13-19584684.pth",
    "vgg13_bn": "vgg13_bn-abd245e5.pth",
    "vgg16": "vgg16-397923af.pth",
    "vgg16_bn": "vgg16_bn-6c64b313.pth",
    "vgg19": "vgg19-dcbb9e9d.pth",
    "vgg19_bn": "vgg19_bn-c79401a0.pth",
    "vit_b_16": "vit_b_16-c867db91.pth",
    "vit_b_32": "vit_b_32-d86f8d99.pth",
    "vit_l_16": "vit_l_16-852ce7e3.pth",
    "vit_l_32": "vit_l_32-c7638314.pth",
    "wide_resnet50_2": "wide_resnet50_2-95faca4d.pth",
    "wide_resnet50_2.v2": "wide_resnet50_2-9ba9bcbe.pth",
}
# Models of timm 1.0, by network and weights.
_MODELS = {
    "bit_r101x1": "resnetv2_101x1_bit.goog_in21k_ft_in1k",
    "bit_r101x3": "resnetv2_101x3_bit.goog_in21k_ft_in1k",
    "bit_r152x2": "resnetv2_152x2_bit.goog_in21k_ft_in1k",
    "bit_r152x4": "resnetv2_152x4_bit.goog_in21k_ft_in1k",
    "bit_r50x1": "resnetv2_50x1_bit.goog_in21k_ft_in1k",
    "bit_r50x3": "resnetv2_50x3_bit.goog_in21k_ft_in1k",
    "convnext_base.fb_in1k": "convnext_base.fb_in1k",
    "convnext_large.fb_in1k": "convnext_large.fb_in1k",
    "convnext_small.fb_in1k": "convnext_small.fb_in1k",
    "convnext_tiny.fb_in1k": "convnext_tiny.fb_in1k",
    "deit_base_distilled_patch16_224": "deit_base_distilled_patch16_224.fb_in1k",
    "deit_base_patch16_224": "deit_base_patch16_224.fb_in1k",
    "deit_small_distilled_patch16_224": "deit_small_distilled_patch16_224.fb_in1k",
    "deit_small_patch16_224": "deit_small_patch16_224.fb_in1k",
    "deit_tiny_distilled_patch16_224": "deit_tiny_distilled_patch16_224.fb_in1k",
    "deit_tiny_patch16_224": "deit_tiny_patch16_224.fb_in1k",
    "efficientnet_b0.ra_in1k": "efficientnet_b0.ra_in1k",
    "efficientnet_lite0": "tf_efficientnet_lite0.in1k",
    "efficientnet_lite1": "tf_efficientnet_lite1.in1k",
    "efficientnet_lite2": "tf_efficientnet_lite2.in1k",
    "efficientnet_lite3": "tf_efficientnet_lite3.in1k",
    "efficientnet_lite4": "tf_efficientnet_lite4.in1k",
    "efficientnet_b1.ft_in1k": "efficientnet_b1.ft_in1k",
    "efficientnet_b2.ra_in1k": "efficientnet_b2.ra_in1k",
    "efficientnet_b3.ra2_in1k": "efficientnet_b3.ra2_in1k",
    "efficientnet_b4.ra2_in1k": "efficientnet_b4.ra2_in1k",
    "inception_resnet_v2": "inception_resnet_v2.tf_in1k",
    "inception_v4": "inception_v4.tf_in1k",
    "mixer_b16_224": "mixer_b16_224.goog_in21k_ft_in1k",
    "mixer_l16_224": "mixer_l16_224.goog_in21k_ft_in1k",
    "mobilenet_v1": "mobilenetv1_100.ra4_e3600_r224_in1k",
    "mobilenet_v2.ra_in1k": "mobilenetv2_100.ra_in1k",
    "noisy_student_b0": "tf_efficientnet_b0.ns_jft_in1k",
    "noisy_student_b1": "tf_efficientnet_b1.ns_jft_in1k",
    "noisy_student_b2": "tf_efficientnet_b2.ns_jft_in1k",
    "noisy_student_b3": "tf_efficientnet_b3.ns_jft_in1k",
    "noisy_student_b4": "tf_efficientnet_b4.ns_jft_in1k",
    "noisy_student_b5": "tf_efficientnet_b5.ns_jft_in1k",
    "noisy_student_b6": "tf_efficientnet_b6.ns_jft_in1k",
    "noisy_student_b7": "tf_efficientnet_b7.ns_jft_in1k",
    "noisy_student_l2": "tf_efficientnet_l2.ns_jft_in1k",
    "resnet50.a1_in1k": "resnet50.a1_in1k",
    "resnetv2_101": "resnetv2_101.a1h_in1k",
    "resnetv2_50": "resnetv2_50.a1h_in1k",
    "seresnet50": "seresnet50.ra2_in1k",
    "swin_b.ms_in1k": "swin_base_patch4_window7_224.ms_in1k",
    "swin_s.ms_in1k": "swin_small_patch4_window7_224.ms_in1k",
    "swin_t.ms_in1k": "swin_tiny_patch4_window7_224.ms_in1k",
    "vit_base_patch16_224": "vit_base_patch16_224.augreg_in21k_ft_in1k",
    "vit_base_patch32_224": "vit_base_patch32_224.augreg_in21k_ft_in1k",
    "vit_large_patch16_224": "vit_large_patch16_224.augreg_in21k_ft_in1k",
    "vit_small_patch16_224": "vit_small_patch16_224.augreg_in21k_ft_in1k",
    "vit_small_patch32_224": "vit_small_patch32_224.augreg_in21k_ft_in1k",
    "vit_tiny_patch16_224": "vit_tiny_patch16_224.augreg_in21k_ft_in1k",
    "xception": "legacy_xception.tf_in1k",
}


def find(name: str) -> Origin | None:
    """Returns where the weights of a network are published, or None if that is not known.

    Raises:
      ConfigError: there is no such network, or no such weights of it.
    """
    catalogue.find(name)
    if name in _FILES:
        file = _FILES[name]
        digits = re.search(r"-([0-9a-f]{8,})\.pth$", file)
        return Origin(file, f"{_TORCHVISION}/{file}", None, digits and f"sha256:{digits[1]}")
    if name in _MODELS:
        model = _MODELS[name]
        return Origin(f"{model}.safetensors", f"{_TIMM}/{model}/resolve/main/model.safetensors")
    return None


def advice(name: str) -> str:
    """Returns one line that says how to get the weights of a network.

    Raises:
      ConfigError: there is no such network, or no such weights of it.
    """
    origin = find(name)
    if origin is None:
        return f"no address is known for the weights of {name}: give a file by --weights=FILE"
    return f"{name} is published at {origin.url}: add --download to fetch it, or --weights=FILE"


def origin(name: str) -> Origin:
    """Returns where the weights of a network are published.

    Raises:
      ConfigError: no address is known, or there is no such network or no such weights of it.
    """
    found = find(name)
    if found is None:
        raise ConfigError(advice(name))
    return found
