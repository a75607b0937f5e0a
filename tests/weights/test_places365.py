"""Weights for places: files of trainings on several GPUs find their place."""

import numpy as np
import pytest

from library.weights import catalogue, loading
from library.weights.drawn import drawn, zeros
from library.weights.mapping import published_as, published_names


def in_file(name, arrays):
    """Returns arrays under the names that the checkpoint of the training has."""
    if name.startswith("alexnet"):
        renamed = {k.replace("features.", "features.module."): x for k, x in arrays.items()}
        return {f"state_dict.{k}": x for k, x in renamed.items()}
    return {f"state_dict.module.{k}": x for k, x in arrays.items()}


@pytest.mark.parametrize("name", ["resnet18_places365", "alexnet_places365"])
def test_names_of_the_file_lead_to_all_leaves(name):
    published = catalogue.find(name)
    assert published.model["num_classes"] == 365
    shapes = published.shapes(published.build())
    arrays = {k: x.shape for k, x in published_as(zeros(shapes), published.rules).items()}
    tables = (published.rules, *published.others)
    known = frozenset().union(*(published_names(rules, shapes) for rules in tables))
    found, said = loading.unwrapped(in_file(name, drawn(arrays)), known)
    assert said
    rules = max(tables, key=lambda rules: len(published_names(rules, shapes) & found.keys()))
    assert published_names(rules, shapes) <= found.keys()
    head = next(k for k in found if k.endswith(("fc.bias", "classifier.6.bias")))
    assert np.shape(found[head]) == (365,)
