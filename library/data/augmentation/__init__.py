"""Augmentation on the device: factories of pure operations on a batch, named in `config.augment`.

An operation is `(batch, keys) -> batch` with images float32 in [0, 1] of shape (b, h, w, c) and one
key an example. Unless its docstring says otherwise it treats each example by itself, so what
becomes of an example depends on its own key and on nothing else in the batch.

A factory that takes `kinds` is given the kinds of the batch's features, see
`library.data.features`. Geometry draws once an example and moves all that has a place in its image:
images by interpolation, maps by nearest neighbour, boxes and points by coordinates. Colour and
occlusion change images alone.

Factories check their arguments and raise `library.config.ConfigError`; the arguments `num_classes`,
`num_examples` and `kinds` are filled in by the builder from the dataset. Any file of this folder is
searched for a name.
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

    The i-th operation's keys are `fold_in(fold_in(key, i), index)` for each of `batch["index"]`.
    """
    ops = tuple(ops)

    def augment(batch: Batch, key: PRNGKeyArray) -> Batch:
        for position, op in enumerate(ops):
            batch = op(batch, rng.per_example(jax.random.fold_in(key, position), batch["index"]))
        return batch

    return augment
