"""Strings of digits, drawn from recordings or images of single digits."""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Int


def drawn(
    groups: Sequence[Int[np.ndarray, " n"]],
    count: int,
    generator: np.random.Generator,
    lengths: tuple[int, int] = (3, 5),
) -> Iterator[Int[np.ndarray, " m"]]:
    """Yields the rows of the digits of each string.

    Args:
      groups: rows that may stand together, such as those of a speaker; strings take them in turn.
      count: number of strings.
      generator: draws the lengths and the rows.
      lengths: the fewest and the most digits of a string.
    """
    for at in range(count):
        group = groups[at % len(groups)]
        length = int(generator.integers(lengths[0], lengths[1] + 1))
        yield group[generator.integers(len(group), size=length)]
