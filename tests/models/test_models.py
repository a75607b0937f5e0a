"""What all models have in common: shapes, names, types, records, and the counts of their papers."""

import math

import jax
import jax.numpy as jnp
import pytest
from flax.traverse_util import flatten_dict

from library import config
from tests import often

# A spec of each kind small enough to run, and the shape of its images.
TINY = {
    "perceptron": (dict(name="mlp.perceptron"), (6, 6, 1)),
    "mlp": (dict(name="mlp", hidden=[8, 7], dropout=0.5, input_dropout=0.2), (6, 6, 1)),
    "lenet5 rbf": (dict(name="cnn.lenet5"), (28, 28, 1)),
    "lenet5 linear": (dict(name="cnn.lenet5", output="linear"), (32, 32, 3)),
    "small": (dict(name="cnn.small", widths=[4, 8], dropout=0.5), (8, 8, 3)),
    "resnet18": (dict(name="resnet.resnet18", width=4, stem="cifar"), (8, 8, 3)),
    "resnet18_v2": (dict(name="resnet.resnet18_v2", width=4, norm="group"), (32, 32, 3)),
    "resnet20": (dict(name="resnet.resnet20", width=4), (8, 8, 3)),
    "resnet20_v2": (dict(name="resnet.resnet20_v2", width=4, shortcut="pad"), (8, 8, 3)),
    "wide_resnet": (dict(name="wide_resnet", depth=10, widen_factor=1, dropout=0.3), (8, 8, 3)),
    "vit": (
        dict(name="vit", width=16, depth=2, num_heads=2, patch_size=4, dropout=0.1, drop_path=0.5),
        (8, 12, 3),
    ),
    "vit gap": (
        dict(name="vit", width=16, depth=1, num_heads=2, patch_size=4, pool="gap")
        | dict(positions="sincos2d"),
        (8, 12, 3),
    ),
    "airbench94": (dict(name="airbench.airbench94", widths=[26, 32]), (9, 9, 3)),
}

# Those of `FACTORIES` that are deeper or wider forms of others.
LARGE = (
    *("resnet.resnet101", "resnet.resnet152", "resnet.resnet101_v2", "resnet.resnet152_v2"),
    *("resnet.resnet110", "resnet.resnet110_v2", "resnet.resnet164_v2", "resnet.resnet56_v2"),
    *("vit.vit_b16", "vit.vit_l16", "vit.vit_s32", "vit.vit_b32", "vit.vit_s8", "vit.vit_ti8"),
    "inception_v3",
)

# Image size, classes by default, and params: those published, or of the same layout.
FACTORIES = {
    "mlp.perceptron": (28, 10, 28 * 28 * 3 * 10 + 10),
    "mlp": (28, 10, 28 * 28 * 3 * 800 + 800 + 800 * 800 + 800 + 8010),
    "cnn.lenet5": (32, 10, 60_000 + 2 * 6 * 25),
    "cnn.small": (8, 10, 72_954),
    "resnet.resnet18": (64, 1000, 11_689_512),
    "resnet.resnet34": (64, 1000, 21_797_672),
    "resnet.resnet50": (64, 1000, 25_557_032),
    "resnet.resnet101": (64, 1000, 44_549_160),
    "resnet.resnet152": (64, 1000, 60_192_808),
    "resnet.resnet18_v2": (64, 1000, 11_687_720),
    "resnet.resnet34_v2": (64, 1000, 21_795_880),
    "resnet.resnet50_v2": (64, 1000, 25_549_352),
    "resnet.resnet101_v2": (64, 1000, 44_541_480),
    "resnet.resnet152_v2": (64, 1000, 60_185_128),
    "resnet.resnet20": (32, 10, 269_722),
    "inception_v3": (75, 1000, 23_834_568),
    "resnet.resnet32": (32, 10, 464_154),
    "resnet.resnet44": (32, 10, 658_586),
    "resnet.resnet56": (32, 10, 853_018),
    "resnet.resnet110": (32, 10, 1_727_962),
    "resnet.resnet20_v2": (32, 10, 272_282),
    "resnet.resnet56_v2": (32, 10, 855_578),
    "resnet.resnet110_v2": (32, 10, 1_730_522),
    "resnet.resnet164_v2": (32, 10, 1_703_258),
    "wide_resnet": (32, 10, 36_479_194),
    "vit": (224, 1000, 22_050_664),
    "vit.vit_ti16": (224, 1000, 5_717_416),
    "vit.vit_s16": (224, 1000, 22_050_664),
    "vit.vit_b16": (224, 1000, 86_567_656),
    "vit.vit_l16": (224, 1000, 304_326_632),
    "vit.vit_s32": (224, 1000, 22_878_952),
    "vit.vit_b32": (224, 1000, 88_224_232),
    "vit.vit_ti4": (32, 1000, 5_553_832),
    "vit.vit_s4": (32, 1000, 21_723_496),
    "vit.vit_ti8": (64, 1000, 5_581_480),
    "vit.vit_s8": (64, 1000, 21_778_792),
    "airbench.airbench94": (32, 10, 1_971_640),
}


def build(spec):
    return config.build(spec, "library.models", "model", num_classes=5)


@pytest.mark.parametrize("name", often.but(LARGE, FACTORIES))
def test_the_name_alone_builds_the_network_of_the_paper(name):
    size, num_classes, expected = FACTORIES[name]
    model = config.build(dict(name=name), "library.models", "model")
    image = jnp.zeros((2, size, size, 3))
    logits, variables = jax.eval_shape(model.init_with_output, jax.random.key(0), image)
    assert logits.shape == (2, num_classes)
    assert logits.dtype == jnp.float32
    assert sum(math.prod(p.shape) for p in jax.tree.leaves(variables["params"])) == expected


@pytest.mark.parametrize("case", TINY)
@pytest.mark.parametrize("train", [False, True])
def test_logits_features_and_stages(case, train):
    spec, shape = TINY[case]
    model = build(spec)
    image = jax.random.uniform(jax.random.key(0), (3, *shape))
    key = {"params": jax.random.key(1), "dropout": jax.random.key(2)}
    variables = jax.eval_shape(model.init, key, image)

    def apply(variables, image):
        mutable = ["intermediates", "batch_stats"]
        return model.apply(
            variables, image, train, mutable=mutable, rngs={"dropout": key["dropout"]}
        )

    logits, updated = jax.eval_shape(apply, variables, image)
    assert logits.shape == (3, 5)
    recorded = updated["intermediates"]
    assert all(hasattr(leaf, "shape") for leaf in recorded.values())
    assert recorded["features"].shape[0] == 3
    assert recorded["features"].ndim == 2
    stages = [name for name in recorded if name.startswith("stage")]
    assert stages == [f"stage{i}" for i in range(1, len(stages) + 1)]
    assert bool(stages) == (case != "perceptron")
    if "head" in variables["params"]:
        kernel = variables["params"]["head"]["kernel"]
        assert kernel.shape == (recorded["features"].shape[1], 5)


@pytest.mark.parametrize("case", TINY)
def test_bfloat16_computes_with_float32_params_and_logits(case):
    spec, shape = TINY[case]
    model = build(spec | dict(dtype="bfloat16"))
    image = jax.random.uniform(jax.random.key(0), (2, *shape))
    variables = jax.eval_shape(model.init, jax.random.key(1), image)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}

    def apply(variables, image):
        return model.apply(variables, image, mutable=["intermediates"])

    logits, recorded = jax.eval_shape(apply, variables, image)
    assert logits.dtype == jnp.float32
    dtypes = {leaf.dtype for leaf in jax.tree.leaves(recorded)}
    assert dtypes == {jnp.dtype("bfloat16")}


@pytest.mark.parametrize("case", TINY)
def test_names_are_explicit_and_param_dtype_is_that_of_all_params(case):
    spec, shape = TINY[case]
    model = build(spec | dict(param_dtype="bfloat16"))
    variables = jax.eval_shape(model.init, jax.random.key(1), jnp.zeros((2, *shape)))
    assert set(variables) <= {"params", "batch_stats"}
    for path in flatten_dict(variables):
        # Names that Flax makes up start with the capital of a class.
        assert all(part == part.lower() for part in path), path
    assert {leaf.dtype for leaf in jax.tree.leaves(variables["params"])} == {jnp.dtype("bfloat16")}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (dict(name="resnet.resnet18", stem="imagnet"), "stem 'imagnet': did you mean 'imagenet'"),
        (dict(name="resnet.resnet20", shortcut="padd"), "shortcut 'padd': did you mean 'pad'"),
        (dict(name="resnet.resnet50", norm="layer"), r"norm 'layer': .*valid: batch, group"),
        (dict(name="resnet.resnet50", dtype="f32"), r"dtype 'f32'"),
        (dict(name="wide_resnet", depth=26), "depth=26 is not 6n [+] 4; nearest: 22 or 28"),
        (dict(name="wide_resnet", depth=4), "depth=4 is not 6n [+] 4; nearest: 10 or 16"),
        (dict(name="wide_resnet", dropout=1.5), "dropout=1.5"),
        (dict(name="vit", pool="mean"), r"pool 'mean': .*valid: cls, gap"),
        (dict(name="vit", positions="sincos"), "did you mean 'sincos2d'"),
        (dict(name="vit", width=100, num_heads=6), "num_heads=6; nearest: 5 heads"),
        (dict(name="vit", width=6, positions="sincos2d"), "width=6: sincos2d needs a multiple"),
        (dict(name="vit.vit_s16", drop_path=-0.1), "drop_path=-0.1"),
        (dict(name="mlp", activation="rleu"), "activation 'rleu': did you mean 'relu'"),
        (dict(name="mlp", hidden=[800, 0]), r"hidden=\(800, 0\)"),
        (dict(name="cnn.lenet5", output="rbg"), "did you mean 'rbf'"),
        (dict(name="cnn.small", norm="bach"), "did you mean 'batch'"),
        (dict(name="airbench.airbench94", norm="bach"), "did you mean 'batch'"),
        (dict(name="resnet.resnet8"), "did you mean 'resnet.resnet"),
    ],
)
def test_a_misunderstood_argument_builds_nothing(spec, message):
    with pytest.raises(config.ConfigError, match=message):
        config.build(spec, "library.models", "model")
