"""WaveNet: dilated causal convolutions that predict each sample of a wave from those before it.

van den Oord et al. 2016, "WaveNet: a generative model for raw audio" (arXiv 1609.03499).
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from library.layers.checks import check_sizes
from library.layers.intermediates import store
from library.variants import variant


class WaveNet(nn.Module):
    """Layers with gates, residuals and skips (figure 4) on the levels of samples.

        z = tanh(A x[t - d] + B x[t]) sigmoid(C x[t - d] + D x[t]),  x' = x + R z,  skip += S z

    The dilation d doubles from layer to layer, `depth` times, and this `stacks` times over. The
    features are relu(S' relu(skips)), and logits follow by a dense layer. Submodules are "tokens",
    "layer1_past" with A and C, "layer1_now" with B, D and biases, "layer1_residual",
    "layer1_skip", ..., "out" and "head".

    A window is one recording. Padding comes after the data, so it cannot change them.

    Attributes:
      vocab_size: number of levels of a sample.
      width: channels of x and z.
      skip: channels of the skips.
      depth: layers of a stack; their dilations are 1, 2, ..., 2^(depth - 1).
      stacks: number of stacks.
    """

    vocab_size: int = 256
    width: int = 32
    skip: int = 64
    depth: int = 10
    stacks: int = 2

    def __post_init__(self):
        check_sizes(vocab_size=self.vocab_size, width=self.width, skip=self.skip)
        check_sizes(depth=self.depth, stacks=self.stacks)
        super().__post_init__()

    @nn.nowrap
    def dilations(self) -> list[int]:
        """Returns the dilation of each layer."""
        return [2**i for i in range(self.depth)] * self.stacks

    @property
    def receptive_field(self) -> int:
        """The number of samples that a prediction depends on."""
        return 1 + sum(self.dilations())

    def setup(self):
        """Makes the submodules."""
        self.tokens = nn.Embed(self.vocab_size, self.width)
        for i in range(len(self.dilations())):
            name = f"layer{i + 1}"
            setattr(self, f"{name}_past", nn.Dense(2 * self.width, use_bias=False))
            setattr(self, f"{name}_now", nn.Dense(2 * self.width))
            setattr(self, f"{name}_residual", nn.Dense(self.width))
            setattr(self, f"{name}_skip", nn.Dense(self.skip))
        self.out = nn.Dense(self.skip)
        self.head = nn.Dense(self.vocab_size)

    def __call__(self, tokens: Int[Array, "b t"], train: bool = False) -> Float[Array, "b t v"]:
        """Returns, for each sample, the logits of the next."""
        return self.attend(self.hidden(tokens, train=train))

    def hidden(
        self,
        tokens: Int[Array, "b t"],
        *,
        segments: Int[Array, "b t"] | None = None,
        train: bool = False,
    ) -> Float[Array, "b t d"]:
        """Returns the features from which `attend` computes logits.

        Args:
          tokens: levels of samples.
          segments: 1 for data and 0 for padding, which comes after the data and changes none.
          train: without effect: nothing here is random.
        """
        return self.network(self.tokens(tokens))

    def network(self, x: Float[Array, "b t w"]) -> Float[Array, "b t d"]:
        """Returns the features of embedded samples; zeros stand for samples before the first."""

        def before(x: Array, dilation: int) -> Array:
            return jnp.pad(x, ((0, 0), (dilation, 0), (0, 0)))[:, : x.shape[1]]

        pasts = [lambda x, d=d: before(x, d) for d in self.dilations()]
        x = self._layers(x, pasts)
        store(self, "features", x)
        return x

    def attend(self, hidden: Float[Array, "*n d"]) -> Float[Array, "*n v"]:
        """Returns the logits of features."""
        return self.head(hidden)

    @nn.nowrap
    def initial_cache(self, batch_size: int, length: int, dtype: Any = None) -> PyTree:
        """Returns the inputs of each layer before the first sample: zeros.

        Args:
          batch_size: rows.
          length: samples to make; the cache does not depend on it.
          dtype: without effect.
        """
        shapes = [(batch_size, dilation, self.width) for dilation in self.dilations()]
        return {f"layer{i + 1}": jnp.zeros(shape) for i, shape in enumerate(shapes)}

    def step(
        self, tokens: Int[Array, "b 1"], cache: PyTree, position: Int[Array, "..."]
    ) -> tuple[Float[Array, "b v"], PyTree]:
        """Returns the logits of the next sample, and the cache after the given one.

        Args:
          tokens: one sample for each row.
          cache: the cache before it.
          position: place of the sample; without effect.
        """
        moved = {}

        def past(name: str, x: Array) -> Array:
            moved[name] = jnp.concatenate([cache[name][:, 1:], x], axis=1)
            return cache[name][:, :1]

        names = [f"layer{i + 1}" for i in range(len(self.dilations()))]
        pasts = [lambda x, name=name: past(name, x) for name in names]
        hidden = self._layers(self.tokens(tokens), pasts)
        return self.attend(hidden[:, -1]), moved

    def _layers(self, x: Float[Array, "b t w"], pasts: list) -> Float[Array, "b t d"]:
        """Runs all layers; `pasts` return the input of each, as it was a dilation earlier."""
        skips = 0
        for i, past in enumerate(pasts):
            name = f"layer{i + 1}"
            both = getattr(self, f"{name}_past")(past(x)) + getattr(self, f"{name}_now")(x)
            value, gate = jnp.split(both, 2, axis=-1)
            z = jnp.tanh(value) * nn.sigmoid(gate)
            skips = skips + getattr(self, f"{name}_skip")(z)
            x = x + getattr(self, f"{name}_residual")(z)
        return nn.relu(self.out(nn.relu(skips)))


wavenet = variant(WaveNet, "wavenet")
