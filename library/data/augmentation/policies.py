"""AutoAugment, RandAugment and TrivialAugment, which draw from fifteen operations."""

from collections.abc import Callable
from typing import Any

from jaxtyping import Array, Float, Key, PRNGKeyArray

from library.config import check_choice
from library.data import features
from library.data.augmentation import _autoaugment as autoaugment
from library.data.augmentation._operations import (
    Batch,
    Operation,
    check_positive,
    check_within,
    per_image,
    refuse,
)
from library.data.features import Kinds


def auto_augment(
    policy: str = "cifar", fill: float = 0.5, kinds: Kinds = features.USUAL
) -> Operation:
    """Applies one of 25 learned pairs of operations (Cubuk et al. 2019, arXiv 1805.09501).

    Magnitudes 0..9 span the ranges of Table 6 evenly; translations reach 150/331 of the side. Warps
    use nearest neighbour.

    Args:
      policy: "cifar", "imagenet" or "svhn" (Tables 7 to 9).
      fill: value, in [0, 1], of pixels from outside the image.
      kinds: the kinds of the features.
    """
    check_choice("AutoAugment policy", policy, autoaugment.POLICIES)
    check_within("auto_augment, fill", fill, 0, 1)

    def change(image: Float[Array, "h w c"], key: PRNGKeyArray) -> Float[Array, "h w c"]:
        draws = autoaugment.draw_auto(key, policy)
        return autoaugment.transform(image, draws, autoaugment.STANDARD, fill)

    return _of_images("auto_augment", change, kinds)


def rand_augment(
    num_layers: int = 2,
    magnitude: float = 10.0,
    max_magnitude: float = 10.0,
    magnitude_std: float = 0.0,
    probability: float = 1.0,
    fill: float = 0.5,
    kinds: Kinds = features.USUAL,
) -> Operation:
    """Applies `num_layers` of 14 operations (Cubuk et al. 2020, arXiv 1909.13719).

    The strength of an operation is magnitude / max_magnitude of AutoAugment's range. Operations
    with two directions get a random sign. Warps use nearest neighbour.

    Args:
      num_layers: number of operations, N in the paper.
      magnitude: M in the paper.
      max_magnitude: the magnitude at the end of AutoAugment's ranges: 10 in the paper's Section 3,
        30 in torchvision.
      magnitude_std: standard deviation of the magnitude, which is clipped to [0, max_magnitude];
        timm's "rand-m9-mstd0.5-inc1" is magnitude=9, magnitude_std=0.5, probability=0.5.
      probability: probability of applying each drawn operation.
      fill: value, in [0, 1], of pixels from outside the image.
      kinds: the kinds of the features.

    Raises:
      ConfigError: num_layers is below 1, magnitude is outside [0, max_magnitude], max_magnitude is
        not positive, magnitude_std is negative, or probability or fill is outside [0, 1].
    """
    check_within("rand_augment, num_layers", num_layers, 1)
    check_positive("rand_augment, max_magnitude", max_magnitude)
    check_within("rand_augment, magnitude_std", magnitude_std, 0)
    check_within("rand_augment, probability", probability, 0, 1)
    check_within("rand_augment, magnitude", magnitude, 0, max_magnitude)
    check_within("rand_augment, fill", fill, 0, 1)
    strength, std = magnitude / max_magnitude, magnitude_std / max_magnitude

    def change(image: Float[Array, "h w c"], key: PRNGKeyArray) -> Float[Array, "h w c"]:
        draws = autoaugment.draw_rand(key, num_layers, strength, std, probability)
        return autoaugment.transform(image, draws, autoaugment.STANDARD, fill)

    return _of_images("rand_augment", change, kinds)


def trivial_augment(fill: float = 0.0, kinds: Kinds = features.USUAL) -> Operation:
    """Applies one of 14 operations at one of 31 strengths, both drawn uniformly.

    It is TA (Wide) of Mueller & Hutter 2021, arXiv 2103.10158: translations reach 32 pixels for
    every image size. Warps use nearest neighbour.

    Args:
      fill: value, in [0, 1], of pixels from outside the image.
      kinds: the kinds of the features.
    """
    check_within("trivial_augment, fill", fill, 0, 1)

    def change(image: Float[Array, "h w c"], key: PRNGKeyArray) -> Float[Array, "h w c"]:
        return autoaugment.transform(image, autoaugment.draw_trivial(key), autoaugment.WIDE, fill)

    return _of_images("trivial_augment", change, kinds)


def _of_images(name: str, change: Callable[[Array, Any], Array], kinds: Kinds) -> Operation:
    """Makes an operation that changes images and refuses batches with other spatial features."""
    apply = per_image(change, kinds)

    def op(batch: Batch, keys: Key[Array, " b"]) -> Batch:
        refuse(batch, kinds, name, "map", "field", "boxes", "points")
        return apply(batch, keys)

    return op
