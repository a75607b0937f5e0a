import pytest

from library.config import ConfigError, build
from library.models.image.inception_v2 import inception_v2
from tests import sizes

# Figure 5: side of the grid, channels. 4c and 4d have 32 more, as in the published weights.
MODULES = {
    "conv1": (112, 64),
    "conv3": (56, 192),
    "inception3a": (28, 256),
    "inception3b": (28, 320),
    "inception3c": (14, 576),
    "inception4a": (14, 576),
    "inception4b": (14, 576),
    "inception4c": (14, 608),
    "inception4d": (14, 608),
    "inception4e": (7, 1056),
    "inception5a": (7, 1024),
    "inception5b": (7, 1024),
}


@pytest.mark.full
def test_params_and_outputs_of_the_modules():
    logits, params, recorded = sizes.traced(inception_v2(), 224)
    assert logits == (1000,)
    assert params == 11_295_240
    made = {name: recorded[name]["__call__"][0] for name in MODULES}
    assert made == {name: (side, side, c) for name, (side, c) in MODULES.items()}
    stages = [recorded[f"stage{i}"] for i in range(1, 6)]
    assert stages == [(112, 112, 64), (56, 56, 192), (14, 14, 576), (7, 7, 1056), (7, 7, 1024)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(num_classes=0), "num_classes=0"),
        (dict(dropout=1.0), "dropout=1.0"),
        (dict(dtype="f16"), "dtype 'f16'"),
    ],
)
def test_a_misunderstood_argument_builds_nothing(arguments, message):
    with pytest.raises(ConfigError, match=message):
        build(dict(name="inception_v2", **arguments), "library.models", "model")
