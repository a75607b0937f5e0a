"""Augmentation on the device: factories of pure operations on a batch, named in `config.augment`.

An operation is `(batch, keys) -> batch` with float32 images in [0, 1], `(b, h, w, c)`, and one key
per example. Unless its docstring says otherwise, an operation treats examples independently: the
result for an example depends only on the example and its key.

A factory with the argument `kinds` gets the kinds of the batch's features, see
`library.data.features`. Geometry draws once per example and moves all its spatial features: images
by interpolation, maps by nearest neighbour, boxes and points by their coordinates. Colour and
occlusion change only images.

Factories check their arguments and raise `library.config.ConfigError`. The builder fills in the
arguments `num_classes`, `num_examples` and `kinds` from the dataset. A name in `config.augment` may
be in any file of this folder.
"""

from collections.abc import Callable, Sequence

import jax
from jaxtyping import PRNGKeyArray

from library import rng
from library.data.augmentation._operations import Batch, Operation
from library.data.augmentation.colour import normalize
from library.data.augmentation.geometry import alternating_flip, flip_lr

__all__ = ["Batch", "Operation", "alternating_flip", "compose", "flip_lr", "normalize"]


def compose(ops: Sequence[Operation]) -> Callable[[Batch, PRNGKeyArray], Batch]:
    """Chains operations into `(batch, key) -> batch`.

    The keys of operation i are `fold_in(fold_in(key, i), index)` for each index in
    `batch["index"]`.
    """
    ops = tuple(ops)

    def augment(batch: Batch, key: PRNGKeyArray) -> Batch:
        for position, op in enumerate(ops):
            batch = op(batch, rng.per_example(jax.random.fold_in(key, position), batch["index"]))
        return batch

    return augment
