"""Addresses of published weights."""

import hashlib

import pytest

from library.config import ConfigError
from library.data import origins
from library.weights import addresses, catalogue


def test_all_that_have_an_address_are_in_the_catalogue():
    known = [*addresses._FILES, *addresses._MODELS]
    assert len(known) == len(set(known))
    for name in known:
        assert addresses.find(name).url.startswith("https://")
    names = [
        name
        for network, each in catalogue.CATALOGUE.items()
        for name in (network, *(f"{network}.{weights}" for weights in each.weights))
    ]
    assert set(known) <= set(names)


def test_files_of_torchvision_are_checked_by_the_digits_in_their_names():
    found = addresses.origin("resnet50.v2")
    assert found.file == "resnet50-11ad3fa6.pth"
    assert found.checksum == "sha256:11ad3fa6"
    every = [addresses.find(name) for name in addresses._FILES]
    assert all(each.checksum and each.checksum[7:] in each.file for each in every)


def test_first_digits_of_a_checksum_tell_a_file(tmp_path):
    (tmp_path / "a.pth").write_bytes(b"weights")
    digits = hashlib.sha256(b"weights").hexdigest()[:8]
    origin = origins.Origin("a.pth", None, None, f"sha256:{digits}")
    assert origins.locate([origin], [tmp_path]) == {"a.pth": tmp_path / "a.pth"}
    (tmp_path / "a.pth").write_bytes(b"others")
    with pytest.raises(ConfigError, match=rf"expected a.pth .*sha256:{digits}"):
        origins.locate([origin], [tmp_path])


def test_weights_of_which_no_address_is_known_are_to_be_brought():
    assert addresses.find("shufflenet_v1_g1") is None
    with pytest.raises(ConfigError, match=r"no address is known.*--weights=FILE"):
        addresses.origin("shufflenet_v1_g1")
    with pytest.raises(ConfigError, match="unknown network 'resnet5'"):
        addresses.find("resnet5")
