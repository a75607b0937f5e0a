"""Preprocessing on the device: operations `batch -> batch` of all batches, before augmentation.

They are named in `config.device_preprocess`. They draw nothing, so that a batch of training and one
of an evaluation are alike. An operation keeps the name and the kind of a feature that it changes.
"""

from collections.abc import Callable, Sequence

from jaxtyping import Array

Batch = dict[str, Array]
Operation = Callable[[Batch], Batch]


def compose(operations: Sequence[Operation]) -> Operation:
    """Chains operations, in their order."""

    def changed(batch: Batch) -> Batch:
        for operation in operations:
            batch = operation(batch)
        return batch

    return changed
