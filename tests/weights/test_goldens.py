"""Networks with weights drawn by name have the logits of their references, kept in goldens.json."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.weights import catalogue
from library.weights.drawn import variables_of
from tests import goldens


@pytest.mark.parametrize("name", goldens.read())
def test_logits_are_the_references(name):
    published = catalogue.find(name)
    model, size = published.build(), goldens.SIZES[name]
    logits = jax.jit(model.apply)(
        variables_of(published, model, size), jnp.asarray(goldens.image(size))
    )
    golden = goldens.read()[name]
    error = np.abs(logits[0, :: goldens.EVERY] - np.array(golden["logits"])).max()
    assert error / golden["largest"] <= max(1e-5, 3 * golden["noise"])
