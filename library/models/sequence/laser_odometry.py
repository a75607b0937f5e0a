"""A convolutional network that compares two laser scans, for the motion between them.

Nicolai, Skeele, Eriksen & Hollinger 2016, "Deep learning for laser based odometry estimation" (RSS
workshop on limits and potentials of deep learning in robotics): two scans as the channels of one
input, convolutions, dense layers, the change of the place. Their scans are those of a laser with 16
rings; here a scan is one ring, and the kernels go round it.
"""

from functools import partial

import flax.linen as nn
from jaxtyping import Array, Float

from library.config import ConfigError
from library.layers.checks import check_dtypes, check_rates, check_sizes
from library.layers.head import linear_head
from library.layers.intermediates import store
from library.variants import variant


class LaserOdometry(nn.Module):
    """Strided convolutions around the ring of beams, a dense layer, linear head.

    Submodules are "conv1", "conv2", ..., "hidden", "head". Stores "stage1", "stage2", ... and
    "features" (b, hidden).

    Attributes:
      num_outputs: numbers to predict.
      widths: channels of the convolutions; each but the first halves the number of beams.
      sizes: beams that the kernels cover.
      hidden: units of the dense layer.
      dropout: rate before the head.
      unit: metres by which distances are divided.
      dtype: type of the computation; the head is computed in float32.
      param_dtype: type of the params.

    Raises:
      ConfigError: a dtype is unknown, a rate is outside [0, 1), a size is below 1, the unit is not
        positive, or there are not as many sizes as widths.
    """

    num_outputs: int = 2
    widths: tuple[int, ...] = (32, 32, 64, 64, 64)
    sizes: tuple[int, ...] = (9, 9, 7, 5, 5)
    hidden: int = 256
    dropout: float = 0.0
    unit: float = 10.0
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_sizes(num_outputs=self.num_outputs, widths=self.widths, sizes=self.sizes)
        check_sizes(hidden=self.hidden)
        if len(self.sizes) != len(self.widths):
            raise ConfigError(
                f"sizes={self.sizes}: write {len(self.widths)}, one for each of "
                f"widths={self.widths}"
            )
        if self.unit <= 0:
            raise ConfigError(f"unit={self.unit}: valid are numbers above 0")
        check_rates(dropout=self.dropout)
        check_dtypes(self.dtype, self.param_dtype)
        super().__post_init__()

    @nn.compact
    def __call__(self, scans: Float[Array, "b k s"], train: bool = False) -> Float[Array, "b o"]:
        """Returns the predicted numbers, float32, for s scans of k beams each, in metres."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        conv = partial(nn.Conv, padding="CIRCULAR", kernel_init=nn.initializers.he_normal())
        x = (scans / self.unit).astype(self.dtype)
        for i, (width, size) in enumerate(zip(self.widths, self.sizes), 1):
            stride = 1 if i == 1 else 2
            x = nn.relu(conv(width, (size,), strides=(stride,), name=f"conv{i}", **types)(x))
            store(self, f"stage{i}", x)
        x = x.reshape(len(x), -1)
        init = nn.initializers.he_normal()
        x = nn.relu(nn.Dense(self.hidden, kernel_init=init, name="hidden", **types)(x))
        store(self, "features", x)
        x = nn.Dropout(self.dropout, deterministic=not train, name="dropout")(x)
        init = nn.initializers.lecun_normal()
        return linear_head(x, self.num_outputs, kernel_init=init, param_dtype=self.param_dtype)


laser_odometry = variant(LaserOdometry, "laser_odometry")
