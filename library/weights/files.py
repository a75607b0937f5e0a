"""Reads files of published weights as numpy arrays; nothing in the files is run.

A `.safetensors` file is a JSON header and raw arrays, and a `.npz` file an archive of NumPy. All
other files are PyTorch's, with any of its suffixes. They contain a pickle;
`library.weights.unpickling` says which parts are read.
"""

import functools
import io
import json
import math
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from library import files
from library.config import ConfigError
from library.weights.unpickling import BFLOAT16, STORAGES, Tensor, Unpickler, tensors

# safetensors' names of the types of elements.
SAFETENSORS = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": BFLOAT16,
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
SUFFIXES = (".safetensors", ".npz", ".pth", ".pt", ".bin", ".ckpt", ".tar")
# Errors whose text alone does not say what is wrong with a file.
_INTERNAL = (LookupError, TypeError, AttributeError, RecursionError)
_LONGEST_REASON = 300
# The first pickle in files that PyTorch wrote before version 1.6.
_MAGIC = 0x1950A86A20F9469CFC6C
# The position and the value of the mark of a tar archive.
_TAR = (257, b"ustar")
# A compressed entry of an archive of NumPy may be so many times as long as its bytes.
_MOST_INFLATED = 100
# NumPy's arrays cannot have more.
_MOST_AXES, _MOST_ELEMENTS = 64, 2**62


def read(path: str | Path) -> dict[str, np.ndarray]:
    """Reads the tensors of a file, by their names.

    Nested dicts, such as a training checkpoint, give names with dots: "model.conv1.weight". Values
    other than tensors are left out. bfloat16 stays bfloat16. A directory in the layout of Hugging
    Face contains model.safetensors or pytorch_model.bin, or the parts that an index of either
    lists. The arrays may be read-only views.

    Raises:
      ConfigError: there is no such file, it is of another kind or broken, or contains no tensors.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        return _directory(path)
    if path.suffix not in SUFFIXES:
        raise ConfigError(f"weights {str(path)!r}: valid suffixes are {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise ConfigError(f"weights {str(path)!r}: there is no such file")
    try:
        found = _READERS.get(path.suffix, _torch)(path)
    # A broken pickle or archive may raise anything.
    except Exception as error:
        raise ConfigError(f"weights {str(path)!r} cannot be read: {_reason(error)}") from error
    if not found:
        raise ConfigError(f"weights {str(path)!r} contains no tensors")
    return found


def _reason(error: Exception) -> str:
    """Returns the message of an error as one printable line, whatever text it takes from a file."""
    said = f"{type(error).__name__}: {error}" if isinstance(error, _INTERNAL) else str(error)
    lines = said.splitlines() or [type(error).__name__]
    return "".join(c if c.isprintable() else "?" for c in lines[0][:_LONGEST_REASON])


def write(path: str | Path, arrays: Mapping[str, np.ndarray]) -> Path:
    """Writes arrays to a .safetensors file, which is complete or absent at every moment.

    Raises:
      ConfigError: the path has another suffix, or the format has no name for the type of an array.
    """
    path = Path(path).expanduser()
    if path.suffix != ".safetensors":
        raise ConfigError(f"weights {str(path)!r}: the suffix of a written file is .safetensors")
    names = {dtype: name for name, dtype in SAFETENSORS.items()}
    header, end = {}, 0
    for name, array in arrays.items():
        if array.dtype not in names:
            valid = ", ".join(map(str, names))
            raise ConfigError(f"weights {str(path)!r}: {name} is {array.dtype}; valid are {valid}")
        start, end = end, end + array.nbytes
        entry = {"dtype": names[array.dtype], "shape": array.shape, "data_offsets": (start, end)}
        header[name] = entry
    described = json.dumps(header).encode()
    # The format aligns the arrays to eight bytes.
    described += b" " * (-len(described) % 8)
    with files.replacing(path) as partial, partial.open("wb") as file:
        file.write(struct.pack("<Q", len(described)) + described)
        for array in arrays.values():
            file.write(np.ascontiguousarray(array).tobytes())
    return path


def _directory(path: Path) -> dict[str, np.ndarray]:
    whole = ("model.safetensors", "pytorch_model.bin")
    for name in whole:
        index = path / f"{name}.index.json"
        if index.is_file():
            return _parts(path, index)
        if (path / name).is_file():
            return read(path / name)
    raise ConfigError(
        f"weights {str(path)!r}: the directory has no {whole[0]} and no {whole[1]}, and no index "
        "of either"
    )


def _parts(path: Path, index: Path) -> dict[str, np.ndarray]:
    try:
        parts = sorted(set(json.loads(index.read_text())["weight_map"].values()))
        held = {part: read(path / part) for part in parts}
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ConfigError(f"weights {str(index)!r} cannot be read: {_reason(error)}") from error
    found: dict[str, np.ndarray] = {}
    for part, arrays in held.items():
        for name in found.keys() & arrays.keys():
            raise ConfigError(f"weights {str(path)!r}: {part} and another part contain {name}")
        found |= arrays
    return found


def _safetensors(path: Path) -> dict[str, np.ndarray]:
    """Reads a safetensors file: 8 bytes with the header's length, the JSON header, the arrays."""
    content = memoryview(path.read_bytes())
    if len(content) < 8:
        raise ValueError(f"{len(content)} bytes are too few; a file has 8 or more")
    (length,) = struct.unpack_from("<Q", content)
    if length > len(content) - 8:
        raise ValueError(f"its header has {length} bytes, but the file has {len(content) - 8}")
    header, data = _header(bytes(content[8 : 8 + length])), content[8 + length :]
    header.pop("__metadata__", None)
    return {name: _safetensor(name, entry, data) for name, entry in header.items()}


def _header(described: bytes) -> dict[str, Any]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError("its header contains a name twice")
        return found

    return json.loads(described, object_pairs_hook=once)


def _safetensor(name: str, entry: Mapping[str, Any], data: memoryview) -> np.ndarray:
    if entry["dtype"] not in SAFETENSORS:
        raise ValueError(f"{name} is of type {entry['dtype']}; valid are {', '.join(SAFETENSORS)}")
    dtype, shape = SAFETENSORS[entry["dtype"]], entry["shape"]
    start, end = entry["data_offsets"]
    if not 0 <= start <= end <= len(data):
        raise ValueError(f"{name} is at {start}:{end} of {len(data)} bytes")
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != end - start:
        raise ValueError(f"{name} of shape {shape} does not take {end - start} bytes")
    return np.frombuffer(data[start:end], dtype).reshape(shape).copy()


def _npz(path: Path) -> dict[str, np.ndarray]:
    """Reads an archive of NumPy, after a comparison of what its entries state with their bytes."""
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            _check_npy(archive, entry)
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _check_npy(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    if entry.file_size > _MOST_INFLATED * max(entry.compress_size, 1):
        raise ValueError(f"{entry.filename} would take {entry.file_size} bytes")
    with archive.open(entry) as file:
        version = np.lib.format.read_magic(file)
        headers = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }
        if version not in headers:
            raise ValueError(f"{entry.filename} has version {version} of NumPy's format")
        shape, _, dtype = headers[version](file)
        if math.prod(shape) * dtype.itemsize != entry.file_size - file.tell():
            raise ValueError(f"{entry.filename} of shape {shape} has {entry.file_size} bytes")


_READERS = {".safetensors": _safetensors, ".npz": _npz}


def _torch(path: Path) -> dict[str, np.ndarray]:
    with path.open("rb") as file:
        if zipfile.is_zipfile(file):
            return _torch_archive(file, path.stat().st_size)
        file.seek(_TAR[0])
        if file.read(len(_TAR[1])) == _TAR[1]:
            raise ValueError(
                "it is a tar archive of PyTorch 0.1; load it in PyTorch and save it again"
            )
        file.seek(0)
        return _torch_pickles(file)


def _torch_archive(file: BinaryIO, size: int) -> dict[str, np.ndarray]:
    """Reads a zip archive: `*/data.pkl` names the tensors, `*/data/<key>` are their storages."""
    with zipfile.ZipFile(file) as archive:
        stored = [x for x in archive.infolist() if x.compress_type == zipfile.ZIP_STORED]
        # Uncompressed entries that do not overlap cannot be longer than the file.
        if sum(x.file_size for x in stored) > size:
            raise ValueError("its entries together are longer than the file")

        def entry(name):
            if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"{name} is compressed, but PyTorch does not compress entries")
            return archive.read(name)

        tables = [name for name in archive.namelist() if name.rpartition("/")[2] == "data.pkl"]
        if len(tables) != 1:
            raise ValueError(f"it has {len(tables)} files data.pkl; PyTorch's files have one")
        root = tables[0].removesuffix("data.pkl")
        order = f"{root}byteorder"
        if order in archive.namelist() and entry(order) != b"little":
            raise ValueError(f"its byte order is {entry(order).decode()}; valid is little")
        unpickler = Unpickler(io.BytesIO(entry(tables[0])))
        described = tensors(unpickler, unpickler.load())
        content = functools.cache(lambda key: entry(f"{root}data/{key}"))
        return {name: _array(name, tensor, content) for name, tensor in described.items()}


def _torch_pickles(file: BinaryIO) -> dict[str, np.ndarray]:
    """Reads the format before PyTorch 1.6: five pickles, then the storages.

    The fourth pickle describes the tensors, as data.pkl does in an archive.
    """
    if file.peek(2)[:1] != b"\x80" or Unpickler(file).load() != _MAGIC:
        raise ValueError("it is not a file of PyTorch")
    Unpickler(file).load()
    if not Unpickler(file).load().get("little_endian", True):
        raise ValueError("its byte order is big; valid is little")
    unpickler = Unpickler(file)
    described = tensors(unpickler, unpickler.load())
    contents = {}
    for key in Unpickler(file).load():
        (numel,) = struct.unpack("<q", file.read(8))
        storage = unpickler.storages.get(key) if isinstance(key, str) else None
        # The size of an unknown type is unknown, so that later storages cannot be found.
        if storage is None:
            raise ValueError("it has a storage of an unknown type")
        if numel != storage.numel:
            raise ValueError(
                f"storage {key} has {numel} elements, but its tensors need {storage.numel}"
            )
        contents[key] = file.read(numel * STORAGES[storage.kind].itemsize)
    return {n: _array(n, tensor, contents.__getitem__) for n, tensor in described.items()}


def _array(name: str, tensor: Tensor, content: Callable[[str], bytes]) -> np.ndarray:
    """Returns a tensor as a view of its storage, so that elements are in memory only once."""
    storage, offset, shape, strides = tensor
    flat = np.frombuffer(content(storage.key), STORAGES[storage.kind])
    numbers = (offset, *shape, *strides)
    if any(type(x) not in (int, float) for x in numbers) or len(shape) > _MOST_AXES:
        raise ValueError(f"{name} has no shape, strides and offset of up to {_MOST_AXES} numbers")
    whole = all(type(x) is int and 0 <= x < _MOST_ELEMENTS for x in numbers)
    if not whole or len(shape) != len(strides):
        raise ValueError(f"{name} has shape {shape}, strides {strides}, offset {offset}")
    size = math.prod(shape)
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides)) if size else 0
    if size > flat.size or (size and last >= flat.size):
        raise ValueError(f"{name} of shape {shape} reaches beyond its {flat.size} elements")
    steps = [step * flat.itemsize for step in strides]
    start = flat[offset:] if size else flat
    return np.lib.stride_tricks.as_strided(start, shape, steps, writeable=False)
