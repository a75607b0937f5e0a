"""Who waits too long for other processes leaves, and says for what."""

import subprocess
import sys
import time

import pytest

from library.parallel import watchdog
from library.parallel.watchdog import Watchdog

WAITS = """
import sys, time, jax
from library.parallel import watchdog
jax.process_count, jax.process_index = lambda: 2, lambda: 1
watchdog._INTERVAL = 0.05
with watchdog.WATCHDOG.limit("the end", 60):
    with watchdog.WATCHDOG.limit("a barrier", 0.2):
        time.sleep(float(sys.argv[1]))
    time.sleep(0.5)
print("done")
"""


@pytest.mark.parametrize(
    ("seconds", "code", "out", "err"),
    [
        (0.0, 0, "done\n", ""),
        (30, 1, "", "error: process 1 of 2 waited 0 s for a barrier; another one is stuck\n"),
    ],
)
def test_a_wait_that_is_too_long_ends_the_process(seconds, code, out, err):
    command = [sys.executable, "-c", WAITS, str(seconds)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (code, out, err)


def test_alone_nothing_is_watched(monkeypatch):
    monkeypatch.setattr(watchdog, "_INTERVAL", 0.01)
    made = Watchdog()
    with made.limit("nobody", 0.0):
        time.sleep(0.05)
    assert made._thread is None
