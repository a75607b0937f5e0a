"""The model FLOPs utilization of a run: its share of the devices' peak rate."""

from library.parallel import chips
from library.run.plan import Plan


def utilization(plan: Plan, steps_per_second: float | None) -> float | None:
    """Returns the share of the devices' bfloat16 peak that the steps' FLOPs reach.

    It is None without a rate, and if the peak is unknown, as on CPU.
    """
    devices = plan.strategy.mesh.devices
    chip = chips.of(devices.flat[0])
    if None in (chip, plan.flops, steps_per_second):
        return None
    return plan.flops * steps_per_second / (chip.flops * devices.size)
