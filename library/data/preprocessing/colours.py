"""Weights of colours, fitted to the training split, for colourization."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np

from library import colour_bins, colour_spaces
from library.config import ConfigError
from library.data.preprocessing._examples import Example, Operation, feature

WEIGHTS = "colour_weights"
# Of the training images every fourth pixel of every fourth row is counted.
_STRIDE = 4
_AT_ONCE = 64


@dataclasses.dataclass(frozen=True)
class ColourWeighting:
    """Adds the weights of the bins of colour to each example."""

    mix: float
    weights: tuple[float, ...] | None = None
    makes: ClassVar[dict[str, str]] = {WEIGHTS: "array"}

    def fit(self, examples: Iterable[Example]) -> dict[str, Any]:
        """Returns the weights by how often each bin occurs."""
        counts, waiting = np.zeros(len(colour_bins.bins())), []
        for example in examples:
            image = feature(example, "image")
            if image.shape[-1] != 3:
                raise ConfigError("colour_weights needs colour images: decode(channels=3)")
            waiting.append(image[::_STRIDE, ::_STRIDE].reshape(-1, 3))
            if len(waiting) == _AT_ONCE:
                counts, waiting = counts + _counted(waiting), []
        counts = counts + _counted(waiting) if waiting else counts
        weights = colour_bins.rebalancing(colour_bins.smoothed(counts), self.mix)
        return {"weights": weights.tolist()}

    def fitted(self, values: Mapping[str, Any]) -> Operation:
        """Returns the operation with the fitted values."""
        return dataclasses.replace(self, weights=tuple(values["weights"]))

    def __call__(self, example: Example, rng: np.random.Generator) -> Example:
        """Adds the weights to one example."""
        return {**example, WEIGHTS: np.asarray(self.weights, np.float32)}


def colour_weights(mix: float = 0.5) -> Operation:
    """Adds the feature `colour_weights`, float32 (313,), the same for all examples.

    Rare colours weigh more (Zhang et al. 2016, arXiv 1603.08511, section 2.2): a bin's weight is 1
    / ((1 - mix) p + mix / 313), where p is its share in the training images, smoothed over bins.
    The task `colourization` multiplies its loss by it.

    Args:
      mix: lambda, the share of the uniform distribution; 1 weighs all colours alike.

    Raises:
      ConfigError: `mix` is not above 0 and at most 1. When it is fitted: the images are grey.
    """
    if not 0 < mix <= 1:
        raise ConfigError(f"colour_weights, mix={mix}: valid are numbers above 0 up to 1")
    return ColourWeighting(mix)


def _counted(parts: list[np.ndarray]) -> np.ndarray:
    """Returns how many pixels are nearest to each bin."""
    pixels = np.concatenate(parts).astype(np.float32) / 255
    ab = np.asarray(colour_spaces.to_lab(jnp.asarray(pixels)))[:, 1:]
    return np.bincount(colour_bins.nearest(ab), minlength=len(colour_bins.bins()))
