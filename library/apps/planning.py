"""What a step will cost and whether it fits, from the compiled step and without the devices.

The step is compiled for as many CPU devices as the run will have accelerators. What XLA says of its
memory and traffic is of that program: another backend fuses otherwise.
"""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from library import costs
from library.parallel.chips import Chip
from library.parallel.collectives import Collective, collectives
from library.run import stepping
from library.run.recipe import Plan


class Cost(NamedTuple):
    """One step of training.

    Attributes:
      devices: of the mesh.
      parameters: of the model.
      state_bytes: of params, variables, moments and averages, on the device that holds most.
      flops: of all devices together, see library/costs.py.
      bytes: that each device reads and writes, as the program is fused for CPUs.
      peak_bytes: memory of each device at the most: the state, the batch and what lies between.
      collectives: what is sent between devices.
    """

    devices: int
    parameters: int
    state_bytes: int
    flops: int
    bytes: float
    peak_bytes: int
    collectives: tuple[Collective, ...]


class Roofline(NamedTuple):
    """The least seconds a step can take on a chip, by what bounds it."""

    compute: float
    memory: float
    links: float

    @property
    def seconds(self) -> float:
        """The greatest of the three: all could overlap."""
        return max(self)


def bare(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a config without what surrounds its steps: evaluations, saves and the claim."""
    return {**values, "evaluate": {}, "checkpoint": {}, "reported": None}


def cost(plan: Plan) -> Cost:
    """Compiles the step of a plan ahead of time, and says what it costs."""
    arguments, update = _described(plan)
    compiled = update.lower(*arguments).compile()
    memory, analysis = compiled.memory_analysis(), compiled.cost_analysis()
    carry = arguments[0]
    return Cost(
        devices=plan.strategy.mesh.size,
        parameters=sum(x.size for x in jax.tree.leaves(plan.state.params)),
        state_bytes=_held(carry.state),
        flops=flops(plan),
        bytes=analysis["bytes accessed"],
        peak_bytes=peak_bytes(memory),
        collectives=tuple(collectives(compiled.as_text())),
    )


def flops(plan: Plan) -> int:
    """Counts the FLOPs of a step, of all devices together, without compiling it."""
    arguments, update = _described(plan)
    return sum(costs.flops_by_path(jax.make_jaxpr(update)(*arguments).jaxpr).values())


def peak_bytes(memory: Any) -> int:
    """Returns the memory that a compiled program needs: arguments, results that do not take the
    place of arguments, and what lies between.
    """
    kept = memory.output_size_in_bytes - memory.alias_size_in_bytes
    return memory.argument_size_in_bytes + kept + memory.temp_size_in_bytes


def roofline(found: Cost, chip: Chip) -> Roofline:
    """Returns the least time of a step on a chip: its peak, its memory's and its links' bandwidth.

    Collectives are taken to go around in rings at the full bandwidth of the links.
    """
    return Roofline(
        compute=found.flops / found.devices / chip.flops,
        memory=found.bytes / chip.bandwidth,
        links=sum(each.sent for each in found.collectives) / chip.link,
    )


def _described(plan: Plan) -> tuple[tuple[Any, Any, Any], Any]:
    """Returns the shapes and places of the step's arguments, and the step."""
    batch = plan.loader.like(plan.dataset.batch_size)
    resident: Mapping[str, Any] = {}
    if plan.dataset.cache == "device":
        count = len(plan.loader.source.records)
        whole = plan.loader.like(count)
        resident = {k: v for k, v in whole.items() if k not in ("index", "row")}
        batch = {k: batch[k] for k in ("index", "row", "mask")}
    carry = stepping.carry_like(plan)
    key = jax.eval_shape(lambda: jax.random.key(0))
    rest = (carry._replace(state=None), {"key": key, "resident": resident})
    state, batch, (around, constants) = plan.strategy.describe(carry.state, batch, rest)
    carry = around._replace(state=state)
    update = plan.strategy.update(functools.partial(stepping.step, plan), carry)
    return (carry, batch, constants), update


def _held(tree: Any) -> int:
    """Returns the bytes of a tree that a device holds, by the shapes of its parts."""
    parts = ((x.sharding.shard_shape(x.shape), x.dtype) for x in jax.tree.leaves(tree))
    return sum(int(np.prod(shape)) * jax.dtypes.itemsize_bits(dtype) // 8 for shape, dtype in parts)
