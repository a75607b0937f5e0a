"""Runs a program and strikes it at a chosen moment.

python strike.py MODULE:NAME COUNT DELAY SIGNALS PROGRAM ARGUMENTS...

When the function NAME of MODULE is entered for the COUNT-th time, the process sends itself SIGNALS,
DELAY seconds later where that is above 0. A signal with a + goes to its whole group, as those from
a keyboard do. One with a ^ goes to the program that started the process.
"""

import functools
import importlib
import os
import runpy
import signal
import sys
import threading
import time


def main() -> None:
    target, count, delay, names, program = sys.argv[1:6]
    module, _, path = target.partition(":")
    arm(importlib.import_module(module), path, int(count), float(delay), names.split(","))
    spec = importlib.util.find_spec(program)
    sys.argv = [spec.origin, *sys.argv[6:]]
    runpy.run_module(program, run_name="__main__")


def arm(holder, path: str, count: int, delay: float, names: list[str]) -> None:
    *parents, name = path.split(".")
    for parent in parents:
        holder = getattr(holder, parent)
    function, calls = getattr(holder, name), []

    def strike():
        time.sleep(delay)
        for each in names:
            number = getattr(signal, each.lstrip("+^"))
            if each.startswith("+"):
                os.killpg(os.getpid(), number)
            else:
                os.kill(os.getppid() if each.startswith("^") else os.getpid(), number)

    @functools.wraps(function)
    def struck(*arguments, **options):
        calls.append(name)
        if len(calls) == count and delay:
            threading.Thread(target=strike, daemon=True).start()
        elif len(calls) == count:
            strike()
        return function(*arguments, **options)

    setattr(holder, name, struck)


if __name__ == "__main__":
    main()
