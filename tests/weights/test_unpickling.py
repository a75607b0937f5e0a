"""Checkpoints of trainings, and of those who mean harm: tensors are read, and nothing is run."""

import argparse
import collections
import datetime
import enum
import functools
import os
import pathlib
import pickle
import struct
import sys
import tracemalloc
import zipfile

import numpy as np
import pytest

from library.config import ConfigError
from library.weights import files, unpickling
from tests.weights.test_weights_files import (
    WRITERS,
    Call,
    Global,
    Storage,
    dumped,
    tensor,
    write_archive,
)

WEIGHT = np.float32([1, 2, 3, 4])


class Colour(enum.Enum):
    RED = 1


class Settings(dict):
    """A dict with attributes, as libraries for configs have them."""


def weight(array=WEIGHT, key="0"):
    return tensor(Storage("FloatStorage", key, array), 0, (2, 2), (2, 1))


def settings():
    """Everything that the settings and records of trainings hold."""
    inner = Settings(depth=np.int64(3), names=np.array(["a"]))
    inner.note = "x"
    return argparse.Namespace(
        lr=np.float64(0.1),
        best=np.float32(0.5),
        output=pathlib.PurePosixPath("/runs/x"),
        when=datetime.datetime(2020, 1, 1),
        limit=datetime.timedelta(1),
        seen={1, 2},
        frozen=frozenset([(3, 4)]),
        colour=Colour.RED,
        losses=collections.defaultdict(list, {"loss": [np.float64(1)]}),
        count=collections.Counter("aab"),
        queue=collections.deque([1, 2], 3),
        part=functools.partial(int, base=3),
        by_pair={(0, 1): "x", (0, (1, 2)): "y"},
        number=1j,
        span=range(3),
        data=bytearray(b"abc"),
        raw=b"\xff\x00",
        inner=inner,
        device=Call("torch", "device", "cuda", 0),
        dtype=Global("torch", "float16"),
        size=Call("torch", "Size", (1, 2)),
        network=Call("models", "Net", 3),
    )


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_trainings_checkpoint_gives_its_tensors(tmp_path, writer, protocol):
    attributes = Call(
        "torch._tensor",
        "_rebuild_from_type_v2",
        Global("torch._utils", "_rebuild_tensor_v2"),
        Global("torch.nn", "Parameter"),
        weight(2 * WEIGHT, "1").arguments,
        {"note": 1},
    )
    decayed = Call("torch._utils", "_rebuild_parameter_with_state", weight(), True, None, {"n": 1})
    state = {
        "model": collections.OrderedDict(w=weight(), tied=weight(), decayed=decayed),
        "model_ema": collections.defaultdict(None, {"w": attributes}),
        "optimizer": {"state": {0: {"step": 3, "exp_avg": weight(3 * WEIGHT, "2")}}},
        "args": settings(),
        "epoch": 3,
        "best": np.float64(0.5),
    }
    path = tmp_path / "x.pth"
    WRITERS[writer](path, state, protocol=protocol)
    found = files.read(path)
    square = WEIGHT.reshape(2, 2)
    expected = {
        "model.w": square,
        "model.tied": square,
        "model.decayed": square,
        "model_ema.w": 2 * square,
        "optimizer.state.0.exp_avg": 3 * square,
    }
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, strict=True)


def text(word):
    return b"X" + struct.pack("<I", len(word)) + word.encode()


# Each asks for a function to be called with the command, by one of the ways that a pickle has.
WAYS = {
    "a call": lambda command: b"cos\nsystem\n" + text(command) + b"\x85R",
    "a call by name of the stack": lambda command: (
        text("os") + text("system") + b"\x93" + text(command) + b"\x85R"
    ),
    "a new object": lambda command: b"cos\nsystem\n" + text(command) + b"\x85\x81",
    "a new object by keyword": lambda command: b"cos\nsystem\n" + text(command) + b"\x85}\x92",
    "an object": lambda command: b"(cos\nsystem\n" + text(command) + b"o",
    "an instance": lambda command: b"(" + text(command) + b"ios\nsystem\n",
    "a state": lambda command: (
        b"ccollections\nOrderedDict\n)R}"
        + (text("__setstate__") + b"cos\nsystem\ns")
        + (b"b" + text(command) + b"b")
    ),
    "a reduction of a reduction": lambda command: (
        (b"cbuiltins\ngetattr\n" + b"cbuiltins\n__import__\n" + text("os") + b"\x85R")
        + (text("system") + b"\x86R" + text(command) + b"\x85R")
    ),
    "a persistent id": lambda command: (
        (b"(" + text("module") + b"cos\nsystem\n" + text("x") + text("y") + b"tQ")
        + (text(command) + b"\x85R")
    ),
    "a default of a dict": lambda command: (
        b"ccollections\ndefaultdict\ncos\nsystem\n\x85R" + text("x") + text(command) + b"s"
    ),
    "an item of a set": lambda command: b"\x8f(cos\nsystem\n" + text(command) + b"\x85R\x90",
    "a list of results": lambda command: (
        b"](cos\nsystem\n" + text(command) + b"\x85Rcthis\nx\n" + b"e"
    ),
}


def table(made, whole=None):
    """A pickle of {"model": tensors, "args": what the operations make}."""
    start, storages = dumped({"model": {"w": weight()}} if whole is None else whole)
    # Before the end, an item more.
    return start[:-1] + text("args") + made + b"s.", storages


def write(path, pickled, storages):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        for key, storage in storages.items():
            archive.writestr(f"archive/data/{key}", storage.array.tobytes())
    return path


@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_called_or_imported(tmp_path, way, monkeypatch):
    mark, called = tmp_path / "called", []
    monkeypatch.setattr(os, "system", called.append)
    made = WAYS[way](f"touch {mark}")
    found = files.read(write(tmp_path / "x.pth", *table(made)))
    np.testing.assert_array_equal(found["model.w"], WEIGHT.reshape(2, 2))
    # As the whole of a file it holds nothing to read.
    write(tmp_path / "y.pth", b"\x80\x04" + made + b".", {})
    with pytest.raises(ConfigError) as refused:
        files.read(tmp_path / "y.pth")
    assert len(str(refused.value).splitlines()) == 1
    assert called == []
    assert not mark.exists()
    assert "this" not in sys.modules


def doubled(start, times):
    """Puts twice what lies on the stack into a tuple, again and again."""
    return start + b"2\x86" * times


READ = {
    "a place of the memo far out": b"Nr\xff\xff\x3f\x00",
    "tuples of tuples as a key": b"}" + doubled(b"N", 80) + b"Ns",
    "tuples of tuples as items of a set": b"\x8f(" + doubled(b"N", 80) + b"\x90",
    "tuples of tuples as a dict": b"(" + doubled(b"N", 80) + b"Nd",
    "a frozen set of them": b"(" + doubled(b"N", 80) + b"\x91",
}


@pytest.mark.parametrize("what", READ)
def test_small_files_that_would_take_all_time_or_memory_do_not(tmp_path, what):
    path = write(tmp_path / "x.pth", *table(READ[what]))
    tracemalloc.start()
    try:
        assert list(files.read(path)) == ["model.w"]
        assert tracemalloc.get_traced_memory()[1] < 3e6
    finally:
        tracemalloc.stop()


REFUSED = {
    "bytes of a length that is only said": b"\x8e" + struct.pack("<Q", 2**50),
    "an array of bytes of such a length": b"\x96" + struct.pack("<Q", 2**50) + b"0N",
    "a frame of such a length": b"\x95" + struct.pack("<Q", 2**50),
    "an extension": b"\x82\x07",
    "an unknown operation": b"\xff",
    "what is not on the stack": b"00000000",
    "items of a number": b"K\x01NNs",
    "a tensor of nothing": b"ctorch._utils\n_rebuild_tensor_v2\n(NNNNtR",
    "a persistent id of one word": b"Px\n",
    "a storage of no size": (
        b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("9") + text("cpu") + b"J"
        + struct.pack("<i", -1) + b"tQ"
    ),
    "a storage of two types": (
        b"(" + text("storage") + b"ctorch\nLongStorage\n" + text("0") + text("cpu") + b"K\x04tQ"
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_broken_or_meant_to_be_is_said_in_one_line(tmp_path, what):
    path = write(tmp_path / "x.pth", *table(REFUSED[what]))
    with pytest.raises(ConfigError, match=r"x\.pth' cannot be read: ...") as refused:
        files.read(path)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("part", ["offset", "shape", "strides"])
def test_tuples_of_tuples_are_no_shape(tmp_path, part):
    tuples = functools.reduce(lambda x, _: (x, x), range(80), ())
    parts = {"offset": 0, "shape": (2, 2), "strides": (2, 1), part: tuples}
    storage = Storage("FloatStorage", "0", WEIGHT)
    write_archive(tmp_path / "x.pth", {"w": tensor(storage, *parts.values())})
    with pytest.raises(ConfigError, match=r"w has no shape, strides and offset of up to 64 num"):
        files.read(tmp_path / "x.pth")


def test_a_dict_that_is_named_over_and_over(tmp_path, monkeypatch):
    monkeypatch.setattr(unpickling, "_MOST_VALUES", 1000)
    nested = functools.reduce(lambda x, _: {"a": x, "b": x}, range(40), {"w": weight()})
    write_archive(tmp_path / "x.pth", nested)
    with pytest.raises(ConfigError, match="it holds more than 1,000 values"):
        files.read(tmp_path / "x.pth")
    nested = functools.reduce(lambda x, _: {"a" * 99: x}, range(6), {"w": weight()})
    write_archive(tmp_path / "x.pth", nested)
    with pytest.raises(ConfigError, match="a name has more than 500 characters"):
        files.read(tmp_path / "x.pth")


def test_a_name_of_two_tensors(tmp_path):
    state = {"model.w": weight(), "model": {"w": weight(2 * WEIGHT, "1")}}
    write_archive(tmp_path / "x.pth", state)
    with pytest.raises(ConfigError, match=r"it has two tensors of the name model\.w"):
        files.read(tmp_path / "x.pth")


def test_a_dict_within_itself(tmp_path):
    # What the first memo holds is the outer dict.
    path = write(tmp_path / "x.pth", b"\x80\x02}q\x00" + text("a") + b"h\x00s.", {})
    with pytest.raises(ConfigError, match="a name has more than 500 characters"):
        files.read(path)


def test_a_tensor_that_is_named_often_takes_its_memory_once(tmp_path):
    array = np.zeros(1_000_000, np.float32)
    storage = Storage("FloatStorage", "0", array)
    views = {str(i): tensor(storage, i, (999_000,), (1,)) for i in range(50)}
    write_archive(tmp_path / "x.pth", views)
    tracemalloc.start()
    try:
        assert len(files.read(tmp_path / "x.pth")) == 50
        assert tracemalloc.get_traced_memory()[1] < 3 * array.nbytes
    finally:
        tracemalloc.stop()


def test_entries_that_overlap(tmp_path):
    path = tmp_path / "x.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}, 2))
        archive.writestr("archive/data/0", b"\0" * 10_000)
        archive.filelist += 50 * archive.filelist[-1:]
    with pytest.raises(ConfigError, match="its entries together are longer than the file"):
        files.read(path)


def test_words_of_a_file_do_not_reach_the_terminal_as_they_are(tmp_path):
    asked = b"\x80\x02cbuiltins\nexec\x1b[2J" + b"x" * 9999 + b"\n)R."
    with pytest.raises(ConfigError) as refused:
        files.read(write(tmp_path / "x.pth", asked, {}))
    assert "asks for builtins.exec?[2Jxxx" in str(refused.value)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 1000
