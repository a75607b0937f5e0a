"""A network whose features separate classes but not domains (Ganin & Lempitsky 2015).

"Unsupervised Domain Adaptation by Backpropagation", arXiv 1409.7495, figure 1. It has a feature
extractor, a label predictor and a domain classifier. A layer before the domain classifier reverses
the gradient. By default the convolutions are those of the paper's network for MNIST (figure 4a).
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from library.layers.checks import check_dtypes, check_image, check_sizes
from library.layers.head import linear_head
from library.layers.intermediates import store
from library.variants import variant

_init = nn.initializers.variance_scaling(2.0, "fan_in", "normal")


@jax.custom_vjp
def reversed_gradient(x: Float[Array, "*s"], strength: Float[Array, ""]) -> Float[Array, "*s"]:
    """Returns x, and multiplies its gradient by -strength (section 3, equations 7 and 8)."""
    return x


def _forward(x, strength):
    return x, strength


def _backward(strength, gradient):
    return -strength * gradient, jnp.zeros_like(strength)


reversed_gradient.defvjp(_forward, _backward)


class DomainAdversarial(nn.Module):
    """Images (b, h, w, c) -> logits of the classes (b, num_classes) and of the domain (b,).

    Submodules are "conv1", ..., "label_hidden", "head", "domain_hidden" and "domain_head". Stores
    "features" (b, d), the input of both predictors.

    Attributes:
      num_classes: number of classes of the labelled domain.
      widths: channels of the convolutions; pooling follows each.
      hidden: width of the hidden layer of each predictor.
      dtype: type of the computation.
      param_dtype: type of the params.

    Raises:
      ConfigError: a value is out of range.
    """

    num_classes: int = 10
    widths: tuple[int, ...] = (32, 48)
    hidden: int = 100
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_dtypes(self.dtype, self.param_dtype)
        check_sizes(num_classes=self.num_classes, widths=self.widths, hidden=self.hidden)
        super().__post_init__()

    @nn.compact
    def __call__(
        self,
        image: Float[Array, "b h w c"],
        strength: float | Float[Array, ""] = 1.0,
        train: bool = False,
    ) -> tuple[Float[Array, "b k"], Float[Array, " b"]]:
        """Returns both logits, float32. `strength` is the factor of the reversed gradient.

        Raises:
          ValueError: the image is too small to be halved after each convolution.
        """
        check_image("the feature extractor", image, 2 ** len(self.widths))
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        x = image.astype(self.dtype)
        for level, width in enumerate(self.widths, 1):
            x = nn.Conv(width, (5, 5), kernel_init=_init, name=f"conv{level}", **types)(x)
            x = nn.max_pool(nn.relu(x), (2, 2), (2, 2))
        features = x.reshape(len(x), -1)
        store(self, "features", features)
        dense = dict(kernel_init=_init, **types)
        known = nn.relu(nn.Dense(self.hidden, name="label_hidden", **dense)(features))
        init = nn.initializers.lecun_normal()
        logits = linear_head(
            known, self.num_classes, kernel_init=init, param_dtype=self.param_dtype
        )
        turned = reversed_gradient(features, jnp.asarray(strength, features.dtype))
        other = nn.relu(nn.Dense(self.hidden, name="domain_hidden", **dense)(turned))
        domain = nn.Dense(1, name="domain_head", **types)(other)
        return logits, domain[:, 0].astype(jnp.float32)


domain_adversarial = variant(DomainAdversarial, "domain_adversarial")
