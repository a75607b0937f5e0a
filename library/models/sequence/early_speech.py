"""The first neural networks that read speech frame by frame, as classifiers of recordings.

- `error_propagation`: a recurrent network whose state and answer both follow from the frame and the
  state before it (Robinson & Fallside 1991, "A recurrent error propagation network speech
  recognition system").
- `frame_perceptron`: a perceptron with one hidden layer on a frame with its neighbours (Bengio
  1991, "Artificial neural networks and their application to sequence recognition", and Bourlard &
  Wellekens 1990, "Links between Markov models and multilayer perceptrons").

The papers classify each frame as a phoneme, for a hidden Markov model. Here all frames of a
recording vote for its class: the logits are the mean of their log-probabilities. Both take
`(audio (b, t, d), audio_mask (b, t))`, and what is in the padding changes no bit.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from library.config import ConfigError
from library.layers.checks import check_sizes
from library.layers.intermediates import store
from library.layers.recurrence import ElmanLayer, zero_state
from library.layers.series import mean_step, present
from library.variants import variant

Frames = Float[Array, "b t d"]
Mask = Float[Array, "b t"]


class ErrorPropagation(nn.Module):
    """A state x and answers y, both of the frame u and the state before it.

        x(t) = sigmoid(W u(t) + U x(t - 1) + b),  y(t) = A u(t) + B x(t - 1) + c

    The answer for a frame is given `delay` frames later, when the network has heard what follows.

    Submodules are "state", with W, U and b, and "head", with A and B in one kernel, and c.

    Attributes:
      num_classes: number of classes.
      width: units of the state.
      delay: frames from a frame to its answer; the first answers count for none.
    """

    num_classes: int
    width: int = 96
    delay: int = 4

    def __post_init__(self):
        check_sizes(num_classes=self.num_classes, width=self.width)
        if self.delay < 0:
            raise ConfigError(f"delay={self.delay}: valid are 0 and more; nearest: 0")
        super().__post_init__()

    @nn.compact
    def __call__(self, audio: Frames, audio_mask: Mask, train: bool = False) -> Float[Array, "b k"]:
        """Returns logits."""
        x = present(audio, audio_mask)
        layer = ElmanLayer(self.width, jnp.float32, jnp.float32, "sigmoid", name="state")
        start = zero_state("elman", len(x), self.width)
        _, states = layer(x.swapaxes(0, 1), start, mask=audio_mask.T[..., None])
        before = jnp.pad(states.swapaxes(0, 1), [(0, 0), (1, 0), (0, 0)])[:, :-1]
        heard = jnp.concatenate([x, before], axis=-1)
        late = audio_mask * (jnp.arange(audio_mask.shape[1]) >= self.delay)
        store(self, "features", mean_step(before, late))
        return _votes(nn.Dense(self.num_classes, name="head")(heard), late)


class FramePerceptron(nn.Module):
    """A sigmoid layer on a frame and `context` frames to each side of it, and a linear head.

    Submodules are "hidden", a convolution over time, and "head".

    Attributes:
      num_classes: number of classes.
      width: units of the hidden layer.
      context: frames to each side.
    """

    num_classes: int
    width: int = 128
    context: int = 4

    def __post_init__(self):
        check_sizes(num_classes=self.num_classes, width=self.width)
        if self.context < 0:
            raise ConfigError(f"context={self.context}: valid are 0 and more; nearest: 0")
        super().__post_init__()

    @nn.compact
    def __call__(self, audio: Frames, audio_mask: Mask, train: bool = False) -> Float[Array, "b k"]:
        """Returns logits."""
        x, size = present(audio, audio_mask), 2 * self.context + 1
        sides = [(self.context, self.context)]
        x = nn.sigmoid(nn.Conv(self.width, (size,), padding=sides, name="hidden")(x))
        store(self, "features", mean_step(x, audio_mask))
        return _votes(nn.Dense(self.num_classes, name="head")(x), audio_mask)


error_propagation = variant(ErrorPropagation, "error_propagation")
frame_perceptron = variant(FramePerceptron, "frame_perceptron")


def _votes(logits: Float[Array, "b t k"], mask: Mask) -> Float[Array, "b k"]:
    """Returns the mean over frames of the log-probabilities."""
    return mean_step(jax.nn.log_softmax(logits.astype(jnp.float32)), mask)
