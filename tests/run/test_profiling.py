"""Which steps are traced, and what is left of it in the workdir."""

import pytest

from library.config import ConfigError
from library.run.profiling import Span, read_span


def test_a_span():
    assert read_span("10:15") == Span(10, 15)


@pytest.mark.parametrize("text", ["10", "0:5", "5:5", "7:3", "a:b", "1:2:3", "-1:4"])
def test_a_span_that_is_not_understood(text):
    with pytest.raises(ConfigError, match="valid is START:STOP"):
        read_span(text)
