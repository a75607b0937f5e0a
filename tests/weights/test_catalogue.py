"""What the table of published networks says of each is true of the model here."""

import math

import jax
import numpy as np
import pytest

from library.config import ConfigError
from library.weights import catalogue
from library.weights.drawn import drawn, zeros
from library.weights.mapping import assign, published_as
from tests import goldens


@pytest.mark.parametrize("name", goldens.one_a_family())
def test_params_are_as_many_as_published_and_each_has_one_name(name):
    published = catalogue.find(name)
    shapes = published.shapes(published.build())
    count = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes["params"]))
    assert count == published.parameters
    names = published_as(zeros(shapes), published.rules)
    counts = [n for n in names if n.endswith("num_batches_tracked")]
    values = sum(math.prod(names[n].shape) for n in names.keys() - set(counts))
    assert values == sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))


@pytest.mark.parametrize("name", ["resnet18"])
def test_a_model_that_was_loaded_is_written_as_it_was_read(name):
    published = catalogue.find(name)
    shapes = published.shapes(published.build())
    arrays = drawn({n: x.shape for n, x in published_as(zeros(shapes), published.rules).items()})
    variables = assign(arrays, published.rules, shapes, where="drawn")
    again = published_as(variables, published.rules)
    for key, array in again.items():
        if not key.endswith("num_batches_tracked"):
            np.testing.assert_array_equal(array, arrays[key])


def test_an_unknown_network():
    with pytest.raises(ConfigError, match="unknown network 'resnet5': did you mean 'resnet50'"):
        catalogue.find("resnet5")
