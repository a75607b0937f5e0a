"""Reads the descriptions of tensors in a pickle of PyTorch; nothing that the pickle names is run.

A pickle may ask for a call of any function while it is read. Here nothing is called: a name is
never looked up and stays a pair of words. Pairs that describe tensors and dicts become plain
values. Everything else, such as the settings of a training, NumPy numbers, paths and enums, becomes
an `Unread`, which does nothing and contains nothing.
"""

import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, ClassVar, NamedTuple

import jax.numpy as jnp
import numpy as np

BFLOAT16 = np.dtype(jnp.bfloat16)
# The classes of PyTorch's storages by the type of their elements.
STORAGES = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": BFLOAT16,
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}
_TENSORS = ("_rebuild_tensor", "_rebuild_tensor_v2")
_PARAMETERS = ("_rebuild_parameter", "_rebuild_parameter_with_state")
_DICTS = (("collections", "OrderedDict"), ("collections", "defaultdict"))
# The types of keys of a dict. The hash of nested tuples could take too long.
_KEYS = (str, int, float, bytes, type(None))
# A small file that refers to the same dict many times could fill the memory with names.
_MOST_VALUES, _LONGEST_NAME = 1_000_000, 500


class Storage(NamedTuple):
    """A row of elements in the file: the class of its type, its key and its length."""

    kind: str
    key: str
    numel: int


class Tensor(NamedTuple):
    """A view of a storage, with offset and strides in elements; the file states it, unchecked."""

    storage: Storage
    offset: Any
    shape: tuple
    strides: tuple


class _Asked(NamedTuple):
    module: str
    name: str


class Unread:
    """A placeholder for an object that is not read; it accepts and forgets what a pickle adds."""

    def append(self, item: Any) -> None:
        """Forgets an item."""

    def extend(self, items: Sequence) -> None:
        """Forgets items."""


class Unpickler(pickle._Unpickler):
    """Reads one pickle; the module's docstring describes the result.

    It extends the standard library's unpickler in Python, which has one method for each operation.
    The methods here do not call, import or hash objects of the pickle. The memo is a dict, so a
    large index costs no memory.

    Attributes:
      storages: the storages that the pickle refers to, by key.
      unread: the names of objects that became an `Unread`, such as "argparse.Namespace", each once.
    """

    def __init__(self, file: BinaryIO):
        # Python 2 wrote text as bytes.
        super().__init__(file, encoding="utf-8", errors="replace")
        self.storages: dict[str, Storage] = {}
        self.unread: dict[str, None] = {}

    def find_class(self, module: str, name: str) -> _Asked:
        """Returns the pair of words without a lookup."""
        return _Asked(module, name)

    def get_extension(self, code: int) -> None:
        """Refuses an extension, which is a number in place of a name."""
        raise ValueError(f"it asks for the extension {code}, but only tensors are read")

    def persistent_load(self, pid: Any) -> Storage | Unread:
        """Returns the storage that a reference describes."""
        if not isinstance(pid, tuple) or len(pid) < 4 or not isinstance(pid[1], _Asked):
            raise ValueError("it refers to something that is not a storage")
        # The older format also refers to the classes of modules.
        if pid[0] == "module":
            return self._left(pid[1])
        tag, kind, key, _, numel, *view = pid
        if tag != "storage" or not isinstance(key, str):
            raise ValueError("it refers to something that is not a storage")
        if kind.module != "torch" or kind.name not in STORAGES:
            return self._left(kind)
        if type(numel) is not int or numel < 0:
            raise ValueError(f"storage {key} does not have a valid number of elements")
        if any(part is not None for part in view):
            raise ValueError(f"storage {key} is a view of another, a format of PyTorch 0.1")
        storage = Storage(kind.name, key, numel)
        if self.storages.setdefault(key, storage) != storage:
            raise ValueError(f"storage {key} has two types or lengths")
        return storage

    def _made(self, asked: Any, args: Any) -> Any:
        """Returns the plain value in place of the call `asked(*args)`."""
        if not isinstance(asked, _Asked) or not isinstance(args, tuple):
            return Unread()
        if asked in _DICTS:
            return self._pairs(args)
        if asked == ("torch", "Size") and len(args) == 1 and isinstance(args[0], (tuple, list)):
            return tuple(args[0])
        # A tensor with attributes: the function, its class, the arguments, the attributes.
        if asked == ("torch._tensor", "_rebuild_from_type_v2") and len(args) == 4:
            return self._made(args[0], args[2])
        if asked.module == "torch._utils" and asked.name in _PARAMETERS and args:
            return args[0]
        if asked.module == "torch._utils" and asked.name in _TENSORS and len(args) >= 4:
            storage, offset, shape, strides = args[:4]
            if isinstance(storage, Unread):
                return storage
            if isinstance(storage, Storage) and type(shape) is type(strides) is tuple:
                return Tensor(storage, offset, shape, strides)
            raise ValueError("it describes a tensor that has no storage, shape or strides")
        return self._left(asked)

    def _left(self, asked: _Asked) -> Unread:
        self.unread[f"{asked.module}.{asked.name}"] = None
        return Unread()

    def _pairs(self, args: tuple) -> dict:
        """Returns the dict of a constructor's arguments: none, a default, or a list of pairs."""
        made: dict = {}
        if args and isinstance(args[0], list):
            items = [x for pair in args[0] if len(pair) == 2 for x in pair]
            self._fill(made, items)
        return made

    def _fill(self, target: Any, items: list) -> None:
        """Puts alternating keys and values into a dict."""
        if isinstance(target, Unread):
            return
        if type(target) is not dict:
            raise ValueError("it puts items into an object that is not a dict")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[key if isinstance(key, _KEYS) else Unread()] = value

    def _load_called(self):
        args = self.stack.pop()
        self.append(self._made(self.stack.pop(), args))

    def _load_called_by_name(self):
        self.stack.pop()
        self._load_called()

    def _instantiate(self, asked: Any, args: list) -> None:
        self.append(self._made(asked, tuple(args)))

    def _load_state(self):
        # Attributes are dropped, also those of dicts and tensors.
        self.stack.pop()

    def _load_item(self):
        value = self.stack.pop()
        key = self.stack.pop()
        self._fill(self.stack[-1], [key, value])

    def _load_items(self):
        items = self.pop_mark()
        self._fill(self.stack[-1], items)

    def _load_dict(self):
        made: dict = {}
        self._fill(made, self.pop_mark())
        self.append(made)

    def _load_set(self):
        self.append(Unread())

    def _load_frozenset(self):
        self.pop_mark()
        self.append(Unread())

    # The base class looks operations up in this table, not by method names.
    dispatch: ClassVar = {
        **pickle._Unpickler.dispatch,
        pickle.REDUCE[0]: _load_called,
        pickle.NEWOBJ[0]: _load_called,
        pickle.NEWOBJ_EX[0]: _load_called_by_name,
        pickle.BUILD[0]: _load_state,
        pickle.SETITEM[0]: _load_item,
        pickle.SETITEMS[0]: _load_items,
        pickle.DICT[0]: _load_dict,
        pickle.EMPTY_SET[0]: _load_set,
        pickle.FROZENSET[0]: _load_frozenset,
        pickle.ADDITEMS[0]: pickle._Unpickler.pop_mark,
        # The stated length may be false, so no memory of that size is allocated in advance.
        pickle.BYTEARRAY8[0]: pickle._Unpickler.load_binbytes8,
    }


def tensors(unpickler: Unpickler, described: Any) -> dict[str, Tensor]:
    """Returns the tensors in nested dicts, by names with dots: "model.conv1.weight".

    Raises:
      ValueError: there are too many values, a name is too long or has two tensors, or there is no
        tensor but an object that may hold some.
    """
    found: dict[str, Tensor] = {}
    for name, tensor in _named(described, "", _counter()):
        if name in found:
            raise ValueError(f"it has two tensors of the name {name}")
        found[name] = tensor
    if not found and unpickler.unread:
        named = ", ".join([*unpickler.unread][:3])
        raise ValueError(
            f"it asks for {named}, but only tensors are read; save the model's state_dict"
        )
    return found


def _named(described: Any, prefix: str, count: Callable[[], None]) -> Iterator[tuple[str, Tensor]]:
    count()
    if len(prefix) > _LONGEST_NAME:
        raise ValueError(f"a name has more than {_LONGEST_NAME} characters")
    if isinstance(described, Tensor):
        yield prefix.removesuffix("."), described
    elif isinstance(described, Mapping):
        for name, value in described.items():
            if not isinstance(name, Unread):
                yield from _named(value, f"{prefix}{name}.", count)


def _counter() -> Callable[[], None]:
    left = iter(range(_MOST_VALUES))

    def count() -> None:
        if next(left, None) is None:
            raise ValueError(f"it holds more than {_MOST_VALUES:,} values")

    return count
