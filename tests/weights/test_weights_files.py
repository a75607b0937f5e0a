import io
import json
import pickle
import struct
import tarfile
import zipfile
from collections import OrderedDict

import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.weights import files

MAGIC = 0x1950A86A20F9469CFC6C


class Call:
    """Pickles as a call of `module.name`, whether or not there is such a function here."""

    def __init__(self, module, name, *arguments):
        self.module, self.name, self.arguments = module, name, arguments


class Global(Call):
    """Pickles as the function itself."""


class Storage:
    """Pickles as a reference to a storage, as PyTorch writes them."""

    def __init__(self, kind, key, array):
        self.kind, self.key, self.array = kind, key, array


class Pickler(pickle._Pickler):
    """Writes what PyTorch writes, without PyTorch."""

    def __init__(self, file, *, old, protocol=2):
        super().__init__(file, protocol)
        self.old, self.storages = old, {}

    def persistent_id(self, obj):
        if not isinstance(obj, Storage):
            return None
        self.storages[obj.key] = obj
        reference = ("storage", Global("torch", obj.kind), obj.key, "cpu", obj.array.size)
        return (*reference, None) if self.old else reference

    def save(self, obj, save_persistent_id=True):
        if not isinstance(obj, Call):
            return super().save(obj, save_persistent_id)
        self.write(pickle.GLOBAL + f"{obj.module}\n{obj.name}\n".encode())
        if not isinstance(obj, Global):
            super().save(obj.arguments)
            self.write(pickle.REDUCE)
        return None


def dumped(obj, *, old=False, protocol=2):
    file = io.BytesIO()
    pickler = Pickler(file, old=old, protocol=protocol)
    pickler.dump(obj)
    return file.getvalue(), pickler.storages


def tensor(storage, offset, shape, strides):
    return Call(
        "torch._utils", "_rebuild_tensor_v2", storage, offset, shape, strides, False, OrderedDict()
    )


def write_archive(
    path, obj, *, order=b"little", compression=zipfile.ZIP_STORED, protocol=2, **changed
):
    table, storages = dumped(obj, protocol=protocol)
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", table)
        archive.writestr("archive/byteorder", order)
        for key, storage in storages.items():
            archive.writestr(f"archive/data/{key}", changed.get(key, storage.array.tobytes()))


def write_pickles(path, obj, *, magic=MAGIC, little=True, protocol=2):
    table, storages = dumped(obj, old=True, protocol=protocol)
    parts = [pickle.dumps(x, 2) for x in (magic, 1001, {"little_endian": little})]
    parts += [table, pickle.dumps(list(storages), 2)]
    for storage in storages.values():
        parts += [struct.pack("<q", storage.array.size), storage.array.tobytes()]
    path.write_bytes(b"".join(parts))


def write_safetensors(path, header, data):
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


WRITERS = {"archive": write_archive, "pickles": write_pickles}
KINDS = {
    "FloatStorage": np.float32,
    "DoubleStorage": np.float64,
    "HalfStorage": np.float16,
    "BFloat16Storage": jnp.bfloat16,
    "LongStorage": np.int64,
    "BoolStorage": np.bool_,
}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("kind", KINDS)
def test_types_and_strides(tmp_path, writer, kind):
    array = np.arange(24).astype(KINDS[kind])
    storage = Storage(kind, "0", array)
    state = OrderedDict(
        whole=tensor(storage, 0, (2, 3, 4), (12, 4, 1)),
        transposed=tensor(storage, 12, (4, 3), (1, 4)),
        repeated=tensor(storage, 5, (3, 2), (1, 0)),
        scalar=tensor(storage, 7, (), ()),
        empty=tensor(storage, 0, (0, 3), (3, 1)),
    )
    path = tmp_path / "x.pth"
    WRITERS[writer](path, state)
    found = files.read(path)
    assert list(found) == list(state)
    assert {x.dtype for x in found.values()} == {np.dtype(KINDS[kind])}
    np.testing.assert_array_equal(found["whole"], array.reshape(2, 3, 4))
    np.testing.assert_array_equal(found["transposed"], array[12:].reshape(3, 4).T)
    np.testing.assert_array_equal(found["repeated"], array[5:8, None].repeat(2, 1))
    np.testing.assert_array_equal(found["scalar"], array[7])
    assert found["empty"].shape == (0, 3)


@pytest.mark.parametrize("writer", WRITERS)
def test_dicts_within_dicts_and_what_is_no_tensor(tmp_path, writer):
    first, second = (Storage("FloatStorage", k, np.float32([i, 1])) for i, k in enumerate("ab"))
    parameter = Call("torch._utils", "_rebuild_parameter", tensor(first, 0, (2,), (1,)), True, None)
    state = {"model": {"fc.weight": parameter}, "ema": tensor(second, 0, (1,), (1,))}
    path = tmp_path / "x.pt"
    WRITERS[writer](path, {**state, "epoch": 3, "name": "x", "size": Call("torch", "Size", [1])})
    found = files.read(str(path))
    assert set(found) == {"model.fc.weight", "ema"}
    np.testing.assert_array_equal(found["model.fc.weight"], [0, 1])
    np.testing.assert_array_equal(found["ema"], [1])


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize(
    "asked",
    [
        Call("os", "system", "touch {path}"),
        Call("builtins", "eval", "open({path!r}, 'w')"),
        Call("builtins", "getattr", 1, "real"),
        Call("torch", "load", "x"),
        Call("torch.serialization", "FloatStorage", 1),
        Call("collections", "Counter", "x"),
        Call("numpy", "fromfile", "x"),
    ],
    ids=lambda asked: f"{asked.module}.{asked.name}",
)
def test_other_functions_are_refused_and_not_called(tmp_path, writer, asked):
    mark = tmp_path / "called"
    asked = Call(
        asked.module,
        asked.name,
        *(x.format(path=str(mark)) if isinstance(x, str) else x for x in asked.arguments),
    )
    path = tmp_path / "x.pth"
    WRITERS[writer](path, {"weight": asked})
    with pytest.raises(ConfigError, match=rf"asks for {asked.module}.{asked.name}, but only ten"):
        files.read(path)
    assert not mark.exists()


def test_a_pickle_alone_is_refused_before_it_is_read_on(tmp_path):
    mark, path = tmp_path / "called", tmp_path / "x.pth"
    path.write_bytes(dumped(Call("os", "system", f"touch {mark}"))[0])
    with pytest.raises(ConfigError, match=r"it is not a file of PyTorch"):
        files.read(path)
    assert not mark.exists()


def test_a_pickle_that_tampers_with_what_it_is_given_changes_nothing_else(tmp_path):
    rebuild = b"ctorch._utils\n_rebuild_tensor_v2\n"
    # Sets the defaults of the function, by which another reading would be misled.
    state = b"}" + b"".join([b"X\x0c\x00\x00\x00__defaults__", b"K\x01", b"\x85", b"s"])
    tampering = b"\x80\x02" + rebuild + b"N" + state + b"\x86b."
    with zipfile.ZipFile(tmp_path / "bad.pth", "w") as archive:
        archive.writestr("archive/data.pkl", tampering)
    with pytest.raises(ConfigError):
        files.read(tmp_path / "bad.pth")
    storage = Storage("FloatStorage", "0", np.float32([1, 2]))
    write_archive(tmp_path / "good.pth", {"w": tensor(storage, 0, (2,), (1,))})
    np.testing.assert_array_equal(files.read(tmp_path / "good.pth")["w"], [1, 2])


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize(
    ("offset", "shape", "strides", "message"),
    [
        (1, (2, 2), (2, 1), r"w of shape \(2, 2\) reaches beyond its 4 elements"),
        (0, (2, 2), (4, 1), "reaches beyond"),
        (0, (1000, 1000), (0, 0), "reaches beyond"),
        (-1, (2,), (1,), "offset -1"),
        (0, (2,), (-1,), r"strides \(-1,\)"),
        (0, (2, 2), (1,), r"strides \(1,\)"),
        (0.5, (2,), (1,), "offset 0.5"),
    ],
)
def test_tensors_that_reach_out_of_their_storage(tmp_path, writer, offset, shape, strides, message):
    storage = Storage("FloatStorage", "0", np.zeros(4, np.float32))
    path = tmp_path / "x.pth"
    WRITERS[writer](path, {"w": tensor(storage, offset, shape, strides)})
    with pytest.raises(ConfigError, match=message):
        files.read(path)


def one_tensor(kind="FloatStorage"):
    return {"w": tensor(Storage(kind, "0", np.zeros(4, np.float32)), 0, (4,), (1,))}


@pytest.mark.parametrize(
    ("state", "options", "message"),
    [
        (one_tensor(), {"order": b"big"}, "byte order is big"),
        (one_tensor(), {"compression": zipfile.ZIP_DEFLATED}, "is compressed"),
        (one_tensor(), {"0": b"\0" * 12}, "reaches beyond its 3 elements"),
        (one_tensor("QInt8Storage"), {}, "asks for torch.QInt8Storage"),
        ({"epoch": 1}, {}, "contains no tensors"),
    ],
)
def test_archives_that_are_not_read(tmp_path, state, options, message):
    path = tmp_path / "x.pth"
    write_archive(path, state, **options)
    with pytest.raises(ConfigError, match=rf"x.pth' .*{message}"):
        files.read(path)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"magic": 1}, "not a file of PyTorch"), ({"little": False}, "byte order is big")],
)
def test_older_files_that_are_not_read(tmp_path, options, message):
    path = tmp_path / "x.pth"
    write_pickles(path, one_tensor(), **options)
    with pytest.raises(ConfigError, match=message):
        files.read(path)


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("kept", [0, 1, 40, -60, -3])
def test_files_cut_short(tmp_path, writer, kept):
    path = tmp_path / "x.pth"
    WRITERS[writer](path, one_tensor())
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ConfigError, match=r"x.pth' cannot be read: .+"):
        files.read(path)


@pytest.mark.parametrize("name", ["x.npy", "x.h5", "x"])
def test_other_kinds_of_files(tmp_path, name):
    with pytest.raises(ConfigError, match=r"valid suffixes are .safetensors, .npz, .pth, .pt"):
        files.read(tmp_path / name)


@pytest.mark.parametrize("name", ["x.pt", "x.bin", "x.ckpt", "x.pth.tar", "x.tar"])
def test_every_suffix_of_pytorchs_files(tmp_path, name):
    write_archive(tmp_path / name, one_tensor())
    assert list(files.read(tmp_path / name)) == ["w"]


def test_archives_of_other_kinds_are_named(tmp_path):
    path = tmp_path / "x.pth.tar"
    with tarfile.open(path, "w") as archive:
        archive.add(__file__, "storages")
    with pytest.raises(ConfigError, match=r"it is a tar archive of PyTorch 0\.1"):
        files.read(path)


def test_no_such_file(tmp_path):
    with pytest.raises(ConfigError, match="there is no such file"):
        files.read(tmp_path / "x.pt")


def test_safetensors(tmp_path):
    arrays = {
        "a.weight": ("F32", np.arange(6, dtype=np.float32).reshape(2, 3)),
        "a.bias": ("BF16", np.asarray([0.5, -2], jnp.bfloat16)),
        "steps": ("I64", np.asarray(7)),
        "flags": ("BOOL", np.asarray([True, False, True])),
        "none": ("F16", np.zeros((0, 2), np.float16)),
    }
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, (kind, array) in arrays.items():
        places = [len(data), len(data) + array.nbytes]
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": places}
        data += array.tobytes()
    path = tmp_path / "x.safetensors"
    write_safetensors(path, header, data)
    found = files.read(path)
    assert set(found) == set(arrays)
    for name, (_, array) in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array, strict=True)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (dict(data_offsets=[0, 20]), "w is at 0:20 of 16 bytes"),
        (dict(data_offsets=[8, 4]), "w is at 8:4"),
        (dict(data_offsets=[-16, 0]), "w is at -16:0"),
        (dict(shape=[5]), r"w of shape \[5\] does not take 16 bytes"),
        (dict(shape=[-2, -2]), "does not take"),
        (dict(dtype="F8_E4M3"), "w is of type F8_E4M3; valid are F64, F32"),
    ],
)
def test_broken_entries_of_safetensors(tmp_path, entry, message):
    path = tmp_path / "x.safetensors"
    whole = dict(dtype="F32", shape=[4], data_offsets=[0, 16])
    write_safetensors(path, {"w": {**whole, **entry}}, b"\0" * 16)
    with pytest.raises(ConfigError, match=message):
        files.read(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "0 bytes are too few"),
        (struct.pack("<Q", 2**40) + b"{}", "its header has 1099511627776 bytes"),
        (struct.pack("<Q", 2) + b"{{", "cannot be read"),
        (struct.pack("<Q", 2) + b"{}", "contains no tensors"),
        (struct.pack("<Q", 2) + b"[]", "cannot be read"),
        (struct.pack("<Q", 15) + b'{"w":{},"w":{}}', "its header contains a name twice"),
    ],
)
def test_broken_safetensors(tmp_path, content, message):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        files.read(path)


def test_files_that_are_written_are_read_again(tmp_path):
    arrays = {
        "a.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
        "count": np.zeros((), np.int64),
        "half": np.ones((3,), np.float16),
        "transposed": np.arange(6.0).reshape(2, 3).T,
    }
    path = files.write(tmp_path / "x.safetensors", arrays)
    again = files.read(path)
    assert again.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(again[name], array)
        assert again[name].dtype == array.dtype
    assert [path.name for path in tmp_path.iterdir()] == ["x.safetensors"]
    with pytest.raises(ConfigError, match=r"written file is \.safetensors"):
        files.write(tmp_path / "x.pth", arrays)


def test_directories_as_hugging_face_has_them(tmp_path):
    with pytest.raises(ConfigError, match=r"no model\.safetensors and no pytorch_model\.bin"):
        files.read(tmp_path)
    for part, name in enumerate("ab"):
        files.write(tmp_path / f"part{part}.safetensors", {name: np.full(2, part)})
    names = {"a": "part0.safetensors", "b": "part1.safetensors"}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    assert {name: array[0] for name, array in files.read(tmp_path).items()} == {"a": 0, "b": 1}
    files.write(tmp_path / "part1.safetensors", {"a": np.zeros(2), "b": np.ones(2)})
    with pytest.raises(ConfigError, match=r"part1\.safetensors and another part contain a"):
        files.read(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text("{")
    with pytest.raises(ConfigError, match=r"index\.json' cannot be read"):
        files.read(tmp_path)
    (tmp_path / "model.safetensors.index.json").unlink()
    write_archive(tmp_path / "part0.bin", one_tensor())
    index = json.dumps({"weight_map": {"w": "part0.bin"}})
    (tmp_path / "pytorch_model.bin.index.json").write_text(index)
    assert list(files.read(tmp_path)) == ["w"]
    files.write(tmp_path / "model.safetensors", {"c": np.zeros(1)})
    assert list(files.read(tmp_path)) == ["c"]


def test_archives_of_numpy(tmp_path):
    arrays = {"a.weight": np.arange(6, dtype=np.float16).reshape(2, 3), "b": np.float32(3)}
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    found = files.read(tmp_path / "a.npz")
    assert {name: (x.dtype, x.tolist()) for name, x in found.items()} == {
        name: (np.asarray(x).dtype, np.asarray(x).tolist()) for name, x in arrays.items()
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.lib.format.magic(1, 0) + b"\x05\x00abcd\n", "cannot be read"),
        (b"nothing", "cannot be read"),
        (None, "of shape"),
    ],
)
def test_broken_archives_of_numpy(tmp_path, content, message):
    if content is None:
        whole = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            whole, {"descr": "<f4", "fortran_order": False, "shape": (10**12,)}
        )
        content = whole.getvalue() + b"few"
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", content)
    with pytest.raises(ConfigError, match=message):
        files.read(tmp_path / "a.npz")


def test_an_archive_of_numpy_that_would_take_much_memory_or_runs_code(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        whole = io.BytesIO()
        np.save(whole, np.zeros(10**6))
        archive.writestr("a.npy", whole.getvalue())
    with pytest.raises(ConfigError, match="would take 8000128 bytes"):
        files.read(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", a=np.array([{}], dtype=object))
    with pytest.raises(ConfigError, match="cannot be read"):
        files.read(tmp_path / "b.npz")
