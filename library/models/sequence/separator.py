"""A network that says, for each time and frequency, how much of a mixture is each of two voices.

Kolbaek et al. 2017, "Multitalker speech separation with utterance-level permutation invariant
training of deep recurrent neural networks" (arXiv 1703.06284).
"""

import flax.linen as nn
from jaxtyping import Array, Float

from library.layers.checks import check_sizes
from library.layers.recurrence import BidirectionalLSTM
from library.layers.series import present
from library.variants import variant


class Separator(nn.Module):
    """Bidirectional LSTM layers on log spectra; submodules are "layer1", ... and "head"."""

    width: int = 128
    depth: int = 2

    def __post_init__(self):
        check_sizes(width=self.width, depth=self.depth)
        super().__post_init__()

    @nn.compact
    def __call__(
        self, logs: Float[Array, "b t f"], mask: Float[Array, "b t"], train: bool = False
    ) -> Float[Array, "b t f 2"]:
        """Returns the share of each voice, from 0 to 1; the two shares add to 1."""
        x = present(logs, mask)
        for i in range(self.depth):
            x = BidirectionalLSTM(self.width, name=f"layer{i + 1}")(x, mask)
        x = nn.Dense(2 * logs.shape[-1], name="head")(x)
        return nn.softmax(x.reshape(*logs.shape, 2), axis=-1)


separator = variant(Separator, "separator")
