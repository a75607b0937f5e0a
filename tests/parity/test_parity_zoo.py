"""Every network of the catalogue that another library has, beside it, with the same weights."""

import pytest

from library.weights import catalogue, parity, records

REFERENCES = [name for name, each in catalogue.CATALOGUE.items() if each.reference]


def test_what_is_too_large_to_be_compared_here():
    large = {name for name in REFERENCES if catalogue.find(name).parameters > parity.LARGEST}
    assert large == {"bit_r152x4"}


@pytest.mark.full
@pytest.mark.parametrize("name", REFERENCES)
def test_logits_stages_gradients_and_statistics(timm, name):
    if catalogue.find(name).parameters > parity.LARGEST:
        pytest.skip("in float64 and two libraries it takes more memory than most have")
    errors = parity.compare(name)
    assert not records.excesses(errors), errors
