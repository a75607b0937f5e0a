import jax.numpy as jnp
import numpy as np
import pytest

from library.apps.explain.occlusion import occlusion
from library.config import ConfigError

RANDOM = np.random.default_rng(0)
IMAGE = jnp.asarray(RANDOM.uniform(size=(2, 7, 6, 2)), jnp.float32)
WEIGHT = jnp.asarray(RANDOM.normal(size=(7, 6, 2, 3)), jnp.float32)
LABEL = jnp.array([2, 0])


def linear(image):
    return jnp.einsum("bhwc,hwck->bk", image, WEIGHT)


@pytest.mark.parametrize(("size", "stride"), [(3, 2), (2, 1), (6, 6), (1, 1), (4, 3)])
def test_what_a_linear_score_loses(size, stride):
    """Under a patch a linear score loses weight x (image - grey), summed."""
    weight = np.moveaxis(np.float64(WEIGHT), -1, 0)[np.asarray(LABEL)]
    change = (weight * (np.float64(IMAGE) - 0.25)).sum(-1)
    total, count = np.zeros((2, 7, 6)), np.zeros((7, 6))
    rows = sorted({*range(0, 7 - size + 1, stride), 7 - size})
    columns = sorted({*range(0, 6 - size + 1, stride), 6 - size})
    for row in rows:
        for column in columns:
            place = np.s_[row : row + size, column : column + size]
            total[:, *place] += change[:, *place].sum((1, 2))[:, None, None]
            count[place] += 1
    found = occlusion(linear, IMAGE, LABEL, size=size, stride=stride, grey=0.25)
    assert count.min() > 0
    np.testing.assert_allclose(found, total / count, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(size=7), "size=7 of the patch: valid are 1 to 6"),
        (dict(size=0, stride=1), "size=0"),
        (dict(size=3, stride=4), "stride=4: valid are 1 to 3"),
        (dict(size=3, stride=0), "stride=0"),
    ],
)
def test_patches_that_hide_nothing_or_all(options, message):
    with pytest.raises(ConfigError, match=message):
        occlusion(linear, IMAGE, LABEL, **options)
