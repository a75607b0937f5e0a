"""Average precision, by hand."""

import numpy as np
import pytest

from library.evaluation.string_search import average_precision


@pytest.mark.parametrize(
    ("scores", "wanted", "expected"),
    [
        ([4, 3, 2, 1], [1, 0, 1, 0], (1 + 2 / 3) / 2),
        ([4, 3, 2, 1], [1, 1, 0, 0], 1.0),
        # Both wanted things are among three of the best score.
        ([5, 5, 5, 1], [1, 1, 0, 0], 2 / 3),
    ],
)
def test_precision_is_averaged_over_the_ranks_of_what_is_wanted(scores, wanted, expected):
    found = average_precision(np.float64(scores), np.array(wanted, bool))
    assert found == pytest.approx(expected)
