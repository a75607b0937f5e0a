"""Learning-rate schedules: each function returns the rate, as a fraction of its peak, by step.

`fraction(step)` takes a float32 step, counted from the start of the run, and is 1 at the peak.
`library.optim.learning_rate.make_schedule` multiplies every schedule by warmup and cooldown. A
schedule that decays over the run decays from the end of warmup to the end of the run, and then
keeps its last value. The end of the run cuts a longer schedule short.

The builder supplies `warmup`, `cooldown` and `total`, all in steps, `steps`, which converts a
duration such as "5 epochs" or "30%" into steps, and `part`, which builds another schedule. The
config supplies the other arguments.
"""

from collections.abc import Callable
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from library.config import ConfigError

Fraction = Callable[[Float[Array, ""]], Float[Array, ""]]
Steps = Callable[[str], int]
# A schedule from its spec and its length in steps; percentages in the spec are of this length.
Part = Callable[[dict[str, Any], int], Fraction]


def constant() -> Fraction:
    """Keeps the peak; with warmup and cooldown it is a trapezoid."""
    return jnp.ones_like


def cosine(*, warmup: int, total: int, final: float = 0.0) -> Fraction:
    """Falls from 1 to `final` by half a cosine: Loshchilov and Hutter 2017 (SGDR), eq. 5."""
    return lambda step: _toward(final, 0.5 * (1 + jnp.cos(jnp.pi * _progress(step, warmup, total))))


def linear(*, warmup: int, total: int, final: float = 0.0) -> Fraction:
    """Falls from 1 to `final` in a straight line."""
    return lambda step: _toward(final, 1 - _progress(step, warmup, total))


def polynomial(*, warmup: int, total: int, power: float, final: float = 0.0) -> Fraction:
    """Falls from 1 to `final` by `(1 - progress) ** power`: DeepLab's "poly" has power 0.9."""
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
    """Multiplies the rate by `factor` in each period `every` after warmup.

    With `staircase` the whole factor comes at the end of a period. With `since="start"` the periods
    of the warmup count, too, so the rate falls at once when the warmup ends: EfficientNet's authors
    and timm do so.
    """
    period = _at_least_one(steps(every), f"every={every!r}")
    first = warmup if since == "warmup" else 0

    def fraction(step):
        periods = jnp.where(step < warmup, 0, step - first) / period
        return factor ** (jnp.floor(periods) if staircase else periods)

    return fraction


def step(*, steps: Steps, boundaries: tuple[str, ...], factor: float = 0.1) -> Fraction:
    """Multiplies the rate by `factor` at each boundary; the boundary's own step has the new rate.

    Boundaries count from the start of the run, as in papers ("divided by 10 at 32k").

    Raises:
      ConfigError: the boundaries are not sorted.
    """
    at = _increasing("step", boundaries, steps)
    values = np.asarray([factor**i for i in range(len(at) + 1)], np.float32)
    return lambda step: jnp.asarray(values)[jnp.sum(step >= at, dtype=int)]


def piecewise(
    *, steps: Steps, boundaries: tuple[str, ...], fractions: tuple[float, ...]
) -> Fraction:
    """Keeps each fraction up to its boundary, whose step has the next fraction; the last one stays.

    Raises:
      ConfigError: the boundaries are not sorted, or their number is not one less than that of the
        fractions.
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
    """Rises from `start` to 1 at the duration `peak`, then falls to `final`, in straight lines.

    This is the linear form of Smith and Topin 2018 (super-convergence); CIFAR speed runs use it.

    Raises:
      ConfigError: the spec has a warmup, too.
    """
    if warmup:
        raise ConfigError("schedule 'one_cycle' rises by itself: leave out warmup, set start, peak")
    top = _at_least_one(steps(peak), f"peak={peak!r}")
    knots = np.asarray([0, top, max(total, top + 1)], np.float32)
    values = np.asarray([start, 1, final], np.float32)
    return lambda step: jnp.interp(step, knots, values)


def rsqrt(*, warmup: int, steps: Steps, timescale: str) -> Fraction:
    """Falls as `sqrt(timescale / (timescale + t))`, t steps after warmup: Zhai et al. 2022.

    See their section 3.5. With `timescale` equal to the warmup it is Vaswani et al. 2017, eq. 3. It
    does not depend on the total, so a run can be continued; a cooldown ends it.
    """
    scale = _at_least_one(steps(timescale), f"timescale={timescale!r}")
    return lambda step: jnp.sqrt(scale / (scale + jnp.maximum(step - warmup, 0)))


def cooldown(
    *,
    warmup: int,
    total: int,
    cooldown: int,
    steps: Steps,
    over: str,
    shape: Literal["linear", "sqrt"] = "linear",
    final: float = 0.0,
) -> Fraction:
    """Keeps the peak, and falls to `final` over the duration `over` at the end of the run.

    With warmup this is warmup-stable-decay. After the share t of the fall, the rate is 1 - t
    ("linear"), or 1 - sqrt(t) ("sqrt"), the form of Hägele et al. 2024 (arXiv 2405.18392). Before
    the fall the rate does not depend on the total. So `--prolong` makes a run of a constant rate
    longer by such a fall, with the same bits as a run that had it from the start.

    Raises:
      ConfigError: the fall is longer than the run after its warmup, or the spec has a cooldown,
        too.
    """
    if cooldown:
        raise ConfigError("schedule 'cooldown' falls by itself: leave out cooldown, set over")
    length = _at_least_one(steps(over), f"over={over!r}")
    if length > total - warmup:
        raise ConfigError(
            f"schedule 'cooldown', over={over!r} is {length} steps: valid are 1 to "
            f"{total - warmup}, the steps of the run after its warmup"
        )

    def fraction(step):
        share = jnp.clip((step - (total - length)) / length, 0.0, 1.0)
        return _toward(final, 1 - (jnp.sqrt(share) if shape == "sqrt" else share))

    return fraction


def sequence(*, total: int, steps: Steps, part: Part, parts: tuple[dict, ...]) -> Fraction:
    """Follows several schedules, one after the other.

    A part is the spec of a schedule, with up to two more keys. `until` is the duration from the
    start of the run to the end of the part; the last part ends with the run and has none. `total`
    is the length of the run that the schedule is made for, by default the length of the part. A
    part counts steps from its own start, and its percentages are of its `total`.

    `--prolong` writes this schedule where the schedule of a run depends on the total.

    Raises:
      ConfigError: there is no part, or the ends of the parts do not rise below the total.
    """
    ends = [steps(each["until"]) if "until" in each else total for each in parts]
    if not ends or sorted({0, *ends}) != [0, *ends] or ends[-1] != total or "until" in parts[-1]:
        raise ConfigError(
            f"schedule 'sequence' has parts that end at the steps {ends}: every part but the last "
            f"needs until=..., and they rise from 1 to at most {total - 1}"
        )
    starts = [0, *ends[:-1]]
    made = []
    for spec, start, end in zip(parts, starts, ends):
        length = steps(spec["total"]) if "total" in spec else end - start
        made.append(part({k: v for k, v in spec.items() if k not in ("until", "total")}, length))

    def fraction(step):
        place = jnp.sum(step >= jnp.asarray(ends[:-1], jnp.float32), dtype=int)
        each = [f(jnp.maximum(step - start, 0)) for f, start in zip(made, starts)]
        return jnp.stack(each)[place]

    return fraction


def _increasing(name, boundaries, steps):
    at = [steps(boundary) for boundary in boundaries]
    if at != sorted(at):
        raise ConfigError(
            f"schedule {name!r}, boundaries={boundaries!r} are the steps {at}: they are not sorted"
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
