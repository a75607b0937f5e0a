"""Writes tests/weights/goldens.json anew: python -m tests.parity.make_goldens (needs torch).

With names behind it, it replaces those of these networks alone.
"""

import json
import sys

import numpy as np

from library.weights import catalogue, parity
from tests import goldens


def golden(name: str) -> dict[str, object]:
    """Returns what the reference makes of the image of the goldens, and its noise in float32."""
    import torch

    published = catalogue.find(name)
    network, _ = parity.reference(published)
    nchw = torch.from_numpy(np.moveaxis(goldens.image(goldens.SIZES[name]), -1, 1).copy())
    single = parity.outputs(published, network, nchw)
    double = parity.outputs(published, network.double(), nchw.double())
    logits = double["logits"][0]
    return {
        "logits": [_rounded(x) for x in logits[:: goldens.EVERY]],
        "largest": _rounded(np.abs(logits).max()),
        "sums": {
            stage: [_rounded(x) for x in goldens.sums(features)]
            for stage, features in double.items()
            if stage != "logits"
        },
        "noise": float(f"{max(parity.relative(single[k], x) for k, x in double.items()):.2e}"),
    }


def _rounded(value: float) -> float:
    return float(f"{value:.8g}")


if __name__ == "__main__":
    known = goldens.read()
    for name in sys.argv[1:] or goldens.SIZES:
        known[name] = golden(name)
        print(name, known[name]["noise"], flush=True)
    made = {name: known[name] for name in goldens.SIZES if name in known}
    goldens.FILE.write_text(json.dumps(made, indent=1) + "\n")
