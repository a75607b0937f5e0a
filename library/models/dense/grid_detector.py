"""A small detector that predicts a box, a confidence and a class for each cell of a grid, as YOLO.

Redmon et al. 2016, "You Only Look Once: Unified, Real-Time Object Detection" (arXiv 1506.02640),
section 2, with one box for each cell. The backbone is not that of the paper: it is a stack of
convolutions that halve the image.
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from library.config import check_choice
from library.layers.checks import check_dtypes, check_sizes
from library.layers.intermediates import store
from library.layers.normalization import NORMS, norm
from library.variants import variant

_he_normal = nn.initializers.variance_scaling(2.0, "fan_in", "normal")


class GridDetector(nn.Module):
    """A detector from images (b, h, w, c) to (b, h / 2^n, w / 2^n, 5 + num_classes), for n widths.

    The outputs of a cell are the logits of: y and x of the centre within the cell, height and width
    as shares of the image, the confidence that there is an object, and the class. Submodules are
    "conv1", "same1", ..., "head". Stores "features" (b, width), means over the grid.

    Attributes:
      num_classes: number of classes of objects.
      widths: channels of each level; each level halves the image.
      normalization: normalization after each convolution, "batch" or "group".
      dtype: type of the computation.
      param_dtype: type of the params.

    Raises:
      ConfigError: a value is out of range.
    """

    num_classes: int = 3
    widths: tuple[int, ...] = (16, 32, 64, 128)
    normalization: str = "batch"
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_dtypes(self.dtype, self.param_dtype)
        check_sizes(num_classes=self.num_classes, widths=self.widths)
        check_choice("normalization", self.normalization, NORMS)
        super().__post_init__()

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w c"], train: bool = False
    ) -> Float[Array, "b rows columns k"]:
        """Returns the logits of each cell, float32."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        x = image.astype(self.dtype)
        for level, width in enumerate(self.widths, 1):
            for name, stride in ((f"conv{level}", 2), (f"same{level}", 1)):
                x = nn.Conv(
                    width,
                    (3, 3),
                    (stride, stride),
                    use_bias=False,
                    kernel_init=_he_normal,
                    name=name,
                    **types,
                )(x)
                x = norm(x, self.normalization, name=f"{name}_norm", train=train, **types)
                x = nn.relu(x)
        store(self, "features", jnp.mean(x, axis=(1, 2)))
        head = nn.Conv(5 + self.num_classes, (1, 1), name="head", **types)
        return head(x).astype(jnp.float32)


grid_detector = variant(GridDetector, "grid_detector")
