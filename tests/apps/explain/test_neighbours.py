import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from library.apps.explain import neighbours
from library.config import ConfigError

RANDOM = np.random.default_rng(0)
FEATURES = RANDOM.normal(size=(40, 5)).astype(np.float32)
QUERIES = RANDOM.normal(size=(7, 5)).astype(np.float32)


def test_the_nearest_by_cosine(monkeypatch):
    expected = NearestNeighbors(n_neighbors=4, metric="cosine").fit(FEATURES)
    distance, place = expected.kneighbors(QUERIES)
    for chunk in (512, 3):
        monkeypatch.setattr(neighbours, "_CHUNK", chunk)
        found, similarity = neighbours.neighbours_in_feature_space(FEATURES, QUERIES, 4)
        np.testing.assert_array_equal(found, place)
        np.testing.assert_allclose(similarity, 1 - distance, atol=1e-6)


@pytest.mark.parametrize("k", [0, 41])
def test_there_are_as_many(k):
    with pytest.raises(ConfigError, match=f"k={k} neighbours: valid are 1 to 40"):
        neighbours.neighbours_in_feature_space(FEATURES, QUERIES, k)
