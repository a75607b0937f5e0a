"""A variant is its function with some arguments fixed and others of new defaults."""

import inspect
import typing

import flax.linen as nn
import pytest

from library import config
from library.variants import variant


def scale(x: float, factor: float = 1.0, steps: int | None = None, *, kind: str) -> tuple:
    """Scales."""
    return x, factor, steps, kind


double = variant(scale, "double", kind="up", factor=2.0, defaults=dict(steps=3))


def test_fixed_arguments_are_gone_and_the_others_keep_order_and_type():
    assert str(inspect.signature(double)) == "(x: float, steps: int | None = 3) -> tuple"
    assert typing.get_type_hints(double) == {"x": float, "steps": int | None, "return": tuple}


def test_calls_by_place_and_by_name():
    assert double(1.0) == (1.0, 2.0, 3, "up")
    assert double(1.0, None) == double(x=1.0, steps=None) == (1.0, 2.0, None, "up")
    with pytest.raises(TypeError, match="factor"):
        double(1.0, factor=3.0)


def test_it_belongs_to_the_module_of_its_function_and_says_what_it_is():
    assert (double.__name__, double.__module__) == ("double", scale.__module__)
    assert double.__doc__.startswith("Scales.")
    assert "`double` has kind='up', factor=2.0, steps=3." in double.__doc__


def test_configs_are_checked_by_what_is_left():
    assert config.check_arguments(double, dict(x=1), "here") == {"x": 1.0}
    with pytest.raises(config.ConfigError, match="here takes no 'factor'"):
        config.check_arguments(double, dict(x=1, factor=2.0), "here")
    with pytest.raises(config.ConfigError, match="steps='many' is of type str"):
        config.check_arguments(double, dict(x=1, steps="many"), "here")


class Scaled(nn.Module):
    """Scales, too."""

    factor: float = 1.0
    steps: int | None = None

    def __post_init__(self):
        if self.factor <= 0:
            raise config.ConfigError(f"factor={self.factor}")
        super().__post_init__()


def test_of_a_module_it_takes_the_attributes_alone_and_is_checked_as_the_module_is():
    scaled = variant(Scaled, "scaled", defaults=dict(factor=2.0))
    assert list(inspect.signature(scaled).parameters) == ["factor", "steps"]
    assert inspect.signature(scaled).parameters["factor"].default == 2.0
    hints = {"factor": float, "steps": int | None, "return": Scaled}
    assert typing.get_type_hints(scaled) == hints
    assert (scaled(steps=3).factor, scaled(steps=3).steps) == (2.0, 3)
    with pytest.raises(config.ConfigError, match="factor=-1"):
        scaled(factor=-1.0)


@pytest.mark.parametrize("wrong", [dict(speed=1), dict(defaults=dict(speed=1))])
def test_an_argument_that_there_is_not_is_refused(wrong):
    with pytest.raises(TypeError, match="fast: scale takes no speed"):
        variant(scale, "fast", **wrong)
