"""Which sentences name what tells a class apart, and which are false."""

import numpy as np

from configs.visual_explanation import creatures as recipe
from library.data.builders import creatures
from library.evaluation.distinguishing_words import counted

TELLING = (("round",), ("pointed",))
TRUE = (("red", "round"), ("red", "pointed"))


def test_sentences_are_counted_word_by_word():
    said = ["a red one", "red and round", "pointed", "rounder", "round pointed"]
    named, false = counted(said, np.array([0, 0, 0, 0, 1]), TELLING, TRUE)
    assert named == [False, True, False, False, True]
    assert false == [False, False, True, False, True]


def test_the_recipe_knows_the_species():
    assert tuple(recipe.TELLING) == creatures.TELLING
    for word, shared, known in zip(recipe.TELLING, recipe.SHARED, creatures.SPECIES, strict=True):
        assert {word, *shared} == set(known.values())


def test_people_name_the_telling_attribute_in_three_of_eight_sentences_and_never_lie():
    random, words = np.random.RandomState(0), tuple((word,) for word in recipe.TELLING)
    true = tuple((word, *shared) for word, shared in zip(recipe.TELLING, recipe.SHARED))
    labels = np.arange(4000) % 8
    said = [creatures.said(label, random) for label in labels]
    named, false = counted(said, labels, words, true)
    assert not any(false)
    assert abs(np.mean(named) - 3 / 8) < 5 * np.sqrt(0.375 * 0.625 / 4000)


def test_images_show_the_attributes():
    for known in creatures.SPECIES:
        for other in creatures.SPECIES:
            a, b = (creatures.drawn(each, np.random.RandomState(7)) for each in (known, other))
            # The same place, shade and ground, so what differs is drawn.
            assert (a != b).any() == (known != other)
