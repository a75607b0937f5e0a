"""Where the wall time of a run goes."""

import contextlib
import time
from collections.abc import Iterator

# Phases of the loop once its first step is done: steps, the wait for their data, what lies between.
_TRAINING = ("train", "wait", "loop")


class Clock:
    """Splits wall time into named phases; the innermost open phase is charged.

    Attributes:
      seconds: by phase, those of earlier starts of the run included.
    """

    def __init__(self, started: float | None = None):
        """Starts the clock.

        Args:
          started: `time.perf_counter()` at the start of the program; the time since is "import".
        """
        self._mark = time.perf_counter()
        self.seconds = {"import": self._mark - (started or self._mark)}
        self._open = ["other"]

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Charges what happens inside to `name`."""
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
        """Returns the seconds of training so far, and those of them in which it waited for data.

        Loading, compiling, evaluating and saving are no part of it.
        """
        self._charge()
        seconds = sum(self.seconds.get(name, 0.0) for name in _TRAINING)
        return seconds, self.seconds.get("wait", 0.0)

    def resume(self, earlier: dict[str, float], reached: float = 0.0) -> None:
        """Adds the phases of the starts before this one.

        Args:
          earlier: as they were when the state was saved that the run goes on from.
          reached: seconds of the last that is known of them; what came after the save is "lost",
            since it is done again.
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
