"""The optimizers of optax that a config may name, and the arguments that it may give them."""

import inspect
import typing
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import optax
import optax.contrib

from library import config
from library.config import ConfigError

# These need more than a gradient and plain values: the loss, a key, the gradient of each example,
# other parameters to evaluate than those trained, or a learning rate without schedule.
_OUT_OF_REACH = (
    *("lbfgs", "momo", "momo_adam", "sophia", "noisy_sgd", "dpsgd", "schedule_free_sgd"),
    *("schedule_free_adamw", "optimistic_adam", "rprop", "sm3"),
)
# These are set here, from `schedule`, `decayed` and `rates`, or take objects.
_BOUND = (
    *("learning_rate", "adam_learning_rate", "weight_decay", "weight_decay_rate", "mask"),
    *("weight_decay_mask", "trust_ratio_mask", "base_optimizer", "weight_dimension_numbers"),
    "muon_weight_dimension_numbers",
)


def optimizers() -> dict[str, Callable]:
    """Returns the functions of optax and optax.contrib that a spec may name."""
    return {
        name: function
        for module in (optax, optax.contrib)
        for name, function in sorted(vars(module).items())
        if inspect.isfunction(function)
        and next(iter(inspect.signature(function).parameters), None) == "learning_rate"
        and not name.startswith(("_", "scale_by_"))
        and name not in _OUT_OF_REACH
    }


def own_arguments(function: Callable) -> dict[str, Any]:
    """Returns the arguments that a config may give one of `optimizers`, with their defaults."""
    parameters = inspect.signature(function).parameters
    return {name: parameters[name].default for name in plain_arguments(function)}


def plain_arguments(function: Callable) -> dict[str, Any]:
    """Returns the types of the arguments that a config may give one of `optimizers`."""
    # optax annotates numbers as arrays, so only the defaults tell the types of plain values.
    arguments = {}
    for name, parameter in inspect.signature(function).parameters.items():
        default = parameter.default
        if "dtype" in name:
            arguments[name] = jnp.dtype
        elif name not in _BOUND and not callable(default):
            optional = default is None or type(None) in typing.get_args(parameter.annotation)
            kind = float if default is None else type(default)
            arguments[name] = kind | None if optional else kind
    return arguments


def check_argument(value: Any, kind: Any, where: str) -> Any:
    """Returns the value of an argument, converted to its type in `plain_arguments`.

    Raises:
      ConfigError: the value does not fit. The message starts with `where`.
    """
    if kind is not jnp.dtype:
        return config.check_value(value, kind, where)
    try:
        return value if value is None else jnp.dtype(value)
    except TypeError:
        hint = config.nearest(value, ("float32", "bfloat16", "float16"))
        raise ConfigError(f"{where}={value!r}: {hint}") from None
