"""Other backward rules of rectifiers: guided backpropagation and the deconvolutional network.

The forward function is relu(x) = max(x, 0) for all rules. The backward rules map the signal g from
the layer above to

  backpropagation  g where x > 0, else 0,
  deconvnet        max(g, 0) for any x,
  guided           max(g, 0) where x > 0, else 0

(Springenberg et al. 2015, figure 1). relu6(x) = min(max(x, 0), 6) is a rectifier, too: guided
backpropagation maps g to max(g, 0) where 0 < x < 6. The calls of `jax.nn.relu` and `jax.nn.relu6`
are replaced in the trace of the network. Other activations have no such rule. A signal that only
some layers rectify would belong to neither method, so networks with other activations are refused.
Gates, as in squeeze-and-excitation, do not count as activations.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from library.apps.explain import traces
from library.apps.explain.gradients import Logits, input_gradient
from library.config import ConfigError

# JAX implements hard_sigmoid with a relu6 that is not a rectifier.
_GATES = ("hard_sigmoid",)
_SMOOTH = ("silu", "hard_silu", "elu", "celu", "selu", "leaky_relu", "softplus", "mish")


def guided_backpropagation(
    logits: Logits, image: Float[Array, "b h w c"], label: Int[Array, " b"]
) -> Float[Array, "b h w c"]:
    """Returns the class's score, projected back to the pixels by guided backpropagation.

    Springenberg, Dosovitskiy, Brox & Riedmiller 2015, "Striving for simplicity: the all
    convolutional net" (arXiv 1412.6806), section 3.4.

    Args:
      logits: a classifier that treats each example by itself.
      image: the images.
      label: the class to explain, for each image.

    Raises:
      ConfigError: the network has no relu or relu6, has one within a loop, or has other
        activations.
    """
    return input_gradient(_with_rules(logits, _GUIDED), image, label)


def deconvnet(
    logits: Logits, image: Float[Array, "b h w c"], label: Int[Array, " b"]
) -> Float[Array, "b h w c"]:
    """Returns the class's score, projected back to the pixels by a deconvolutional network.

    Zeiler & Fergus 2014, "Visualizing and understanding convolutional networks" (arXiv 1311.2901),
    section 2.1. The places of maxima in pooling and the transposed convolutions are those of the
    gradient (Simonyan et al. 2014, section 4); only the rectifiers differ. For a network without
    max pooling the result hardly depends on the image (Springenberg et al. 2015, section 3.4).

    Raises:
      ConfigError: as `guided_backpropagation`.
    """
    return input_gradient(_with_rules(logits, _DECONVOLVED), image, label)


def _with_rules(logits, rules):
    def replaced(image):
        jaxpr = jax.make_jaxpr(logits)(image)
        _check_activations(jaxpr.jaxpr)
        return traces.evaluate(jaxpr, [image], calls=rules, whole=_GATES)[0]

    return replaced


def _check_activations(jaxpr):
    others = [name for name in _SMOOTH if traces.count_calls(jaxpr, name)]
    if others:
        raise ConfigError(
            f"this network has {', '.join(others)}: the backward rule exists for relu and relu6 "
            "only"
        )
    if not any(traces.count_calls(jaxpr, name, _GATES) for name in _GUIDED):
        raise ConfigError("this network has no relu or relu6, whose backward rule would change")


def _rule(rectifier, passed):
    """Returns the rectifier with the backward rule g -> `passed(x, max(g, 0))`."""

    @jax.custom_vjp
    def call(x):
        return rectifier(x)

    call.defvjp(lambda x: (rectifier(x), x), lambda x, g: (passed(x, jax.nn.relu(g)),))
    return call


_GUIDED = {
    "relu": _rule(jax.nn.relu, lambda x, g: jnp.where(x > 0, g, 0)),
    "relu6": _rule(jax.nn.relu6, lambda x, g: jnp.where((x > 0) & (x < 6), g, 0)),
}
_DECONVOLVED = {
    "relu": _rule(jax.nn.relu, lambda x, g: g),
    "relu6": _rule(jax.nn.relu6, lambda x, g: g),
}
