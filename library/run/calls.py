"""Where the calls of the compiled step end, when a call makes several steps."""

from collections.abc import Iterable, Iterator


def ends(
    start: int, total: int, most: int, *, every: Iterable[int], after: Iterable[int] = ()
) -> Iterator[int]:
    """Yields the steps done after each call of a run.

    The first call makes one step, so that what compiling takes can be told apart.

    Args:
      start: steps done before.
      total: steps of the run.
      most: steps of a call.
      every: intervals in steps, at whose ends the host has something to do.
      after: single steps after which it has.
    """
    every, after = [*every], sorted(after)
    done, most_now = start, 1
    while done < total:
        due = [done + each - done % each for each in every]
        due += [step for step in after if step > done]
        done = min(total, done + most_now, *due)
        most_now = most
        yield done
