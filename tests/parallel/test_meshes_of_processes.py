"""On every mesh several processes train and measure what one does that has as many devices."""

import io
import itertools
import json
import math
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from launch import job, local
from library.parallel.mesh import AXES
from tests.parallel import on_meshes
from tests.xla import QUICKEST

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {
    "PYTHONPATH": str(ROOT),
    "JAX_COMPILATION_CACHE_DIR": str(ROOT / ".cache" / "tests"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.2",
}
# Then each of two processes of two devices holds every second part of four.
CROSSED = (0, 2, 1, 3)


def meshes(devices):
    """Returns the meshes of so many devices."""
    sizes = itertools.product(range(1, devices + 1), repeat=len(AXES))
    return [dict(zip(AXES, shape)) for shape in sizes if math.prod(shape) == devices]


@pytest.fixture
def check(monkeypatch, tmp_path):
    """Compares what so many processes see, of so many devices each, with what this one does."""
    devices = jax.devices()

    def run(count, each, asked):
        forced = f"--xla_force_host_platform_device_count={each}"
        for name, value in (ENVIRONMENT | {"XLA_FLAGS": " ".join((forced, *QUICKEST))}).items():
            monkeypatch.setenv(name, value)
        command = (sys.executable, "-m", "tests.parallel.on_meshes", json.dumps(asked))
        runs = (job.Run("", (*command, str(tmp_path))),)
        said = io.StringIO()
        code = local.run(job.Job("meshes", runs, count), at_once=1, out=said)
        assert code == 0, said.getvalue()
        all_seen = [json.loads((tmp_path / f"{place}.json").read_text()) for place in range(count)]
        assert all(found == all_seen[0] for found in all_seen)
        for (system, parallel, _), found in zip(asked, all_seen[0], strict=True):
            _same(found, on_meshes.seen(system, parallel, devices[: count * each]), parallel)

    return run


def _same(found, expected, named):
    for name, values in expected.items():
        exact = name in ("examples", "first")
        for ours, theirs in zip(found[name], values, strict=True):
            np.testing.assert_allclose(
                ours, theirs, rtol=0 if exact else 1e-5, atol=0, err_msg=f"{name} on {named}"
            )


def split(**mesh):
    return dict(mesh=mesh, rules="transformer")


@pytest.mark.full
def test_two_processes_load_the_rows_that_their_devices_hold(check):
    check(
        2,
        2,
        [
            ["streamed", split(tensor=4), None],
            ["resident", split(data=2, fsdp=2), CROSSED],
            ["streams", split(data=2, tensor=2), CROSSED],
            ["scenes", split(data=4), None],
            ["domains", split(data=4), CROSSED],
        ],
    )


@pytest.mark.full
@pytest.mark.parametrize("system", on_meshes.SYSTEMS)
@pytest.mark.parametrize("count", [2, 4])
def test_processes_with_a_device_each_are_one_with_as_many(check, count, system):
    check(count, 1, [[system, split(**mesh), None] for mesh in meshes(count)])


@pytest.mark.full
def test_devices_of_a_process_may_lie_anywhere_on_the_mesh(check):
    asked = [split(**mesh) for mesh in meshes(4)] + [dict(strategy="pmap")]
    check(2, 2, [["streamed", each, CROSSED] for each in asked])
