"""Mixing of examples: mixup and cutmix of images and labels of neighbours in a batch."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray

from library.data import features
from library.data.augmentation._draws import box
from library.data.augmentation._operations import (
    Batch,
    Operation,
    check_positive,
    check_within,
    images,
    refuse,
)
from library.data.features import Kinds

# Kinds for which an average of two examples is meaningless or needs a separate rule.
_UNMIXED = ("map", "field", "boxes", "points", "target", "tokens", "series", "audio")


def mixup(
    alpha: float, num_classes: int, probability: float = 1.0, kinds: Kinds = features.USUAL
) -> Operation:
    """Averages each example with its neighbour (Zhang et al. 2018, arXiv 1710.09412, Equation 1).

    The neighbour is the example before it in the batch; that of the first is the last. Under `jit`
    over a mesh the batch is the global batch, so the result does not depend on the number of
    devices. Under `pmap` it is the device's part of the batch, so the neighbour of its first
    example depends on the number of devices. The weight of each example is drawn from
    Beta(alpha, alpha).

    Args:
      alpha: parameter of the Beta distribution; in the paper 0.2 for ImageNet and 1 for CIFAR.
      num_classes: number of classes c; labels, int (b,) or float (b, c), become float32 (b, c).
      probability: probability of mixing an example; the others keep image and label.
      kinds: the kinds of the features.

    Raises:
      ConfigError: alpha is not positive, or `probability` is not in [0, 1].
      ValueError: (when traced) soft labels have another width, or the batch has features that
        cannot be mixed, such as maps.
    """
    check_positive("mixup, alpha", alpha)
    check_within("mixup, probability", probability, 0, 1)
    return mixup_cutmix(
        num_classes, alpha, cutmix_probability=0.0, probability=probability, kinds=kinds
    )


def cutmix(
    alpha: float, num_classes: int, probability: float = 1.0, kinds: Kinds = features.USUAL
) -> Operation:
    """Pastes a box of its neighbour into each example (Yun et al. 2019, arXiv 1905.04899).

    The box's share of the image is drawn from Beta(alpha, alpha), its centre is uniform, and it is
    clipped to the image. Labels are weighted by the share that is pasted after clipping. The
    neighbour, the arguments and the errors are those of `mixup`.
    """
    check_positive("cutmix, alpha", alpha)
    check_within("cutmix, probability", probability, 0, 1)
    return mixup_cutmix(
        num_classes,
        cutmix_alpha=alpha,
        cutmix_probability=1.0,
        probability=probability,
        kinds=kinds,
    )


def mixup_cutmix(
    num_classes: int,
    mixup_alpha: float = 0.8,
    cutmix_alpha: float = 1.0,
    cutmix_probability: float = 0.5,
    probability: float = 1.0,
    kinds: Kinds = features.USUAL,
) -> Operation:
    """Mixes each example by `cutmix` with probability `cutmix_probability`, else by `mixup`.

    The defaults are those of DeiT (arXiv 2012.12877, Table 9), which draws once per batch, not per
    example. `mixup_alpha` and `cutmix_alpha` are the `alpha` of each, `probability` is that of
    mixing an example at all.
    """
    check_positive("mixup_cutmix, mixup_alpha", mixup_alpha)
    check_positive("mixup_cutmix, cutmix_alpha", cutmix_alpha)
    check_within("mixup_cutmix, cutmix_probability", cutmix_probability, 0, 1)
    check_within("mixup_cutmix, probability", probability, 0, 1)

    def weights(key: PRNGKeyArray, height: int, width: int) -> Float[Array, "{height} {width}"]:
        k_paste, k_share, k_centre, k_mix = jax.random.split(key, 4)
        pasted = jax.random.bernoulli(k_paste, cutmix_probability)
        alpha = jnp.where(pasted, cutmix_alpha, mixup_alpha)
        share = jax.random.beta(k_share, alpha, alpha)
        own = jnp.where(pasted, 1 - _paste(k_centre, share, height, width), share)
        return jnp.where(jax.random.bernoulli(k_mix, probability), own, 1.0)

    def op(batch: Batch, keys: Key[Array, " b"]) -> Batch:
        refuse(batch, kinds, "mixing of examples", *_UNMIXED)
        names, label = images(batch, kinds), _one_hot(batch["label"], num_classes)
        height, width = batch[names[0]].shape[1:3]
        for name in names:
            if batch[name].shape[1:3] != (height, width):
                raise ValueError(
                    f"{name} has shape {batch[name].shape}, but {names[0]} is {height}x{width}: "
                    "images that are mixed together need the same size"
                )
        own = jax.vmap(lambda key: weights(key, height, width))(keys)[..., None]
        if "mask" in batch:
            # A skipped neighbour has no image, and its label of zeros would count as class 0.
            there = jnp.roll(batch["mask"], 1) > 0
            own = jnp.where(there[:, None, None, None], own, 1.0)
        mixed = {
            name: own * batch[name] + (1 - own) * jnp.roll(batch[name], 1, axis=0) for name in names
        }
        share = jnp.mean(own, axis=(1, 2))
        label = share * label + (1 - share) * jnp.roll(label, 1, axis=0)
        return {**batch, **mixed, "label": label}

    return op


def _paste(
    key: PRNGKeyArray, share: Float[Array, ""], height: int, width: int
) -> Bool[Array, "{height} {width}"]:
    """Marks a box that is `share` of the image, centred at a random pixel and clipped to it."""
    sides = np.array([height, width])
    half = jnp.floor(sides * jnp.sqrt(share)).astype(jnp.int32) // 2
    centre = jax.random.randint(key, (2,), 0, sides)
    return box(height, width, centre - half, centre + half)


def _one_hot(
    label: Int[Array, " b"] | Float[Array, "b c"], num_classes: int
) -> Float[Array, "b {num_classes}"]:
    if label.ndim == 1:
        return jax.nn.one_hot(label, num_classes, dtype=jnp.float32)
    if label.shape[-1] != num_classes:
        raise ValueError(f"labels have shape {label.shape}, expected (b, {num_classes})")
    return label.astype(jnp.float32)
