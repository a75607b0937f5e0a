"""How the learning rate of a run continues if the run becomes longer.

The rates of the steps that are done are compared under the two lengths, and the first of these
holds:

- They are equal: the schedule stays. That is so for a constant rate, for boundaries in epochs, and
  for a cooldown that begins later.
- They are equal with the percentages of the schedule as steps of the shorter run, such as those of
  a warmup of 5%: the schedule gets these steps.
- Otherwise, as for a cosine, the schedule starts again after the last step. A `sequence` holds what
  the run did, and the schedule made for the rest.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from library.config import ConfigError
from library.optim.learning_rate import make_schedule


class Length(NamedTuple):
    """The length of a run.

    Attributes:
      total: steps of the whole run.
      steps: converts a duration into a number of steps.
    """

    total: int
    steps: Callable[[str], int]


class Continued(NamedTuple):
    """The schedule of the longer run.

    Attributes:
      schedule: its spec.
      exact: whether the rates of all steps done are those of this schedule from the start.
      said: what became of the schedule; "" if it stays as it was asked for.
    """

    schedule: dict[str, Any]
    exact: bool
    said: str


def continued(
    before: Mapping[str, Any],
    asked: Mapping[str, Any],
    shorter: Length,
    longer: Length,
    at: int,
    updates: int = 1,
) -> Continued:
    """Returns the schedule of a run that becomes longer.

    Args:
      before: the spec of the schedule of the shorter run.
      asked: the spec that is asked for, mostly the same one.
      shorter: the length so far.
      longer: the new length.
      at: steps that are done.
      updates: updates in a step that follow the schedule, see `optimizers.Player`.

    Raises:
      ConfigError: a spec is invalid, or does not fit into the rest of the run.
    """
    done = _rates(before, shorter, at, updates)
    if np.array_equal(done, _rates(asked, longer, at, updates)):
        return Continued(dict(asked), True, "")
    if asked == before:
        fixed = _with_steps(asked, shorter.steps)
        if np.array_equal(done, _rates(fixed, longer, at, updates)):
            return Continued(fixed, True, f"its percentages stay those of {shorter.total:,} steps")
    joined = {"name": "sequence", "parts": _parts(before, asked, shorter, at)}
    try:
        _rates(joined, longer, 1, updates)
    except ConfigError as error:
        raise ConfigError(
            f"after step {at} the schedule starts again, for {longer.total - at} steps: {error}"
        ) from error
    name = joined["parts"][-1]["name"]
    said = f"{name!r} starts again after step {at:,}, for {longer.total - at:,} steps"
    return Continued(joined, False, said)


def _rates(spec: Mapping[str, Any], length: Length, count: int, updates: int) -> np.ndarray:
    """Returns the rates of the updates in the first steps, as fractions of the peak."""

    def steps(text: str) -> int:
        return length.steps(text) * updates

    schedule = make_schedule(spec, peak=1.0, total_steps=length.total * updates, steps=steps)
    return np.asarray(jax.vmap(schedule)(np.arange(count * updates)))


def _with_steps(value: Any, steps: Callable[[str], int]) -> Any:
    """Writes percentages of the run as steps; those in the parts of a sequence are of the parts."""
    if isinstance(value, Mapping):
        return {k: v if k == "parts" else _with_steps(v, steps) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_with_steps(each, steps) for each in value]
    return f"{steps(value)} steps" if str(value).rstrip().endswith("%") else value


def _parts(
    before: Mapping[str, Any], asked: Mapping[str, Any], shorter: Length, at: int
) -> list[dict[str, Any]]:
    """Returns the parts of the longer run: those so far, and the schedule that starts again."""
    ended = {"until": f"{at} steps", "total": f"{shorter.total} steps"}
    if before.keys() != {"name", "parts"}:
        return [{**before, **ended}, dict(asked)]
    *earlier, last = before["parts"]
    start = shorter.steps(earlier[-1]["until"]) if earlier else 0
    rest = {k: v for k, v in last.items() if k != "total"} if asked == before else dict(asked)
    if at <= start:
        return [{**before, **ended}, rest]
    length = last.get("total", f"{shorter.total - start} steps")
    return [*earlier, {**last, "until": ended["until"], "total": length}, rest]
