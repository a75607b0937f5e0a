"""The collectives of a compiled program, read from its HLO text.

A collective in a loop counts once for each iteration.
"""

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
_BITS = {"pred": 8, "bf16": 16, "c64": 64, "c128": 128}
_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?[\w.\-]+ = (.*)$")
_SHAPE = re.compile(r"([a-z]+\d*\w*)\[([\d,]*)\]")
_OPERATION = re.compile(r"(?:^|[ )])([a-z][\w\-]*)\(")
_CALLED = re.compile(r"(?:body|condition|to_apply|calls)=%?([\w.\-]+)")
_BRANCHES = re.compile(r"(?:branch_computations|called_computations)=\{([^}]*)\}")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
_LISTED = re.compile(r"replica_groups=\{\{([\d,]*)\}")
_COUNTED = re.compile(r"replica_groups=\[(\d+),(\d+)\]")
# Axes of a mesh, some of them split: mesh['a'=4,'b'=2] {'a','b':(1)2}.
_MESHED = re.compile(r"replica_groups=mesh\[([^\]]*)\] \{([^}]*)\}")
_PARTITIONS = re.compile(r"num_partitions=(\d+)")


class Collective(NamedTuple):
    """One kind of collective among groups of one size.

    Attributes:
      kind: "all-reduce", ...
      devices: the number of devices in each group.
      count: how many run in one run of the program.
      bytes: the bytes of their complete arrays, over all of them.
    """

    kind: str
    devices: int
    count: int
    bytes: int

    @property
    def sent(self) -> float:
        """Returns the bytes that each device sends if arrays go around in a ring."""
        if self.kind == "collective-permute":
            return self.bytes
        share = (self.devices - 1) / self.devices
        return (2 if self.kind == "all-reduce" else 1) * share * self.bytes


def collectives(hlo: str) -> list[Collective]:
    """Lists the collectives of a compiled program.

    Args:
      hlo: `jax.stages.Compiled.as_text()`.

    Returns:
      One entry for each kind and group size, sorted by the bytes that they send, most first.
    """
    computations, entry = _computations(hlo)
    stated = _PARTITIONS.search(hlo)
    partitions = int(stated[1]) if stated else 1
    found: dict[tuple[str, int], tuple[int, int]] = {}
    for line, times in _executed(computations, entry, 1):
        made = _INSTRUCTION.match(line)[1]
        operation = _operation(made)
        kind = next((kind for kind in KINDS if operation in (kind, f"{kind}-start")), None)
        if kind is None:
            continue
        devices = 2 if kind == "collective-permute" else _group_size(line, partitions)
        size = _whole(kind, operation, made, devices)
        count, total = found.get((kind, devices), (0, 0))
        found[kind, devices] = (count + times, total + times * size)
    made = [Collective(*key, *value) for key, value in found.items() if key[1] != 1]
    return sorted(made, key=lambda each: -each.sent)


def _computations(hlo: str) -> tuple[dict[str, list[str]], str]:
    computations: dict[str, list[str]] = {}
    entry, lines = "", []
    for line in hlo.splitlines():
        begun = _COMPUTATION.match(line)
        if begun:
            lines = computations.setdefault(begun[2], [])
            entry = begun[2] if begun[1] else entry
        elif _INSTRUCTION.match(line):
            lines.append(line)
    return computations, entry


def _executed(
    computations: dict[str, list[str]], name: str, times: int
) -> Iterator[tuple[str, int]]:
    """Yields the instructions of a computation and of its callees, and how often they run."""
    for line in computations.get(name, ()):
        yield line, times
        trips = _TRIPS.search(line)
        inner = times * int(trips[1]) if trips else times
        branches = [each for group in _BRANCHES.findall(line) for each in group.split(",")]
        for called in (*_CALLED.findall(line), *(b.strip().lstrip("%") for b in branches)):
            yield from _executed(computations, called, inner)


def _operation(made: str) -> str:
    """Returns the operation of an instruction, which follows its shape."""
    depth, start = 0, 0
    if made.startswith("("):
        for place, letter in enumerate(made):
            depth += (letter == "(") - (letter == ")")
            if depth == 0:
                start = place + 1
                break
    match = _OPERATION.search(made, start)
    return match[1] if match else ""


def _group_size(line: str, partitions: int) -> int:
    listed, counted, meshed = (each.search(line) for each in (_LISTED, _COUNTED, _MESHED))
    if counted:
        return int(counted[2])
    if listed:
        return len(listed[1].split(","))
    if not meshed:
        # No groups: all devices together.
        return partitions
    sizes = dict(re.findall(r"'([^']+)'=(\d+)", meshed[1]))
    axes = re.findall(r"'([^']+)'(?::\(\d+\)(\d+))?", meshed[2])
    return math.prod(int(part or sizes[name]) for name, part in axes)


def _whole(kind: str, operation: str, made: str, devices: int) -> int:
    """Returns the bytes of a collective's complete array."""
    shapes = [_bytes(*shape) for shape in _SHAPE.findall(made[: made.index(f"{operation}(")])]
    if operation.endswith("-start") and kind in ("all-gather", "collective-permute"):
        # A start operation returns its operands, too.
        shapes = shapes[len(shapes) // 2 :]
    return sum(shapes) * (devices if kind == "reduce-scatter" else 1)


def _bytes(name: str, sizes: str) -> int:
    bits = _BITS.get(name) or int(re.search(r"\d+", name)[0])
    return math.prod(int(size) for size in sizes.split(",") if size) * bits // 8
