"""MLP-Mixers of timm, whose weights are converted from the authors'."""

from library.weights.mapping import conv_rules, dense_rules, norm_rules
from library.weights.published import HALF, Published, Reported, Table, Transform

_BLOCK = r"block(\d+)"
_THERE = "blocks.{1-1}"
RULES = (
    *conv_rules("patches", "stem.proj", bias=True),
    *norm_rules(rf"{_BLOCK}/norm(\d)", f"{_THERE}.norm{{2}}"),
    *dense_rules(rf"{_BLOCK}/token_mixing/(fc\d)", f"{_THERE}.mlp_tokens.{{2}}"),
    *dense_rules(rf"{_BLOCK}/channel_mixing/(fc\d)", f"{_THERE}.mlp_channels.{{2}}"),
    *norm_rules("norm", "norm"),
    *dense_rules("head", "head"),
)
_PAPER = "Tolstikhin et al. 2021, MLP-Mixer: An all-MLP architecture for vision, arXiv 2105.01601"
_SOURCE = "timm, results/results-imagenet.csv, {}.goog_in21k_ft_in1k"

# Model here, blocks, parameters, GMACs (timm, results/benchmark-infer-*-pt110-*), and top-1 and
# top-5 if there are weights.
_SIZES = {
    "mixer_s32_224": ("mixer_s32", 8, 19_104_624, 1.00, None),
    "mixer_s16_224": ("mixer_s16", 8, 18_528_264, 3.79, None),
    "mixer_b32_224": ("mixer_b32", 12, 60_293_428, 3.24, None),
    "mixer_b16_224": ("mixer_b16", 12, 59_880_472, 12.62, (76.602, 92.224)),
    "mixer_l32_224": ("mixer_l32", 24, 206_939_264, 11.27, None),
    "mixer_l16_224": ("mixer_l16", 24, 208_196_168, 44.60, (72.054, 87.674)),
}
PUBLISHED: Table = {
    name: Published(
        model=dict(name=f"mlp_mixer.{model}"),
        rules=RULES,
        paper=_PAPER,
        parameters=parameters,
        gflops=2 * gmacs,
        reference=f"timm/{name}",
        stages=tuple(f"blocks.{i}" for i in range(blocks)),
        transform=Transform(interpolation="bicubic", mean=HALF, std=HALF),
        reported=Reported(*top, _SOURCE.format(name)) if top else None,
    )
    for name, (model, blocks, parameters, gmacs, top) in _SIZES.items()
}
