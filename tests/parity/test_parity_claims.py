"""How images are prepared for published weights, and what is claimed of them, as projects say."""

import pytest

from library.weights import catalogue

TORCHVISION = {
    f"{name}{weights}": version
    for name, each in catalogue.CATALOGUE.items()
    if (each.reference or "").startswith("torchvision")
    for weights, version in (("", 0), *((".v2", 1) for _ in range("v2" in each.weights)))
}
# Weights of timm by their names there, of networks here that are another project's.
OTHERS = {
    "resnet50.a1_in1k": "resnet50.a1_in1k",
    "mobilenet_v2.ra_in1k": "mobilenetv2_100.ra_in1k",
    "efficientnet_b0.ra_in1k": "efficientnet_b0.ra_in1k",
    "efficientnet_b1.ft_in1k": "efficientnet_b1.ft_in1k",
    "efficientnet_b2.ra_in1k": "efficientnet_b2.ra_in1k",
    "efficientnet_b3.ra2_in1k": "efficientnet_b3.ra2_in1k",
    "efficientnet_b4.ra2_in1k": "efficientnet_b4.ra2_in1k",
    "convnext_tiny.fb_in1k": "convnext_tiny.fb_in1k",
    "convnext_small.fb_in1k": "convnext_small.fb_in1k",
    "convnext_base.fb_in1k": "convnext_base.fb_in1k",
    "convnext_large.fb_in1k": "convnext_large.fb_in1k",
    "swin_t.ms_in1k": "swin_tiny_patch4_window7_224.ms_in1k",
    "swin_s.ms_in1k": "swin_small_patch4_window7_224.ms_in1k",
    "swin_b.ms_in1k": "swin_base_patch4_window7_224.ms_in1k",
    "vit_large_patch16_224": "vit_large_patch16_224.augreg_in21k_ft_in1k",
    "resnetv2_50": "resnetv2_50.a1h_in1k",
    "resnetv2_101": "resnetv2_101.a1h_in1k",
    "bit_r50x3": "resnetv2_50x3_bit.goog_in21k_ft_in1k",
    "bit_r152x4": "resnetv2_152x4_bit.goog_in21k_ft_in1k",
}


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvisions_weights(torchvision, name):
    models = torchvision.models
    published = catalogue.find(name)
    known = list(models.get_model_weights(published.reference.partition("/")[2]))
    weights = known[0] if not TORCHVISION[name] else next(w for w in known if w.name.endswith("V2"))
    assert published.reported.source.endswith(weights.name)
    figures = weights.meta["_metrics"]["ImageNet-1K"]
    assert published.reported[:2] == (figures["acc@1"], figures["acc@5"])
    theirs, ours = weights.transforms(), published.transform
    assert (ours.size, ours.resize) == (*theirs.crop_size, *theirs.resize_size)
    assert ours.interpolation == theirs.interpolation.value
    # Two networks turn images to [-1, 1] themselves, from torchvision's own mean.
    if "transform_input" not in published.options:
        assert (list(ours.mean), list(ours.std)) == (list(theirs.mean), list(theirs.std))


@pytest.mark.parametrize("name", OTHERS)
def test_timms_weights(timm, name):
    theirs, ours = timm.models.get_pretrained_cfg(OTHERS[name]), catalogue.find(name).transform
    size, share = theirs.test_input_size, theirs.test_crop_pct
    size, share = size or theirs.input_size, share or theirs.crop_pct
    assert ours.size == size[1]
    assert ours.resize == int(size[1] / share)
    assert ours.interpolation == theirs.interpolation
    assert (ours.mean, ours.std) == (theirs.mean, theirs.std)
    assert theirs.crop_mode == "center"
