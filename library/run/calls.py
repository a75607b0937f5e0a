"""The steps at which calls of the compiled step end, if one call makes several steps."""

from collections.abc import Iterable, Iterator


def ends(
    start: int,
    total: int,
    most: int,
    *,
    every: Iterable[int],
    alone: Iterable[int] = (),
    after: Iterable[int] = (),
) -> Iterator[int]:
    """Yields the number of steps done after each call of a run.

    The first call makes one step, so that the time of compilation can be measured.

    Args:
      start: steps done before.
      total: steps of the run.
      most: the most steps of a call.
      every: intervals, in steps, at whose ends the host has work.
      alone: intervals, in steps, whose last step is a call of its own.
      after: single steps after which the host has work.
    """
    every, alone, after = [*every], [*alone], sorted(after)
    done, most_now = start, 1
    while done < total:
        due = [done + each - done % each for each in (*every, *alone)]
        due += [done + 1 + (each - 2 - done) % each for each in alone]
        due += [step for step in after if step > done]
        done = min(total, done + most_now, *due)
        most_now = most
        yield done
