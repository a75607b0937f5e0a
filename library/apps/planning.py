"""The cost of a training step and whether it fits, from the compiled step, without the devices.

The step is compiled for as many CPU devices as the run will have accelerators. XLA's numbers of
memory and traffic are those of that program: another backend fuses operations in another way.
"""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from library import costs
from library.data import graphs_in_memory
from library.parallel.chips import Chip
from library.parallel.collectives import Collective, collectives
from library.run import stepping
from library.run.plan import Plan


class Cost(NamedTuple):
    """The cost of one training step.

    Attributes:
      devices: number of devices of the mesh.
      parameters: number of parameters of the model.
      state_bytes: bytes of params, variables, moments and averages on each device.
      flops: FLOPs of all devices together, see library/costs.py.
      bytes: bytes that each device reads and writes, for a program that is fused for CPUs.
      peak_bytes: the most memory that each device needs: state, batch and temporary values.
      collectives: the communication between devices.
    """

    devices: int
    parameters: int
    state_bytes: int
    flops: int
    bytes: float
    peak_bytes: int
    collectives: tuple[Collective, ...]


class Roofline(NamedTuple):
    """The least seconds that a step can take on a chip, by the resource that limits it."""

    compute: float
    memory: float
    links: float

    @property
    def seconds(self) -> float:
        """The greatest of the three times, because all three could overlap."""
        return max(self)


def cost(plan: Plan) -> Cost:
    """Compiles the step of a plan ahead of time, and returns its cost."""
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
    """Counts the FLOPs of a step on all devices together, without compiling it."""
    arguments, update = _described(plan)
    return sum(costs.flops_by_path(jax.make_jaxpr(update)(*arguments).jaxpr).values())


def held_bytes(plan: Plan) -> dict[str, int]:
    """Returns the bytes that each device holds, by part, without parts of 0 bytes.

    The parts are "params", "variables", "optimizer state", "running averages", "batch", and
    "dataset", the training split in device memory. Temporary values of a step are not counted.
    """
    (carry, _, constants), _ = _described(plan)
    state = carry.state
    parts = {
        "params": state.params,
        "variables": state.variables,
        "optimizer state": state.opt_state,
        "running averages": state.ema,
    }
    held = {name: _held(tree) for name, tree in parts.items()}
    batch = plan.loader.like(plan.dataset.batch_size)
    held["batch"] = sum(map(_size, batch.values())) // plan.strategy.batch_shards
    held["dataset"] = _held(constants["resident"])
    return {name: size for name, size in held.items() if size}


def peak_bytes(memory: Any) -> int:
    """Returns the bytes of memory that a compiled program needs.

    They are those of arguments, of results that do not reuse the memory of arguments, and of
    temporary values.
    """
    kept = memory.output_size_in_bytes - memory.alias_size_in_bytes
    return memory.argument_size_in_bytes + kept + memory.temp_size_in_bytes


def roofline(found: Cost, chip: Chip) -> Roofline:
    """Returns the least times of a step by a chip's peak FLOPs, memory bandwidth and links.

    Collectives are assumed to use rings at the full bandwidth of the links.
    """
    return Roofline(
        compute=found.flops / found.devices / chip.flops,
        memory=found.bytes / chip.bandwidth,
        links=sum(each.sent for each in found.collectives) / chip.link,
    )


def _described(plan: Plan) -> tuple[tuple[Any, Any, Any], Any]:
    """Returns the shapes and shardings of the step's arguments, and the step."""
    batch = plan.loader.like(plan.dataset.batch_size)
    resident: Mapping[str, Any] = {}
    if plan.dataset.cache == "device":
        count = len(plan.loader.source.records)
        whole, budget = plan.loader.like(count), plan.dataset.budget
        if budget is not None:
            whole = graphs_in_memory.like(budget, whole, count)
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
    """Returns the bytes of a tree on each device, by the shapes of its shards."""
    parts = (
        jax.ShapeDtypeStruct(x.sharding.shard_shape(x.shape), x.dtype)
        for x in jax.tree.leaves(tree)
    )
    return sum(map(_size, parts))


def _size(x: jax.ShapeDtypeStruct) -> int:
    """Returns the bytes of an array."""
    return int(np.prod(x.shape)) * jax.dtypes.itemsize_bits(x.dtype) // 8
