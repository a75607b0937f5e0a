"""Arms a strike (strike.py) in one process of several: STRIKE_PROCESS says which, STRIKE what."""

import importlib
import os
import sys

if "STRIKE" in os.environ and os.environ.get("COMPENDIUM_PROCESS") == os.environ["STRIKE_PROCESS"]:
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    import strike

    target, count, delay, names = os.environ["STRIKE"].split()
    module, _, path = target.partition(":")
    holder = importlib.import_module(module)
    strike.arm(holder, path, int(count), float(delay), names.split(","))
