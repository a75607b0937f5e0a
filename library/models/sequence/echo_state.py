"""Echo state network: a fixed random recurrent network, of which only the readout is learnt.

Jaeger 2001, "The 'echo state' approach to analysing and training recurrent neural networks", with
the leaky units of Jaeger, Lukosevicius, Popovici & Siewert 2007.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from library.config import ConfigError
from library.layers.checks import check_sizes
from library.layers.series import segment_means
from library.variants import variant


class EchoState(nn.Module):
    """A reservoir of leaky tanh units; its features are the mean states of parts of the recording.

        x' = (1 - leak) x + leak tanh(V u + W x)

    The params are "input", V (d, n), uniform from -input_scale to input_scale, and "recurrent", W
    (n, n), of which a share `density` is not 0, scaled to the spectral radius. Nothing trains them.

    Attributes:
      units: number of units n.
      radius: spectral radius of W.
      leak: the part of a unit that is new at each frame.
      input_scale: greatest weight of an input.
      density: share of the weights W that are not 0.
      segments: parts of the recording whose mean states are the features.

    Raises:
      ConfigError: a size is below 1, `leak` or `density` is outside (0, 1], or `radius` or
        `input_scale` is not above 0.
    """

    units: int = 400
    radius: float = 0.9
    leak: float = 0.3
    input_scale: float = 0.2
    density: float = 0.05
    segments: int = 3

    def __post_init__(self):
        check_sizes(units=self.units, segments=self.segments)
        for name in ("leak", "density"):
            value = getattr(self, name)
            if not 0 < value <= 1:
                raise ConfigError(f"{name}={value}: valid are above 0, up to 1")
        for name in ("radius", "input_scale"):
            value = getattr(self, name)
            if not value > 0:
                raise ConfigError(f"{name}={value}: valid are numbers above 0")
        super().__post_init__()

    @nn.compact
    def __call__(
        self,
        audio: Float[Array, "b t d"],
        audio_mask: Float[Array, "b t"],
        train: bool = False,
    ) -> Float[Array, "b f"]:
        """Returns the features, f = segments * units. The state starts at 0; padding is ignored."""
        kernel = self.param("input", self._inputs, (audio.shape[-1], self.units))
        recurrent = self.param("recurrent", self._reservoir, (self.units, self.units))
        x = jnp.where(audio_mask[..., None] > 0, audio, 0)

        def step(state: Array, frame: tuple[Array, Array]) -> tuple[Array, Array]:
            drive, there = frame
            moved = (1 - self.leak) * state + self.leak * jnp.tanh(drive + state @ recurrent)
            state = jnp.where(there, moved, state)
            return state, state

        drives, there = (x @ kernel).swapaxes(0, 1), audio_mask.T[..., None] > 0
        _, states = jax.lax.scan(step, jnp.zeros((len(x), self.units)), (drives, there))
        means = segment_means(states.swapaxes(0, 1), audio_mask, self.segments)
        return means.reshape(len(x), -1)

    @nn.nowrap
    def _inputs(self, key: PRNGKeyArray, shape: tuple[int, int]) -> Float[Array, "d n"]:
        return jax.random.uniform(key, shape, minval=-self.input_scale, maxval=self.input_scale)

    @nn.nowrap
    def _reservoir(self, key: PRNGKeyArray, shape: tuple[int, int]) -> Float[Array, "n n"]:
        k_weight, k_place = jax.random.split(key)
        weights = jax.random.uniform(k_weight, shape, minval=-1.0)
        weights = jnp.where(jax.random.bernoulli(k_place, self.density, shape), weights, 0)
        return weights * (self.radius / jnp.maximum(_spectral_radius(weights), 1e-6))


echo_state = variant(EchoState, "echo_state")


def _spectral_radius(matrix: Float[Array, "n n"], doublings: int = 14) -> Float[Array, ""]:
    """Returns the greatest absolute eigenvalue, as the limit of |M^k|^(1/k), k = 2^doublings.

    It runs on every device; the eigenvalues of a general matrix do not.
    """

    def square(at: Array, found: tuple[Array, Array]) -> tuple[Array, Array]:
        power, log_norm = found
        norm = jnp.maximum(jnp.linalg.norm(power), 1e-30)
        power = power / norm
        return jnp.matmul(power, power, precision="highest"), 2 * (log_norm + jnp.log(norm))

    power, log_norm = jax.lax.fori_loop(0, doublings, square, (matrix, jnp.zeros(())))
    log_norm = log_norm + jnp.log(jnp.maximum(jnp.linalg.norm(power), 1e-30))
    return jnp.exp(log_norm / 2.0**doublings)
