"""The peak rates of accelerators, as their makers state them."""

import re
from typing import Any, NamedTuple


class Chip(NamedTuple):
    """One device.

    Attributes:
      flops: operations per second of dense matrix products in bfloat16.
      bandwidth: bytes per second to and from its memory.
      memory: bytes of its memory.
      link: bytes per second that it can send to its neighbours.
    """

    flops: float
    bandwidth: float
    memory: float
    link: float


# NVIDIA's data sheets (SXM; NVLink's figure is of both directions), and the pages of each version
# in Google Cloud's TPU documentation (the interconnect's figure is of both directions).
CHIPS = {
    "h100": Chip(989e12, 3.35e12, 80e9, 900e9 / 2),
    "h200": Chip(989e12, 4.8e12, 141e9, 900e9 / 2),
    "a100": Chip(312e12, 2.039e12, 80e9, 600e9 / 2),
    "v5e": Chip(197e12, 0.819e12, 16e9, 400e9 / 2),
    "v5p": Chip(459e12, 2.765e12, 95e9, 1200e9 / 2),
    "v6e": Chip(918e12, 1.638e12, 32e9, 800e9 / 2),
}

# Cloud TPU's names of its versions, beside those of JAX.
_TPUS = {"v5 lite": "v5e", "v5e": "v5e", "v5": "v5p", "v5p": "v5p", "v6 lite": "v6e", "v6e": "v6e"}


def of(device: Any) -> Chip | None:
    """Returns the rates of a `jax.Device`, or None if they are unknown, as those of a CPU are."""
    kind = device.device_kind.lower()
    if device.platform == "tpu":
        return CHIPS.get(_TPUS.get(kind.removeprefix("tpu").strip(), ""))
    named = re.search(r"\b(a100|h100|h200)\b", kind)
    # Cards with a lower limit of power and parts of a card have other rates.
    partial = re.search(r"\b(pcie|nvl|mig)\b", kind)
    return CHIPS[named[1]] if device.platform == "gpu" and named and not partial else None
