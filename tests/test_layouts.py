import numpy as np
import pytest
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from library import layouts
from library.config import ConfigError

RANDOM = np.random.default_rng(0)


def test_principal_components_by_singular_values():
    features = RANDOM.normal(size=(30, 4)) * [5, 3, 1, 0.1]
    centred = features - features.mean(0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    found = layouts.principal_components(features, 3)
    expected = (left * values)[:, :3]
    signs = np.sign((found * expected).sum(0))
    np.testing.assert_allclose(found, signs * expected, atol=1e-9)


def test_t_sne_is_scikit_learns_on_principal_components_and_repeats():
    features = RANDOM.normal(size=(24, 60))
    options = dict(perplexity=4.0, max_iter=250, init="pca", random_state=3)
    reduced = np.float32(layouts.principal_components(features, 24))
    with threadpool_limits(limits=1):
        expected = TSNE(2, **options).fit_transform(reduced)
    found = layouts.t_sne(features, perplexity=4.0, steps=250, seed=3)
    np.testing.assert_array_equal(found, expected)


def test_t_sne_keeps_clusters_apart():
    centres = np.eye(3).repeat(20, axis=0) * 100
    found = layouts.t_sne(centres + RANDOM.normal(size=(60, 3)), perplexity=10.0, steps=500)
    assert found.shape == (60, 2)
    middles = found.reshape(3, 20, 2).mean(1)
    distance = np.linalg.norm(found[:, None] - middles, axis=-1).reshape(3, 20, 3).mean(1)
    # Where a point lies within its cluster hangs on rounding; how far clusters lie apart does not.
    assert (np.diag(distance) * 2 < (distance + 1e9 * np.eye(3)).min(1)).all(), distance


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (layouts.principal_components, dict(dimensions=5), "dimensions=5 of 6 examples with 4"),
        (layouts.t_sne, dict(perplexity=6.0), "perplexity=6.0: valid are above 0 and below 6"),
        (layouts.t_sne, dict(perplexity=2.0, steps=100), "steps=100"),
        (layouts.t_sne, dict(dimensions=4, perplexity=2.0), "valid are 1, 2 and 3"),
    ],
)
def test_what_cannot_be_laid_out(function, options, message):
    with pytest.raises(ConfigError, match=message):
        function(np.ones((6, 4)), **options)
