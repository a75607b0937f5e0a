"""Runs a program in a world that misbehaves: python disturb.py WHAT PROGRAM ARGUMENTS..."""

import importlib.util
import itertools
import runpy
import sys
import time


def clock() -> None:
    """The wall clock jumps a day ahead, and back again, and again."""
    real, calls = time.time, itertools.count()
    time.time = lambda: real() + 86_400 * (next(calls) // 50 % 2)


def slow_source() -> None:
    """Some examples come a second late."""
    _patch_load(lambda position: time.sleep(1.0) if position % 100 == 0 else None)


def failing_source() -> None:
    """The source fails in the middle."""

    def fail(position):
        if position == 333:
            raise OSError(5, "Input/output error")

    _patch_load(fail)


def _patch_load(before) -> None:
    from library.data.pipeline import Loader

    load = Loader.load

    def patched(self, position, row):
        before(position)
        return load(self, position, row)

    Loader.load = patched


if __name__ == "__main__":
    what, program = sys.argv[1:3]
    {"clock": clock, "slow_source": slow_source, "failing_source": failing_source}[what]()
    sys.argv = [importlib.util.find_spec(program).origin, *sys.argv[3:]]
    runpy.run_module(program, run_name="__main__")
