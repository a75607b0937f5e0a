"""Named activations of a model, for probes, perceptual losses and explanations."""

import flax.linen as nn
from jaxtyping import Array, Float


def store(module: nn.Module, name: str, x: Float[Array, "..."]) -> None:
    """Stores an activation under `name` in the collection "intermediates".

    It costs nothing unless `apply` is called with `mutable=["intermediates"]`. The entry is the
    array itself, not a tuple with one array per call. If a module is called twice, the last array
    stays.
    """
    module.sow("intermediates", name, x, init_fn=lambda: None, reduce_fn=lambda _, new: new)
