"""Perceptrons: a linear classifier of the pixels, with or without hidden layers before it.

The perceptron is from Rosenblatt 1958; hidden layers trained by back-propagation are from
Rumelhart, Hinton & Williams 1986. The defaults are the 784-800-800-10 network of Simard, Steinkraus
& Platt 2003. Dropout is that of Srivastava et al. 2014 (0.2 for inputs, 0.5 for hidden units).
"""

import flax.linen as nn
from jaxtyping import Array, Float

from library.config import check_choice
from library.layers.checks import check_dtypes, check_rates, check_sizes
from library.layers.head import linear_head
from library.layers.intermediates import store
from library.variants import variant

# Each activation has a gain: the variance of a weight, times its fan-in, that keeps the scale of
# activations the same from layer to layer.
_ACTIVATIONS = {
    "relu": (nn.relu, 2.0),
    "gelu": (lambda x: nn.gelu(x, approximate=False), 2.0),
    "tanh": (nn.tanh, 1.0),
    "sigmoid": (nn.sigmoid, 1.0),
}


class MLP(nn.Module):
    """A multilayer perceptron: dense layers on the flattened image, or on another array.

    Submodules are "hidden1", "hidden2", ..., "head". Stores the output of each hidden layer as
    "stage1", "stage2", ... and the input of the head as "features".

    Attributes:
      num_classes: size of the logits.
      hidden: width of each hidden layer.
      dropout: rate after each hidden layer.
      input_dropout: rate on the pixels.
      activation: "relu", "gelu" (erf), "tanh" or "sigmoid".
      dtype: type of the computation.
      param_dtype: type of the params.

    Raises:
      ConfigError: an activation or dtype is unknown, a rate is outside [0, 1), or a size is below
        1.
    """

    num_classes: int = 10
    hidden: tuple[int, ...] = (800, 800)
    dropout: float = 0.0
    input_dropout: float = 0.0
    activation: str = "relu"
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_sizes(num_classes=self.num_classes, hidden=self.hidden)
        check_rates(dropout=self.dropout, input_dropout=self.input_dropout)
        check_choice("activation", self.activation, _ACTIVATIONS)
        check_dtypes(self.dtype, self.param_dtype)
        super().__post_init__()

    @nn.compact
    def __call__(
        self, image: Float[Array, "b *shape d"], train: bool = False
    ) -> Float[Array, "b k"]:
        """Returns logits, float32."""
        activation, gain = _ACTIVATIONS[self.activation]
        kernel_init = nn.initializers.variance_scaling(gain, "fan_in", "normal")
        x = image.reshape(image.shape[0], -1).astype(self.dtype)
        x = nn.Dropout(self.input_dropout, deterministic=not train, name="input_dropout")(x)
        for layer, width in enumerate(self.hidden, 1):
            x = nn.Dense(
                width,
                kernel_init=kernel_init,
                dtype=self.dtype,
                param_dtype=self.param_dtype,
                name=f"hidden{layer}",
            )(x)
            x = activation(x)
            store(self, f"stage{layer}", x)
            x = nn.Dropout(self.dropout, deterministic=not train, name=f"dropout{layer}")(x)
        store(self, "features", x)
        init = nn.initializers.lecun_normal()
        return linear_head(x, self.num_classes, kernel_init=init, param_dtype=self.param_dtype)


mlp = variant(MLP, "mlp")


# A linear classifier: no hidden layer (7,850 params on 28x28 images, 10 classes).
perceptron = variant(
    MLP, "perceptron", hidden=(), dropout=0.0, input_dropout=0.0, activation="relu"
)
