"""What was measured of the networks here, and which errors count as none: results/zoo/parity.json.

A comparison with a reference passes if logits, stages, gradients and a step of training agree in
float64 to 1e-5, and logits and stages in float32 to 1e-5 or to three times the reference's own
noise, by which its float32 differs from its float64, whichever is more.
"""

import importlib.metadata
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from library import files

FILE = Path(__file__).resolve().parents[2] / "results" / "zoo" / "parity.json"
# Ten times the noise of float32 in networks as deep as these, and of some that have more.
TOLERANCE, NOISES = 1e-5, 3
_FLOAT64 = re.compile(r".* in float64|d .*|train logits|statistics")
_LIBRARIES = ("jax", "torch", "torchvision", "timm")


def allowed(what: str, noise: float) -> float:
    """Returns the largest error of a comparison that passes, by its name in `parity.compare`."""
    return TOLERANCE if _FLOAT64.fullmatch(what) else max(TOLERANCE, NOISES * noise)


def excesses(errors: Mapping[str, float]) -> dict[str, float]:
    """Returns what is allowed of the comparisons that do not pass, those that are not finite, too.

    Args:
      errors: by the names of `parity.compare`, "noise" among them.
    """
    bounds = {what: allowed(what, errors["noise"]) for what in errors if what != "noise"}
    return {what: bound for what, bound in bounds.items() if not errors[what] <= bound}


def record(errors: Mapping[str, float]) -> dict[str, Any]:
    """Returns the record of a comparison.

    Returns:
      "error" of the logits, "worst" of logits and stages in float32 and what is "allowed" of it,
      "exact", the worst in float64, the "noise", whether all are "equal", and the "versions".
    """
    double = [e for what, e in errors.items() if _FLOAT64.fullmatch(what)]
    single = [e for what, e in errors.items() if not _FLOAT64.fullmatch(what) and what != "noise"]
    return {
        "error": _rounded(errors["logits"]),
        "worst": _rounded(np.max(single)),
        "allowed": _rounded(allowed("logits", errors["noise"])),
        "exact": _rounded(np.max(double)),
        "noise": _rounded(errors["noise"]),
        "equal": not excesses(errors),
        "versions": {name: importlib.metadata.version(name) for name in _LIBRARIES if _has(name)},
    }


def passed(found: Mapping[str, Any]) -> bool:
    """Returns whether a record is one of equality."""
    single = found["worst"] <= allowed("logits", found["noise"])
    return bool(single and found["exact"] <= TOLERANCE and found["equal"])


def read() -> dict[str, dict[str, Any]]:
    """Returns the records, by the names of the networks."""
    return files.read_json(FILE) if FILE.is_file() else {}


def keep(name: str, *, gflops: float, **found: Any) -> None:
    """Writes the record of a comparison, or, without one, the count of GFLOPs beside what is there.

    Args:
      name: of the network.
      gflops: counted, at the usual size.
      found: see `record`.
    """
    known = read()
    known[name] = {**(found or known.get(name, {})), "gflops": _rounded(gflops)}
    files.write(FILE, files.to_json(dict(sorted(known.items())), indent=1) + "\n")


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def _has(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
