"""Long calls of libraries in a thread, so that the main thread can answer signals meanwhile."""

import concurrent.futures
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
# Seconds from one pause to the next.
INTERVAL = 1.0


def result(
    work: Callable[[], T],
    *,
    pause: Callable[[], None] = lambda: None,
    all_done: Callable[[bool], bool] = lambda done: done,
) -> T:
    """Returns `work()`, which runs in a thread.

    The decomposition of a large matrix takes minutes, and Python calls the handlers of signals only
    after it. The work must release Python's lock, as NumPy's linear algebra does.

    Args:
      work: the work; an exception from it is raised here.
      pause: called before the work, and every second while it lasts. If it raises an exception, the
        work goes on until the process ends, and its result is dropped.
      all_done: if several processes do the work and `pause` waits for all of them: returns whether
        the value is true in all processes. Then all call `pause` equally often.
    """
    pause()
    found: concurrent.futures.Future[T] = concurrent.futures.Future()

    def run() -> None:
        try:
            found.set_result(work())
        except BaseException as error:
            found.set_exception(error)

    # The interpreter does not wait for the end of such a thread.
    threading.Thread(target=run, daemon=True, name="background").start()
    while not all_done(_done_soon(found)):
        pause()
    return found.result()


def _done_soon(found: concurrent.futures.Future) -> bool:
    """Waits for the result, but at most an interval, and returns whether it is there."""
    done, _ = concurrent.futures.wait([found], timeout=INTERVAL)
    return bool(done)
