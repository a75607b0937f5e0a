"""A network beside its reference: python -m tests.parity.compare NAME [--size=64] [--golden]."""

import argparse
import json

import numpy as np

from library.weights import catalogue
from library.weights.parity import compare, logits_of, reference
from tests import goldens


def golden(name: str) -> dict[str, list[float]]:
    """Returns what the reference makes of the image of the goldens."""
    import torch

    network, _ = reference(catalogue.find(name))
    size = goldens.SIZES.get(name, goldens.SIZE)
    nchw = torch.from_numpy(np.moveaxis(goldens.image(size), -1, 1).copy())
    with torch.no_grad():
        logits = logits_of(network(nchw)).numpy()[0]
    return {"logits": [float(f"{x:.7g}") for x in logits[:: goldens.EVERY]]}


def main() -> None:
    """Prints a comparison."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("--size", type=int)
    parser.add_argument("--golden", action="store_true")
    arguments = parser.parse_args()
    if arguments.golden:
        print(json.dumps({arguments.name: golden(arguments.name)}))
        return
    for what, error in compare(arguments.name, arguments.size).items():
        print(
            f"{what:50s} {error:.2e}{'' if what == 'noise' or error <= 1e-5 else '  <- TOO MUCH'}"
        )


if __name__ == "__main__":
    main()
