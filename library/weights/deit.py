"""DeiT of timm, of its authors and of transformers, with or without a distillation token.

Without the token it is a `vit`, also in transformers. With the token, `HUGGING_FACE_RULES` is the
table of DeiTForImageClassificationWithTeacher.
"""

from library.weights import vit
from library.weights.mapping import Rule, dense_rules
from library.weights.published import Published, Reported, Table, Transform

RULES = (
    Rule("params/distillation", "dist_token"),
    *dense_rules("distillation_head", "head_dist"),
    *vit.TIMM_RULES,
)
HUGGING_FACE_RULES = (
    Rule("params/distillation", "deit.embeddings.distillation_token"),
    *dense_rules("distillation_head", "distillation_classifier"),
    *vit.hugging_face_rules("deit", "cls_classifier"),
)
_PAPER = (
    "Touvron et al. 2021, Training data-efficient image transformers & distillation through "
    "attention, arXiv 2012.12877"
)
_SOURCE = "facebookresearch/deit, README_deit.md, evaluation of {}"

# Model here, parameters, GMACs (timm, results/benchmark-infer-*-pt110-*), top-1 and top-5 of the
# authors' weights.
_SIZES = {
    "deit_tiny_patch16_224": ("vit.vit_ti16", 5_717_416, 1.26, 72.202, 91.124),
    "deit_small_patch16_224": ("vit.vit_s16", 22_050_664, 4.61, 79.854, 94.968),
    "deit_base_patch16_224": ("vit.vit_b16", 86_567_656, 17.58, 81.846, 95.594),
    "deit_tiny_distilled_patch16_224": ("deit.deit_ti16", 5_910_800, 1.27, 74.476, 91.920),
    "deit_small_distilled_patch16_224": ("deit.deit_s16", 22_436_432, 4.63, 81.164, 95.376),
    "deit_base_distilled_patch16_224": ("deit.deit_b16", 87_338_192, 17.68, 83.372, 96.482),
}
PUBLISHED: Table = {
    name: Published(
        model=dict(name=model),
        rules=RULES,
        paper=_PAPER,
        parameters=parameters,
        gflops=2 * gmacs,
        reference=f"timm/{name}",
        stages=tuple(f"blocks.{i}" for i in range(12)),
        # The authors' main.py resizes to 256, and so do these accuracies; timm resizes to 248.
        transform=Transform(resize=256, interpolation="bicubic"),
        reported=Reported(top1, top5, _SOURCE.format(name)),
        ignored=vit.HUGGING_FACE_IGNORED,
        others=(HUGGING_FACE_RULES if "distilled" in name else vit.HUGGING_FACE_RULES,),
    )
    for name, (model, parameters, gmacs, top1, top5) in _SIZES.items()
}
