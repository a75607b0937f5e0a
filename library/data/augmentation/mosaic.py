"""Mosaic: four images of the batch in the place of one, with their boxes, points and maps."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray, Shaped

from library import maps
from library.config import ConfigError
from library.data import features
from library.data.augmentation._operations import (
    Batch,
    Operation,
    check_interval,
    check_within,
    refuse,
)
from library.data.features import Kinds

# Places are in fixed point with this many fractional bits, see warping.py.
_BITS = 12
_ONE = 1 << _BITS
# Which corner of the canvas an image fills: 0 the first, 1 the second, of rows and of columns.
_CORNERS = np.array([(0, 0), (0, 1), (1, 0), (1, 1)])


def mosaic(
    probability: float = 1.0,
    scale: tuple[float, float] = (0.5, 1.5),
    translate: float = 0.1,
    fill: float = 114 / 255,
    map_fill: int = maps.UNKNOWN,
    visible: float = 0.1,
    num_objects: int | None = None,
    until: float = 1.0,
    batch_size: int = 1,
    total_steps: int = 1,
    kinds: Kinds = features.USUAL,
) -> Operation:
    """Joins four images of the batch at a random point, and scales and translates the result.

    Bochkovskiy et al. 2020, "YOLOv4" (arXiv 2004.10934), section 3.4, with the geometry of
    ultralytics' programs. A canvas of twice the sides holds the example and the three examples
    before it in the batch, which meet at a point uniform in its middle half; parts that do not fit
    are cut off. The canvas is scaled about its centre by a uniform factor and translated, and its
    middle is the new image. As for `mixup`, the batch is the global one under `jit`, and the
    device's part of it under `pmap`.

    An example then has the objects of all four, so it has room for four times as many. Objects of
    which little is left leave the example: their mask is 0.

    Args:
      probability: probability of changing an example.
      scale: (low, high) of the scale factor.
      translate: largest translation, as a fraction of the height and of the width.
      fill: value of pixels that no image covers.
      map_fill: value of such pixels of a map.
      visible: least share of its area by which a box stays.
      num_objects: objects an example has room for; those that are left beyond it are dropped, the
        last first. None has room for all.
      until: share of the run after which examples are not changed.
      batch_size: examples a step, from the run.
      total_steps: steps of the run, from the run.
      kinds: the kinds of the features.

    Raises:
      ConfigError: an argument is out of its range.
      ValueError: (when traced) the batch has features that cannot be joined, such as a label.
    """
    check_within("mosaic, probability", probability, 0, 1)
    check_interval("mosaic, scale", scale)
    check_within("mosaic, translate", translate, 0, 1)
    check_within("mosaic, visible", visible, 0, 1)
    check_within("mosaic, until", until, 0, 1)
    if num_objects is not None and num_objects < 1:
        raise ConfigError(f"mosaic, num_objects={num_objects}: valid are 1 or more")
    last = np.uint32(min(until * batch_size * total_steps, 2**32 - 1))

    def op(batch: Batch, keys: Key[Array, " b"]) -> Batch:
        names = _checked(batch, kinds)
        sides = batch[names[0]].shape[1:3]
        drawn = jax.vmap(lambda key: _drawn(key, sides, scale, translate))(keys)
        joined = jax.vmap(lambda key: _joins(key, probability))(keys)
        joined &= (batch["index"] < last) | (until == 1)
        four = _neighbours(batch.get("mask", jnp.ones(len(joined), jnp.float32)))
        found = {}
        for name in names:
            blank = {"image": fill, "map": map_fill, "field": 0}[kinds[name]]
            x = batch[name][..., None] if batch[name].ndim == 3 else batch[name]
            rest = dict(near=kinds[name] == "map", fill=blank)
            new = jax.vmap(
                lambda images, each, there, rest=rest: _image(images, each, there, **rest)
            )(_neighbours(x), drawn, four > 0)
            new = jnp.where(joined[:, None, None, None], new.astype(x.dtype), x)
            found[name] = new.reshape(batch[name].shape)
        for name in features.named(kinds, *features.OBJECTS, among=batch):
            found |= _objects(batch, name, kinds, drawn, joined, four, sides, visible)
            if num_objects is not None:
                found |= _fewer(found, name, kinds, num_objects)
        return {**batch, **found}

    return op


def _checked(batch: Batch, kinds: Kinds) -> list[str]:
    """Returns the images, maps and fields; raises ValueError for what cannot be joined."""
    refuse(batch, kinds, "mosaic", "clip")
    names = features.named(kinds, "image", "map", "field", among=batch)
    if not names:
        raise ValueError(f"the batch has no image, only {', '.join(sorted(batch))}")
    sides = batch[names[0]].shape[1:3]
    for name in names:
        if batch[name].shape[1:3] != sides:
            raise ValueError(
                f"{name} has size {batch[name].shape[1:3]}, but {names[0]} has {sides}: features "
                "that are joined in a mosaic need the same size"
            )
    owned = {
        other
        for name in features.named(kinds, *features.OBJECTS, among=batch)
        for other in features.companions(name, batch, kinds)
    }
    alone = {name: x for name, x in batch.items() if name not in owned}
    refuse(alone, kinds, "mosaic", "label", "target", "tokens", "series", "audio")
    return names


def _neighbours(x: Shaped[Array, "b ..."]) -> Shaped[Array, "b 4 ..."]:
    """Returns each example and the three before it in the batch."""
    return jnp.stack([jnp.roll(x, i, axis=0) for i in range(4)], axis=1)


def _joins(key: PRNGKeyArray, probability: float) -> Bool[Array, ""]:
    return jax.random.bernoulli(jax.random.fold_in(key, 1), probability)


def _drawn(
    key: PRNGKeyArray, sides: tuple[int, int], scale: tuple[float, float], translate: float
) -> tuple[Array, Array, Array]:
    """Draws the point where images meet (2,), in pixels, the scale, and the shift (2,)."""
    k_point, k_scale, k_shift = jax.random.split(jax.random.fold_in(key, 0), 3)
    low = np.array(sides) // 2
    point = jax.random.randint(k_point, (2,), low, 2 * np.array(sides) - low + 1)
    factor = jax.random.uniform(k_scale, minval=scale[0], maxval=scale[1])
    shift = translate * jax.random.uniform(k_shift, (2,), minval=-1)
    return point, factor, shift * np.float32(sides)


def _image(
    images: Array, drawn: tuple[Array, Array, Array], there: Array, *, near: bool, fill: float | int
) -> Shaped[Array, "h w c"]:
    """Returns the new image of four images (4, h, w, c), those not `there` left blank."""
    point, factor, shift = drawn
    places, corners, shown = [], [], []
    for axis, side in enumerate(images.shape[1:3]):
        place = _sources(side, factor, shift[axis])
        # A pixel of the canvas belongs to one image; its neighbours are those of that image.
        pixel = (place + _ONE // 2) >> _BITS
        second = pixel >= point[axis]
        origin = jnp.where(second, point[axis], point[axis] - side)
        places.append(place - origin * _ONE)
        corners.append(second.astype(jnp.int32))
        on_image = (pixel >= origin) & (pixel < origin + side)
        shown.append(on_image & (pixel >= 0) & (pixel < 2 * side))
    number = 2 * corners[0][:, None] + corners[1][None, :]
    inside = shown[0][:, None] & shown[1] & there[number]
    y, x = places
    if near:
        values = _read(images, number, (y + _ONE // 2) >> _BITS, (x + _ONE // 2) >> _BITS)
        return jnp.where(inside[..., None], values, fill)
    down, right = ((each & (_ONE - 1)) / np.float32(_ONE) for each in (y, x))
    down, right, rows, columns = down[:, None, None], right[:, None], y >> _BITS, x >> _BITS
    read = [_read(images, number, rows + i, columns + j) for i in (0, 1) for j in (0, 1)]
    upper, lower = ((1 - right) * read[k] + right * read[k + 1] for k in (0, 2))
    return jnp.where(inside[..., None], (1 - down) * upper + down * lower, fill)


def _sources(side: int, factor: Float[Array, ""], shift: Float[Array, ""]) -> Int[Array, " side"]:
    """Returns the place on the canvas, in fixed point, of each new pixel along an axis."""
    # Twice the distance of a pixel's centre from the middle is a whole number.
    apart = 2 * jnp.arange(side) - (side - 1)
    step = jnp.round(_ONE / 2 / factor).astype(jnp.int32)
    middle = side * _ONE - _ONE // 2 - jnp.round(shift / factor * _ONE).astype(jnp.int32)
    return middle + step * apart


def _read(images: Array, number: Array, y: Array, x: Array) -> Shaped[Array, "h w c"]:
    """Returns pixels of the image of each number; the border goes on beyond an image."""
    height, width = images.shape[1:3]
    rows, columns = jnp.clip(y, 0, height - 1)[:, None], jnp.clip(x, 0, width - 1)
    return images[number, rows, columns]


def _objects(
    batch: Batch,
    name: str,
    kinds: Kinds,
    drawn: tuple[Array, Array, Array],
    joined: Bool[Array, " b"],
    four: Float[Array, "b 4"],
    sides: tuple[int, int],
    visible: float,
) -> Batch:
    """Returns the objects `name` of all four images, and what belongs to them."""
    x = batch[name]
    mask = batch.get(f"{name}_mask", jnp.ones(x.shape[:2], jnp.float32))
    places = x.reshape(*x.shape[:2], -1, 2) * np.float32(sides)
    moved, left = jax.vmap(lambda p, each: _moved(p, each, sides))(_neighbours(places), drawn)
    kept = _neighbours(mask) * four[..., None] * (left > 0) * (left >= visible - 1e-4)
    own = jnp.concatenate([mask[:, None], jnp.zeros_like(kept[:, 1:])], axis=1)
    still = _neighbours(x).reshape(moved.shape)
    where = joined[:, None, None]
    new = jnp.where(where[..., None, None], moved, still)
    found = {
        name: new.reshape(len(x), -1, x.shape[-1]),
        f"{name}_mask": jnp.where(where, kept, own).reshape(len(x), -1),
    }
    for other in features.companions(name, batch, kinds):
        if other != f"{name}_mask":
            each = _neighbours(batch[other])
            found[other] = each.reshape(len(x), -1, *each.shape[3:])
    return found


def _moved(
    places: Float[Array, "4 n k 2"], drawn: tuple[Array, Array, Array], sides: tuple[int, int]
) -> tuple[Float[Array, "4 n k 2"], Float[Array, "4 n"]]:
    """Moves places in pixels of four images; returns them as fractions, and what is left of boxes.

    A point is left whole, 1, or not at all, 0.
    """
    point, factor, shift = drawn
    size, corner = np.float32(sides), jnp.asarray(_CORNERS)
    origin = jnp.where(corner, point, point - jnp.array(sides))[:, None, None]
    # Each image shows only in its own corner of the canvas.
    low = jnp.where(corner, point, 0)[:, None, None]
    high = jnp.where(corner, 2 * jnp.array(sides), point)[:, None, None]
    on_canvas = jnp.clip(places + origin, low, high)
    moved = ((on_canvas - size) * factor + shift + size / 2) / size
    new = jnp.clip(moved, 0, 1)
    if places.shape[-2] == 1:
        whole = jnp.all((new == moved) & (on_canvas == places + origin), axis=(-2, -1))
        return new, whole.astype(jnp.float32)
    extent = (new[..., 1, :] - new[..., 0, :]) * size / factor
    before = jnp.prod(places[..., 1, :] - places[..., 0, :], axis=-1)
    share = jnp.prod(extent, axis=-1) / jnp.maximum(before, 1e-9)
    thick = jnp.all(new[..., 1, :] - new[..., 0, :] > features.SLIVER, axis=-1)
    return new, jnp.where(thick, share, 0)


def _fewer(found: Batch, name: str, kinds: Kinds, num: int) -> Batch:
    """Returns the objects `name` and what belongs to them with room for `num`, those left first."""
    order = jnp.argsort(found[f"{name}_mask"] <= 0, axis=1, stable=True)[:, :num]
    own = (name, *features.companions(name, found, kinds))
    missing = max(0, num - order.shape[1])

    def taken(x: Array) -> Array:
        index = order.reshape(*order.shape, *(1,) * (x.ndim - 2))
        x = jnp.take_along_axis(x, index, axis=1)
        return jnp.pad(x, ((0, 0), (0, missing), *((0, 0),) * (x.ndim - 2)))

    return {each: taken(found[each]) for each in own}
