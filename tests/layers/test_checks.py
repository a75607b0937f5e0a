import jax
import jax.numpy as jnp
import pytest

from library.config import ConfigError
from library.layers.checks import (
    check_dtypes,
    check_image,
    check_rates,
    check_sizes,
    nearest_multiples,
)


def test_what_is_wrong_and_what_is_valid_are_named():
    with pytest.raises(ConfigError, match=r"param_dtype 'bfloat61': did you mean 'bfloat16'"):
        check_dtypes("float32", "bfloat61")
    with pytest.raises(ConfigError, match=r"drop_path=1.0: a rate is at least 0 and less than 1"):
        check_rates(dropout=0.0, drop_path=1.0)
    with pytest.raises(ConfigError, match=r"widths=\(8, 0\): sizes and counts are 1 or more"):
        check_sizes(num_classes=1, widths=(8, 0))


def test_what_is_right_passes():
    check_dtypes("bfloat16", "float32")
    check_rates(dropout=0.0, drop_path=0.99)
    check_sizes(num_classes=1, hidden=())


def test_64_bits_are_valid_where_jax_has_them():
    with jax.enable_x64(True):
        check_dtypes("float64", "float64")
    with pytest.raises(ConfigError, match="unknown dtype 'float64'"):
        check_dtypes("float64", "float64")


def test_the_nearest_size_of_an_image():
    check_image("a network", jnp.zeros((1, 4, 9, 3)), 4)
    with pytest.raises(
        ValueError, match=r"a network takes .* 4x4 or larger, not 9x3; nearest: 9x4"
    ):
        check_image("a network", jnp.zeros((1, 9, 3, 3)), 4)
    assert nearest_multiples(24, 41, 16) == "32x48"
    assert nearest_multiples(1, 33, 16) == "16x32"
