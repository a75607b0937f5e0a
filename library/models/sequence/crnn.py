"""CRNN: convolutions, then a recurrent layer over columns, that read a line of text.

Shi, Bai & Yao 2015, "An end-to-end trainable neural network for image-based sequence recognition"
(arXiv 1507.05717). This one is smaller than theirs, for lines of digits.
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from library.layers.checks import check_sizes
from library.layers.intermediates import store
from library.layers.recurrence import BidirectionalLSTM
from library.variants import variant


class CRNN(nn.Module):
    """Convolutions that halve the height each and the width twice, and a bidirectional LSTM.

    Submodules are "conv1", "norm1", ..., "layer" and "head". A frame is four columns. The blank is
    the last logit. What is in the padding changes no bit: columns are set to 0 after each layer.
    """

    num_classes: int
    widths: tuple[int, ...] = (16, 32, 64)
    width: int = 64

    def __post_init__(self):
        check_sizes(num_classes=self.num_classes, widths=self.widths, width=self.width)
        super().__post_init__()

    @nn.compact
    def __call__(
        self,
        image: Float[Array, "b h w c"],
        image_mask: Float[Array, "b w"],
        train: bool = False,
    ) -> tuple[Float[Array, "b t k"], Float[Array, "b t"]]:
        """Returns logits of k = num_classes + 1 labels for each frame, and the mask of frames."""
        mask, x = image_mask, _cleared(image, image_mask)
        for i, width in enumerate(self.widths):
            stride = 2 if i < 2 else 1
            options = dict(strides=(2, stride), padding=[(1, 1), (1, 1)])
            x = nn.Conv(width, (3, 3), name=f"conv{i + 1}", **options)(x)
            mask = mask[:, ::stride]
            x = _cleared(nn.relu(nn.LayerNorm(name=f"norm{i + 1}")(x)), mask)
        x = x.swapaxes(1, 2)
        x = x.reshape(*x.shape[:2], -1)
        x = BidirectionalLSTM(self.width, name="layer")(x, mask)
        store(self, "features", x)
        return nn.Dense(self.num_classes + 1, name="head")(x), mask


crnn = variant(CRNN, "crnn")


def _cleared(x: Float[Array, "b h w c"], mask: Float[Array, "b w"]) -> Float[Array, "b h w c"]:
    return jnp.where(mask[:, None, :, None] > 0, x, 0)
