"""The live comparisons with other projects; requirements-parity.txt names what they need."""

import importlib
import importlib.util

import pytest

from library.weights import parity


@pytest.fixture(scope="session")
def torch():
    found = pytest.importorskip("torch", reason="needs requirements-parity.txt")
    found.set_num_threads(2)
    return found


@pytest.fixture(scope="session")
def torchvision(torch):
    if importlib.util.find_spec("torchvision") is None:
        pytest.skip("torchvision is absent: needs requirements-parity.txt")
    return parity.torchvision()


@pytest.fixture(scope="session")
def timm(torchvision):
    if importlib.util.find_spec("timm") is None:
        pytest.skip("timm is absent: needs requirements-parity.txt")
    return importlib.import_module("timm")


@pytest.fixture(scope="session")
def inception(torchvision):
    return importlib.import_module("torchvision.models.inception")
