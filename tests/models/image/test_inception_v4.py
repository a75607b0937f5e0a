import pytest

from library.config import ConfigError, build
from library.models.image.inception_v4 import inception_v4
from tests import sizes

# Figures 3 and 9: side of the grid, channels.
MODULES = {
    "conv1": (149, 32),
    "conv2": (147, 32),
    "conv3": (147, 64),
    "stem_3a": (73, 160),
    "stem_4a": (71, 192),
    "stem_5a": (35, 384),
    **{f"inception_a{i}": (35, 384) for i in range(1, 5)},
    "reduction_a": (17, 1024),
    **{f"inception_b{i}": (17, 1024) for i in range(1, 8)},
    "reduction_b": (8, 1536),
    **{f"inception_c{i}": (8, 1536) for i in range(1, 4)},
}
STAGES = {
    "stage1": (147, 147, 64),
    "stage2": (73, 73, 160),
    "stage3": (35, 35, 384),
    "stage4": (17, 17, 1024),
    "stage5": (8, 8, 1536),
    "features": (1536,),
}


def test_params_and_outputs_of_the_modules_are_the_papers():
    logits, params, recorded = sizes.traced(inception_v4(), 299)
    assert logits == (1000,)
    assert params == 42_679_816
    made = {name: recorded[name]["__call__"][0] for name in MODULES}
    assert made == {name: (side, side, c) for name, (side, c) in MODULES.items()}
    assert {name: recorded[name] for name in STAGES} == STAGES


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(num_classes=0), "num_classes=0"),
        (dict(dropout=1.0), "dropout=1.0"),
        (dict(dtype="f16"), "dtype 'f16'"),
        (dict(aux=True), "aux"),
    ],
)
def test_a_misunderstood_argument_builds_nothing(arguments, message):
    with pytest.raises(ConfigError, match=message):
        build(dict(name="inception_v4", **arguments), "library.models", "model")
