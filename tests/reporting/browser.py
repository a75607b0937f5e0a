"""A headless Chromium, told what to do over a pipe in the language of its developer tools."""

import json
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PROGRAMS = (
    *("chromium-headless-shell", "chrome-headless-shell", "chromium", "chromium-browser"),
    *("google-chrome", "google-chrome-stable"),
)
# A browser that does not answer for so many seconds is broken, on any machine.
PATIENCE = 120.0
# Chromium reads commands from descriptor 3 and answers on descriptor 4.
_BEGIN = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(n), fcntl.F_DUPFD, 10) for n in sys.argv[1:3]]
os.dup2(ends[0], 3), os.dup2(ends[1], 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--no-first-run", "--hide-scrollbars", "--remote-debugging-pipe"),
)


def find() -> str | None:
    """Returns the path of an installed Chromium, or of the one that $CHROMIUM names."""
    named = os.environ.get("CHROMIUM")
    return named or next(filter(None, map(shutil.which, PROGRAMS)), None)


class Browser:
    """A running Chromium with one page; used as a context manager."""

    def __init__(self, program: str, folder: Path):
        """Starts it, with its files in a folder of its own."""
        commands, self._to = os.pipe()
        self._from, answers = os.pipe()
        command = [sys.executable, "-S", "-c", _BEGIN, str(commands), str(answers), program]
        command += [*_FLAGS, f"--user-data-dir={folder}", "about:blank"]
        self._process = subprocess.Popen(
            command, pass_fds=(commands, answers), stderr=subprocess.DEVNULL
        )
        os.close(commands)
        os.close(answers)
        self._read, self._count, self._events = b"", 0, []
        self._session = None

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._to)
        os.close(self._from)

    def open(self, path: Path, width: int) -> list[str]:
        """Loads a file into a page so many CSS pixels wide; returns what its console tells."""
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session, self._events = attached["sessionId"], []
        for domain in ("Page", "Runtime", "Log"):
            self._call(f"{domain}.enable")
        size = dict(width=width, height=900, deviceScaleFactor=1, mobile=False)
        self._call("Emulation.setDeviceMetricsOverride", **size)
        self._call("Page.navigate", url=path.resolve().as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self._events):
            self._events.append(self._next())
        # The answer comes after all that the page has told before.
        self.evaluate("0")
        told = ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled")
        return [json.dumps(e["params"]) for e in self._events if e["method"] in told]

    def evaluate(self, script: str) -> Any:
        """Returns the value of a JavaScript expression in the page, awaited if it is a promise."""
        options = dict(expression=script, awaitPromise=True, returnByValue=True)
        found = self._call("Runtime.evaluate", **options)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        self._count += 1
        message = {"id": self._count, "method": method, "params": params}
        if self._session and not method.startswith("Target."):
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            got = self._next()
            if got.get("id") == self._count:
                assert "error" not in got, got
                return got["result"]
            if "method" in got:
                self._events.append(got)

    def _next(self) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE
        while b"\0" not in self._read:
            left = deadline - time.monotonic()
            ready, _, _ = select.select([self._from], [], [], max(left, 0))
            more = os.read(self._from, 1 << 20) if ready else b""
            assert more, f"the browser does not answer; it returned {self._process.poll()}"
            self._read += more
        message, _, self._read = self._read.partition(b"\0")
        return json.loads(message)
