import pytest

from library.config import ConfigError
from library.layers.checks import check_dtypes, check_rates, check_sizes


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
