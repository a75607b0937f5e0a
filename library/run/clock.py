"""The wall time of a run, by phase."""

import contextlib
import time
from collections.abc import Iterator

# Phases of the loop after its first step: steps, waits for data, and the rest of the loop.
_TRAINING = ("train", "wait", "loop")


class Clock:
    """A clock that adds wall time to the innermost open phase.

    Attributes:
      seconds: the seconds of each phase, earlier starts of the run included.
    """

    def __init__(self, started: float | None = None):
        """Starts the clock.

        Args:
          started: `time.perf_counter()` at the start of the program; the time since then is the
            phase "import".
        """
        self._mark = time.perf_counter()
        self.seconds = {"import": self._mark - (started or self._mark)}
        self._open = ["other"]

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Adds the time of the `with` block to the phase `name`."""
        self._charge()
        self._open.append(name)
        try:
            yield
        finally:
            self._charge()
            self._open.pop()

    def read(self) -> dict[str, float]:
        """Returns the seconds of every phase so far."""
        self._charge()
        return {name: round(value, 3) for name, value in self.seconds.items()}

    def total(self) -> float:
        """Returns the seconds of all phases together."""
        self._charge()
        return sum(self.seconds.values())

    def training(self) -> tuple[float, float]:
        """Returns the seconds of training so far, and how many of them were waits for data.

        Loading, compiling, evaluating and saving do not count.
        """
        self._charge()
        seconds = sum(self.seconds.get(name, 0.0) for name in _TRAINING)
        return seconds, self.seconds.get("wait", 0.0)

    def resume(self, earlier: dict[str, float], reached: float = 0.0) -> None:
        """Adds the phases of earlier starts of the run.

        Args:
          earlier: the seconds of each phase when the restored checkpoint was saved.
          reached: the last known total of the earlier starts, in seconds. The time after the
            checkpoint becomes the phase "lost", because the run repeats those steps.
        """
        for name, value in earlier.items():
            self.seconds[name] = self.seconds.get(name, 0.0) + value
        lost = reached - sum(earlier.values())
        if lost > 0:
            self.seconds["lost"] = self.seconds.get("lost", 0.0) + lost

    def _charge(self) -> None:
        now = time.perf_counter()
        name = self._open[-1]
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._mark
        self._mark = now
