"""The live comparisons with other projects; requirements-parity.txt names what they need."""

import importlib
import re
import sys

import pytest


@pytest.fixture(scope="session")
def torch():
    found = pytest.importorskip("torch", reason="needs requirements-parity.txt")
    found.set_num_threads(2)
    return found


@pytest.fixture(scope="session")
def inception(torch):
    # A build whose compiled operators do not load stops at each of their names until it is
    # defined; the networks use none of them.
    library = torch.library.Library("torchvision", "FRAGMENT")
    while True:
        try:
            importlib.import_module("torchvision")
            return importlib.import_module("torchvision.models.inception")
        except ImportError:
            pytest.skip("torchvision is absent: needs requirements-parity.txt")
        except RuntimeError as error:
            missing = re.search(r"operator torchvision::(\w+) does not exist", str(error))
            if missing is None:
                raise
            library.define(f"{missing[1]}(Tensor x) -> Tensor")
            for name in [name for name in sys.modules if name.startswith("torchvision")]:
                del sys.modules[name]
