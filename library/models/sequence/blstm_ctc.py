"""The bidirectional LSTM of Graves et al. 2006, which labels sequences that nobody has segmented.

Graves, Fernandez, Gomez & Schmidhuber 2006, "Connectionist temporal classification: labelling
unsegmented sequence data with recurrent neural networks", section 5.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from library.config import ConfigError
from library.layers.checks import check_sizes
from library.layers.intermediates import store
from library.layers.recurrence import BidirectionalLSTM
from library.layers.series import present
from library.variants import variant


class BlstmCTC(nn.Module):
    """One bidirectional layer of LSTM blocks with peepholes, and logits of labels and of the blank.

    Submodules are "layer" and "head". The blank is the last logit. The network of the paper, 26
    numbers a frame, 100 blocks each way and 61 labels, has 114,662 params. Weights start uniform
    in -0.1 to 0.1, biases at 0. Training adds noise of deviation 0.6 to the inputs, as in the
    paper.

    Attributes:
      num_classes: number of labels, without the blank.
      width: blocks in each direction.
      input_noise: standard deviation of the noise that training adds to the inputs, from the stream
        "dropout".

    Raises:
      ConfigError: a size is below 1, or the noise is below 0.
    """

    num_classes: int
    width: int = 100
    input_noise: float = 0.6

    def __post_init__(self):
        check_sizes(num_classes=self.num_classes, width=self.width)
        if not self.input_noise >= 0:
            raise ConfigError(f"input_noise={self.input_noise}: valid are 0 (none) and more")
        super().__post_init__()

    @nn.compact
    def __call__(
        self,
        audio: Float[Array, "b t d"],
        audio_mask: Float[Array, "b t"],
        train: bool = False,
    ) -> tuple[Float[Array, "b t k"], Float[Array, "b t"]]:
        """Returns logits of k = num_classes + 1 labels for each frame, and the mask of frames."""
        x = audio
        if train and self.input_noise:
            noise = jax.random.normal(self.make_rng("dropout"), x.shape)
            x = x + self.input_noise * noise
        x = present(x, audio_mask)
        layer = BidirectionalLSTM(self.width, 0.0, kernel_init=_uniform, name="layer")
        x = layer(x, audio_mask)
        store(self, "features", x)
        head = nn.Dense(self.num_classes + 1, kernel_init=_uniform, name="head")
        return head(x), audio_mask


blstm_ctc = variant(BlstmCTC, "blstm_ctc")


def _uniform(key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
    return jax.random.uniform(key, shape, dtype, -0.1, 0.1)
