"""Positions of grids of other sizes, held to PyTorch's interpolation."""

import numpy as np
import pytest

from library.weights.resampling import Resampling, find, tokens_beside

# torch.nn.functional.interpolate(x, size, mode="bicubic", align_corners=False, antialias=...) of
# float64 by PyTorch 2.13, where x counts squares row by row, modulo 7.
GOLDEN = {
    ((3, 3), (4, 4), True): [
        [-0.15944531, 0.34087514, 2.16082124, 4.15944531],
        [1.30050403, 1.43014594, 2.71017212, 4.33811764],
        [1.79023498, 1.37995696, 1.87355099, 2.96157659],
        [1.00272889, 0.22177234, 0.17544643, 0.8927935],
    ],
    ((4, 4), (3, 2), True): [
        [1.38359778, 2.29473117],
        [2.74310998, 1.56457502],
        [2.28259924, 0.96709344],
    ],
    ((3, 3), (5, 5), False): [
        [-0.297216, 0.010336, 0.904, 2.877664, 4.297216],
        [0.782336, 0.920144, 1.532, 3.223856, 4.473664],
        [2.0, 1.856, 2.0, 3.224, 4.192],
        [1.597664, 1.171856, 0.848, 1.604144, 2.290336],
        [1.009216, 0.413664, -0.192, 0.282336, 0.798784],
    ],
    ((5, 5), (3, 3), False): [
        [1.14883402, 2.51851852, 2.4382716],
        [1.88888889, 4.0, 0.14814815],
        [1.0877915, 1.2037037, 3.15603567],
    ],
}
EMBEDDING = "params/positions/embedding"


@pytest.mark.parametrize(("old", "new", "antialias"), GOLDEN)
def test_the_numbers_of_pytorch(old, new, antialias):
    count = np.arange(old[0] * old[1], dtype=np.float64)
    grid = count * count % 7
    how = Resampling(2, old, new, antialias)
    # Two tokens before the grid, two features: the second is the first, negated.
    leaf = np.concatenate([[8.0, 9.0], grid])[None, :, None] * [1, -1]
    found = how.apply(leaf.astype(np.float32))
    assert found.dtype == np.float32
    assert found.shape == (1, 2 + new[0] * new[1], 2)
    np.testing.assert_array_equal(found[0, :2, 0], [8, 9])
    expected = np.ravel(GOLDEN[old, new, antialias])
    np.testing.assert_allclose(found[0, 2:, 0], expected, atol=2e-6)
    np.testing.assert_array_equal(found[..., 1], -found[..., 0])


@pytest.mark.parametrize(
    ("path", "there", "here", "options", "expected"),
    [
        (EMBEDDING, (1, 10, 8), (1, 17, 8), {}, Resampling(1, (3, 3), (4, 4), True)),
        (EMBEDDING, (1, 11, 8), (1, 18, 8), {"tokens": (2, 2)},
         Resampling(2, (3, 3), (4, 4), True)),
        (EMBEDDING, (1, 9, 8), (1, 12, 8), {"tokens": (0, 0), "new": (2, 6)},
         Resampling(0, (3, 3), (2, 6), True)),
        (EMBEDDING, (1, 9, 8), (1, 17, 8), {"old": (2, 4)}, Resampling(1, (2, 4), (4, 4), True)),
        ("params/a/attention/relative_bias", (169, 3), (529, 3), {},
         Resampling(0, (13, 13), (23, 23), False)),
        ("params/head/kernel", (1, 10, 8), (1, 17, 8), {}, None),
        (EMBEDDING, (1, 10, 8), (1, 17, 16), {}, None),
    ],
)  # fmt: skip
def test_how_a_leaf_is_resampled(path, there, here, options, expected):
    options = {"tokens": (1, 1), "old": None, "new": None, **options}
    assert find(path, there, here, **options) == expected


@pytest.mark.parametrize(
    ("there", "here", "options", "message"),
    [
        ((1, 13, 8), (1, 17, 8), {}, "12 patches are not a square"),
        ((1, 10, 8), (1, 13, 8), {}, "12 patches are not a square"),
        ((1, 10, 8), (1, 18, 8), {"tokens": (1, 2)}, "1 of its positions belong to no patch"),
        ((1, 10, 8), (1, 17, 8), {"old": (2, 4)}, "grid of 2x4 does not fit the 9 patches"),
        ((32, 8), (64, 8), {}, "positions of a text are not resampled; nearest: 32 tokens"),
    ],
)
def test_what_cannot_be_resampled(there, here, options, message):
    options = {"tokens": (1, 1), "old": None, "new": None, **options}
    with pytest.raises(ValueError, match=message):
        find(EMBEDDING, there, here, **options)


def test_tokens_beside_positions():
    paths = ("params/encoder/cls", "params/encoder/distillation", "params/cls")
    assert tokens_beside("params/encoder/positions/embedding", paths) == 2
    assert tokens_beside(EMBEDDING, paths) == 1
    assert tokens_beside("params/decoder/positions/embedding", paths) == 0
