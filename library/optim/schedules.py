"""Learning-rate schedules: each function returns the rate, as a fraction of its peak, by step.

`fraction(step)` takes a float32 step counted from the start of the run and is 1 at the peak.
Warmup and cooldown are not here: `library.optim.optimizers.make_schedule` multiplies every schedule
by them. A schedule that decays over the run does so from the end of warmup to the end of the run,
and stays at its last value after that. A schedule longer than the run is cut short by it.

`warmup`, `total` (both in steps) and `steps` (which converts a duration such as "5 epochs" or
"30%" into steps) are supplied by the builder; the other arguments are the configuration's.
"""

from collections.abc import Callable
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from library.config import ConfigError

Fraction = Callable[[Float[Array, ""]], Float[Array, ""]]
Steps = Callable[[str], int]


def constant() -> Fraction:
    """The peak throughout; with a cooldown, the trapezoid of warmup, plateau and decay."""
    return jnp.ones_like


def cosine(*, warmup: int, total: int, final: float = 0.0) -> Fraction:
    """Half a cosine from 1 to `final`: Loshchilov and Hutter 2017 (SGDR), eq. 5, one cycle."""
    return lambda step: _toward(final, 0.5 * (1 + jnp.cos(jnp.pi * _progress(step, warmup, total))))


def linear(*, warmup: int, total: int, final: float = 0.0) -> Fraction:
    """A straight line from 1 to `final`."""
    return lambda step: _toward(final, 1 - _progress(step, warmup, total))


def polynomial(*, warmup: int, total: int, power: float, final: float = 0.0) -> Fraction:
    """`(1 - progress) ** power` from 1 to `final`, as DeepLab's "poly" with power 0.9."""
    return lambda step: _toward(final, (1 - _progress(step, warmup, total)) ** power)


def exponential(
    *,
    warmup: int,
    steps: Steps,
    factor: float,
    every: str,
    staircase: bool = False,
    since: Literal["warmup", "start"] = "warmup",
) -> Fraction:
    """Multiplies by `factor` over each `every` since warmup; at once at its end if `staircase`.

    With `since="start"` the periods of the warmup count too, though they show only from its end on:
    so EfficientNet's authors and timm have it, whose warmup rises to the peak and then falls at
    once to what the decay has come to.
    """
    period = _at_least_one(steps(every), f"every={every!r}")
    first = warmup if since == "warmup" else 0

    def fraction(step):
        periods = jnp.where(step < warmup, 0, step - first) / period
        return factor ** (jnp.floor(periods) if staircase else periods)

    return fraction


def step(*, steps: Steps, boundaries: tuple[str, ...], factor: float = 0.1) -> Fraction:
    """Multiplies by `factor` at each boundary, the boundary's own step included.

    Boundaries count from the start of the run, as papers give them ("divided by 10 at 32k").

    Raises:
      ConfigError: the boundaries do not increase.
    """
    at = _increasing("step", boundaries, steps)
    values = np.asarray([factor**i for i in range(len(at) + 1)], np.float32)
    return lambda step: jnp.asarray(values)[jnp.sum(step >= at, dtype=int)]


def piecewise(
    *, steps: Steps, boundaries: tuple[str, ...], fractions: tuple[float, ...]
) -> Fraction:
    """Holds each fraction up to its boundary, whose own step has the next one; the last stays.

    Raises:
      ConfigError: the boundaries do not increase, or there is not one fraction more than them.
    """
    at = _increasing("piecewise", boundaries, steps)
    if len(fractions) != len(at) + 1:
        raise ConfigError(
            f"schedule 'piecewise' has {len(at)} boundaries and {len(fractions)} fractions: "
            f"{len(at) + 1} are needed"
        )
    values = np.asarray(fractions, np.float32)
    return lambda step: jnp.asarray(values)[jnp.sum(step >= at, dtype=int)]


def one_cycle(
    *, warmup: int, total: int, steps: Steps, peak: str, start: float = 0.0, final: float = 0.0
) -> Fraction:
    """Two straight lines: `start` to 1 at the duration `peak`, then 1 to `final` at the end.

    The linear form of Smith and Topin 2018 (super-convergence), as CIFAR speed runs use it.

    Raises:
      ConfigError: there is a warmup besides.
    """
    if warmup:
        raise ConfigError("schedule 'one_cycle' rises by itself: leave out warmup, set start, peak")
    top = _at_least_one(steps(peak), f"peak={peak!r}")
    knots = np.asarray([0, top, max(total, top + 1)], np.float32)
    values = np.asarray([start, 1, final], np.float32)
    return lambda step: jnp.interp(step, knots, values)


def rsqrt(*, warmup: int, steps: Steps, timescale: str) -> Fraction:
    """`sqrt(timescale / (timescale + t))`, t steps after warmup: Zhai et al. 2022, section 3.5.

    With `timescale` equal to the warmup it is Vaswani et al. 2017, eq. 3. It depends on no total,
    so that a run can be prolonged; a cooldown ends it.
    """
    scale = _at_least_one(steps(timescale), f"timescale={timescale!r}")
    return lambda step: jnp.sqrt(scale / (scale + jnp.maximum(step - warmup, 0)))


def _increasing(name, boundaries, steps):
    at = [steps(boundary) for boundary in boundaries]
    if at != sorted(at):
        raise ConfigError(
            f"schedule {name!r}, boundaries={boundaries!r} are steps {at}: not sorted"
        )
    return np.asarray(at, np.float32)


def _progress(step, warmup, total):
    return jnp.clip((step - warmup) / max(total - warmup, 1), 0.0, 1.0)


def _toward(final, shape):
    # Written from above, so that a shape of exactly 1 gives exactly 1 whatever `final` is.
    return 1 - (1 - final) * (1 - shape)


def _at_least_one(number, where):
    if number < 1:
        raise ConfigError(f"{where} is {number} steps: at least one is needed")
    return number
