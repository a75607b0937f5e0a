"""Inception-ResNet-v1 of FaceNet projects: weights for faces, with facenet-pytorch's names."""

from library.weights.mapping import Rule, conv_rules, dense_rules, norm_rules
from library.weights.published import HALF, Published, Table, Transform

_PAPER = (
    "Schroff, Kalenichenko & Philbin 2015, FaceNet: A unified embedding for face recognition and "
    "clustering, arXiv 1503.03832"
)
# Names here and there, where the blocks of a stage are a sequence, but the last block is not.
_BLOCKS = (
    ("block_c(6)", "block8"),
    (r"block_a(\d+)", "repeat_1.{1-1}"),
    (r"block_b(\d+)", "repeat_2.{1-1}"),
    (r"block_c(\d+)", "repeat_3.{1-1}"),
)
_MODULES = (("reduction_a", "mixed_6a"), ("reduction_b", "mixed_7a"))


def _layers(here: str, there: str) -> tuple[Rule, ...]:
    return (
        *conv_rules(f"{here}/conv", f"{there}.conv"),
        *norm_rules(f"{here}/norm", f"{there}.bn"),
    )


def _block(here: str, there: str) -> tuple[Rule, ...]:
    return (
        *_layers(rf"{here}/branches/branch(\d)_(\d)", f"{there}.branch{{2-1}}.{{3-1}}"),
        *_layers(rf"{here}/branches/branch(\d)", f"{there}.branch{{2-1}}"),
        *conv_rules(f"{here}/conv", f"{there}.conv2d", bias=True),
    )


def _module(here: str, there: str) -> tuple[Rule, ...]:
    return (
        *_layers(rf"{here}/branch(\d)_(\d)", f"{there}.branch{{1-1}}.{{2-1}}"),
        *_layers(rf"{here}/branch(\d)", f"{there}.branch{{1-1}}"),
    )


RULES = (
    *_layers(r"conv2d_(\w+)", "conv2d_{1}"),
    *(rule for names in _MODULES for rule in _module(*names)),
    *(rule for names in _BLOCKS for rule in _block(*names)),
    *dense_rules("embedding", "last_linear"),
    *norm_rules("embedding_norm", "last_bn"),
    *dense_rules("head", "logits"),
)
# Faces are scaled by (level - 127.5) / 128.
_TRANSFORM = Transform(size=160, resize=160, mean=HALF, std=(128 / 255,) * 3)

PUBLISHED: Table = {
    name: Published(
        model=dict(name="inception_resnet_v1", num_classes=classes),
        rules=RULES,
        paper=_PAPER,
        parameters=23_482_624 + 513 * classes,
        gflops=None,
        transform=_TRANSFORM,
    )
    for name, classes in (("facenet_vggface2", 8_631), ("facenet_casia_webface", 10_575))
}
