"""An encoder with a projection head (SimCLR: Chen et al. 2020, arXiv 2002.05709, section 2.1).

The loss uses the projections z = g(h). Later tasks use the encoder's features h, which hold more
information about the image than z (section 4.2). `init_from` with `prefix="encoder"` loads the
encoder into a classifier of the same architecture.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from library import config
from library.config import ConfigError, check_choice
from library.layers.checks import check_dtypes, check_sizes
from library.layers.intermediates import store

NORMS = ("batch", "none")


class Projection(nn.Module):
    """A projection head: dense layers "dense1" to "dense<depth>" with relus between them.

    With `norm="batch"`, batch normalization "norm1", ... follows each dense layer, as in the
    authors' code (but not in the paper's text). The last normalization has a scale but no bias.
    """

    hidden: int | None
    width: int
    depth: int
    norm: str
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b d"], train: bool) -> Float[Array, "b p"]:
        """Returns projections (b, width), float32, which are not scaled to unit length."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        hidden, normalized = self.hidden or x.shape[-1], self.norm == "batch"
        for layer in range(1, self.depth + 1):
            last = layer == self.depth
            x = nn.Dense(
                self.width if last else hidden,
                use_bias=not normalized,
                name=f"dense{layer}",
                **types,
            )(x)
            if normalized:
                x = nn.BatchNorm(
                    use_running_average=not train,
                    momentum=0.9,
                    use_bias=not last,
                    name=f"norm{layer}",
                    **types,
                )(x)
            x = x if last else nn.relu(x)
        return x.astype(jnp.float32)


class SimCLR(nn.Module):
    """An image model without its head, "encoder", and a projection head, "projection".

    Stores "features" (b, d), the features of the encoder. The other intermediates of the encoder
    are under "encoder".
    """

    encoder: nn.Module
    projection: nn.Module

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], train: bool = False) -> Float[Array, "b p"]:
        """Returns projections, float32.

        Raises:
          ConfigError: the encoder has no submodule "head", or does not return the head's output.
        """
        taken = []

        def without_head(call, arguments, options, context):
            if context.module.name == "head" and context.module.parent is self.encoder:
                taken.append(arguments[0])
                return arguments[0]
            return call(*arguments, **options)

        with nn.intercept_methods(without_head):
            features = self.encoder(image, train)
        if not taken or features is not taken[0]:
            name = type(self.encoder).__name__
            raise ConfigError(f"encoder {name} does not end in a submodule 'head' to remove")
        store(self, "features", features)
        return self.projection(features, train)


def simclr(
    encoder: dict,
    hidden: int | None = None,
    width: int = 128,
    depth: int = 2,
    norm: str = "batch",
    dtype: str = "float32",
    param_dtype: str = "float32",
) -> SimCLR:
    """Builds a model for the task "contrastive".

    Args:
      encoder: name and arguments of a model of images, whose head is removed.
      hidden: units of the hidden layers of the projection head, by default the number of features.
      width: size of the projections.
      depth: number of dense layers of the projection head: 2 in the paper, 3 in SimCLR v2. With 1
        the head is linear.
      norm: normalization after each dense layer, "batch" or "none".
      dtype: type of the computation of the projection head.
      param_dtype: type of the params of the projection head.

    Raises:
      ConfigError: the encoder is not a model of images, a norm or dtype is unknown, or a size is
        below 1.
    """
    check_sizes(width=width, depth=depth, hidden=1 if hidden is None else hidden)
    check_choice("norm of the projection", norm, NORMS)
    check_dtypes(dtype, param_dtype)
    made = config.build(encoder, "library.models", "encoder")
    if isinstance(made, SimCLR):
        raise ConfigError("the encoder of simclr is a model of images, not another simclr")
    return SimCLR(made, Projection(hidden, width, depth, norm, dtype, param_dtype))
