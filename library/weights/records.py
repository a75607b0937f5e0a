"""The comparisons of networks with their references, and their tolerances: results/zoo/parity.json.

A comparison passes if logits, stages, gradients and a training step agree to 1e-5 in float64, and
logits and stages in float32 agree to 1e-5 or to three times the reference's noise, whichever is
more. The noise is the difference between the reference's results in float32 and in float64.
"""

import importlib.metadata
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from library import files

FILE = Path(__file__).resolve().parents[2] / "results" / "zoo" / "parity.json"
# 1e-5 is ten times the float32 noise of networks of this depth; NOISES is for noisier networks.
TOLERANCE, NOISES = 1e-5, 3
_FLOAT64 = re.compile(r".* in float64|d .*|train logits|statistics")
_LIBRARIES = ("jax", "torch", "torchvision", "timm")


def allowed(what: str, noise: float) -> float:
    """Returns the largest error that passes, for the name of an error in `parity.compare`."""
    return TOLERANCE if _FLOAT64.fullmatch(what) else max(TOLERANCE, NOISES * noise)


def excesses(errors: Mapping[str, float]) -> dict[str, float]:
    """Returns the largest allowed value of each error that does not pass or is not finite.

    Args:
      errors: errors by the names of `parity.compare`, with "noise".
    """
    bounds = {what: allowed(what, errors["noise"]) for what in errors if what != "noise"}
    return {what: bound for what, bound in bounds.items() if not errors[what] <= bound}


def record(errors: Mapping[str, float]) -> dict[str, Any]:
    """Returns the entry of a comparison in parity.json.

    Returns:
      "error", that of the logits; "worst", the largest of logits and stages in float32, and the
      largest "allowed" value of it; "exact", the largest in float64; "noise"; "equal", whether all
      errors pass; and "versions" of the libraries.
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
    """Returns whether an entry is of a comparison that passed."""
    single = found["worst"] <= allowed("logits", found["noise"])
    return bool(single and found["exact"] <= TOLERANCE and found["equal"])


def read() -> dict[str, dict[str, Any]]:
    """Returns the entries of parity.json, by the names of the networks."""
    return files.read_json(FILE) if FILE.is_file() else {}


def keep(name: str, *, gflops: float, **found: Any) -> None:
    """Writes the entry of a network; without `found` it keeps the comparison and updates GFLOPs.

    Args:
      name: name of the network.
      gflops: counted GFLOPs for one image at the default size.
      found: the entry of a comparison, see `record`.
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
