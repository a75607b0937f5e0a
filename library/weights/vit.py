"""Vision Transformers of torchvision, timm and Hugging Face: one network under three sets of names.

`HUGGING_FACE_RULES` is the table of transformers' ViTForImageClassification. Its own configuration
has a LayerNorm epsilon of 1e-12; the original and the models here have 1e-6. Masked autoencoders
published by Facebook (He et al. 2022) have timm's names, no head, and the arrays of `MAE_IGNORED`.
They fit the encoder of a `mae` or `vit` with positions="learned": their arrays contain the sines of
their training, whose frequencies differ from those of "sincos2d" here.
"""

from library.weights.mapping import (
    DENSE,
    INPUTS,
    VECTOR,
    Rule,
    conv_rules,
    dense_rules,
    norm_rules,
)
from library.weights.published import HALF, V1, Published, Reported, Table, Transform

_BLOCK = r"block(\d+)"


def fused_rules(here: str, weight: str, bias: str) -> tuple[Rule, ...]:
    """Returns the rows of a query, key and value that are published as one dense layer."""
    return tuple(
        rule
        for i, part in enumerate(("query", "key", "value"))
        for rule in (
            Rule(rf"params/{here}/{part}/kernel", weight, DENSE.of(i, 3)),
            Rule(rf"params/{here}/{part}/bias", bias, VECTOR.of(i, 3)),
        )
    )


def _timm() -> tuple[Rule, ...]:
    there = "blocks.{1-1}"
    qkv = f"{there}.attn.qkv"
    return (
        Rule("params/cls", "cls_token"),
        Rule("params/positions/embedding", "pos_embed"),
        *conv_rules("patches", "patch_embed.proj", bias=True),
        *norm_rules(rf"{_BLOCK}/norm(\d)", f"{there}.norm{{2}}"),
        *fused_rules(rf"{_BLOCK}/attention", f"{qkv}.weight", f"{qkv}.bias"),
        *dense_rules(rf"{_BLOCK}/attention/out", f"{there}.attn.proj", INPUTS),
        *dense_rules(rf"{_BLOCK}/feed_forward/(fc\d)", f"{there}.mlp.{{2}}"),
        *norm_rules("norm", "norm"),
        *dense_rules("head", "head"),
    )


def _torchvision(fc1: str, fc2: str) -> tuple[Rule, ...]:
    there = "encoder.layers.encoder_layer_{1-1}"
    fused = f"{there}.self_attention.in_proj"
    return (
        Rule("params/cls", "class_token"),
        Rule("params/positions/embedding", "encoder.pos_embedding"),
        *conv_rules("patches", "conv_proj", bias=True),
        *norm_rules(rf"{_BLOCK}/norm(\d)", f"{there}.ln_{{2}}"),
        *fused_rules(rf"{_BLOCK}/attention", f"{fused}_weight", f"{fused}_bias"),
        *dense_rules(rf"{_BLOCK}/attention/out", f"{there}.self_attention.out_proj", INPUTS),
        *dense_rules(rf"{_BLOCK}/feed_forward/fc1", f"{there}.mlp.{fc1}"),
        *dense_rules(rf"{_BLOCK}/feed_forward/fc2", f"{there}.mlp.{fc2}"),
        *norm_rules("norm", "encoder.ln"),
        *dense_rules("head", "heads.head"),
    )


def hugging_face_rules(name: str, head: str) -> tuple[Rule, ...]:
    """Returns the rows of a network of transformers.

    Args:
      name: prefix of the published names, "vit" or "deit".
      head: published name of the head.
    """
    there = f"{name}.encoder.layer.{{1-1}}"
    return (
        Rule("params/cls", f"{name}.embeddings.cls_token"),
        Rule("params/positions/embedding", f"{name}.embeddings.position_embeddings"),
        *conv_rules("patches", f"{name}.embeddings.patch_embeddings.projection", bias=True),
        *norm_rules(f"{_BLOCK}/norm1", f"{there}.layernorm_before"),
        *norm_rules(f"{_BLOCK}/norm2", f"{there}.layernorm_after"),
        *dense_rules(f"{_BLOCK}/attention/(query|key|value)", f"{there}.attention.attention.{{2}}"),
        *dense_rules(f"{_BLOCK}/attention/out", f"{there}.attention.output.dense", INPUTS),
        *dense_rules(f"{_BLOCK}/feed_forward/fc1", f"{there}.intermediate.dense"),
        *dense_rules(f"{_BLOCK}/feed_forward/fc2", f"{there}.output.dense"),
        *norm_rules("norm", f"{name}.layernorm"),
        *dense_rules("head", head),
    )


TIMM_RULES = _timm()
TORCHVISION_RULES = _torchvision("0", "3")
# Files of 2022 have the names of feed-forward layers before torchvision 0.14, which renames them
# while it loads.
TORCHVISION_FILE_RULES = _torchvision("linear_1", "linear_2")
HUGGING_FACE_RULES = hugging_face_rules("vit", "classifier")
# Networks of transformers may have another layer, which classifiers do not use.
HUGGING_FACE_IGNORED = (r"(vit|deit)\.pooler\..*",)
MAE_IGNORED = ("mask_token", r"decoder_.*")

_PAPER = "Dosovitskiy et al. 2021, An image is worth 16x16 words, arXiv 2010.11929"
_AUGREG = "timm, results/results-imagenet.csv, {}.augreg_in21k_ft_in1k"
AUGREG = Transform(resize=248, interpolation="bicubic", mean=HALF, std=HALF)

# Model here, blocks, parameters, GMACs, side to resize to, top-1 and top-5.
_OF_TORCHVISION = {
    "vit_b_16": ("vit_b16", 12, 86_567_656, 17.564, 256, 81.072, 95.318),
    "vit_b_32": ("vit_b32", 12, 88_224_232, 4.409, 256, 75.912, 92.466),
    "vit_l_16": ("vit_l16", 24, 304_326_632, 61.555, 242, 79.662, 94.638),
    "vit_l_32": ("vit_l32", 24, 306_535_400, 15.378, 256, 76.972, 93.070),
}
# Model here, blocks, parameters, GMACs (timm, results/benchmark-infer-*-pt110-*), top-1 and top-5
# of the weights of Steiner et al. 2021, "How to train your ViT?" (arXiv 2106.10270).
_OF_TIMM = {
    "vit_tiny_patch16_224": ("vit_ti16", 12, 5_717_416, 1.26, 75.454, 92.844),
    "vit_small_patch32_224": ("vit_s32", 12, 22_878_952, 1.15, 75.994, 93.270),
    "vit_small_patch16_224": ("vit_s16", 12, 22_050_664, 4.61, 81.384, 96.136),
    "vit_base_patch32_224": ("vit_b32", 12, 88_224_232, 4.41, 80.716, 95.566),
    "vit_base_patch16_224": ("vit_b16", 12, 86_567_656, 17.58, 84.532, 97.292),
    "vit_large_patch16_224": ("vit_l16", 24, 304_326_632, 61.60, 85.834, 97.818),
}
PUBLISHED: Table = {
    name: Published(
        model=dict(name=f"vit.{model}"),
        rules=TORCHVISION_RULES,
        paper=_PAPER,
        parameters=parameters,
        gflops=2 * gmacs,
        reference=f"torchvision/{name}",
        stages=tuple(f"encoder.layers.encoder_layer_{i}" for i in range(blocks)),
        transform=Transform(resize=resize),
        reported=Reported(top1, top5, V1),
        others=(TORCHVISION_FILE_RULES,),
    )
    for name, (model, blocks, parameters, gmacs, resize, top1, top5) in _OF_TORCHVISION.items()
} | {
    name: Published(
        model=dict(name=f"vit.{model}"),
        rules=TIMM_RULES,
        paper=_PAPER,
        parameters=parameters,
        gflops=2 * gmacs,
        reference=f"timm/{name}",
        stages=tuple(f"blocks.{i}" for i in range(blocks)),
        transform=AUGREG,
        reported=Reported(top1, top5, _AUGREG.format(name)),
        ignored=HUGGING_FACE_IGNORED,
        others=(HUGGING_FACE_RULES,),
    )
    for name, (model, blocks, parameters, gmacs, top1, top5) in _OF_TIMM.items()
}
