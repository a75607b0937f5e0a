"""An encoder with a projection head (SimCLR: Chen et al. 2020, arXiv 2002.05709, section 2.1).

The loss is applied to the projections z = g(h); what is kept after training are the encoder's
features h, which know more of the image than z does (section 4.2). `init_from` with
`prefix="encoder"` takes the encoder into a classifier of the same architecture.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from library import config
from library.config import ConfigError, check_choice
from library.layers.checks import check_dtypes, check_sizes
from library.layers.intermediates import record

NORMS = ("batch", "none")


class Projection(nn.Module):
    """Dense layers with relu between them, "dense1" to "dense<depth>".

    With `norm="batch"` each is followed by batch normalization, "norm1", ..., as in the authors'
    code (and not in the paper's text), the last of which has a scale but no bias.
    """

    hidden: int | None
    width: int
    depth: int
    norm: str
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b d"], train: bool) -> Float[Array, "b p"]:
        """Returns projections (b, width), of any length, float32."""
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
    """An image model without its head, "encoder", and the projection head, "projection".

    Records "features" (b, d), the encoder's; its other records are below "encoder".
    """

    encoder: nn.Module
    projection: nn.Module

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], train: bool = False) -> Float[Array, "b p"]:
        """Returns projections, float32.

        Raises:
          ConfigError: the encoder has no submodule "head", or changes what comes out of it.
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
            raise ConfigError(f"encoder {name} does not end in a submodule 'head' to leave out")
        record(self, "features", features)
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
    """Builds a model to be trained by the task "contrastive".

    Args:
      encoder: name and arguments of a model of images; its head is left out.
      hidden: units of the projection's hidden layers, by default as many as features.
      width: size of the projections.
      depth: the projection's dense layers: 2 in the paper, 3 in SimCLR v2, 1 is linear.
      norm: "batch" or "none", after each of them.
      dtype: of the projection's computation.
      param_dtype: of its params.

    Raises:
      ConfigError: an encoder that is not one, an unknown norm or dtype, a size below 1.
    """
    check_sizes(width=width, depth=depth, hidden=1 if hidden is None else hidden)
    check_choice("norm of the projection", norm, NORMS)
    check_dtypes(dtype, param_dtype)
    made = config.build(encoder, "library.models", "encoder")
    if isinstance(made, SimCLR):
        raise ConfigError("the encoder of simclr is a model of images, not another simclr")
    return SimCLR(made, Projection(hidden, width, depth, norm, dtype, param_dtype))
