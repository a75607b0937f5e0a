"""The table that shows the cost of a run."""

from typing import Any

from rich.table import Table


def table(found: Any, bound: Any, chip: str, memory: float, batch_size: int) -> Table:
    """Builds the table of the cost of a step and the limits of a chip.

    Args:
      found: the cost, see library/apps/planning.py.
      bound: the roofline of the cost.
      chip: the name of the chip.
      memory: bytes of memory of each device.
      batch_size: examples per step.
    """
    shown = Table(box=None, show_header=False, pad_edge=False)
    fits = "fits" if found.peak_bytes <= memory else "does not fit"
    times = {"compute": bound.compute, "memory": bound.memory, "links": bound.links}
    limit = max(times, key=times.get)
    rows = {
        "devices": f"{found.devices}",
        "parameters": f"{found.parameters:,}",
        "state on a device": giga(found.state_bytes, "B"),
        "peak memory of a device": f"{giga(found.peak_bytes, 'B')} of {giga(memory, 'B')}: {fits}",
        "work of a step": f"{giga(found.flops, 'FLOP')}",
        "work of a device": f"{giga(found.flops / found.devices, 'FLOP')}",
        "memory traffic of a device": giga(found.bytes, "B"),
    }
    for each in found.collectives:
        name = f"{each.kind} of {each.devices}"
        rows[name] = f"{each.count} x, {giga(each.bytes, 'B')}; {giga(each.sent, 'B')} sent by each"
    rows[f"step on {chip}, at least"] = (
        f"{bound.seconds * 1e3:.3g} ms, bound by {limit} "
        f"({', '.join(f'{name} {value * 1e3:.3g} ms' for name, value in times.items())}); "
        f"{batch_size / bound.seconds:,.0f} examples/s"
    )
    for name, text in rows.items():
        shown.add_row(name, text)
    return shown


def giga(value: float, unit: str) -> str:
    """Renders a quantity with a unit prefix, such as 1.23 GB."""
    for prefix in ("", "k", "M", "G", "T"):
        if abs(value) < 1000:
            return f"{value:.3g} {prefix}{unit}"
        value /= 1000
    return f"{value:,.3g} P{unit}"
