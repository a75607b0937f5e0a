"""Named activations of a model, for probes, perceptual losses and explanations."""

import flax.linen as nn
from jaxtyping import Array, Float


def record(module: nn.Module, name: str, x: Float[Array, "..."]) -> None:
    """Records an activation under `name` in the collection "intermediates".

    Costs nothing unless `apply` is called with `mutable=["intermediates"]`. The array itself is
    kept, not a tuple of one per call; a module called twice keeps the last.
    """
    module.sow("intermediates", name, x, init_fn=lambda: None, reduce_fn=lambda _, new: new)
