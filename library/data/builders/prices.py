"""The logarithm of a price that moves at random: a random walk, which nothing can forecast.

Bachelier 1900, "Théorie de la spéculation". Each step adds an independent normal number, so the
last price is the best forecast of all later ones. This project draws the walk.
"""

from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from library.data.builders import making

STEPS = {"train": 4_000, "val": 1_000, "test": 2_000}
VOLATILITY = 0.01
"""The standard deviation of a step."""


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """`series` (t, 1), the logarithm of a price: 4,000 steps of training, then 1,000 and 2,000."""

    name = "prices"
    VERSION = tfds.core.Version("1.0.0")
    url_infos: ClassVar[dict] = {}  # TFDS would otherwise look for a file of checksums
    HOMEPAGE = "library/data/builders/prices.py"
    LICENCE = "made by this project"
    CITATION = "made by this project"
    SPLITS: ClassVar[dict[str, int]] = dict.fromkeys(STEPS, 1)
    KINDS: ClassVar[dict[str, str]] = {"series": "series"}

    def _info(self) -> tfds.core.DatasetInfo:
        features = {"series": tfds.features.Tensor(shape=(None, 1), dtype=np.float32)}
        return making.info(self, features)

    def _split_generators(self, dl_manager):
        series = walk()
        ends = dict(zip(STEPS, np.cumsum(list(STEPS.values()))))
        return {
            split: iter([(0, {"series": series[end - STEPS[split] : end]})])
            for split, end in ends.items()
        }

    _generate_examples = making.examples


def walk() -> np.ndarray:
    """Returns the whole walk, float32 (t, 1), from the logarithm of 100 on."""
    # NumPy never changes the stream of RandomState (NEP 19); that of Generator may change.
    steps = np.random.RandomState(0).normal(0, VOLATILITY, sum(STEPS.values()))
    return (np.log(100) + np.cumsum(steps)).astype(np.float32)[:, None]
