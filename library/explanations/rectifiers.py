"""Other ways back through a rectifier: guided backpropagation and the deconvolutional network.

Forwards all three are relu(x) = max(x, 0). Of the signal g that comes from above,

  backpropagation  lets through  g where x > 0,
  deconvnet                      max(g, 0), whatever x was,
  guided                         max(g, 0) where x > 0

(Springenberg et al. 2015, figure 1). The calls of `jax.nn.relu` are replaced in the trace of the
network. Networks that squash by other functions have no such rule.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from library.config import ConfigError
from library.explanations import traces
from library.explanations.gradients import Logits, input_gradient


def guided_backpropagation(
    logits: Logits, image: Float[Array, "b h w c"], label: Int[Array, " b"]
) -> Float[Array, "b h w c"]:
    """Returns what guided backpropagation makes of the class's score.

    Springenberg, Dosovitskiy, Brox & Riedmiller 2015, "Striving for simplicity: the all
    convolutional net" (arXiv 1412.6806), section 3.4.

    Args:
      logits: a classifier that treats each example by itself.
      image: the examples.
      label: the class whose score is explained, of each.

    Raises:
      ConfigError: the network has no relu, or has one within a loop.
    """
    return input_gradient(_with_relu(logits, _guided), image, label)


def deconvnet(
    logits: Logits, image: Float[Array, "b h w c"], label: Int[Array, " b"]
) -> Float[Array, "b h w c"]:
    """Projects the class's score back to the pixels as a deconvolutional network does.

    Zeiler & Fergus 2014, "Visualizing and understanding convolutional networks" (arXiv 1311.2901),
    section 2.1. The places of maxima in pooling and the transposed convolutions are those of the
    gradient (Simonyan et al. 2014, section 4); only the rectifiers differ. Of a network without max
    pooling the result hardly depends on the image (Springenberg et al. 2015, section 3.4).

    Raises:
      ConfigError: as `guided_backpropagation`.
    """
    return input_gradient(_with_relu(logits, _deconvolved), image, label)


def _with_relu(logits, relu):
    def replaced(image):
        jaxpr = jax.make_jaxpr(logits)(image)
        if not traces.count_calls(jaxpr.jaxpr, "relu"):
            raise ConfigError("this network has no relu, whose backward rule could be another")
        return traces.evaluate(jaxpr, [image], calls={"relu": relu})[0]

    return replaced


@jax.custom_vjp
def _guided(x):
    return jax.nn.relu(x)


_guided.defvjp(lambda x: (_guided(x), x), lambda x, g: (jnp.where(x > 0, jax.nn.relu(g), 0),))


@jax.custom_vjp
def _deconvolved(x):
    return jax.nn.relu(x)


_deconvolved.defvjp(lambda x: (_deconvolved(x), None), lambda _, g: (jax.nn.relu(g),))
