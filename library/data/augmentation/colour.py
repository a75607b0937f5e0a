"""Colour augmentations, which change the values of images and nothing else."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray

from library.config import ConfigError
from library.data import features
from library.data.augmentation._operations import (
    Batch,
    Operation,
    check_interval,
    check_positive,
    check_within,
    per_image,
    pictures,
)
from library.data.features import Kinds


def color_jitter(
    brightness: float = 0.0,
    contrast: float = 0.0,
    saturation: float = 0.0,
    hue: float = 0.0,
    probability: float = 1.0,
    kinds: Kinds = features.USUAL,
) -> Operation:
    """Changes brightness, contrast, saturation and hue in random order (ranges of torchvision).

    Brightness, contrast and saturation scale the difference from black, the mean luma and the luma
    by a factor uniform in [max(0, 1 - s), 1 + s], where s is the argument. Hue rotates by a
    fraction of the circle uniform in [-hue, hue]. Values are clipped to [0, 1] after each. Under
    `vmap` the random order costs six blends and one rotation of the hue.

    Raises:
      ConfigError: a strength is negative, hue is above 0.5 (half of the circle), or probability is
        outside [0, 1].
      ValueError: (when traced) images have neither one nor three channels, or one and hue is not 0.
    """
    strengths = dict(brightness=brightness, contrast=contrast, saturation=saturation)
    for name, strength in strengths.items():
        check_within(f"color_jitter, {name}", strength, 0)
    check_within("color_jitter, hue", hue, 0, 0.5)
    check_within("color_jitter, probability", probability, 0, 1)
    used = np.flatnonzero([*strengths.values()])
    spread = np.array([*strengths.values()], np.float32)

    def change(image: Float[Array, "h w c"], key: PRNGKeyArray) -> Float[Array, "h w c"]:
        k_factor, k_order, k_place, k_hue, k_apply = jax.random.split(key, 5)
        factors = jax.random.uniform(
            k_factor, (3,), minval=np.maximum(0, 1 - spread), maxval=1 + spread
        )
        order = jax.random.permutation(k_order, used)
        if hue == 0:
            jittered = _blend_in_order(image, factors, order, 0, len(used))
        else:
            place = jax.random.randint(k_place, (), 0, len(used) + 1)
            turn = jax.random.uniform(k_hue, minval=-hue, maxval=hue)
            jittered = _blend_in_order(image, factors, order, 0, place)
            jittered = _turn_hue(jittered, turn)
            jittered = _blend_in_order(jittered, factors, order, place, len(used))
        return jnp.where(jax.random.bernoulli(k_apply, probability), jittered, image)

    return per_image(change, kinds)


def _blend_in_order(
    image: Float[Array, "h w c"],
    factors: Float[Array, " 3"],
    order: Int[Array, " n"],
    start: int | Int[Array, ""],
    stop: int | Int[Array, ""],
) -> Float[Array, "h w c"]:
    """Blends with black (0), the mean luma (1) or the luma (2) for each of `order[start:stop]`."""
    for position in range(order.shape[0]):
        kind = order[position]
        luma = _luma(image)
        degenerate = jnp.select([kind == 0, kind == 1], [0.0, jnp.mean(luma)], luma)
        blended = jnp.clip(degenerate + factors[kind] * (image - degenerate), 0, 1)
        image = jnp.where((start <= position) & (position < stop), blended, image)
    return image


def _turn_hue(image: Float[Array, "h w c"], turn: Float[Array, ""]) -> Float[Array, "h w c"]:
    # This import takes a while, and few recipes change hues.
    import dm_pix as pix

    _check_color(image)
    return jnp.clip(pix.adjust_hue(image, turn), 0, 1)


def _luma(image: Float[Array, "h w c"]) -> Float[Array, "h w 1"]:
    """Returns ITU-R 601 luma, as a sum because a TPU rounds matrix products."""
    if image.shape[-1] == 1:
        return image
    _check_color(image)
    red, green, blue = (image[..., i : i + 1] for i in range(3))
    return 0.299 * red + 0.587 * green + 0.114 * blue


def _check_color(image: Float[Array, "h w c"]) -> None:
    if image.shape[-1] != 3:
        raise ValueError(f"colour operations need 3 channels, got an image of shape {image.shape}")


# Eigenvalues and eigenvectors (columns) of the covariance of the RGB values, in [0, 1], of
# ImageNet's training images, from fb.resnet.torch (datasets/imagenet.lua).
_EIGENVALUES = np.array([0.2175, 0.0188, 0.0045], np.float32)
_EIGENVECTORS = np.array(
    [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]],
    np.float32,
)


def pca_noise(std: float = 0.1, kinds: Kinds = features.USUAL) -> Operation:
    """Adds one random colour to all pixels, along the principal components of ImageNet's colours.

    Krizhevsky et al. 2012, section 4.1 ("fancy PCA", "lighting"): each component is multiplied by
    its eigenvalue and a normal draw with standard deviation `std`. As in the paper, values are not
    clipped and may leave [0, 1], so place operations that need [0, 1] before this one.

    Raises:
      ConfigError: std is negative.
      ValueError: (when traced) images do not have three channels.
    """
    check_within("pca_noise, std", std, 0)

    def change(image: Float[Array, "h w c"], key: PRNGKeyArray) -> Float[Array, "h w c"]:
        _check_color(image)
        amounts = std * _EIGENVALUES * jax.random.normal(key, (3,))
        # The sum is written out because a TPU rounds matrix products, and XLA's CPU compiler
        # (jaxlib 0.10.2) computes a wrong reduction over the components for 512 examples or more.
        return image + sum(_EIGENVECTORS[:, i] * amounts[i] for i in range(3))

    return per_image(change, kinds)


def grayscale(probability: float = 0.2, kinds: Kinds = features.USUAL) -> Operation:
    """Replaces all channels by the luma with the given probability (0.2 in SimCLR).

    Raises:
      ConfigError: probability is outside [0, 1].
      ValueError: (when traced) images have neither one nor three channels.
    """
    check_within("grayscale, probability", probability, 0, 1)

    def change(image: Float[Array, "h w c"], key: PRNGKeyArray) -> Float[Array, "h w c"]:
        return jnp.where(jax.random.bernoulli(key, probability), _luma(image), image)

    return per_image(change, kinds)


def gaussian_blur(
    probability: float = 0.5,
    sigma: tuple[float, float] = (0.1, 2.0),
    kernel_size: int | None = None,
    kinds: Kinds = features.USUAL,
) -> Operation:
    """Blurs by a Gaussian with a standard deviation uniform in `sigma` (SimCLR, arXiv 2002.05709).

    The kernel is separable, truncated to `kernel_size` pixels and normalized; borders are
    reflected.

    Args:
      probability: probability of blurring an example.
      sigma: (low, high) of the standard deviation, in pixels.
      kernel_size: width of the kernel in pixels, rounded up to an odd number; None is a tenth of
        the image's height, as in SimCLR's Appendix A.
      kinds: the kinds of the features.

    Raises:
      ConfigError: probability is outside [0, 1], the interval is empty or not positive, or
        kernel_size is below 1.
      ValueError: (when traced) the kernel is too large for the image.
    """
    check_within("gaussian_blur, probability", probability, 0, 1)
    check_interval("gaussian_blur, sigma", sigma)
    if kernel_size is not None:
        check_within("gaussian_blur, kernel_size", kernel_size, 1)

    def change(image: Float[Array, "h w c"], key: PRNGKeyArray) -> Float[Array, "h w c"]:
        k_sigma, k_apply = jax.random.split(key)
        radius = (kernel_size or image.shape[0] // 10) // 2
        if radius >= min(image.shape[:2]):
            raise ValueError(
                f"gaussian_blur, kernel_size={kernel_size} is too large for an image of shape "
                f"{image.shape}"
            )
        deviation = jax.random.uniform(k_sigma, minval=sigma[0], maxval=sigma[1])
        blurred = _blur(image, deviation, radius)
        return jnp.where(jax.random.bernoulli(k_apply, probability), blurred, image)

    return per_image(change, kinds)


def _blur(
    image: Float[Array, "h w c"], sigma: Float[Array, ""], radius: int
) -> Float[Array, "h w c"]:
    # A sum of shifted images: a convolution with a separate kernel per example is slow on every
    # device.
    offsets = jnp.arange(-radius, radius + 1)
    kernel = jnp.exp(-(offsets**2) / (2 * sigma**2))
    kernel = kernel / jnp.sum(kernel)
    height, width, _ = image.shape
    padded = jnp.pad(image, ((radius, radius), (radius, radius), (0, 0)), mode="reflect")
    rows = sum(kernel[i] * padded[i : i + height] for i in range(2 * radius + 1))
    return sum(kernel[i] * rows[:, i : i + width] for i in range(2 * radius + 1))


def normalize(
    mean: tuple[float, ...], std: tuple[float, ...], kinds: Kinds = features.USUAL
) -> Operation:
    """Subtracts the mean and divides by the standard deviation of each channel.

    Args:
      mean: means of images in [0, 1]: one value per channel, or one for all channels.
      std: standard deviations, as many as means.
      kinds: the kinds of the features.

    Raises:
      ConfigError: there are no means, the numbers of means and deviations differ, or a deviation is
        not positive.
      ValueError: (when traced) the images have another number of channels.
    """
    if len(mean) != len(std) or not mean:
        raise ConfigError(f"normalize has {len(mean)} means and {len(std)} standard deviations")
    for value in std:
        check_positive("normalize, std", value)

    def op(batch: Batch, keys: Key[Array, " b"] | None = None) -> Batch:
        found = {name: batch[name] for name in pictures(batch, kinds)}
        for image in found.values():
            if len(mean) not in (1, image.shape[-1]):
                raise ValueError(
                    f"{len(mean)} means cannot normalize images of shape {image.shape}"
                )
        mean_of, std_of = jnp.array(mean), jnp.array(std)
        return {**batch, **{name: (image - mean_of) / std_of for name, image in found.items()}}

    return op


def hsv(
    hue: float = 0.015,
    saturation: float = 0.7,
    value: float = 0.4,
    kinds: Kinds = features.USUAL,
) -> Operation:
    """Multiplies hue, saturation and value by factors uniform in [1 - s, 1 + s], s the argument.

    The defaults are those of ultralytics' YOLOv5 and YOLOv8. Hue is a fraction of the circle and
    wraps around; saturation and value are clipped to [0, 1].

    Raises:
      ConfigError: an argument is outside [0, 1].
      ValueError: (when traced) images do not have three channels.
    """
    # This import takes a while, and few recipes change hues.
    import dm_pix as pix

    strengths = np.array([hue, saturation, value], np.float32)
    for name, strength in zip(("hue", "saturation", "value"), (hue, saturation, value)):
        check_within(f"hsv, {name}", strength, 0, 1)

    def change(image: Float[Array, "h w c"], key: PRNGKeyArray) -> Float[Array, "h w c"]:
        _check_color(image)
        factors = 1 + strengths * jax.random.uniform(key, (3,), minval=-1)
        turn, strong, bright = jnp.moveaxis(pix.rgb_to_hsv(image), -1, 0)
        turn = (turn * factors[0]) % 1
        strong, bright = jnp.clip(strong * factors[1], 0, 1), jnp.clip(bright * factors[2], 0, 1)
        changed = pix.hsv_to_rgb(jnp.stack([turn, strong, bright], axis=-1))
        return jnp.clip(changed, 0, 1)

    return per_image(change, kinds)


def darknet_colours(
    hue: float = 0.1,
    saturation: float = 1.5,
    exposure: float = 1.5,
    kinds: Kinds = features.USUAL,
) -> Operation:
    """Adds to hue, and multiplies saturation and value, as Darknet does (its data.c and image.c).

    Hue, a fraction of the circle, moves by up to `hue` either way. Saturation and value are each
    multiplied by a factor uniform between 1 and the argument, or divided by it. The defaults are
    those of yolov2-voc.cfg and yolov3.cfg.

    Args:
      hue: the largest shift.
      saturation: the factor of saturation that is the farthest from 1.
      exposure: that of value.
      kinds: the kinds of the features.

    Raises:
      ConfigError: `hue` is outside [0, 1], or a factor is not positive.
      ValueError: (when traced) images do not have three channels.
    """
    # This import takes a while, and few recipes change hues.
    import dm_pix as pix

    check_within("darknet_colours, hue", hue, 0, 1)
    check_positive("darknet_colours, saturation", saturation)
    check_positive("darknet_colours, exposure", exposure)
    farthest = np.array([saturation, exposure], np.float32)

    def change(image: Float[Array, "h w c"], key: PRNGKeyArray) -> Float[Array, "h w c"]:
        _check_color(image)
        k_hue, k_factor, k_side = jax.random.split(key, 3)
        shift = hue * jax.random.uniform(k_hue, minval=-1)
        factor = 1 + (farthest - 1) * jax.random.uniform(k_factor, (2,))
        strong, bright = jnp.where(jax.random.bernoulli(k_side, shape=(2,)), factor, 1 / factor)
        moved = pix.rgb_to_hsv(image) * jnp.stack([jnp.float32(1), strong, bright])
        # As in Darknet, what leaves [0, 1] is clipped at the end.
        return jnp.clip(pix.hsv_to_rgb(moved.at[..., 0].add(shift)), 0, 1)

    return per_image(change, kinds)
