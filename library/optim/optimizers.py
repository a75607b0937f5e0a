"""Optimizers of a run, of one player or several, from the specs of its config.

`library.optim.settings` states what a spec holds, and the convention of weight decay.
"""

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import optax
from jaxtyping import PyTree

from library import config, trees
from library.config import ConfigError
from library.optim import phases, transforms
from library.optim.learning_rate import make_schedule
from library.optim.lookahead import lookahead
from library.optim.settings import read


def make_optimizer(
    spec: Mapping[str, Any], *, total_steps: int, steps: Callable[[str], int], batch_size: int
) -> tuple[optax.GradientTransformation, optax.Schedule]:
    """Builds an optimizer; `settings.Settings` and optax's signature state the keys of `spec`.

    The parameters are not needed here: patterns apply when `init` and `update` see them.
    `check_patterns` checks that they fit.

    Args:
      spec: plain values.
      total_steps: updates of the whole run.
      steps: converts a duration ("5 epochs", "30%") into a number of updates.
      batch_size: examples an update, over all devices.

    Returns:
      The transformation, and the learning rate (float32) by update, counted from 0, without
      the multipliers of `layer_decay` and `rates`. `update` takes the number of the update as
      `step`; without it, it counts updates. With it the rate, `frozen_from`, `phases` and
      `lookahead` follow the step, which counts steps that were left out, too. Moments and their
      bias correction follow the updates that were made.

    Raises:
      ConfigError: an unknown name or argument, a value of the wrong type or out of range.
    """
    settings, arguments = read(spec)
    peak = settings.learning_rate
    if settings.base_batch:
        peak = peak * batch_size / settings.base_batch
    first = phases.starts(total_steps, settings.phases)
    schedule = make_schedule(
        settings.schedule or {"name": "constant"},
        peak=peak,
        total_steps=-(-total_steps // settings.phases),
        steps=steps,
    )
    tx = transforms.make_chain(settings, arguments, schedule)
    if settings.frozen:
        tx = transforms.except_frozen(tx, settings.frozen)
    if settings.rates or settings.layer_decay:
        tx = optax.chain(tx, transforms.multiply_rates(settings))
    if settings.phases > 1:
        tx, schedule = phases.restarted(tx, first), phases.within(schedule, first)
    for pattern, duration in settings.frozen_from:
        tx = optax.chain(tx, transforms.frozen_from(pattern, steps(duration)))
    if settings.lookahead:
        follow = lookahead(settings.lookahead, total_steps)
        tx = optax.chain(tx, optax.masked(follow, transforms.mask(settings.frozen, False, True)))
    return tx, schedule


def make_hold(spec: Mapping[str, Any]) -> Callable[[PyTree], PyTree] | None:
    """Returns a function that stops the gradient of frozen parameters, or None if none is frozen.

    Raises:
      ConfigError: an error of `make_optimizer`.
    """
    settings, _ = read(spec)
    if not settings.frozen:
        return None

    def stop(name: str, leaf: jax.Array) -> jax.Array:
        return jax.lax.stop_gradient(leaf) if transforms.matches(settings.frozen, name) else leaf

    return lambda params: trees.map_with_path(stop, params)


class Player(NamedTuple):
    """One player's optimizer.

    Attributes:
      optimizer: the transformation.
      learning_rate: the rate by step of the run.
      updates: number of the player's updates in a step of the run.
    """

    optimizer: optax.GradientTransformation
    learning_rate: optax.Schedule
    updates: int


def by_player(spec: Mapping[str, Any]) -> dict[str, dict[str, Any]] | None:
    """Returns the specs of several players, or None if one spec is for all."""
    spec = config.plain(spec)
    if "name" in spec or not spec or not all(isinstance(part, dict) for part in spec.values()):
        return None
    return spec


def make_optimizers(
    specs: Mapping[str, Mapping[str, Any]],
    *,
    total_steps: int,
    steps: Callable[[str], int],
    batch_size: int,
) -> dict[str, Player]:
    """Builds the optimizers of several players, see `make_optimizer`.

    Durations are those of the run: a player with five updates a step makes five times as many
    updates in an epoch.

    Raises:
      ConfigError: an error of `make_optimizer`, or `updates` is not a whole number above 0.
    """
    counts = {name: spec.get("updates", 1) for name, spec in specs.items()}
    for name, count in counts.items():
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise ConfigError(f"optimizer.{name}.updates={count!r}: valid are 1 or more")
    made = {}
    for name, count in counts.items():
        optimizer, schedule = make_optimizer(
            {k: v for k, v in specs[name].items() if k != "updates"},
            total_steps=total_steps * count,
            steps=lambda text, count=count: steps(text) * count,
            batch_size=batch_size // max(counts.values()),
        )
        rate = functools.partial(_at_first_update, schedule, count)
        made[name] = Player(optimizer, rate, count)
    return made


def _at_first_update(schedule: optax.Schedule, updates: int, step: int) -> jax.Array:
    return schedule(step * updates)


def check_patterns(spec: Mapping[str, Any], params: PyTree) -> None:
    """Checks the patterns of an optimizer's spec against the params, which may be abstract.

    Raises:
      ConfigError: a pattern matches no parameter, layers have no numbers, or all parameters are
        frozen.
    """
    settings, _ = read({key: value for key, value in spec.items() if key != "updates"})
    names, decays = trees.paths(params), settings.weight_decay or settings.l1 or settings.l2
    for key, patterns in settings.patterns().items():
        for pattern in patterns if decays or key != "decayed" else ():
            if not any(re.search(pattern, name) for name in names):
                raise ConfigError(
                    f"optimizer, {key}: {pattern!r} matches no parameter: "
                    f"{trees.nearest(pattern, names)}"
                )
    if settings.layer_decay:
        transforms.layer_rates(settings.layer_decay, names)
    if all(transforms.matches(settings.frozen, name) for name in names):
        raise ConfigError(f"optimizer, frozen={settings.frozen!r}: nothing is left to train")
