"""The figure of words shows each at its place."""

import numpy as np

from library.reporting import figures, word_figure

PLACES, WORDS = np.array([[0.0, 1.0], [2.0, -1.0]]), np.array(["king", "$queen$"])


def test_each_word_is_at_its_place():
    figure = word_figure.labelled_points(PLACES, WORDS)
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == ["king", "$queen$"]
    np.testing.assert_array_equal([text.xy for text in axes.texts], PLACES)
    assert figures.png(figure).startswith(b"\x89PNG")


def test_what_is_a_layout_of_words():
    assert word_figure.is_layout(PLACES, WORDS)
    for values, words in (
        (PLACES, None),
        (PLACES, WORDS[:1]),
        (PLACES, np.array([1, 2])),
        (PLACES.astype(int), WORDS),
        (PLACES[:, :1], WORDS),
    ):
        assert not word_figure.is_layout(values, words)
