"""Two small convolutional networks: LeNet-5 as its paper describes it, and a modern one.

LeNet-5 is LeCun, Bottou, Bengio & Haffner 1998, "Gradient-based learning applied to document
recognition", section II.B. On one-channel images it has the paper's 60,000 trainable params and,
with its ten classes, 340,908 connections:

  layer        output     params  connections
  c1           28x28x6       156      122,304
  s2           14x14x6        12        5,880
  c3           10x10x16    1,516      151,600
  s4           5x5x16         32        2,000
  c5           120        48,120       48,120
  f6           84         10,164       10,164
  head (RBF)   10              0          840
"""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from library.config import check_choice
from library.layers.checks import check_dtypes, check_image, check_rates, check_sizes
from library.layers.head import linear_head, pooled_head
from library.layers.intermediates import store
from library.layers.normalization import NORMS, norm
from library.variants import variant

# The paper's table I: the maps of s2 that are inputs of each of the sixteen maps of c3.
C3_TABLE = (
    *((0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5)),
    *((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5)),
    *((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5)),
    (0, 1, 2, 3, 4, 5),
)

# Each digit drawn on the 7 x 12 units of f6, as in the paper's figure 3.
_DIGITS = """
.#####. ...##.. .#####. .#####. ....##. ####### ..####. ####### .#####. .#####.
##...## ..###.. ##...## ##...## ...###. ##..... .##.... .....## ##...## ##...##
##...## .####.. .....## .....## ..####. ##..... ##..... ....##. ##...## ##...##
##...## ...##.. .....## .....## .##.##. ##..... ##..... ....##. ##...## ##...##
##...## ...##.. ....##. .....## ##..##. ##..... ##..... ...##.. ##...## ##...##
##...## ...##.. ...##.. ..####. ##..##. ######. ######. ...##.. .#####. .######
##...## ...##.. ..##... .....## ####### .....## ##...## ..##... ##...## .....##
##...## ...##.. .##.... .....## ....##. .....## ##...## ..##... ##...## .....##
##...## ...##.. ##..... .....## ....##. .....## ##...## .##.... ##...## .....##
##...## ...##.. ##..... .....## ....##. .....## ##...## .##.... ##...## .....##
##...## ...##.. ##..... ##...## ....##. ##...## ##...## ##..... ##...## ....##.
.#####. .###### ####### .#####. ....##. .#####. .#####. ##..... .#####. .####..
"""


class LeNet5(nn.Module):
    """LeNet-5. The activation of all units up to f6 is 1.7159 tanh(2x/3) (the paper's appendix A).

    Submodules are "c1", "s2", "c3", "s4", "c5", "f6" and, with the linear output, "head". Stores
    "stage1" (s2), "stage2" (s4), "stage3" (c5) and "features" (f6, 84).

    Attributes:
      num_classes: size of the logits.
      output: "rbf", as in the paper: minus the squared distance of f6 to fixed codes of -1 and +1.
        The codes are drawings of the digits for ten classes, and random for another number. With
        softmax cross-entropy this is the paper's eq. 9 without its constant. "linear" is a dense
        layer, as in most later versions (60,850 params).
      dtype: type of the computation.
      param_dtype: type of the params.

    Raises:
      ConfigError: an output or dtype is unknown, or there are no classes.
    """

    num_classes: int = 10
    output: str = "rbf"
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_sizes(num_classes=self.num_classes)
        check_choice("output", self.output, ("rbf", "linear"))
        check_dtypes(self.dtype, self.param_dtype)
        super().__post_init__()

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], train: bool = False) -> Float[Array, "b k"]:
        """Returns logits, float32. With the RBF output they are negative squared distances.

        Raises:
          ValueError: the image is neither 28x28 nor 32x32.
        """
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        conv = partial(nn.Conv, kernel_size=(5, 5), padding="VALID", **types)
        x = _pad_to_32(image).astype(self.dtype)
        x = _squash(conv(6, kernel_init=_uniform(25 * x.shape[-1]), name="c1")(x))
        x = _squash(Subsampling(name="s2", **types)(x))
        store(self, "stage1", x)
        x = _squash(TableConv(C3_TABLE, name="c3", **types)(x))
        x = _squash(Subsampling(name="s4", **types)(x))
        store(self, "stage2", x)
        x = _squash(conv(120, kernel_init=_uniform(25 * 16), name="c5")(x)).reshape(-1, 120)
        store(self, "stage3", x)
        x = _squash(nn.Dense(84, kernel_init=_uniform(120), name="f6", **types)(x))
        store(self, "features", x)
        if self.output == "rbf":
            x = x.astype(jnp.float32)[:, None]
            return -jnp.square(x - _codes(self.num_classes)).sum(axis=-1)
        init = _uniform(84)
        return linear_head(x, self.num_classes, kernel_init=init, param_dtype=self.param_dtype)


class Subsampling(nn.Module):
    """Sums 2x2 inputs, then multiplies by a coefficient and adds a bias, both trained per map."""

    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h//2 w//2 c"]:
        """Returns features of half the height and width."""
        maps = x.shape[-1:]
        coefficient = self.param("coefficient", _uniform(4), maps, self.param_dtype)
        bias = self.param("bias", nn.initializers.zeros, maps, self.param_dtype)
        total = 4 * nn.avg_pool(x, (2, 2), (2, 2))
        return total * coefficient.astype(self.dtype) + bias.astype(self.dtype)


class TableConv(nn.Module):
    """Convolution of 5x5 without padding, in which each output map has its own subset of inputs.

    The param "kernel" (5, 5, n) holds only the n connected pairs of maps, in the order of the
    table.
    """

    table: tuple[tuple[int, ...], ...]
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h-4 w-4 f"]:
        """Returns one map for each row of the table."""
        pairs = [(source, target) for target, row in enumerate(self.table) for source in row]
        sources, targets = np.array(pairs).T
        fan_in = np.array([25 * len(self.table[target]) for target in targets])
        packed = self.param("kernel", _uniform(fan_in), (5, 5, len(pairs)), self.param_dtype)
        bias = self.param("bias", nn.initializers.zeros, (len(self.table),), self.param_dtype)
        shape = (5, 5, x.shape[-1], len(self.table))
        kernel = (
            jnp.zeros(shape, self.dtype).at[:, :, sources, targets].set(packed.astype(self.dtype))
        )
        y = jax.lax.conv_general_dilated(
            x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return y + bias.astype(self.dtype)


class ConvNet(nn.Module):
    """A small network: stages of two normalized 3x3 convolutions, with 2x2 max pooling between.

    Stores "stage1", "stage2", ... before pooling, and "features", the mean over space.

    Attributes:
      num_classes: size of the logits.
      widths: channels of each stage.
      dropout: rate before the head.
      norm: "batch" or "group".
      dtype: type of the computation.
      param_dtype: type of the params.

    Raises:
      ConfigError: a norm or dtype is unknown, a rate is outside [0, 1), or a size is below 1.
    """

    num_classes: int = 10
    widths: tuple[int, ...] = (16, 32, 64)
    dropout: float = 0.0
    norm: str = "batch"
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_sizes(num_classes=self.num_classes, widths=self.widths)
        check_rates(dropout=self.dropout)
        check_choice("norm", self.norm, NORMS)
        check_dtypes(self.dtype, self.param_dtype)
        super().__post_init__()

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], train: bool = False) -> Float[Array, "b k"]:
        """Returns logits, float32.

        Raises:
          ValueError: the image is too small to be halved between all stages.
        """
        check_image(f"a network of {len(self.widths)} widths", image, 2 ** (len(self.widths) - 1))
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        init = nn.initializers.he_normal()
        x = image.astype(self.dtype)
        for stage, width in enumerate(self.widths, 1):
            x = nn.max_pool(x, (2, 2), (2, 2)) if stage > 1 else x
            for layer in (1, 2):
                name = f"stage{stage}_conv{layer}"
                x = nn.Conv(width, (3, 3), use_bias=False, kernel_init=init, name=name, **types)(x)
                name = f"stage{stage}_norm{layer}"
                x = nn.relu(norm(x, self.norm, train=train, name=name, **types))
            store(self, f"stage{stage}", x)
        return pooled_head(self, x, nn.initializers.lecun_normal(), train)


lenet5 = variant(LeNet5, "lenet5")


small = variant(ConvNet, "small")


def _squash(x):
    return 1.7159 * jnp.tanh(2 / 3 * x)


def _uniform(fan_in):
    # Variance 1/fan-in, as LeCun et al. 1998, "Efficient BackProp", section 4.6, advise for this
    # tanh. With the bound of the LeNet-5 paper, 2.4/fan-in, signals are so small that training
    # starts well only with the paper's second-order learning rates.
    def init(key, shape, dtype):
        bound = jnp.sqrt(3 / jnp.asarray(fan_in, jnp.float32))
        return (bound * jax.random.uniform(key, shape, minval=-1, maxval=1)).astype(dtype)

    return init


def _pad_to_32(image):
    height, width = image.shape[1:3]
    if height != width or height not in (28, 32):
        raise ValueError(f"LeNet-5 takes 28x28 or 32x32 images, not {height}x{width}")
    # Repeating the border continues the background, whatever its value after normalization.
    margin = (32 - height) // 2
    return jnp.pad(image, ((0, 0), (margin, margin), (margin, margin), (0, 0)), mode="edge")


def _codes(num_classes):
    """Returns the fixed targets of the 84 units for each class, (k, 84)."""
    if num_classes != 10:
        return np.random.default_rng(0).choice(np.float32([-1, 1]), (num_classes, 84))
    rows = [line.split() for line in _DIGITS.split("\n") if line]
    drawings = ["".join(row[digit] for row in rows) for digit in range(10)]
    return np.float32([[1 if pixel == "#" else -1 for pixel in drawing] for drawing in drawings])
