"""The machine and the version of the code of a run, and the cache of compiled programs."""

import importlib.metadata
import os
import platform
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import jax
from absl import logging

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy")


def describe() -> dict[str, Any]:
    """Returns the commit, the versions and the device, for summary.json."""
    device = jax.devices()[0]
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    commit, dirty = _commit()
    return {
        "commit": commit,
        "dirty": dirty,
        "versions": {"python": platform.python_version(), **versions},
        "device": {
            "platform": device.platform,
            "kind": _processor() if device.platform == "cpu" else device.device_kind,
            "count": jax.device_count(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        },
    }


def enable_compile_cache(folder: str | None) -> None:
    """Keeps compiled programs in a folder, for later starts of the program.

    If the folder cannot be written, a warning says so, and nothing is kept.

    Args:
      folder: the folder; None leaves JAX's settings unchanged. The environment variable
        JAX_COMPILATION_CACHE_DIR takes precedence.
    """
    named = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    if folder is None and not named:
        return
    try:
        path = Path(named or folder).expanduser()
        path.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()
    # Path raises RuntimeError if there is no home directory.
    except (OSError, RuntimeError) as error:
        logging.warning(
            "compiled programs are not kept: %s; name another folder by JAX_COMPILATION_CACHE_DIR "
            "or --config.compile_cache, or turn the cache off by --config.compile_cache=None",
            error,
        )
        jax.config.update("jax_enable_compilation_cache", False)
        return
    if named:
        return
    jax.config.update("jax_compilation_cache_dir", str(path))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def _commit() -> tuple[str | None, bool | None]:
    root = Path(__file__).resolve().parents[2]

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD"), bool(git("status", "--porcelain"))
    except (OSError, subprocess.CalledProcessError):
        return None, None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
