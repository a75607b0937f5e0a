"""A network that names the class of an image and describes it (Hendricks et al. 2016).

"Generating visual explanations", ECCV 2016 (arXiv 1603.08507), section 3.1. A convolutional network
sees the image. An LSTM writes a sentence word by word; at each word it is given the features of the
image and the probabilities of its class.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from library.layers.checks import check_dtypes, check_sizes
from library.layers.intermediates import store
from library.layers.recurrence import LSTMLayer, zero_state
from library.variants import variant


class Explainer(nn.Module):
    """Convolutions of stride 2, a classifier, and an LSTM that writes.

    Submodules are "conv1", ..., "dense", "classes", "words", "writer" and "head". Stores "features"
    (b, d), what the convolutions find. No gradient of the words reaches the classifier through the
    probabilities.

    Attributes:
      num_classes: number of classes of images.
      vocab_size: number of words, with those of `library.special_tokens`.
      widths: channels of each convolution.
      features: d, the size of the image's features.
      embedding: size of a word's embedding.
      width: units of the LSTM.
      dtype: type of the products; gates, states and logits are float32.
      param_dtype: type of the params.

    Raises:
      ConfigError: a dtype is unknown, or a size is below 1.
    """

    num_classes: int
    vocab_size: int
    widths: tuple[int, ...] = (16, 32, 32)
    features: int = 64
    embedding: int = 32
    width: int = 64
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_sizes(num_classes=self.num_classes, vocab_size=self.vocab_size, widths=self.widths)
        check_sizes(features=self.features, embedding=self.embedding, width=self.width)
        check_dtypes(self.dtype, self.param_dtype)
        super().__post_init__()

    def setup(self):
        """Makes the submodules."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        for number, width in enumerate(self.widths):
            setattr(self, f"conv{number + 1}", nn.Conv(width, (3, 3), strides=2, **types))
        self.dense = nn.Dense(self.features, **types)
        self.classes = nn.Dense(self.num_classes, **types)
        init = nn.initializers.normal(1.0)
        self.words = nn.Embed(self.vocab_size, self.embedding, embedding_init=init, **types)
        self.writer = LSTMLayer(self.width, **types)
        self.head = nn.Dense(self.vocab_size, **types)

    def __call__(
        self, image: Float[Array, "b h w c"], words: Int[Array, "b t"], train: bool = False
    ) -> tuple[Float[Array, "b t v"], Float[Array, "b k"]]:
        """Returns the logits of the word after each word, and those of the classes, float32."""
        memory, logits = self.seen(image)
        steps = jnp.broadcast_to(memory[None], (words.shape[1], *memory.shape))
        x = jnp.concatenate([self.words(words.T), steps], axis=-1)
        _, x = self.writer(x, zero_state("lstm", len(words), self.width))
        return self.head(x.swapaxes(0, 1)).astype(jnp.float32), logits

    def seen(
        self, image: Float[Array, "b h w c"]
    ) -> tuple[Float[Array, "b m"], Float[Array, "b k"]]:
        """Returns what the writer is given of an image, and the logits of its class, float32."""
        x = image.astype(self.dtype)
        for number in range(len(self.widths)):
            x = nn.relu(getattr(self, f"conv{number + 1}")(x))
        x = nn.relu(self.dense(x.reshape(len(x), -1)))
        store(self, "features", x)
        logits = self.classes(x).astype(jnp.float32)
        likely = jax.lax.stop_gradient(jax.nn.softmax(logits)).astype(x.dtype)
        return jnp.concatenate([x, likely], axis=-1), logits

    def step(
        self,
        words: Int[Array, " b"],
        memory: Float[Array, "b m"],
        cache: PyTree,
        position: Int[Array, ""],
    ) -> tuple[Float[Array, "b v"], Float[Array, "b 1"], PyTree]:
        """Returns a step of `library.searching`: logits, attention to the image, and the cache."""
        x = jnp.concatenate([self.words(words), memory], axis=-1)[None]
        cache, x = self.writer(x, cache)
        return self.head(x[0]).astype(jnp.float32), jnp.ones((len(words), 1)), cache

    @nn.nowrap
    def initial_cache(self, batch_size: int) -> PyTree:
        """Returns the state of the writer before the first word: zero."""
        return zero_state("lstm", batch_size, self.width)


explainer = variant(Explainer, "explainer")
