"""The comparison of a step of training leaves no statistics out."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.weights import parity
from library.weights.drawn import drawn
from library.weights.mapping import assign, conv_rules, dense_rules, norm_rules
from library.weights.published import Published


class Tiny(nn.Module):
    """A convolution, one normalization or two, mean, head."""

    norms: int = 1

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.Conv(4, (3, 3), padding="VALID", use_bias=False, name="conv")(x)
        for i in range(self.norms):
            x = nn.BatchNorm(not train, momentum=0.9, name=f"norm{i}")(x)
        return nn.Dense(5, name="head")(x.mean((1, 2)))


def rules(norm):
    return (*conv_rules("conv", "0"), *norm_rules(r"norm(\d)", norm), *dense_rules("head", "4"))


def compared(torch, norm="1", norms=1):
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3, bias=False),
        torch.nn.BatchNorm2d(4),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(4, 5),
    )
    arrays = drawn({k: tuple(x.shape) for k, x in network.state_dict().items()})
    network.load_state_dict({k: torch.from_numpy(np.asarray(x)) for k, x in arrays.items()})
    model, image = Tiny(norms), np.random.default_rng(0).normal(size=(2, 6, 6, 3))
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros(image.shape))
    variables = assign(arrays, rules("1"), shapes, where="drawn")
    published = Published({}, rules(norm), "", 0, None)
    nchw = torch.from_numpy(np.float32(image).transpose(0, 3, 1, 2).copy())
    moments = parity._moments(network.eval(), nchw)
    return parity._statistics(published, model, variables, np.float32(image), *moments)


def test_all_are_compared(torch):
    errors = compared(torch)
    assert errors.keys() == {"train logits", "statistics"}
    assert max(errors.values()) < 1e-5


@pytest.mark.parametrize("options", [dict(norm="other"), dict(norm="1.{1}", norms=2)])
def test_statistics_under_a_name_that_the_reference_has_not(torch, options):
    with pytest.raises(ConfigError, match=r"only one of the two networks has the statistics 1\."):
        compared(torch, **options)
