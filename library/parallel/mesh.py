"""The function that makes every mesh."""

import math
from collections.abc import Mapping, Sequence

import jax
from jax.sharding import AxisType, Mesh

from library.config import ConfigError, check_choice, check_value

AXES = ("data", "fsdp", "tensor")


def make_mesh(sizes: Mapping[str, int], devices: Sequence[jax.Device] | None = None) -> Mesh:
    """Makes the mesh of a run; its axes are always (data, fsdp, tensor).

    Args:
      sizes: devices along each axis. A size of -1, allowed once, takes the devices that are left.
        An axis without a size has one device; data takes the devices that are left if no other
        axis does.
      devices: the devices to use, by default all of all processes.

    Raises:
      ConfigError: an unknown axis, or sizes whose product is not the number of devices.
    """
    devices = list(jax.devices() if devices is None else devices)
    for axis in sizes:
        check_choice("mesh axis", axis, AXES)
    sizes = {"data": 1 if -1 in sizes.values() else -1, **sizes}
    shape = [check_value(sizes.get(axis, 1), int, f"mesh axis {axis}") for axis in AXES]
    if any(size < 1 and size != -1 for size in shape) or shape.count(-1) > 1:
        raise ConfigError(
            f"mesh {dict(sizes)}: sizes are 1 or more, and one may be -1, which takes the devices "
            "that are left"
        )
    known = math.prod(size for size in shape if size != -1)
    if -1 in shape and len(devices) % known == 0:
        shape[shape.index(-1)] = len(devices) // known
    if math.prod(shape) != len(devices):
        raise ConfigError(
            f"mesh {dict(sizes)} multiplies to {known}, but there are {len(devices)} devices: "
            f"valid is, for one, {dict(zip(AXES, (len(devices), 1, 1)))}"
        )
    # Axes are Auto: with Explicit axes, make_mesh's default, linen's Embed and
    # with_partitioning do not run.
    return jax.make_mesh(tuple(shape), AXES, axis_types=(AxisType.Auto,) * 3, devices=devices)
