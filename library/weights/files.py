"""Files of published weights, read as numpy arrays; nothing that they hold is run.

A `.safetensors` file is a JSON header and raw arrays. A `.pth` or `.pt` file holds a pickle, which
may ask for any function to be called while it is read. Here it gets the few that describe tensors,
and none of them is PyTorch's own: everything else is refused.
"""

import functools
import io
import json
import math
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import jax.numpy as jnp
import numpy as np

from library import files
from library.config import ConfigError

_BFLOAT16 = np.dtype(jnp.bfloat16)

# The classes of PyTorch's storages, and of safetensors' headers, by the type of their elements.
STORAGES = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": _BFLOAT16,
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}
SAFETENSORS = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": _BFLOAT16,
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
# The first of the pickles that make up a file as PyTorch wrote it before version 1.6.
_MAGIC = 0x1950A86A20F9469CFC6C


class _Storage(NamedTuple):
    kind: str
    key: str
    numel: int


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read(path: str | Path) -> dict[str, np.ndarray]:
    """Reads the tensors of a file, by their names.

    Dicts within dicts, as in a training checkpoint, give names with dots: "model.conv1.weight".
    What is no tensor is left out. bfloat16 stays bfloat16. A directory, as Hugging Face has them,
    holds model.safetensors, its parts that model.safetensors.index.json lists, or
    pytorch_model.bin.

    Raises:
      ConfigError: there is no such file, it is of another kind, broken, or asks for more than
        tensors.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        return _directory(path)
    readers = {".safetensors": _safetensors, ".pth": _torch, ".pt": _torch, ".bin": _torch}
    if path.suffix not in readers:
        raise ConfigError(f"weights {str(path)!r}: files read are {', '.join(readers)}")
    if not path.is_file():
        raise ConfigError(f"weights {str(path)!r}: there is no such file")
    try:
        found = readers[path.suffix](path)
    # A broken pickle or archive may raise anything.
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise ConfigError(f"weights {str(path)!r} cannot be read: {reason}") from error
    if not found:
        raise ConfigError(f"weights {str(path)!r} holds no tensors")
    return found


def write(path: str | Path, arrays: Mapping[str, np.ndarray]) -> Path:
    """Writes arrays to a .safetensors file; at every moment it is whole, or not there.

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
    index = path / "model.safetensors.index.json"
    if index.is_file():
        parts = sorted(set(json.loads(index.read_text())["weight_map"].values()))
        return {name: array for part in parts for name, array in read(path / part).items()}
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (path / name).is_file():
            return read(path / name)
    raise ConfigError(
        f"weights {str(path)!r}: the directory has no model.safetensors and no pytorch_model.bin"
    )


def _safetensors(path: Path) -> dict[str, np.ndarray]:
    """Reads 8 bytes, the header's length; the header, JSON; the arrays, little-endian."""
    content = memoryview(path.read_bytes())
    if len(content) < 8:
        raise ValueError(f"{len(content)} bytes are too few")
    (length,) = struct.unpack_from("<Q", content)
    if length > len(content) - 8:
        raise ValueError(f"its header says {length} bytes, the file has {len(content) - 8}")
    header, data = json.loads(bytes(content[8 : 8 + length])), content[8 + length :]
    header.pop("__metadata__", None)
    return {name: _safetensor(name, entry, data) for name, entry in header.items()}


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
            return _torch_archive(file)
        file.seek(0)
        return _torch_pickles(file)


def _torch_archive(file: BinaryIO) -> dict[str, np.ndarray]:
    """Reads an archive: `*/data.pkl` names the tensors, `*/data/<key>` are their storages."""
    with zipfile.ZipFile(file) as archive:

        def entry(name):
            # Stored as they are, entries cannot grow beyond the file.
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
        described = _Unpickler(io.BytesIO(entry(tables[0]))).load()
        content = functools.cache(lambda key: entry(f"{root}data/{key}"))
        return {name: _array(name, tensor, content) for name, tensor in _tensors(described)}


def _torch_pickles(file: BinaryIO) -> dict[str, np.ndarray]:
    """Reads the older format: five pickles, the fourth as above, then the storages."""
    if file.peek(2)[:1] != b"\x80" or _Unpickler(file).load() != _MAGIC:
        raise ValueError("it is no file of PyTorch's")
    _Unpickler(file).load()
    if not _Unpickler(file).load().get("little_endian", True):
        raise ValueError("its byte order is big, read is little")
    unpickler = _Unpickler(file)
    described = unpickler.load()
    contents = {}
    for key in _Unpickler(file).load():
        (numel,) = struct.unpack("<q", file.read(8))
        storage = unpickler.storages[key]
        if numel != storage.numel:
            raise ValueError(f"storage {key} has {numel} elements, its tensors {storage.numel}")
        contents[key] = file.read(numel * STORAGES[storage.kind].itemsize)
    return {n: _array(n, tensor, contents.__getitem__) for n, tensor in _tensors(described)}


class _Unpickler(pickle.Unpickler):
    """Describes the tensors of a pickle.

    What it hands out are strings, tuples and functions of its own, so a pickle that tampers with
    them changes nothing beyond its own reading.
    """

    def __init__(self, file: BinaryIO):
        super().__init__(file)
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch", "Size"):
            return lambda sizes: tuple(sizes)
        if module == "torch" and name in STORAGES:
            return name
        if (module, name) in (
            ("torch._utils", "_rebuild_tensor"),
            ("torch._utils", "_rebuild_tensor_v2"),
        ):
            return lambda storage, offset, shape, strides, *_: _Tensor(
                storage, offset, tuple(shape), tuple(strides)
            )
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda tensor, *_: tensor
        raise ValueError(
            f"it asks for {module}.{name}, and only tensors are read; save the model's state_dict"
        )

    def persistent_load(self, pid: Any) -> _Storage:
        tag, kind, key, _, numel, *view = pid
        if tag != "storage" or kind not in STORAGES or not isinstance(key, str):
            raise ValueError(f"it refers to {pid!r}, which is no storage")
        if any(part is not None for part in view):
            raise ValueError(f"storage {key} is a view of another, as PyTorch 0.1 wrote them")
        return self.storages.setdefault(key, _Storage(kind, key, numel))


def _tensors(described: Any, prefix: str = "") -> Iterator[tuple[str, _Tensor]]:
    if isinstance(described, _Tensor):
        yield prefix.removesuffix("."), described
    elif isinstance(described, Mapping):
        for name, value in described.items():
            yield from _tensors(value, f"{prefix}{name}.")


def _array(name: str, tensor: _Tensor, content: Callable[[str], bytes]) -> np.ndarray:
    """Copies a tensor, which may be a view of any strides, out of its storage."""
    storage, offset, shape, strides = tensor
    flat = np.frombuffer(content(storage.key), STORAGES[storage.kind])
    whole = [x for x in (offset, *shape, *strides) if isinstance(x, int) and x >= 0]
    if len(whole) != 1 + len(shape) + len(strides) or len(shape) != len(strides):
        raise ValueError(f"{name} has shape {shape}, strides {strides}, offset {offset}")
    size = math.prod(shape)
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides)) if size else 0
    if size > flat.size or (size and last >= flat.size):
        raise ValueError(f"{name} of shape {shape} reaches beyond its {flat.size} elements")
    steps = [step * flat.itemsize for step in strides]
    start = flat[offset:] if size else flat
    return np.lib.stride_tricks.as_strided(start, shape, steps).copy()
