"""Every network of the catalogue that another library has, beside it, with the same weights."""

import pytest

from library.weights import catalogue
from tests.parity import compare

REFERENCES = [name for name, each in catalogue.CATALOGUE.items() if each.reference]


@pytest.mark.full
@pytest.mark.parametrize("name", REFERENCES)
def test_logits_stages_gradients_and_statistics(torch, name):
    pytest.importorskip("timm", reason="needs requirements-parity.txt")
    errors = compare.compare(name)
    errors.pop("noise")
    assert max(errors.values()) <= 1e-5, errors
