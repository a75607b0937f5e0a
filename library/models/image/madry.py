"""The network of Madry et al. 2018 for MNIST: two convolutions and a hidden layer.

Madry, Makelov, Schmidt, Tsipras & Vladu 2018, "Towards deep learning models resistant to
adversarial attacks" (arXiv 1706.06083), section 5. The convolutions have 32 and 64 filters, 2x2 max
pooling follows each, and the hidden layer has 1024 units. The windows of 5x5 and the initial values
are those of MadryLab/mnist_challenge, model.py. On 28x28x1 images it has 3,274,634 params.
"""

import flax.linen as nn
from jaxtyping import Array, Float

from library.layers.checks import check_dtypes, check_sizes
from library.layers.head import linear_head
from library.layers.intermediates import store
from library.variants import variant


class Madry(nn.Module):
    """The network of Madry et al.: rectified and pooled convolutions, hidden layer, linear head.

    Submodules are "conv1", "conv2", ..., "hidden" and "head". Stores "stage1", "stage2", ... before
    pooling, and "features", the output of the hidden layer.

    Attributes:
      num_classes: size of the logits.
      widths: filters of each convolution.
      hidden: units of the hidden layer.
      dtype: type of the computation.
      param_dtype: type of the params.

    Raises:
      ConfigError: a dtype is unknown, or a size is below 1.
    """

    num_classes: int = 10
    widths: tuple[int, ...] = (32, 64)
    hidden: int = 1024
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_sizes(num_classes=self.num_classes, widths=self.widths, hidden=self.hidden)
        check_dtypes(self.dtype, self.param_dtype)
        super().__post_init__()

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], train: bool = False) -> Float[Array, "b k"]:
        """Returns logits, float32."""
        kernel = nn.initializers.truncated_normal(0.1)
        init = dict(kernel_init=kernel, bias_init=nn.initializers.constant(0.1))
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        x = image.astype(self.dtype)
        for stage, width in enumerate(self.widths, 1):
            x = nn.relu(nn.Conv(width, (5, 5), name=f"conv{stage}", **init, **types)(x))
            store(self, f"stage{stage}", x)
            x = nn.max_pool(x, (2, 2), (2, 2), "SAME")
        x = x.reshape(len(x), -1)
        x = nn.relu(nn.Dense(self.hidden, name="hidden", **init, **types)(x))
        store(self, "features", x)
        return linear_head(x, self.num_classes, kernel_init=kernel, param_dtype=self.param_dtype)


madry = variant(Madry, "madry")
