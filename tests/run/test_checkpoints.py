"""What is saved comes back bit by bit, or is reported, and the save before it is used."""

import functools
import gc
import json
import os
import resource
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from absl import logging
from jax.sharding import NamedSharding, PartitionSpec

from library import trees
from library.config import ConfigError
from library.parallel.mesh import make_mesh
from library.run import checkpoints
from library.run.checkpoints import CheckpointError, Checkpoints, load


def carry(step=0, size=8):
    """Returns arrays of every kind that states hold, different at every step."""
    random = np.random.default_rng(step)
    single = random.normal(size=(size, 16)).astype(np.float32)
    single[0, :4] = [np.nan, -0.0, np.inf, 1e-45]
    return {
        "state": {
            "step": jnp.int32(step),
            "params": {"kernel": jnp.asarray(single), "half": jnp.asarray(single, jnp.bfloat16)},
            "keys": jnp.asarray(random.integers(0, 2**32, (2, 4)), jnp.uint32),
            "bytes": jnp.asarray(random.integers(0, 256, 5), jnp.uint8),
            "flags": jnp.asarray([True, False, True]),
            "nothing": (),
        },
        "totals": {"loss": (jnp.float32(0.1), jnp.float32(step))},
    }


def placed(tree, sizes):
    """Spreads a tree over the eight devices, the first dimension of everything that divides."""
    mesh = make_mesh(sizes)

    def put(x):
        axes = PartitionSpec("fsdp") if x.ndim and x.shape[0] % mesh.shape["fsdp"] == 0 else ()
        return jax.device_put(x, NamedSharding(mesh, PartitionSpec(*axes)))

    return jax.tree.map(put, tree)


def save(workdir, *steps, keep=9, best=()):
    saved = Checkpoints(workdir, keep=keep)
    for step in steps:
        saved.save(step, carry(step), {"best": step / 10, "phases": {}}, best=step in best)
    saved.close()


def kept(workdir, folder="latest"):
    root = workdir / "checkpoints" / folder
    names = [path.name for path in root.iterdir()] if root.is_dir() else []
    return sorted(int(name) for name in names if name.isdigit())


def restore(workdir, like=None):
    opened = Checkpoints(workdir, keep=9)
    try:
        return opened.restore(carry() if like is None else like)
    finally:
        opened.close()


def data_file(workdir, step):
    """Returns the largest file of a checkpoint: the arrays."""
    files = (workdir / "checkpoints/latest" / str(step)).rglob("*")
    return max((path for path in files if path.is_file()), key=lambda path: path.stat().st_size)


@pytest.fixture
def warnings(monkeypatch):
    said = []
    monkeypatch.setattr(logging, "warning", lambda text, *values: said.append(text % values))
    return said


def test_nothing_is_restored_where_nothing_was_saved(tmp_path):
    assert restore(tmp_path) is None
    with pytest.raises(ConfigError, match="holds no latest checkpoint"):
        load(tmp_path)


def test_every_bit_comes_back(tmp_path):
    save(tmp_path, 3, 5)
    restored = restore(tmp_path)
    assert restored.step == 5
    assert restored.progress == {"best": 0.5, "phases": {}}
    assert jax.tree.structure(restored.carry) == jax.tree.structure(carry())
    assert trees.digest(restored.carry) == trees.digest(carry(5)) != trees.digest(carry(3))


@pytest.mark.parametrize(
    ("before", "after"),
    [({"fsdp": 8}, {"data": 4, "fsdp": 2}), ({"fsdp": 8}, {"data": 8}), ({"data": 8}, {"fsdp": 8})],
)
def test_every_bit_comes_back_on_another_mesh(tmp_path, before, after):
    opened = Checkpoints(tmp_path)
    opened.save(4, placed(carry(4), before), {}, best=False)
    opened.close()
    like = placed(carry(), after)
    restored = restore(tmp_path, like)
    assert trees.digest(restored.carry) == trees.digest(carry(4))
    for got, wanted in zip(jax.tree.leaves(restored.carry), jax.tree.leaves(like), strict=True):
        assert got.sharding.is_equivalent_to(wanted.sharding, got.ndim)
        assert got.dtype == wanted.dtype
    kernel = restored.carry["state"]["params"]["kernel"]
    assert {x.data.shape[0] for x in kernel.addressable_shards} == {8 // after.get("fsdp", 1)}
    # Another program reads it without any mesh.
    assert trees.digest(dict(load(tmp_path)[1])) == trees.digest(trees.flatten(carry(4)))


def test_the_newest_are_kept_and_the_best(tmp_path):
    save(tmp_path, 1, 2, 3, 4, 5, keep=2, best=(1, 3))
    assert kept(tmp_path) == [4, 5]
    assert kept(tmp_path, "best") == [3]
    signed = {path.stem for path in (tmp_path / "checkpoints/checksums").iterdir()}
    assert signed == {"latest-4", "latest-5", "best-3"}
    assert load(tmp_path, which="best")[0] == 3
    step, leaves = load(tmp_path)
    assert step == 5
    assert trees.digest(leaves) == trees.digest(trees.flatten(carry(5)))


def test_a_step_saved_before_is_not_saved_again(tmp_path):
    opened = Checkpoints(tmp_path)
    opened.save(2, carry(2), {"n": 1}, best=False)
    opened.save(2, carry(3), {"n": 2}, best=True)
    opened.close()
    assert restore(tmp_path).progress == {"n": 1}
    assert kept(tmp_path, "best") == [2]


def truncated(path):
    path.write_bytes(path.read_bytes()[:-20])


def flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def removed(path):
    path.unlink()


@pytest.mark.trust(
    "a file of a checkpoint truncated, flipped or removed",
    "set aside; the save before it is restored",
)
@pytest.mark.parametrize("damage", [truncated, flipped, removed])
def test_a_damaged_checkpoint_is_reported_and_set_aside(tmp_path, warnings, damage):
    save(tmp_path, 1, 2, 3)
    damage(data_file(tmp_path, 3))
    restored = restore(tmp_path)
    assert restored.step == 2
    assert trees.digest(restored.carry) == trees.digest(carry(2))
    assert len(warnings) == 1
    assert "checkpoint of step 3 is damaged" in warnings[0]
    assert "does not match its checksum" in warnings[0]
    assert kept(tmp_path) == [1, 2]
    assert kept(tmp_path, "damaged") == [3]
    # The run makes it anew, and it is as good as any.
    save(tmp_path, 3)
    assert restore(tmp_path).step == 3
    damage(data_file(tmp_path, 3))
    with pytest.raises(CheckpointError, match="cannot be read"):
        load(tmp_path)


def test_two_damaged_ones_lead_to_the_third(tmp_path, warnings):
    save(tmp_path, 1, 2, 3)
    flipped(data_file(tmp_path, 3))
    shutil.rmtree(tmp_path / "checkpoints/latest/2/state")
    assert restore(tmp_path).step == 1
    assert ["step 3" in warnings[0], "step 2" in warnings[1]] == [True, True]
    assert kept(tmp_path, "damaged") == [2, 3]


def test_the_best_beyond_the_step_gone_back_to_is_forgotten(tmp_path, warnings):
    save(tmp_path, 1, 2, 3, best=(3,))
    flipped(data_file(tmp_path, 3))
    assert restore(tmp_path).step == 2
    assert kept(tmp_path, "best") == []
    save(tmp_path, 3, best=(3,))
    assert load(tmp_path, which="best")[0] == 3


@pytest.mark.trust("damage in all checkpoints", "with a message, nothing moved")
def test_where_all_are_damaged_the_run_ends_and_nothing_is_moved(tmp_path, warnings):
    save(tmp_path, 1, 2)
    for step in (1, 2):
        flipped(data_file(tmp_path, step))
    # The second attempt must not take an emptied directory for a new run.
    for _ in range(2):
        with pytest.raises(CheckpointError) as caught:
            restore(tmp_path)
        assert "none of the checkpoints of steps [1, 2]" in str(caught.value)
        assert "does not match its checksum" in str(caught.value)
    assert kept(tmp_path) == [1, 2]


# Whatever Orbax begins is ended: nothing is left for the garbage collector to find.
@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(("name", "shape"), [("new", (3,)), ("kernel", (4, 16)), ("half", (8, 17))])
def test_another_carry_is_no_reason_to_move_checkpoints(tmp_path, warnings, name, shape):
    save(tmp_path, 1, 2)
    other = carry()
    other["state"]["params"][name] = jnp.zeros(shape)
    with pytest.raises(
        CheckpointError, match=f"can be read; .*state/params/{name} is .* in this run"
    ):
        restore(tmp_path, other)
    gc.collect()
    assert kept(tmp_path) == [1, 2]
    assert restore(tmp_path).step == 2


def test_a_checkpoint_of_a_later_format_is_refused_and_stays(tmp_path, warnings, monkeypatch):
    later = checkpoints.FORMAT + 1
    save(tmp_path, 1)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "FORMAT", later)
        save(tmp_path, 2, best=(2,))
    message = f"2 has format {later}, and this version reads formats up to {later - 1}: use the"
    with pytest.raises(CheckpointError, match=message):
        restore(tmp_path)
    for which in ("latest", "best"):
        with pytest.raises(CheckpointError, match=message):
            load(tmp_path, which=which)
    assert kept(tmp_path) == [1, 2]
    assert warnings == []


def test_a_checkpoint_without_a_format_number_is_read(tmp_path):
    save(tmp_path, 1)
    path = tmp_path / "checkpoints/latest/1/progress/metadata"
    written = json.loads(path.read_text())
    assert written.pop("format") == checkpoints.FORMAT
    path.write_text(json.dumps(written))
    (tmp_path / "checkpoints/checksums/latest-1.json").unlink()
    assert restore(tmp_path).progress == written
    assert load(tmp_path)[0] == 1


def test_a_save_that_a_kill_left_unsigned_is_used(tmp_path):
    save(tmp_path, 1, 2)
    (tmp_path / "checkpoints/checksums/latest-2.json").unlink()
    assert restore(tmp_path).step == 2


def test_what_a_kill_right_after_a_save_left_undone_is_done(tmp_path):
    save(tmp_path, 1, 2, 3, 4, best=(2,))
    shutil.copytree(tmp_path / "checkpoints/best/2", tmp_path / "checkpoints/best/1")
    for name in ("latest-4", "best-2"):
        (tmp_path / f"checkpoints/checksums/{name}.json").unlink()
    opened = Checkpoints(tmp_path, keep=2)
    assert opened.restore(carry()).step == 4
    opened.close()
    assert kept(tmp_path) == [3, 4]
    assert kept(tmp_path, "best") == [2]
    signed = sorted(path.stem for path in (tmp_path / "checkpoints/checksums").iterdir())
    assert signed == ["best-2", "latest-3", "latest-4"]


def test_an_old_signature_does_not_condemn_a_new_save(tmp_path, warnings):
    save(tmp_path, 1, 2)
    flipped(data_file(tmp_path, 2))
    assert restore(tmp_path).step == 1
    opened = Checkpoints(tmp_path)
    opened.save(2, carry(7), {}, best=False)
    # Killed between the save and its signature.
    opened._latest.wait_until_finished()
    opened._unsigned = []
    assert restore(tmp_path).step == 2
    opened.close()


def test_half_a_save_is_forgotten(tmp_path):
    save(tmp_path, 1)
    latest = tmp_path / "checkpoints/latest"
    shutil.copytree(latest / "1", latest / "2.orbax-checkpoint-tmp")
    assert restore(tmp_path).step == 1
    save(tmp_path, 2)
    assert kept(tmp_path) == [1, 2]


def test_a_save_that_fails_at_once_leaves_the_earlier_ones(tmp_path, monkeypatch):
    opened = Checkpoints(tmp_path)
    opened.save(1, carry(1), {}, best=False)
    opened.wait()

    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(ocp.CheckpointManager, "save", full)
        with pytest.raises(CheckpointError) as caught:
            opened.save(2, carry(2), {}, best=False)
    said = str(caught.value)
    assert "checkpoint of step 2 could not be written" in said
    assert "No space left on device" in said
    assert "MiB free" in said
    assert str(tmp_path) in said
    opened.save(3, carry(3), {}, best=False)
    opened.close()
    assert restore(tmp_path).step == 3


@pytest.fixture
def small_disk():
    """Lets no file grow beyond 2 MiB, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (2 * 2**20, before[1]))

    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


# The error reaches TensorStore's own threads, too, which have nobody to raise it to.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_save_that_fails_while_it_is_written_leaves_the_earlier_ones(tmp_path, small_disk):
    opened = Checkpoints(tmp_path)
    opened.save(1, carry(1), {}, best=False)
    opened.wait()
    small_disk()
    # 8 MiB of noise, which no compression brings under the limit.
    opened.save(2, carry(2, size=2**17), {}, best=False)
    with pytest.raises(CheckpointError, match="checkpoint of step 2 could not be written"):
        opened.wait()
    assert kept(tmp_path) == [1]
    restored = restore(tmp_path)
    assert restored.step == 1
    assert trees.digest(restored.carry) == trees.digest(carry(1))


def test_an_error_without_words_is_explained_by_its_kind(tmp_path, monkeypatch):
    opened = Checkpoints(tmp_path)

    def fails(*arguments, **options):
        raise OSError

    monkeypatch.setattr(ocp.CheckpointManager, "save", fails)
    with pytest.raises(CheckpointError, match="OSError"):
        opened.save(1, carry(1), {}, best=False)
    opened.close()


@pytest.mark.parametrize("sizes", [{"data": 8}, {"fsdp": 8}])
def test_steps_after_a_save_do_not_reach_into_it(tmp_path, sizes):
    mesh = make_mesh(sizes)
    axes = PartitionSpec("fsdp") if "fsdp" in sizes else PartitionSpec()
    noise = np.random.default_rng(0).normal(size=(1024, 512)).astype(np.float32)
    held = {"params": jax.device_put(noise, NamedSharding(mesh, axes)), "step": jnp.int32(0)}
    like = jax.tree.map(jnp.copy, held)

    @functools.partial(jax.jit, donate_argnums=0)
    def step(held):
        return {"params": held["params"] * 2 + 1, "step": held["step"] + 1}

    opened = Checkpoints(tmp_path)
    opened.save(1, held, {}, best=False)
    for _ in range(20):
        held = step(held)
    jax.block_until_ready(held)
    opened.close()
    restored = restore(tmp_path, like)
    np.testing.assert_array_equal(restored.carry["params"], noise)
    assert restored.carry["step"] == 0


def test_signatures_cover_every_file(tmp_path):
    save(tmp_path, 1)
    root = tmp_path / "checkpoints"
    signed = json.loads((root / "checksums/latest-1.json").read_text())
    files = {str(p.relative_to(root / "latest/1")) for p in (root / "latest/1").rglob("*")}
    assert set(signed) == {name for name in files if os.path.isfile(root / "latest/1" / name)}
    assert all(len(digest) == 64 for digest in signed.values())
