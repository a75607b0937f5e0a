"""A recurrent network that classifies texts: embeddings, layers in both directions, a dense layer.

The bidirectional LSTM as Tai, Socher & Manning 2015, "Improved semantic representations from
tree-structured long short-term memory networks" (arXiv 1503.00075), compare theirs with.
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from library.config import check_choice
from library.layers.checks import check_rates, check_sizes
from library.layers.head import linear_head
from library.layers.intermediates import store
from library.layers.recurrence import LAYERS, zero_state
from library.layers.series import mean_step, present
from library.variants import variant

POOLINGS = ("last", "mean")


class TextRNN(nn.Module):
    """Recurrent layers on embeddings of words, and a linear head on their outputs.

    Padding is skipped in both directions, so it changes nothing. Submodules are "tokens"
    (embeddings, normal with a deviation of 0.1), "layer1", "layer1_reversed", "layer2", ... and
    "head". Stores "features" (b, d), the input of the head.

    Attributes:
      num_classes: size of the answers.
      vocab_size: number of tokens.
      embedding: size of a token's embedding.
      width: units of each layer, in each direction.
      depth: number of layers.
      cell: "elman", "lstm" or "gru".
      bidirectional: whether each layer also reads from the end.
      pooling: "last" for the last state of each direction, "mean" for the mean over the text.
      dropout: rate on the embeddings, on the output of each layer but the last, and before the
        head.

    Raises:
      ConfigError: a name is unknown, a size is below 1, or the rate is outside [0, 1).
    """

    num_classes: int
    vocab_size: int
    embedding: int = 300
    width: int = 168
    depth: int = 1
    cell: str = "lstm"
    bidirectional: bool = True
    pooling: str = "last"
    dropout: float = 0.5

    def __post_init__(self):
        check_choice("cell", self.cell, tuple(LAYERS))
        check_choice("pooling", self.pooling, POOLINGS)
        check_sizes(num_classes=self.num_classes, vocab_size=self.vocab_size, depth=self.depth)
        check_sizes(embedding=self.embedding, width=self.width)
        check_rates(dropout=self.dropout)
        super().__post_init__()

    @nn.compact
    def __call__(
        self, text: Int[Array, "b t"], text_mask: Float[Array, "b t"], train: bool = False
    ) -> Float[Array, "b k"]:
        """Returns logits.

        Args:
          text: tokens.
          text_mask: 1 for a token and 0 for padding.
          train: whether to apply dropout, from the rng stream "dropout".
        """
        init = nn.initializers.normal(0.1)
        x = nn.Embed(self.vocab_size, self.embedding, embedding_init=init, name="tokens")(text)
        # Time comes first, so that each step of the loop reads and writes one block of memory.
        x, mask = present(x, text_mask).swapaxes(0, 1), text_mask.T[..., None]
        for number in range(1, self.depth + 1):
            x = nn.Dropout(self.dropout, deterministic=not train, name=f"drop{number}")(x)
            last, x = self._layer(f"layer{number}", x, mask)
        pooled = last if self.pooling == "last" else mean_step(x.swapaxes(0, 1), text_mask)
        store(self, "features", pooled)
        pooled = nn.Dropout(self.dropout, deterministic=not train, name="drop")(pooled)
        return linear_head(pooled, self.num_classes, kernel_init=nn.initializers.lecun_normal())

    def _layer(
        self, name: str, x: Float[Array, "t b d"], mask: Float[Array, "t b 1"]
    ) -> tuple[Float[Array, "b w"], Float[Array, "t b w"]]:
        """Returns the last state and the outputs of a layer, of both directions joined."""
        ends, outputs = [], []
        for reverse in (False, True)[: 1 + self.bidirectional]:
            cell = LAYERS[self.cell]
            own = f"{name}_reversed" if reverse else name
            layer = cell(self.width, jnp.float32, jnp.float32, name=own)
            zero = zero_state(self.cell, x.shape[1], self.width)
            state, found = layer(x, zero, mask=mask, reverse=reverse)
            ends.append(state["h"])
            outputs.append(found)
        return jnp.concatenate(ends, axis=-1), jnp.concatenate(outputs, axis=-1)


text_rnn = variant(TextRNN, "text_rnn")
bilstm = variant(TextRNN, "bilstm", cell="lstm", bidirectional=True)
