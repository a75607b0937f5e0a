"""Shared by all tests: shapes in signatures are checked, devices are eight, programs are cached."""

import os

# Programs of tests run for milliseconds and compile for seconds.
os.environ["XLA_FLAGS"] = " ".join(
    (
        os.environ.get("XLA_FLAGS", ""),
        "--xla_force_host_platform_device_count=8",
        "--xla_backend_optimization_level=0",
        "--xla_llvm_disable_expensive_passes=true",
    )
)
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
from jaxtyping import install_import_hook

from tests.trust import pytest_addoption, pytest_collection_modifyitems, pytest_configure

__all__ = ["pytest_addoption", "pytest_collection_modifyitems", "pytest_configure"]

jax.config.update("jax_compilation_cache_dir", os.path.abspath(".cache/tests"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)

install_import_hook(
    [
        "library.layers",
        "library.models",
        "library.tasks",
        "library.diffusion",
        "library.data.augmentation",
        "library.data.autoaugment",
        "library.evaluation",
        "library.explanations",
        "library.adversarial_examples",
    ],
    "beartype.beartype",
)
