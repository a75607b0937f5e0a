"""Lookahead: slow weights that follow an optimizer's at intervals (Zhang et al. 2019).

"Lookahead Optimizer: k steps forward, 1 step back", arXiv 1907.08610, algorithm 1. Every k steps
the slow weights move a part of the way to the params, and the params start again from there. The
optimizer keeps its state. In Jordan 2024 (arXiv 2404.00498), after tysam-code/hlb-CIFAR10, the slow
weights follow ever more slowly, so that the last part of a run is an average.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, PyTree

from library.config import ConfigError


@dataclasses.dataclass(frozen=True)
class Lookahead:
    """How the slow weights follow.

    Attributes:
      every: steps from one synchronization to the next, the paper's k.
      decay: the share of the slow weights that a synchronization keeps, the paper's 1 - alpha.
      power: synchronization after step t of T keeps decay * (t / T) ** power; 0 is the paper's.
    """

    every: int = 5
    decay: float = 0.5
    power: float = 0.0

    def __post_init__(self):
        if self.every < 1 or not 0 <= self.decay < 1 or not self.power >= 0:
            raise ConfigError(
                f"optimizer, lookahead={dataclasses.asdict(self)}: every is 1 or more, "
                "0 <= decay < 1, and power is 0 or more"
            )


class LookaheadState(NamedTuple):
    """The step after the last update, and the slow weights."""

    count: Array
    slow: PyTree


def lookahead(settings: Lookahead, total_steps: int) -> optax.GradientTransformation:
    """Makes the last transformation of a chain, which turns updates into those of Lookahead.

    The slow weights start as the params of the first step, also if the params were replaced after
    `init`. After `total_steps` the params are the slow weights.

    `update` may get the run's `step`, which then replaces the count of updates. If a step is left
    out when a synchronization is due, that synchronization is left out, too.

    Args:
      settings: how the slow weights follow.
      total_steps: updates of the whole run.
    """

    def init(params: PyTree) -> LookaheadState:
        return LookaheadState(jnp.zeros((), jnp.int32), jax.tree.map(jnp.zeros_like, params))

    def update(
        updates: PyTree,
        state: LookaheadState,
        params: PyTree,
        *,
        step: Int[Array, ""] | None = None,
        **_: object,
    ) -> tuple[PyTree, LookaheadState]:
        count = (state.count if step is None else step) + 1
        due = count % settings.every == 0
        decay = settings.decay * (count / total_steps) ** settings.power
        share = jnp.where(due, 1 - decay, 0.0)
        back = due | (count == total_steps)

        def follow(slow: Array, param: Array, fast: Array) -> Array:
            slow = jnp.where(state.count == 0, param, slow)
            return slow + share.astype(slow.dtype) * (fast - slow)

        slow = jax.tree.map(follow, state.slow, params, optax.apply_updates(params, updates))
        updates = jax.tree.map(lambda s, p, u: jnp.where(back, s - p, u), slow, params, updates)
        return updates, LookaheadState(count, slow)

    return optax.GradientTransformationExtraArgs(init, update)
