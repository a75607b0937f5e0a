"""Permutations by arithmetic: each number once, and orders of huge sources that use them."""

import numpy as np
import pytest

from library.data import permutations, pipeline, text
from library.data.orders import shuffle
from library.data.sources import Source

HUGE = 10**10


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 9, 10, 16, 17, 1000, 4097])
def test_each_number_comes_once(size):
    found = permutations.permuted(3, 2, np.arange(size), size)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(np.sort(found), np.arange(size))


def test_numbers_beyond_32_bits_come_once_and_from_everywhere():
    offsets = np.arange(HUGE - 100_000, HUGE)
    found = permutations.permuted(0, 0, offsets, HUGE)
    assert len(np.unique(found)) == len(found)
    counts = np.histogram(found, bins=20, range=(0, HUGE))[0]
    # Five deviations of 5000 draws.
    assert np.abs(counts - 5000).max() < 5 * np.sqrt(5000)
    # One position alone has the same row.
    assert permutations.permuted(0, 0, offsets[7:8], HUGE) == found[7]


def test_seeds_and_epochs_have_permutations_of_their_own():
    found = [
        permutations.permuted(seed, epoch, np.arange(1000), 1000)
        for seed, epoch in ((0, 0), (0, 1), (1, 0))
    ]
    for a in range(3):
        for b in range(a):
            # Two random permutations have one place in common on average.
            assert (found[a] == found[b]).sum() < 12


def test_beyond_the_limit_an_epoch_has_each_row_once_and_below_it_is_the_list(monkeypatch):
    listed = pipeline.rows(np.arange(30), 5, 10)
    np.testing.assert_array_equal(listed[:10], pipeline.permutation(5, 0, 10))
    monkeypatch.setattr(pipeline, "LISTED", 9)
    found = pipeline.rows(np.arange(30), 5, 10).reshape(3, 10)
    np.testing.assert_array_equal(np.sort(found), np.tile(np.arange(10), (3, 1)))
    expected = [permutations.permuted(5, epoch, np.arange(10), 10) for epoch in range(3)]
    np.testing.assert_array_equal(found, expected)


class Counted:
    """Ten billion tokens: each is its own place, modulo 1000."""

    def __len__(self):
        return HUGE

    def __getitem__(self, places):
        return (np.arange(places.start, min(places.stop, HUGE)) % 1000).astype(np.int32)


def test_a_text_of_ten_billion_tokens_is_trained_on():
    context = 4
    ends = np.array([HUGE - 3, HUGE])
    windows = text.Windows(Counted(), ends, context + 1, 1, HUGE - context)
    source = Source(windows, None, "text[{}]".format, kinds={"tokens": "tokens"})
    loader = pipeline.make_loader(source, lambda example, generator: example, seed=0)
    batch = next(pipeline.train_batches(loader, 8, order=shuffle(0), start=3, threads=1))
    rows = shuffle(0)(np.arange(24, 32), 8, len(windows))
    assert (rows > 2**32).any()
    np.testing.assert_array_equal(batch["row"], rows.astype(np.uint32))
    expected = (rows[:, None] + np.arange(5)) % 1000
    np.testing.assert_array_equal(batch["tokens"], expected)
    last = windows[len(windows) - 1]
    assert last["tokens"].tolist() == [995, 996, 997, 998, 999]
    assert last["segments"].tolist() == [1, 1, 2, 2, 2]
