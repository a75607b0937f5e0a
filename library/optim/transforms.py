"""The transformations of gradients and updates that an optimizer's settings ask for."""

import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree

from library import trees
from library.config import ConfigError
from library.optim import from_optax
from library.optim.settings import Clip, LayerDecay, Settings


def make_chain(
    settings: Settings, arguments: dict[str, Any], schedule: optax.Schedule
) -> optax.GradientTransformation:
    """Chains the transformations of the gradients of parameters that are not frozen.

    Args:
      settings: the keys that all optimizers share.
      arguments: the named optimizer's own.
      schedule: the learning rate by step.
    """
    optimizer = from_optax.optimizers()[settings.name]
    taken = set(inspect.signature(optimizer).parameters)
    decays = mask(settings.patterns()["decayed"])
    transforms = []
    if settings.l1 or settings.l2:

        def penalize(g, p):
            return g + settings.l1 * jnp.sign(p) + settings.l2 * p

        transforms.append(optax.masked(optax.stateless_with_tree_map(penalize), decays))
    if settings.clip:
        transforms.append(_clipping(settings.clip))
    if settings.weight_decay and not {"weight_decay", "weight_decay_rate"} & taken:
        transforms.append(optax.masked(optax.stateless(_coupled_decay(settings)), decays))
    bound = {key: settings.weight_decay for key in ("weight_decay", "weight_decay_rate")}
    bound |= {key: decays for key in ("mask", "weight_decay_mask", "trust_ratio_mask")}
    bound = {key: value for key, value in bound.items() if key in taken}

    def at_rate(rate: optax.Schedule) -> optax.GradientTransformation:
        return optimizer(learning_rate=rate, **bound, **arguments)

    return optax.chain(*transforms, by_step(at_rate, schedule))


def by_step(
    build: Callable[[optax.Schedule], optax.GradientTransformation], schedule: optax.Schedule
) -> optax.GradientTransformationExtraArgs:
    """Builds a transformation that follows a schedule, by `step` of `update` or its own count."""

    def update(updates, state, params=None, *, step=None, **others):
        tx = build(schedule if step is None else lambda _: schedule(step))
        return optax.with_extra_args_support(tx).update(updates, state, params, **others)

    return optax.GradientTransformationExtraArgs(build(schedule).init, update)


def _coupled_decay(settings: Settings) -> Callable[[PyTree, PyTree], PyTree]:
    def decayed(name, g, p):
        return g + settings.weight_decay * _first_match(settings.decay_rates, name) * p

    return lambda updates, params: trees.map_with_path(decayed, updates, params)


def frozen_from(pattern: str, steps: int) -> optax.GradientTransformation:
    """Makes the updates of the parameters of a pattern 0 from a step on."""
    moves = by_step(optax.scale_by_schedule, lambda step: jnp.where(step < steps, 1.0, 0.0))
    return optax.masked(moves, mask((pattern,)))


def except_frozen(
    optimizer: optax.GradientTransformation, patterns: Iterable[str]
) -> optax.GradientTransformation:
    """Returns an optimizer that neither moves the frozen parameters nor has a state of them."""
    players = {"trained": optimizer, "frozen": optax.stateless(_no_updates)}
    return optax.partition(players, mask(patterns, "frozen", "trained"))


def _clipping(clip: Clip) -> optax.GradientTransformation:
    if clip.global_norm is not None:
        inner = optax.clip_by_global_norm(clip.global_norm)
    elif clip.value is not None:
        inner = optax.clip(clip.value)
    else:
        inner = optax.adaptive_grad_clip(clip.adaptive, eps=1e-3)
    return optax.masked(inner, mask(clip.exclude, False, True))


def _first_match(rates: Iterable[tuple[str, float]], name: str) -> float:
    return next((rate for pattern, rate in rates if re.search(pattern, name)), 1.0)


def matches(patterns: Iterable[str], name: str) -> bool:
    """Returns whether one of the patterns is found in the path of a parameter."""
    return any(re.search(pattern, name) for pattern in patterns)


def mask(patterns: Iterable[str], yes: Any = True, no: Any = False) -> Callable:
    """Returns a function from a tree to a tree of `yes` where a pattern matches, else `no`."""
    return lambda tree: trees.map_with_path(lambda n, _: yes if matches(patterns, n) else no, tree)


def _no_updates(updates: PyTree, _: PyTree) -> PyTree:
    # Adding -0.0 keeps the bits of every number; adding 0.0 would turn -0.0 into 0.0.
    return jax.tree.map(lambda u: jnp.full_like(u, -0.0), updates)


def multiply_rates(settings: Settings) -> optax.GradientTransformation:
    """Multiplies updates by the factors of `rates` and `layer_decay`."""
    return optax.stateless(lambda updates, _: _multiplied(settings, updates))


def _multiplied(settings: Settings, updates: PyTree) -> PyTree:
    layers = {}
    if settings.layer_decay:
        layers = layer_rates(settings.layer_decay, trees.paths(updates))

    def multiplier(name):
        return _first_match(settings.rates, name) * layers.get(name, 1.0)

    return trees.map_with_path(lambda name, u: u * multiplier(name), updates)


def layer_rates(layers: LayerDecay, names: list[str]) -> dict[str, float]:
    """Returns the multipliers of the parameters of layers and stem, by path.

    Raises:
      ConfigError: the pattern captures no layer numbers.
    """
    found = {name: re.search(layers.pattern, name) for name in names}
    numbers = {name: match.groups() for name, match in found.items() if match}
    if not all(n and all(str(part).isdecimal() for part in n) for n in numbers.values()):
        raise ConfigError(
            f"optimizer, layer_decay, pattern={layers.pattern!r} captures no layer numbers: "
            r"write 'block(\d+)'"
        )
    numbers = {name: tuple(map(int, parts)) for name, parts in numbers.items()}
    order = sorted(set(numbers.values()))
    rates = {n: layers.rate ** (len(order) + 1) for n in names if matches(layers.stem, n)}
    return rates | {
        name: layers.rate ** (len(order) - order.index(n)) for name, n in numbers.items()
    }
