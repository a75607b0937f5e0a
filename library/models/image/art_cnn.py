"""A network of four convolutions that tells two kinds of pictures apart, such as styles of art.

It has the form of AlexNet on a small scale: convolutions of 5x5 and of 3x3 in pairs, poolings, the
response normalization of Krizhevsky, Sutskever & Hinton 2012 ("ImageNet classification with deep
convolutional neural networks", section 3.3) after each pooling, and dense layers with dropout. For
images of 256x256 it has 16,869,346 params, nearly all of them in the first dense layer.
"""

from functools import partial

import flax.linen as nn
from jaxtyping import Array, Float

from library.layers.checks import check_dtypes, check_image, check_rates, check_sizes
from library.layers.head import linear_head
from library.layers.intermediates import store
from library.layers.response_normalization import local_response_norm
from library.variants import variant


class ArtCNN(nn.Module):
    """Two stages of two convolutions, pooling and response normalization; dense layers; head.

    Submodules are "stage1_conv1", "stage1_conv2", "stage2_conv1", "stage2_conv2", "hidden1",
    "hidden2", "head". Stores "stage1" and "stage2" before pooling, and "features", the output of
    the last hidden layer.

    Attributes:
      num_classes: size of the logits.
      widths: channels of the two stages.
      sizes: sides of the kernels of the two stages.
      hidden: units of the dense layers.
      dropout: rate after each dense layer.
      dtype: type of the computation; the head is computed in float32.
      param_dtype: type of the params.

    Raises:
      ConfigError: a dtype is unknown, a rate is outside [0, 1), or a size is below 1.
    """

    num_classes: int = 2
    widths: tuple[int, int] = (32, 64)
    sizes: tuple[int, int] = (5, 3)
    hidden: tuple[int, ...] = (64, 128)
    dropout: float = 0.4
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_sizes(num_classes=self.num_classes, widths=self.widths, sizes=self.sizes)
        check_sizes(hidden=self.hidden)
        check_rates(dropout=self.dropout)
        check_dtypes(self.dtype, self.param_dtype)
        super().__post_init__()

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], train: bool = False) -> Float[Array, "b k"]:
        """Returns logits, float32.

        Raises:
          ValueError: the image is too small to be halved twice.
        """
        check_image("the art CNN", image, 4)
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        init = nn.initializers.he_normal()
        x = image.astype(self.dtype)
        for stage, (width, size) in enumerate(zip(self.widths, self.sizes), 1):
            conv = partial(nn.Conv, width, (size, size), kernel_init=init, **types)
            for i in (1, 2):
                x = nn.relu(conv(name=f"stage{stage}_conv{i}")(x))
            store(self, f"stage{stage}", x)
            x = local_response_norm(nn.max_pool(x, (2, 2), (2, 2)))
        x = x.reshape(len(x), -1)
        for i, width in enumerate(self.hidden, 1):
            x = nn.relu(nn.Dense(width, kernel_init=init, name=f"hidden{i}", **types)(x))
            if i == len(self.hidden):
                store(self, "features", x)
            x = nn.Dropout(self.dropout, deterministic=not train, name=f"dropout{i}")(x)
        init = nn.initializers.lecun_normal()
        return linear_head(x, self.num_classes, kernel_init=init, param_dtype=self.param_dtype)


art_cnn = variant(ArtCNN, "art_cnn")
