"""Reads files of published weights as numpy arrays; nothing in the files is run.

A `.safetensors` file is a JSON header and raw arrays. All other files are PyTorch's, with any of
its suffixes. They hold a pickle; `library.weights.unpickling` states what is read of it.
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
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".tar")
# Errors whose text alone does not say what is wrong with a file.
_INTERNAL = (LookupError, TypeError, AttributeError, RecursionError)
_LONGEST_REASON = 300
# The first of the pickles that make up a file as PyTorch wrote it before version 1.6.
_MAGIC = 0x1950A86A20F9469CFC6C
# Where a tar archive says that it is one.
_TAR = (257, b"ustar")
# NumPy's arrays have no more.
_MOST_AXES, _MOST_ELEMENTS = 64, 2**62


def read(path: str | Path) -> dict[str, np.ndarray]:
    """Reads the tensors of a file, by their names.

    Dicts within dicts, as in a training's checkpoint, give names with dots: "model.conv1.weight".
    Other values than tensors are left out. bfloat16 stays bfloat16. A directory in the form of
    Hugging Face holds model.safetensors or pytorch_model.bin, or the parts that an index of either
    lists. Arrays may be views that cannot be written to.

    Raises:
      ConfigError: there is no such file, it is of another kind or broken, or holds no tensors.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        return _directory(path)
    if path.suffix not in SUFFIXES:
        raise ConfigError(f"weights {str(path)!r}: files read are {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise ConfigError(f"weights {str(path)!r}: there is no such file")
    try:
        found = _safetensors(path) if path.suffix == ".safetensors" else _torch(path)
    # A broken pickle or archive may raise anything.
    except Exception as error:
        raise ConfigError(f"weights {str(path)!r} cannot be read: {_reason(error)}") from error
    if not found:
        raise ConfigError(f"weights {str(path)!r} holds no tensors")
    return found


def _reason(error: Exception) -> str:
    """Returns the message of an error in one line, whatever the file has put into it."""
    said = f"{type(error).__name__}: {error}" if isinstance(error, _INTERNAL) else str(error)
    lines = said.splitlines() or [type(error).__name__]
    return "".join(c if c.isprintable() else "?" for c in lines[0][:_LONGEST_REASON])


def write(path: str | Path, arrays: Mapping[str, np.ndarray]) -> Path:
    """Writes arrays to a .safetensors file, which is whole or absent at every moment.

    Raises:
      ConfigError: the path has another suffix.
    """
    path = Path(path).expanduser()
    if path.suffix != ".safetensors":
        raise ConfigError(f"weights {str(path)!r}: files written are .safetensors")
    names = {dtype: name for name, dtype in SAFETENSORS.items()}
    header, end = {}, 0
    for name, array in arrays.items():
        start, end = end, end + array.nbytes
        entry = {"dtype": names[array.dtype], "shape": array.shape, "data_offsets": (start, end)}
        header[name] = entry
    described = json.dumps(header).encode()
    # The arrays begin at a multiple of eight bytes.
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
            raise ConfigError(f"weights {str(path)!r}: {part} holds {name} as another part does")
        found |= arrays
    return found


def _safetensors(path: Path) -> dict[str, np.ndarray]:
    """Reads 8 bytes, the header's length; the header, JSON; the arrays, little-endian."""
    content = memoryview(path.read_bytes())
    if len(content) < 8:
        raise ValueError(f"{len(content)} bytes are too few")
    (length,) = struct.unpack_from("<Q", content)
    if length > len(content) - 8:
        raise ValueError(f"its header says {length} bytes, the file has {len(content) - 8}")
    header, data = _header(bytes(content[8 : 8 + length])), content[8 + length :]
    header.pop("__metadata__", None)
    return {name: _safetensor(name, entry, data) for name, entry in header.items()}


def _header(described: bytes) -> dict[str, Any]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError("its header has a name twice")
        return found

    return json.loads(described, object_pairs_hook=once)


def _safetensor(name: str, entry: Mapping[str, Any], data: memoryview) -> np.ndarray:
    if entry["dtype"] not in SAFETENSORS:
        raise ValueError(f"{name} is of type {entry['dtype']}; read are {', '.join(SAFETENSORS)}")
    dtype, shape = SAFETENSORS[entry["dtype"]], entry["shape"]
    start, end = entry["data_offsets"]
    if not 0 <= start <= end <= len(data):
        raise ValueError(f"{name} lies at {start}:{end} of {len(data)} bytes")
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != end - start:
        raise ValueError(f"{name} of shape {shape} does not take {end - start} bytes")
    return np.frombuffer(data[start:end], dtype).reshape(shape).copy()


def _torch(path: Path) -> dict[str, np.ndarray]:
    with path.open("rb") as file:
        if zipfile.is_zipfile(file):
            return _torch_archive(file, path.stat().st_size)
        file.seek(_TAR[0])
        if file.read(len(_TAR[1])) == _TAR[1]:
            raise ValueError(
                "it is a tar archive, as PyTorch 0.1 wrote them; unpack it, or save it again"
            )
        file.seek(0)
        return _torch_pickles(file)


def _torch_archive(file: BinaryIO, size: int) -> dict[str, np.ndarray]:
    """Reads an archive: `*/data.pkl` names the tensors, `*/data/<key>` are their storages."""
    with zipfile.ZipFile(file) as archive:
        stored = [x for x in archive.infolist() if x.compress_type == zipfile.ZIP_STORED]
        # Stored as they are, entries that do not overlap cannot grow beyond the file.
        if sum(x.file_size for x in stored) > size:
            raise ValueError("its entries are longer than the file, together")

        def entry(name):
            if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"{name} is compressed, which PyTorch does not do")
            return archive.read(name)

        tables = [name for name in archive.namelist() if name.rpartition("/")[2] == "data.pkl"]
        if len(tables) != 1:
            raise ValueError(f"it has {len(tables)} files data.pkl where PyTorch's have one")
        root = tables[0].removesuffix("data.pkl")
        order = f"{root}byteorder"
        if order in archive.namelist() and entry(order) != b"little":
            raise ValueError(f"its byte order is {entry(order).decode()}, read is little")
        unpickler = Unpickler(io.BytesIO(entry(tables[0])))
        described = tensors(unpickler, unpickler.load())
        content = functools.cache(lambda key: entry(f"{root}data/{key}"))
        return {name: _array(name, tensor, content) for name, tensor in described.items()}


def _torch_pickles(file: BinaryIO) -> dict[str, np.ndarray]:
    """Reads the older format: five pickles, the fourth as above, then the storages."""
    if file.peek(2)[:1] != b"\x80" or Unpickler(file).load() != _MAGIC:
        raise ValueError("it is no file of PyTorch's")
    Unpickler(file).load()
    if not Unpickler(file).load().get("little_endian", True):
        raise ValueError("its byte order is big, read is little")
    unpickler = Unpickler(file)
    described = tensors(unpickler, unpickler.load())
    contents = {}
    for key in Unpickler(file).load():
        (numel,) = struct.unpack("<q", file.read(8))
        storage = unpickler.storages.get(key) if isinstance(key, str) else None
        # One of a type that is not read has no known end, and what follows no beginning.
        if storage is None:
            raise ValueError("it has a storage of a type that is not read")
        if numel != storage.numel:
            raise ValueError(f"storage {key} has {numel} elements, its tensors {storage.numel}")
        contents[key] = file.read(numel * STORAGES[storage.kind].itemsize)
    return {n: _array(n, tensor, contents.__getitem__) for n, tensor in described.items()}


def _array(name: str, tensor: Tensor, content: Callable[[str], bytes]) -> np.ndarray:
    """Returns a tensor as a view of its storage, so that no element is in memory twice."""
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
