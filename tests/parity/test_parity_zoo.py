"""Every network of the catalogue that another library has, beside it, with the same weights."""

import pytest

from library.weights import catalogue, parity

REFERENCES = [name for name, each in catalogue.CATALOGUE.items() if each.reference]


@pytest.mark.full
@pytest.mark.parametrize("name", REFERENCES)
def test_logits_stages_gradients_and_statistics(torch, name):
    pytest.importorskip("timm", reason="needs requirements-parity.txt")
    errors = parity.compare(name)
    noise = errors.pop("noise")
    assert max(errors.values()) <= max(1e-5, 3 * noise), errors
