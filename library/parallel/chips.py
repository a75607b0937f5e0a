"""The peak rates of accelerators, as their makers state them."""

from typing import NamedTuple


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
