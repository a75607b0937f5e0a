import jax.numpy as jnp
import numpy as np

from library.layers.patches import patchify, take_tokens, unpatchify, unshuffle

RANDOM = np.random.default_rng(0)
IMAGE = RANDOM.normal(size=(2, 6, 9, 2)).astype(np.float32)


def test_patches_are_cut_row_by_row_and_put_back():
    patches = patchify(jnp.asarray(IMAGE), 3)
    places = [(i, j) for i in (0, 3) for j in (0, 3, 6)]
    by_hand = np.stack([IMAGE[:, i : i + 3, j : j + 3].reshape(2, -1) for i, j in places], axis=1)
    np.testing.assert_array_equal(patches, by_hand)
    np.testing.assert_array_equal(unpatchify(patches, 3, 6), IMAGE)


def test_what_was_chosen_returns_to_its_place():
    tokens = RANDOM.normal(size=(3, 5, 4)).astype(np.float32)
    missing = np.full((1, 1, 4), 7.0, np.float32)
    order = np.stack([RANDOM.permutation(5) for _ in range(3)]).astype(np.int32)
    seen = take_tokens(jnp.asarray(tokens), jnp.asarray(order[:, :2]))
    expected = np.broadcast_to(missing, tokens.shape).copy()
    for row, places in enumerate(order):
        for rank, place in enumerate(places[:2]):
            np.testing.assert_array_equal(seen[row, rank], tokens[row, place])
            expected[row, place] = tokens[row, place]
    back = unshuffle(seen, jnp.asarray(order), jnp.asarray(missing))
    np.testing.assert_array_equal(back, expected)
