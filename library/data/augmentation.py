"""Augmentation on the device: factories of pure operations on a batch, named in `config.augment`.

An operation is `(batch, keys) -> batch` with images float32 in [0, 1] of shape (b, h, w, c) and one
key an example. Unless its docstring says otherwise it treats each example by itself, so what
becomes of an example depends on its own key and on nothing else in the batch.

Factories check their arguments and raise `library.config.ConfigError`; the arguments `num_classes`
and `num_examples` are filled in by the builder from the dataset.
"""

import math
from collections.abc import Callable, Sequence

import dm_pix as pix
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray, UInt

from library import rng
from library.config import ConfigError, check_choice
from library.data import autoaugment

Batch = dict[str, Array]
Operation = Callable[[Batch, Key[Array, " b"]], Batch]

# Draws of a box that may not fit the image are repeated this often, as is usual.
_ATTEMPTS = 10
_RESIZING = {"bilinear": "linear", "bicubic": "cubic"}


def compose(ops: Sequence[Operation]) -> Callable[[Batch, PRNGKeyArray], Batch]:
    """Chains operations into `(batch, key) -> batch`.

    The i-th operation's keys are `fold_in(fold_in(key, i), index)` for each of `batch["index"]`.
    """
    ops = tuple(ops)

    def augment(batch: Batch, key: PRNGKeyArray) -> Batch:
        for position, op in enumerate(ops):
            batch = op(batch, rng.per_example(jax.random.fold_in(key, position), batch["index"]))
        return batch

    return augment


def _per_image(change: Callable[[Array, PRNGKeyArray], Array]) -> Operation:
    """Makes an operation of `(image (h, w, c), key) -> image`."""

    def op(batch: Batch, keys: Key[Array, " b"]) -> Batch:
        return {**batch, "image": jax.vmap(change)(batch["image"], keys)}

    return op


def _check_within(
    name: str, value: float | int, low: float | int, high: float | int = math.inf
) -> None:
    if not low <= value <= high:
        closest = low if value < low else high
        raise ConfigError(f"{name}={value!r} is not in [{low}, {high}]: the nearest is {closest}")


def _check_positive(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise ConfigError(f"{name}={value!r}: a positive number")


def _check_interval(name: str, interval: tuple[float, float], most: float = math.inf) -> None:
    low, high = interval
    if not 0 < low <= high <= most:
        raise ConfigError(f"{name}={interval!r}: (low, high) with 0 < low <= high <= {most}")


# Geometry.


def random_crop(padding: int, mode: str = "constant") -> Operation:
    """Pads each side and crops back to the same size at a uniformly drawn offset.

    With mode "reflect" this is the random translation of arXiv 2404.00498.

    Args:
      padding: pixels added to each side; 0 leaves the image as it is.
      mode: "constant" pads with 0, "reflect" mirrors about the outermost pixels.

    Raises:
      ConfigError: negative padding, unknown mode.
      ValueError: reflection of more pixels than the image has (when traced).
    """
    _check_within("random_crop, padding", padding, 0)
    check_choice("padding mode", mode, ("constant", "reflect"))

    def change(image: Float[Array, "h w c"], key: PRNGKeyArray) -> Float[Array, "h w c"]:
        if mode == "reflect" and padding >= min(image.shape[:2]):
            raise ValueError(f"padding={padding} cannot be reflected from shape {image.shape}")
        padded = jnp.pad(image, ((padding, padding), (padding, padding), (0, 0)), mode=mode)
        top, left = jax.random.randint(key, (2,), 0, 2 * padding + 1)
        return jax.lax.dynamic_slice(padded, (top, left, 0), image.shape)

    return _per_image(change)


def flip_lr(probability: float = 0.5) -> Operation:
    """Mirrors left and right with the given probability."""
    _check_within("flip_lr, probability", probability, 0, 1)

    def change(image: Float[Array, "h w c"], key: PRNGKeyArray) -> Float[Array, "h w c"]:
        flipped = jax.random.bernoulli(key, probability)
        return jnp.where(flipped, pix.flip_left_right(image), image)

    return _per_image(change)


def alternating_flip(num_examples: int) -> Operation:
    """Mirrors left and right in every other epoch (Jordan 2024, arXiv 2404.00498, Section 3.6).

    Whether an example is mirrored in its first epoch is a pseudorandom function of `batch["row"]`
    alone, the same in every run and of no step's key; from then on it alternates, so that two
    epochs in a row show each example both ways round.

    Args:
      num_examples: examples an epoch; the epoch is `batch["index"] // num_examples`.
    """
    _check_within("alternating_flip, num_examples", num_examples, 1)

    def op(batch: Batch, keys: Key[Array, " b"]) -> Batch:
        first = _first_flip(batch["row"])
        odd_epoch = (batch["index"] // num_examples) % 2 == 1
        flipped = (first ^ odd_epoch)[:, None, None, None]
        image = batch["image"]
        return {**batch, "image": jnp.where(flipped, jnp.flip(image, axis=2), image)}

    return op


def _first_flip(row: UInt[Array, " b"] | Int[Array, " b"]) -> Bool[Array, " b"]:
    keys = rng.per_example(rng.purpose(rng.root(0), "alternating_flip"), row)
    return jax.vmap(jax.random.bernoulli)(keys)


def random_resized_crop(
    size: int | None = None,
    area: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    method: str = "bilinear",
) -> Operation:
    """Crops a box of random area and aspect ratio and resizes it to a square ("Inception crop").

    The area is uniform and the ratio log-uniform (Szegedy et al. 2015, arXiv 1409.4842, Section 6);
    sides and corner are whole pixels. Of ten drawn boxes the first that fits is taken, else the
    largest central box whose ratio is allowed. Resizing is antialiased; as in PIL's
    `resize(box=...)`, pixels just outside the box weigh in at its border. SimCLR's crop is this
    one (arXiv 2002.05709, Appendix A), its authors' code resizes by cubic convolution.

    Args:
      size: side of the output, (b, size, size, c); None keeps the input's height and width.
      area: (low, high) share of the image.
      ratio: (low, high) width over height.
      method: of resizing, "bilinear" or "bicubic", whose overshoots are clipped.

    Raises:
      ConfigError: an interval that is empty or not positive, an area above 1, an unknown method.
    """
    _check_interval("random_resized_crop, area", area, most=1.0)
    _check_interval("random_resized_crop, ratio", ratio)
    check_choice("method of random_resized_crop", method, _RESIZING)
    if size is not None:
        _check_within("random_resized_crop, size", size, 1)

    def change(image: Float[Array, "h w c"], key: PRNGKeyArray) -> Float[Array, "h2 w2 c"]:
        height, width, channels = image.shape
        top, left, rows, columns = _inception_box(key, height, width, area, ratio)
        out = (size or height, size or width, channels)
        scale = jnp.array([out[0] / rows, out[1] / columns])
        shift = -scale * jnp.array([top, left])
        resized = jax.image.scale_and_translate(
            image, out, (0, 1), scale, shift, method=_RESIZING[method]
        )
        return jnp.clip(resized, 0, 1) if method == "bicubic" else resized

    return _per_image(change)


def _inception_box(
    key: PRNGKeyArray,
    height: int,
    width: int,
    area: tuple[float, float],
    ratio: tuple[float, float],
) -> tuple[Int[Array, ""], Int[Array, ""], Int[Array, ""], Int[Array, ""]]:
    """Returns (top, left, rows, columns)."""
    k_box, k_corner = jax.random.split(key)
    rows, columns, fits = _boxes(k_box, height, width, area, ratio)
    first, found = jnp.argmax(fits), jnp.any(fits)
    low, high = ratio
    central = (min(height, round(width / low)), min(width, round(height * high)))
    rows = jnp.where(found, rows[first], central[0])
    columns = jnp.where(found, columns[first], central[1])
    free = jnp.array([height, width]) - jnp.array([rows, columns])
    corner = jax.random.randint(k_corner, (2,), 0, free + 1)
    top, left = jnp.where(found, corner, free // 2)
    return top, left, rows, columns


def _boxes(
    key: PRNGKeyArray,
    height: int,
    width: int,
    area: tuple[float, float],
    ratio: tuple[float, float],
) -> tuple[Int[Array, " n"], Int[Array, " n"], Bool[Array, " n"]]:
    """Draws ten boxes: their rows and columns, and whether each fits into the image."""
    uniform = jax.random.uniform(key, (2, _ATTEMPTS))
    areas = area[0] + (area[1] - area[0]) * uniform[0]
    logs = math.log(ratio[0]) + math.log(ratio[1] / ratio[0]) * uniform[1]
    pixels, ratios = areas * height * width, jnp.exp(logs)
    rows = jnp.round(jnp.sqrt(pixels / ratios)).astype(jnp.int32)
    columns = jnp.round(jnp.sqrt(pixels * ratios)).astype(jnp.int32)
    fits = (rows >= 1) & (rows <= height) & (columns >= 1) & (columns <= width)
    return rows, columns, fits


# Learned and random policies; the operations are in library/data/autoaugment.py.


def auto_augment(policy: str = "cifar", fill: float = 0.5) -> Operation:
    """Applies one of 25 learned pairs of operations (Cubuk et al. 2019, arXiv 1805.09501).

    Magnitudes 0..9 span Table 6's ranges evenly; translations reach 150/331 of the side. Warps are
    nearest neighbour.

    Args:
      policy: "cifar", "imagenet" or "svhn" (Tables 7 to 9).
      fill: the value of pixels from outside of the image.
    """
    check_choice("AutoAugment policy", policy, autoaugment.POLICIES)
    _check_within("auto_augment, fill", fill, 0, 1)

    def change(image: Float[Array, "h w c"], key: PRNGKeyArray) -> Float[Array, "h w c"]:
        draws = autoaugment.draw_auto(key, policy)
        return autoaugment.transform(image, draws, autoaugment.STANDARD, fill)

    return _per_image(change)


def rand_augment(
    num_layers: int = 2,
    magnitude: float = 10.0,
    max_magnitude: float = 10.0,
    magnitude_std: float = 0.0,
    probability: float = 1.0,
    fill: float = 0.5,
) -> Operation:
    """Applies `num_layers` operations out of 14 (Cubuk et al. 2020, arXiv 1909.13719).

    An operation's strength is magnitude / max_magnitude of AutoAugment's range, with a random sign
    where it has two directions. Warps are nearest neighbour.

    Args:
      num_layers: N of the paper.
      magnitude: M of the paper.
      max_magnitude: the magnitude at the end of AutoAugment's ranges: 10 in the paper's Section 3,
        30 in torchvision.
      magnitude_std: standard deviation of the magnitude, clipped to [0, max_magnitude]; timm's
        "rand-m9-mstd0.5-inc1" is magnitude=9, magnitude_std=0.5, probability=0.5.
      probability: of applying each drawn operation.
      fill: the value of pixels from outside of the image.

    Raises:
      ConfigError: no layers, a magnitude outside [0, max_magnitude], not a probability.
    """
    _check_within("rand_augment, num_layers", num_layers, 1)
    _check_positive("rand_augment, max_magnitude", max_magnitude)
    _check_within("rand_augment, magnitude_std", magnitude_std, 0)
    _check_within("rand_augment, probability", probability, 0, 1)
    _check_within("rand_augment, magnitude", magnitude, 0, max_magnitude)
    _check_within("rand_augment, fill", fill, 0, 1)
    strength, std = magnitude / max_magnitude, magnitude_std / max_magnitude

    def change(image: Float[Array, "h w c"], key: PRNGKeyArray) -> Float[Array, "h w c"]:
        draws = autoaugment.draw_rand(key, num_layers, strength, std, probability)
        return autoaugment.transform(image, draws, autoaugment.STANDARD, fill)

    return _per_image(change)


def trivial_augment(fill: float = 0.0) -> Operation:
    """Applies one of 14 operations at one of 31 strengths, both uniform, in the wide ranges.

    TA (Wide) of Mueller & Hutter 2021, arXiv 2103.10158: translations reach 32 pixels
    whatever the image's size. Warps are nearest neighbour.

    Args:
      fill: the value of pixels from outside of the image.
    """
    _check_within("trivial_augment, fill", fill, 0, 1)

    def change(image: Float[Array, "h w c"], key: PRNGKeyArray) -> Float[Array, "h w c"]:
        return autoaugment.transform(image, autoaugment.draw_trivial(key), autoaugment.WIDE, fill)

    return _per_image(change)


# Colour.


def color_jitter(
    brightness: float = 0.0,
    contrast: float = 0.0,
    saturation: float = 0.0,
    hue: float = 0.0,
    probability: float = 1.0,
) -> Operation:
    """Changes brightness, contrast, saturation and hue in random order (ranges of torchvision).

    Brightness, contrast and saturation move away from black, the mean luma and the luma by a factor
    uniform in [max(0, 1 - s), 1 + s]; hue turns by a share of the circle uniform in [-hue, hue].
    Values are clipped to [0, 1] after each. Under `vmap` the random order costs six blends and one
    turn of the hue.

    Raises:
      ConfigError: a negative strength, hue above 0.5 (half of the circle), not a probability.
      ValueError: images that do not have three channels (when traced).
    """
    strengths = dict(brightness=brightness, contrast=contrast, saturation=saturation)
    for name, strength in strengths.items():
        _check_within(f"color_jitter, {name}", strength, 0)
    _check_within("color_jitter, hue", hue, 0, 0.5)
    _check_within("color_jitter, probability", probability, 0, 1)
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

    return _per_image(change)


def _blend_in_order(
    image: Float[Array, "h w c"],
    factors: Float[Array, " 3"],
    order: Int[Array, " n"],
    start: int | Int[Array, ""],
    stop: int | Int[Array, ""],
) -> Float[Array, "h w c"]:
    """Blends with black (0), the mean luma (1) or the luma (2) for `order[start:stop]`."""
    for position in range(order.shape[0]):
        kind = order[position]
        luma = _luma(image)
        degenerate = jnp.select([kind == 0, kind == 1], [0.0, jnp.mean(luma)], luma)
        blended = jnp.clip(degenerate + factors[kind] * (image - degenerate), 0, 1)
        image = jnp.where((start <= position) & (position < stop), blended, image)
    return image


def _turn_hue(image: Float[Array, "h w c"], turn: Float[Array, ""]) -> Float[Array, "h w c"]:
    _check_color(image)
    return jnp.clip(pix.adjust_hue(image, turn), 0, 1)


def _luma(image: Float[Array, "h w c"]) -> Float[Array, "h w 1"]:
    """Returns ITU-R 601 luma by a sum, not a product of matrices, which a TPU would round."""
    if image.shape[-1] == 1:
        return image
    _check_color(image)
    red, green, blue = (image[..., i : i + 1] for i in range(3))
    return 0.299 * red + 0.587 * green + 0.114 * blue


def _check_color(image: Float[Array, "h w c"]) -> None:
    if image.shape[-1] != 3:
        raise ValueError(f"colour operations need 3 channels, got an image of shape {image.shape}")


# Of the RGB values, in [0, 1], of ImageNet's training images: the eigenvalues of their covariance,
# and its eigenvectors as columns, as fb.resnet.torch has them (datasets/imagenet.lua).
_EIGENVALUES = np.array([0.2175, 0.0188, 0.0045], np.float32)
_EIGENVECTORS = np.array(
    [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]],
    np.float32,
)


def pca_noise(std: float = 0.1) -> Operation:
    """Adds one random colour to all pixels, along the principal components of ImageNet's colours.

    Krizhevsky et al. 2012, section 4.1 ("fancy PCA", "lighting"): each component has its eigenvalue
    times a normal draw of standard deviation `std`. As there, nothing is clipped, so that values
    leave [0, 1]: it comes after operations that expect them within.

    Raises:
      ConfigError: a negative standard deviation.
      ValueError: images that do not have three channels (when traced).
    """
    _check_within("pca_noise, std", std, 0)

    def change(image: Float[Array, "h w c"], key: PRNGKeyArray) -> Float[Array, "h w c"]:
        _check_color(image)
        amounts = std * _EIGENVALUES * jax.random.normal(key, (3,))
        # Written out: a TPU would round a product of matrices, and XLA's compiler for CPUs (jaxlib
        # 0.10.2) gets a reduction over the components of 512 examples or more wrong.
        return image + sum(_EIGENVECTORS[:, i] * amounts[i] for i in range(3))

    return _per_image(change)


def grayscale(probability: float = 0.2) -> Operation:
    """Replaces all channels by the luma, with the given probability (0.2 in SimCLR).

    Raises:
      ConfigError: not a probability.
      ValueError: images of neither one nor three channels (when traced).
    """
    _check_within("grayscale, probability", probability, 0, 1)

    def change(image: Float[Array, "h w c"], key: PRNGKeyArray) -> Float[Array, "h w c"]:
        return jnp.where(jax.random.bernoulli(key, probability), _luma(image), image)

    return _per_image(change)


def gaussian_blur(
    probability: float = 0.5,
    sigma: tuple[float, float] = (0.1, 2.0),
    kernel_size: int | None = None,
) -> Operation:
    """Blurs by a Gaussian with a standard deviation uniform in `sigma` (SimCLR, arXiv 2002.05709).

    The kernel is separable, cut off at `kernel_size` pixels and normalized; borders are reflected.

    Args:
      probability: of blurring an example.
      sigma: (low, high), in pixels.
      kernel_size: rounded up to odd; None is a tenth of the height, as in SimCLR's Appendix A.

    Raises:
      ConfigError: not a probability, an interval that is empty or not positive.
      ValueError: a kernel that reaches further than the image (when traced).
    """
    _check_within("gaussian_blur, probability", probability, 0, 1)
    _check_interval("gaussian_blur, sigma", sigma)
    if kernel_size is not None:
        _check_within("gaussian_blur, kernel_size", kernel_size, 1)

    def change(image: Float[Array, "h w c"], key: PRNGKeyArray) -> Float[Array, "h w c"]:
        k_sigma, k_apply = jax.random.split(key)
        radius = (kernel_size or image.shape[0] // 10) // 2
        if radius >= min(image.shape[:2]):
            raise ValueError(f"kernel_size={kernel_size} does not fit an image of {image.shape}")
        deviation = jax.random.uniform(k_sigma, minval=sigma[0], maxval=sigma[1])
        blurred = _blur(image, deviation, radius)
        return jnp.where(jax.random.bernoulli(k_apply, probability), blurred, image)

    return _per_image(change)


def _blur(
    image: Float[Array, "h w c"], sigma: Float[Array, ""], radius: int
) -> Float[Array, "h w c"]:
    # A sum of shifts: a convolution by a kernel of its own for each example is slow everywhere.
    offsets = jnp.arange(-radius, radius + 1)
    kernel = jnp.exp(-(offsets**2) / (2 * sigma**2))
    kernel = kernel / jnp.sum(kernel)
    height, width, _ = image.shape
    padded = jnp.pad(image, ((radius, radius), (radius, radius), (0, 0)), mode="reflect")
    rows = sum(kernel[i] * padded[i : i + height] for i in range(2 * radius + 1))
    return sum(kernel[i] * rows[:, i : i + width] for i in range(2 * radius + 1))


def normalize(mean: tuple[float, ...], std: tuple[float, ...]) -> Operation:
    """Subtracts the mean and divides by the standard deviation of each channel.

    Args:
      mean: one value a channel, or one for all, of images in [0, 1].
      std: as `mean`.

    Raises:
      ConfigError: different numbers of values, a standard deviation that is not positive.
      ValueError: images of another number of channels (when traced).
    """
    if len(mean) != len(std) or not mean:
        raise ConfigError(f"normalize has {len(mean)} means and {len(std)} standard deviations")
    for value in std:
        _check_positive("normalize, std", value)

    def op(batch: Batch, keys: Key[Array, " b"] | None = None) -> Batch:
        image = batch["image"]
        if len(mean) not in (1, image.shape[-1]):
            raise ValueError(f"{len(mean)} means cannot normalize images of shape {image.shape}")
        return {**batch, "image": (image - jnp.array(mean)) / jnp.array(std)}

    return op


# Occlusion.


def random_erasing(
    probability: float = 0.5,
    area: tuple[float, float] = (0.02, 0.4),
    ratio: tuple[float, float] = (0.3, 1 / 0.3),
    fill: float | str = "random",
    unnormalize: Callable[[Array], Array] | None = None,
) -> Operation:
    """Erases a box of random area and aspect ratio (Zhong et al. 2020, arXiv 1708.04896).

    The area is uniform, the ratio log-uniform (uniform in the paper's Algorithm 1, log-uniform in
    the common implementations). Of ten drawn boxes the first that fits is erased.

    Args:
      probability: of erasing from an example.
      area: (low, high) share of the image.
      ratio: (low, high) width over height.
      fill: a value, or for each pixel and channel a draw: "random", uniform in [0, 1), or "normal",
        standard normal once the batch is normalized, as timm's mode "pixel" has it. That leaves
        [0, 1], so operations that clip come before.
      unnormalize: brings normalized images back to [0, 1]; "normal" takes it for what comes later.

    Raises:
      ConfigError: not a probability, an interval that is empty or not positive, unknown fill.
    """
    _check_within("random_erasing, probability", probability, 0, 1)
    _check_interval("random_erasing, area", area, most=1.0)
    _check_interval("random_erasing, ratio", ratio)
    if isinstance(fill, str):
        check_choice("fill of random_erasing", fill, ("random", "normal", "a number"))

    def filled(key: PRNGKeyArray, shape: tuple[int, ...]) -> float | Array:
        if fill == "normal":
            noise = jax.random.normal(key, shape)
            return noise if unnormalize is None else unnormalize(noise)
        return jax.random.uniform(key, shape) if fill == "random" else fill

    def change(image: Float[Array, "h w c"], key: PRNGKeyArray) -> Float[Array, "h w c"]:
        k_box, k_corner, k_fill, k_apply = jax.random.split(key, 4)
        height, width, _ = image.shape
        rows, columns, fits = _boxes(k_box, height, width, area, ratio)
        first = jnp.argmax(fits)
        side = jnp.array([rows[first], columns[first]])
        free = jnp.maximum(jnp.array([height, width]) - side, 0)
        corner = jax.random.randint(k_corner, (2,), 0, free + 1)
        erased = jax.random.bernoulli(k_apply, probability) & jnp.any(fits)
        inside = _box(height, width, corner, corner + side) & erased
        return jnp.where(inside[..., None], filled(k_fill, image.shape), image)

    return _per_image(change)


def cutout(size: int, fill: float = 0.0) -> Operation:
    """Erases a square about a uniformly drawn pixel, cut off at the borders.

    DeVries & Taylor 2017, arXiv 1708.04552, who erase to the mean of the data: place this after
    `normalize`, or give the mean as `fill`.

    Args:
      size: side of the square in pixels (16 for CIFAR-10, 8 for CIFAR-100).
      fill: the value erased to.
    """
    _check_within("cutout, size", size, 1)

    def change(image: Float[Array, "h w c"], key: PRNGKeyArray) -> Float[Array, "h w c"]:
        height, width, _ = image.shape
        centre = jax.random.randint(key, (2,), 0, np.array([height, width]))
        start = centre - size // 2
        return jnp.where(_box(height, width, start, start + size)[..., None], fill, image)

    return _per_image(change)


def _box(
    height: int, width: int, start: Int[Array, " 2"], stop: Int[Array, " 2"]
) -> Bool[Array, "{height} {width}"]:
    """Marks the pixels from `start` up to `stop`, both (row, column)."""
    row, column = jnp.arange(height)[:, None], jnp.arange(width)[None, :]
    rows = (start[0] <= row) & (row < stop[0])
    return rows & (start[1] <= column) & (column < stop[1])


# Mixing of examples.


def mixup(alpha: float, num_classes: int, probability: float = 1.0) -> Operation:
    """Averages each example with its neighbour (Zhang et al. 2018, arXiv 1710.09412, Equation 1).

    The neighbour is the example before it in the batch, the last one's for the first. Under `jit`
    over a mesh that is the global batch, so any number of devices agrees; under `pmap` it is the
    device's own part of it, so the partners of examples at its edges depend on the number of
    devices. The weight is drawn from Beta(alpha, alpha) for each example.

    Args:
      alpha: 0.2 for ImageNet and 1 for CIFAR in the paper.
      num_classes: width of the labels: int (b,) or float (b, c) become float32 (b, c).
      probability: of mixing an example; others keep image and label.

    Raises:
      ConfigError: alpha that is not positive, not a probability.
      ValueError: soft labels of another width (when traced).
    """
    _check_positive("mixup, alpha", alpha)
    _check_within("mixup, probability", probability, 0, 1)
    return mixup_cutmix(num_classes, alpha, cutmix_probability=0.0, probability=probability)


def cutmix(alpha: float, num_classes: int, probability: float = 1.0) -> Operation:
    """Pastes a box of its neighbour into each example (Yun et al. 2019, arXiv 1905.04899).

    The box's share of the image is drawn from Beta(alpha, alpha), its centre is uniform, and it is
    cut off at the borders; labels are weighted by the share really pasted. The neighbour is that
    of `mixup`, whose arguments and errors these are.
    """
    _check_positive("cutmix, alpha", alpha)
    _check_within("cutmix, probability", probability, 0, 1)
    return mixup_cutmix(
        num_classes, cutmix_alpha=alpha, cutmix_probability=1.0, probability=probability
    )


def mixup_cutmix(
    num_classes: int,
    mixup_alpha: float = 0.8,
    cutmix_alpha: float = 1.0,
    cutmix_probability: float = 0.5,
    probability: float = 1.0,
) -> Operation:
    """Mixes each example by `cutmix` with probability `cutmix_probability`, else by `mixup`.

    The defaults are those of DeiT (arXiv 2012.12877, Table 9), where a whole batch switches.
    """
    _check_positive("mixup_cutmix, mixup_alpha", mixup_alpha)
    _check_positive("mixup_cutmix, cutmix_alpha", cutmix_alpha)
    _check_within("mixup_cutmix, cutmix_probability", cutmix_probability, 0, 1)
    _check_within("mixup_cutmix, probability", probability, 0, 1)

    def weights(key: PRNGKeyArray, height: int, width: int) -> Float[Array, "{height} {width}"]:
        k_paste, k_share, k_centre, k_mix = jax.random.split(key, 4)
        pasted = jax.random.bernoulli(k_paste, cutmix_probability)
        alpha = jnp.where(pasted, cutmix_alpha, mixup_alpha)
        share = jax.random.beta(k_share, alpha, alpha)
        own = jnp.where(pasted, 1 - _paste(k_centre, share, height, width), share)
        return jnp.where(jax.random.bernoulli(k_mix, probability), own, 1.0)

    def op(batch: Batch, keys: Key[Array, " b"]) -> Batch:
        image, label = batch["image"], _one_hot(batch["label"], num_classes)
        _, height, width, _ = image.shape
        own = jax.vmap(lambda key: weights(key, height, width))(keys)[..., None]
        if "mask" in batch:
            # A neighbour that was skipped is no image, and the zeros of its label are a class.
            there = jnp.roll(batch["mask"], 1) > 0
            own = jnp.where(there[:, None, None, None], own, 1.0)
        image = own * image + (1 - own) * jnp.roll(image, 1, axis=0)
        share = jnp.mean(own, axis=(1, 2))
        label = share * label + (1 - share) * jnp.roll(label, 1, axis=0)
        return {**batch, "image": image, "label": label}

    return op


def _paste(
    key: PRNGKeyArray, share: Float[Array, ""], height: int, width: int
) -> Bool[Array, "{height} {width}"]:
    """Marks a box of that share of the image about a random pixel, cut off at the borders."""
    sides = np.array([height, width])
    half = jnp.floor(sides * jnp.sqrt(share)).astype(jnp.int32) // 2
    centre = jax.random.randint(key, (2,), 0, sides)
    return _box(height, width, centre - half, centre + half)


def _one_hot(
    label: Int[Array, " b"] | Float[Array, "b c"], num_classes: int
) -> Float[Array, "b {num_classes}"]:
    if label.ndim == 1:
        return jax.nn.one_hot(label, num_classes, dtype=jnp.float32)
    if label.shape[-1] != num_classes:
        raise ValueError(f"labels of shape {label.shape} are not of {num_classes} classes")
    return label.astype(jnp.float32)
