"""Networks with weights drawn by name have the logits of their references, kept in goldens.json."""

import jax
import numpy as np
import pytest

from library.weights import catalogue
from library.weights.drawn import variables_of
from tests import goldens


@pytest.mark.parametrize("name", goldens.read())
def test_logits_are_the_references(name):
    published = catalogue.find(name)
    model, size = published.build(), goldens.SIZES.get(name, goldens.SIZE)
    logits = jax.jit(model.apply)(variables_of(published, model, size), goldens.image(size))
    expected = np.array(goldens.read()[name]["logits"])
    error = np.abs(logits[0, :: goldens.EVERY] - expected).max() / np.abs(expected).max()
    assert error <= 1e-5
