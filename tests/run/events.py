"""Reads the TensorBoard events of a run."""

import struct
from pathlib import Path
from typing import Any

from tensorboardX.proto.event_pb2 import Event


def values(workdir: Path) -> dict[str, list[tuple[int, Any]]]:
    """Returns the steps and the values of each tag, in the order in which they were written."""
    found: dict[str, list[tuple[int, Any]]] = {}
    for path in sorted(workdir.glob("events.out.tfevents*"), key=lambda p: p.stat().st_mtime_ns):
        content, place = path.read_bytes(), 0
        while place < len(content):
            # Each event has its length and a checksum before it, and a checksum behind it.
            (length,) = struct.unpack_from("<Q", content, place)
            event = Event.FromString(content[place + 12 : place + 12 + length])
            place += 12 + length + 4
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, value))
    return found
