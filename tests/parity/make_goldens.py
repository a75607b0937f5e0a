"""Writes tests/weights/goldens.json anew: python -m tests.parity.make_goldens (needs torch)."""

import json

import numpy as np

from library.weights import catalogue, parity
from tests import goldens


def golden(name: str) -> dict[str, object]:
    """Returns what the reference makes of the image of the goldens, and its noise in float32."""
    import torch

    network, _ = parity.reference(catalogue.find(name))
    nchw = torch.from_numpy(np.moveaxis(goldens.image(goldens.SIZES[name]), -1, 1).copy())
    with torch.no_grad():
        single = parity.logits_of(network(nchw)).numpy()[0]
        double = parity.logits_of(network.double()(nchw.double())).numpy()[0]
    return {
        "logits": [float(f"{x:.8g}") for x in double[:: goldens.EVERY]],
        "largest": float(f"{np.abs(double).max():.8g}"),
        "noise": float(f"{parity.relative(single, double):.2e}"),
    }


if __name__ == "__main__":
    made = {name: golden(name) for name in goldens.SIZES}
    goldens.FILE.write_text(json.dumps(made, indent=1) + "\n")
