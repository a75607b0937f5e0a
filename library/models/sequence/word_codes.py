"""Short codes of words: an N-M-N autoencoder, and a perceptron that reads its codes.

Ackley, Hinton & Sejnowski 1985, "A learning algorithm for Boltzmann machines", state the encoder
problem: N inputs, of which one is on, have to pass M < N hidden units. Rumelhart, Hinton & Williams
1986, "Learning internal representations by error propagation", solve it with back-propagation.
Here the N inputs are the words of a vocabulary, so each word gets a code of M numbers.
"""

import flax.linen as nn
import jax
from jaxtyping import Array, Float, Int

from library.layers.checks import check_rates, check_sizes
from library.layers.head import linear_head
from library.layers.intermediates import store
from library.layers.series import mean_step
from library.variants import variant


class Codes(nn.Module):
    """The code of each word: sigmoid(W x + b) of a one-hot x, so a row of a table for each word.

    Submodules are "tokens", W, and the param "bias", b.
    """

    vocab_size: int
    width: int

    @nn.compact
    def __call__(self, text: Int[Array, "b t"]) -> Float[Array, "b t m"]:
        """Returns the codes, in (0, 1)."""
        init = nn.initializers.normal(1.0)
        table = nn.Embed(self.vocab_size, self.width, embedding_init=init, name="tokens")
        bias = self.param("bias", nn.initializers.zeros, (self.width,))
        return jax.nn.sigmoid(table(text) + bias)


class WordAutoencoder(nn.Module):
    """N-M-N: the code of each word, and from the code the logits of all words.

    Submodules are "codes" and "head". Stores "features" (b, t, m), the codes.

    Attributes:
      num_classes: N, the number of words.
      width: M, the size of a code.

    Raises:
      ConfigError: a size is below 1.
    """

    num_classes: int
    width: int = 16

    def __post_init__(self):
        check_sizes(num_classes=self.num_classes, width=self.width)
        super().__post_init__()

    @nn.compact
    def __call__(
        self, text: Int[Array, "b t"], text_mask: Float[Array, "b t"], train: bool = False
    ) -> Float[Array, "b t n"]:
        """Returns, for each word, the logits of all words.

        Args:
          text: words.
          text_mask: 1 for a word and 0 for padding; not read, a word is coded by itself.
          train: without effect: nothing here is random.
        """
        x = Codes(self.num_classes, self.width, name="codes")(text)
        store(self, "features", x)
        return nn.Dense(self.num_classes, name="head")(x)


class CodePerceptron(nn.Module):
    """A perceptron that classifies a text by the mean of its words' codes.

    `init_from` takes the codes from a `WordAutoencoder`. Submodules are "codes", "hidden", with
    tanh, and "head". Stores "features" (b, d), the input of the head.

    Attributes:
      num_classes: size of the answers.
      vocab_size: N, the number of words.
      width: M, the size of a code.
      hidden: units of the hidden layer.
      dropout: rate before the head.

    Raises:
      ConfigError: a size is below 1, or the rate is outside [0, 1).
    """

    num_classes: int
    vocab_size: int
    width: int = 16
    hidden: int = 64
    dropout: float = 0.0

    def __post_init__(self):
        check_sizes(num_classes=self.num_classes, vocab_size=self.vocab_size)
        check_sizes(width=self.width, hidden=self.hidden)
        check_rates(dropout=self.dropout)
        super().__post_init__()

    @nn.compact
    def __call__(
        self, text: Int[Array, "b t"], text_mask: Float[Array, "b t"], train: bool = False
    ) -> Float[Array, "b k"]:
        """Returns logits.

        Args:
          text: words.
          text_mask: 1 for a word and 0 for padding.
          train: whether to apply dropout, from the rng stream "dropout".
        """
        x = mean_step(Codes(self.vocab_size, self.width, name="codes")(text), text_mask)
        x = nn.tanh(nn.Dense(self.hidden, name="hidden")(x))
        store(self, "features", x)
        x = nn.Dropout(self.dropout, deterministic=not train, name="dropout")(x)
        return linear_head(x, self.num_classes, kernel_init=nn.initializers.lecun_normal())


word_autoencoder = variant(WordAutoencoder, "word_autoencoder")
code_perceptron = variant(CodePerceptron, "code_perceptron")
