"""Checks of arguments and images that most models share. They run before JAX compiles anything."""

from collections.abc import Iterable

import jax
from jaxtyping import Array, Float

from library.config import ConfigError, check_choice

DTYPES = ("float32", "bfloat16", "float16")


def check_dtypes(dtype: str, param_dtype: str) -> None:
    """Checks the types of the computation and of the params.

    Raises:
      ConfigError: one of them is not in DTYPES. Where JAX has 64 bits, float64 is valid, too.
    """
    has_doubles = jax.dtypes.canonicalize_dtype("float64") == "float64"
    valid = (*DTYPES, "float64") if has_doubles else DTYPES
    check_choice("dtype", dtype, valid)
    check_choice("param_dtype", param_dtype, valid)


def check_rates(**rates: float) -> None:
    """Raises ConfigError unless every rate, a probability to drop something, is in [0, 1)."""
    for name, rate in rates.items():
        if not 0 <= rate < 1:
            raise ConfigError(f"{name}={rate}: a rate is at least 0 and less than 1 (0 is none)")


def check_sizes(**sizes: int | Iterable[int]) -> None:
    """Raises ConfigError unless every size, or every size in a tuple, is at least 1."""
    for name, size in sizes.items():
        for value in (size,) if isinstance(size, int) else size:
            if value < 1:
                raise ConfigError(f"{name}={size}: sizes and counts are 1 or more")


def check_heads(**sizes: int) -> None:
    """Raises ConfigError unless the width is a multiple of the number of heads.

    Args:
      **sizes: the width, then the number of heads, under the names that the message shows:
        `width=64, num_heads=4`.
    """
    (name, width), (heads, count) = sizes.items()
    if width % count:
        nearest = min(divisors(width), key=lambda n: abs(n - count))
        raise ConfigError(
            f"{name}={width} cannot be divided among {heads}={count}; nearest: {nearest} heads"
        )


def check_image(network: str, image: Float[Array, "b h w c"], smallest: int) -> None:
    """Checks that the images are so large that no feature map of a network is empty.

    The mean of an empty map is NaN, and its maximum -inf: a run would end at its first step.

    Args:
      network: what the message calls the network.
      image: images.
      smallest: smallest height and width that the network takes.

    Raises:
      ValueError: the height or width is less than `smallest`.
    """
    height, width = image.shape[1:3]
    if min(height, width) < smallest:
        raise ValueError(
            f"{network} takes images of {smallest}x{smallest} or larger, not {height}x{width}; "
            f"nearest: {max(height, smallest)}x{max(width, smallest)}"
        )


def check_multiples(network: str, image: Float[Array, "b h w c"], unit: int) -> None:
    """Raises ValueError unless the sides of images are multiples of `unit`, one or more."""
    height, width = image.shape[1:3]
    if height % unit or width % unit or not min(height, width):
        raise ValueError(
            f"{network} takes images whose sides are multiples of {unit}, not {height}x{width}; "
            f"nearest: {nearest_multiples(height, width, unit)}"
        )


def nearest_multiples(height: int, width: int, unit: int) -> str:
    """Returns the size of an image with the nearest sides that `unit` divides: "32x48"."""
    return "x".join(str(max(round(side / unit), 1) * unit) for side in (height, width))


def divisors(n: int) -> list[int]:
    """Returns the divisors of a number, in increasing order."""
    return [d for d in range(1, n + 1) if n % d == 0]
