import numpy as np
import pytest

from library.config import ConfigError
from library.explanations import embedding

RANDOM = np.random.default_rng(0)


def test_principal_components_by_singular_values():
    features = RANDOM.normal(size=(30, 4)) * [5, 3, 1, 0.1]
    centred = features - features.mean(0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    found = embedding.principal_components(features, 3)
    expected = (left * values)[:, :3]
    signs = np.sign((found * expected).sum(0))
    np.testing.assert_allclose(found, signs * expected, atol=1e-9)


def test_t_sne_keeps_clusters_apart():
    centres = np.eye(3).repeat(8, axis=0) * 20
    features = centres + RANDOM.normal(size=(24, 3))
    found = embedding.t_sne(features, perplexity=4.0, steps=500)
    assert found.shape == (24, 2)
    distance = np.linalg.norm(found[:, None] - found, axis=-1) + np.diag([np.inf] * 24)
    np.testing.assert_array_equal(distance.argmin(1) // 8, np.arange(24) // 8)


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (embedding.principal_components, dict(dimensions=5), "dimensions=5 of 6 examples with 4"),
        (embedding.t_sne, dict(perplexity=6.0), "perplexity=6.0: valid are above 0 and below 6"),
        (embedding.t_sne, dict(perplexity=2.0, steps=100), "steps=100"),
        (embedding.t_sne, dict(dimensions=4, perplexity=2.0), "valid are 1, 2 and 3"),
    ],
)
def test_what_cannot_be_laid_out(function, options, message):
    with pytest.raises(ConfigError, match=message):
        function(np.ones((6, 4)), **options)
