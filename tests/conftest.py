"""Shared by all tests: shapes in signatures are checked, devices are eight, programs are cached."""

import gc
import os
import signal

from tests.xla import QUICKEST

os.environ["XLA_FLAGS"] = " ".join(
    (os.environ.get("XLA_FLAGS", ""), "--xla_force_host_platform_device_count=8", *QUICKEST)
)
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Tests do not fill the user's cache directory with their datasets.
os.environ.setdefault("COMPENDIUM_CACHE_GB", "0")

import jax
from jaxtyping import install_import_hook

from tests import memory, trust
from tests.trust import pytest_addoption, pytest_collection_modifyitems

__all__ = ["pytest_addoption", "pytest_collection_modifyitems", "pytest_configure"]


def pytest_configure(config):
    trust.pytest_configure(config)
    config.pluginmanager.register(memory, "memory")


# A suite in the background ignores SIGINT, and so would the runs that it starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Looking for cycles among all that JAX traces takes a tenth of the time.
gc.set_threshold(100_000, 50, 50)
jax.config.update("jax_compilation_cache_dir", os.path.abspath(".cache/tests"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)

install_import_hook(
    [
        "library.layers",
        "library.models",
        "library.tasks",
        "library.diffusion",
        "library.data.augmentation",
        "library.evaluation",
        "library.apps.explain",
        "library.adversarial_examples",
    ],
    "beartype.beartype",
)
