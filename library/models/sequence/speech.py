"""Classifiers of recordings: networks on spectra, with a mask for padding.

- `perceptron`: the means of equal segments, then dense layers, a fixed view of any length as in the
  first networks on speech (Bourlard & Wellekens 1990, "Links between Markov models and multilayer
  perceptrons", use frames with their neighbours).
- `tdnn`: time-delay layers (Waibel et al. 1989, "Phoneme recognition using time-delay neural
  networks") and the pooled mean and deviation of Snyder et al. 2018, "X-vectors".
- `cnn`: convolutions over time and frequency (Sainath & Parada 2015, "Convolutional neural networks
  for small-footprint keyword spotting").
- `blstm`: bidirectional LSTM layers (Graves & Schmidhuber 2005, "Framewise phoneme classification
  with bidirectional LSTM").
- `transformer`: attention over frames (Vaswani et al. 2017; Berg, O'Connor & Cruz 2021, "Keyword
  Transformer").

All take `(audio (b, t, d), audio_mask (b, t))` and return logits. What is in the padding changes no
bit of them: frames are set to 0 after each layer that mixes them.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from library.layers.attention import Attention, FeedForward
from library.layers.checks import check_heads, check_rates, check_sizes
from library.layers.head import linear_head
from library.layers.intermediates import store
from library.layers.positions import sinusoidal
from library.layers.recurrence import BidirectionalLSTM
from library.layers.series import mean_step, pooled_statistics, present, segment_means
from library.variants import variant

Frames = Float[Array, "b t d"]
Mask = Float[Array, "b t"]


class Perceptron(nn.Module):
    """Dense layers with ReLU on the means of `segments` equal parts of the recording.

    Submodules are "hidden1", "hidden2", ... and "head".
    """

    num_classes: int
    segments: int = 10
    widths: tuple[int, ...] = (128, 128)
    dropout: float = 0.2

    def __post_init__(self):
        check_sizes(segments=self.segments, widths=self.widths)
        check_rates(dropout=self.dropout)
        super().__post_init__()

    @nn.compact
    def __call__(self, audio: Frames, audio_mask: Mask, train: bool = False) -> Float[Array, "b k"]:
        """Returns logits."""
        x = segment_means(audio, audio_mask, self.segments).reshape(len(audio), -1)
        for i, width in enumerate(self.widths):
            x = nn.relu(nn.Dense(width, name=f"hidden{i + 1}")(x))
            x = nn.Dropout(self.dropout, deterministic=not train, name=f"dropout{i + 1}")(x)
        return _head(self, x)


class TimeDelay(nn.Module):
    """Time-delay layers, each a dilated convolution over frames, and pooled mean and deviation.

    Submodules are "delay1", "norm1", ..., "hidden" and "head". Layer normalization takes the place
    of batch normalization, whose statistics would count padding.
    """

    num_classes: int
    widths: tuple[int, ...] = (64, 64, 64, 128)
    sizes: tuple[int, ...] = (5, 3, 3, 1)
    dilations: tuple[int, ...] = (1, 2, 3, 1)
    hidden: int = 64
    dropout: float = 0.2

    def __post_init__(self):
        check_sizes(widths=self.widths, sizes=self.sizes, dilations=self.dilations)
        check_sizes(hidden=self.hidden)
        check_rates(dropout=self.dropout)
        super().__post_init__()

    @nn.compact
    def __call__(self, audio: Frames, audio_mask: Mask, train: bool = False) -> Float[Array, "b k"]:
        """Returns logits."""
        x = present(audio, audio_mask)
        layers = zip(self.widths, self.sizes, self.dilations, strict=True)
        for i, (width, size, dilation) in enumerate(layers):
            reach = dilation * (size - 1)
            sides = [(reach // 2, reach - reach // 2)]
            options = dict(kernel_dilation=dilation, padding=sides, name=f"delay{i + 1}")
            x = nn.relu(nn.Conv(width, (size,), **options)(x))
            x = present(nn.LayerNorm(name=f"norm{i + 1}")(x), audio_mask)
        x = nn.relu(nn.Dense(self.hidden, name="hidden")(pooled_statistics(x, audio_mask)))
        x = nn.Dropout(self.dropout, deterministic=not train, name="dropout")(x)
        return _head(self, x)


class Convolutions(nn.Module):
    """3x3 convolutions over time and bands, each halving both, and the mean over time.

    Submodules are "conv1", "norm1", ... and "head".
    """

    num_classes: int
    widths: tuple[int, ...] = (32, 64, 128)
    dropout: float = 0.3

    def __post_init__(self):
        check_sizes(widths=self.widths)
        check_rates(dropout=self.dropout)
        super().__post_init__()

    @nn.compact
    def __call__(self, audio: Frames, audio_mask: Mask, train: bool = False) -> Float[Array, "b k"]:
        """Returns logits."""
        mask, x = audio_mask, present(audio, audio_mask)[..., None]
        for i, width in enumerate(self.widths):
            # Padding that follows the size would shift frames by the parity of their number.
            sides = [(1, 1), (1, 1)]
            x = nn.Conv(width, (3, 3), strides=2, padding=sides, name=f"conv{i + 1}")(x)
            mask = mask[:, ::2]
            x = nn.relu(nn.LayerNorm(name=f"norm{i + 1}")(x))
            x = jnp.where(mask[..., None, None] > 0, x, 0)
        x = mean_step(x.reshape(*x.shape[:2], -1), mask)
        x = nn.Dropout(self.dropout, deterministic=not train, name="dropout")(x)
        return _head(self, x)


class Recurrent(nn.Module):
    """Bidirectional LSTM layers, and the mean of the last over time.

    Submodules are "layer1", "layer2", ... and "head".
    """

    num_classes: int
    width: int = 64
    depth: int = 1
    dropout: float = 0.2

    def __post_init__(self):
        check_sizes(width=self.width, depth=self.depth)
        check_rates(dropout=self.dropout)
        super().__post_init__()

    @nn.compact
    def __call__(self, audio: Frames, audio_mask: Mask, train: bool = False) -> Float[Array, "b k"]:
        """Returns logits."""
        x = present(audio, audio_mask)
        for i in range(self.depth):
            x = BidirectionalLSTM(self.width, name=f"layer{i + 1}")(x, audio_mask)
            x = nn.Dropout(self.dropout, deterministic=not train, name=f"dropout{i + 1}")(x)
        return _head(self, mean_step(x, audio_mask))


class Transformer(nn.Module):
    """Pre-norm Transformer blocks on pairs of frames with sinusoidal positions; the mean of tokens.

    Submodules are "embed", "block1_norm1", "block1_attention", "block1_norm2", "block1_mlp", ...,
    "norm" and "head".
    """

    num_classes: int
    width: int = 64
    depth: int = 2
    num_heads: int = 4
    hidden: int = 128
    dropout: float = 0.1

    def __post_init__(self):
        check_sizes(width=self.width, depth=self.depth, num_heads=self.num_heads)
        check_sizes(hidden=self.hidden)
        check_heads(width=self.width, num_heads=self.num_heads)
        check_rates(dropout=self.dropout)
        super().__post_init__()

    @nn.compact
    def __call__(self, audio: Frames, audio_mask: Mask, train: bool = False) -> Float[Array, "b k"]:
        """Returns logits."""
        x, mask = present(audio, audio_mask), audio_mask[:, ::2]
        x = nn.Conv(self.width, (3,), strides=2, padding=[(1, 1)], name="embed")(x)
        x = present(x + sinusoidal(x.shape[1], self.width), mask)
        seen = (mask > 0)[:, None, None]
        for i in range(self.depth):
            name = f"block{i + 1}"
            y = nn.LayerNorm(name=f"{name}_norm1")(x)
            y = Attention(self.num_heads, name=f"{name}_attention")(y, seen)
            x = x + self._drop(f"{name}_dropout1", y, train)
            y = nn.LayerNorm(name=f"{name}_norm2")(x)
            y = FeedForward(self.hidden, self.dropout, name=f"{name}_mlp")(y, train)
            x = x + self._drop(f"{name}_dropout2", y, train)
        x = nn.LayerNorm(name="norm")(x)
        return _head(self, mean_step(present(x, mask), mask))

    def _drop(self, name: str, x: Any, train: bool) -> Any:
        return nn.Dropout(self.dropout, deterministic=not train, name=name)(x)


perceptron = variant(Perceptron, "perceptron")
tdnn = variant(TimeDelay, "tdnn")
cnn = variant(Convolutions, "cnn")
blstm = variant(Recurrent, "blstm")
transformer = variant(Transformer, "transformer")


def _head(module: Any, x: Float[Array, "b d"]) -> Float[Array, "b k"]:
    store(module, "features", x)
    init = nn.initializers.lecun_normal()
    return linear_head(x, module.num_classes, kernel_init=init)
