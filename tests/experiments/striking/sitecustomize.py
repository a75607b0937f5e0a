"""Arms a strike (strike.py) in one process of several: STRIKE_PROCESS says which, STRIKE what.

STRIKE_ONCE is a file that does not exist before the first strike is armed; then there is no more.
DISTURBANCE names the world (disturb.py) that all of them live in.
"""

import importlib
import os
import sys


def due() -> bool:
    """Tells whether this process is the one, and, where it matters, the first time."""
    place = os.environ.get("COMPENDIUM_PROCESS", os.environ.get("SLURM_PROCID"))
    if "STRIKE" not in os.environ or place != os.environ["STRIKE_PROCESS"]:
        return False
    once = os.environ.get("STRIKE_ONCE")
    if once and os.path.exists(once):
        return False
    if once:
        open(once, "w").close()
    return True


sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
if "DISTURBANCE" in os.environ and "COMPENDIUM_PROCESS" in os.environ:
    import disturb

    disturb.WORLDS[os.environ["DISTURBANCE"]]()

if due():
    import strike

    target, count, delay, names = os.environ["STRIKE"].split()
    module, _, path = target.partition(":")
    holder = importlib.import_module(module)
    strike.arm(holder, path, int(count), float(delay), names.split(","))
