"""Learning rates by step: a schedule by name, and the ramps around it."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import optax

from library import config
from library.config import ConfigError
from library.optim.settings import named, split


@dataclasses.dataclass(frozen=True)
class Ramps:
    """The keys that all schedules share, beside the schedule's own arguments.

    Attributes:
      warmup: the duration of a linear rise from step 0. The first step after it has the full rate.
        If it rises from 0 over n steps, its last step has (n - 1) / n of the rate.
      warmup_from: the fraction of the rate at step 0.
      cooldown: the duration of a linear fall to 0 at the end of the run.
    """

    warmup: str | None = None
    warmup_from: float = 0.0
    cooldown: str | None = None

    def __post_init__(self):
        if not self.warmup_from >= 0 or (self.warmup_from and not self.warmup):
            raise ConfigError(
                f"schedule, warmup_from={self.warmup_from!r}: write a fraction from 0, and set "
                "warmup, too"
            )


def make_schedule(
    spec: Mapping[str, Any], *, peak: float, total_steps: int, steps: Callable[[str], int]
) -> optax.Schedule:
    """Builds a learning-rate schedule, `peak * fraction(step) * warmup(step) * cooldown(step)`.

    Args:
      spec: `name`, a function of library.optim.schedules, its arguments, and those of `Ramps`.
      peak: the rate when all factors are 1.
      total_steps: updates of the whole run.
      steps: converts a duration into a number of updates.

    Returns:
      A function from the step, a whole number from 0 or a traced one, to a float32 rate. It
      keeps its last value after `total_steps`.

    Raises:
      ConfigError: an unknown name or argument, a value of the wrong type or out of range.
    """
    spec = named(spec, "schedule", config.available("library.optim.schedules"))
    where = f"schedule {spec['name']!r}"
    function = config.locate(spec["name"], "library.optim.schedules", "schedule")
    supplied = {"warmup", "cooldown", "total", "steps", "part"}
    own = set(inspect.signature(function).parameters) - supplied
    spec, shared = split(spec, where, sorted(own), Ramps)
    ramps = config.read(Ramps, shared, where)
    warmup = steps(ramps.warmup) if ramps.warmup else 0
    cooldown = steps(ramps.cooldown) if ramps.cooldown else 0
    injected = dict(warmup=warmup, cooldown=cooldown, total=total_steps, steps=steps)
    injected["part"] = functools.partial(_part, steps)
    fraction = config.build(spec, "library.optim.schedules", "schedule", **injected)

    def schedule(step):
        step = jnp.minimum(jnp.asarray(step, jnp.float32), total_steps)
        rate = peak * fraction(step)
        if warmup:
            # Written from above, so that the rate is exact from the end of warmup on.
            rate *= 1 - (1 - ramps.warmup_from) * (1 - jnp.minimum(step / warmup, 1))
        if cooldown:
            rate *= jnp.minimum((total_steps - step) / cooldown, 1)
        return rate

    return schedule


def _part(steps: Callable[[str], int], spec: Mapping[str, Any], total_steps: int) -> optax.Schedule:
    """Builds a schedule of a part of the run; its percentages are of the part's total."""

    def of_part(text: str) -> int:
        if not str(text).rstrip().endswith("%"):
            return steps(text)
        return config.duration(text, batch_size=1, num_examples=None, total=total_steps)

    return make_schedule(spec, peak=1.0, total_steps=total_steps, steps=of_part)
