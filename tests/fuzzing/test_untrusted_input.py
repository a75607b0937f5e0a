"""Files and command lines at random: what cannot be read is refused, and nothing else happens.

Each kind is tried for FUZZING_SECONDS, 20 by default.
"""

import io
import os
import time

import numpy as np
import PIL.Image
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from experiments import command_line
from library import config
from library.config import ConfigError
from library.data import preprocessing
from library.data.preprocessing import CorruptExample
from library.run.recipe import make_plan
from library.run.sections import Recipe
from library.weights import files
from tests import tiny
from tests.weights import test_weights_files as torch_files

pytestmark = pytest.mark.full
SECONDS = float(os.environ.get("FUZZING_SECONDS", "20"))
OPTIONS = dict(
    max_examples=2000,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


class Limit:
    """Tells whether the time of a kind is over; hypothesis itself counts examples."""

    def __init__(self):
        self.end = time.monotonic() + SECONDS

    def over(self):
        return time.monotonic() > self.end


@st.composite
def damaged(draw, originals):
    """One of the originals with bytes changed, cut out or put in."""
    content = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(len(content) - 1, 0)))
        kind = draw(st.sampled_from(("change", "cut", "insert", "truncate")))
        if kind == "change" and content:
            content[place] = draw(st.integers(0, 255))
        elif kind == "cut":
            del content[place : place + draw(st.integers(1, 64))]
        elif kind == "insert":
            content[place:place] = draw(st.binary(max_size=16))
        else:
            del content[place:]
    return bytes(content)


def images():
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    made = []
    for form in ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"):
        file = io.BytesIO()
        PIL.Image.fromarray(pixels).save(file, form)
        made.append(file.getvalue())
    return made


def test_images():
    decode, limit, seen = preprocessing.decode(), Limit(), []

    @settings(**OPTIONS)
    @given(st.one_of(damaged(images()), st.binary(max_size=200)))
    def tried(content):
        if limit.over():
            return
        try:
            found = decode({"image": content}, np.random.default_rng(0))["image"]
        except CorruptExample:
            seen.append("refused")
            return
        seen.append("read")
        assert found.dtype == np.uint8
        assert found.ndim == 3
        assert found.shape[-1] == 3

    tried()
    assert {"refused", "read"} == set(seen)


def weights(folder):
    """Returns whole files of three kinds."""
    array = np.arange(6, dtype=np.float32)
    storage = torch_files.Storage("FloatStorage", "0", array)
    state = {"a.weight": torch_files.tensor(storage, 0, (2, 3), (3, 1))}
    path = folder / "whole"
    made = {}
    for kind, write in torch_files.WRITERS.items():
        write(path, state)
        made[kind] = (".pth", path.read_bytes())
    header = {"a.weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}
    torch_files.write_safetensors(path, header, array.tobytes())
    return made | {"safetensors": (".safetensors", path.read_bytes())}


@pytest.mark.parametrize("kind", ["archive", "pickles", "safetensors"])
def test_weights(tmp_path, kind, monkeypatch):
    suffix, whole = weights(tmp_path)[kind]
    path, limit, seen = tmp_path / f"file{suffix}", Limit(), []
    # What a pickle would reach for, if it were let.
    monkeypatch.setattr(os, "system", lambda *_: seen.append("called"))

    @settings(**OPTIONS)
    @given(damaged([whole]))
    def tried(content):
        if limit.over():
            return
        path.write_bytes(content)
        try:
            found = files.read(path)
        except ConfigError:
            seen.append("refused")
            return
        seen.append("read")
        assert all(isinstance(array, np.ndarray) for array in found.values())

    tried()
    assert "refused" in seen
    assert "called" not in seen


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 2**40)
    | st.floats()
    | st.sampled_from(["", "5 epochs", "10%", "3 steps", "sgd", "digits", "mlp.mlp", "name"])
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "every", "kind", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)
FIELDS = config.fields(Recipe)


def test_configs(monkeypatch):
    tiny.serve(monkeypatch, train=tiny.arrays(20), test=tiny.arrays(20, seed=1))
    limit, seen = Limit(), []

    @settings(**OPTIONS)
    @given(st.dictionaries(st.sampled_from(FIELDS), PLAIN, min_size=1, max_size=2))
    def tried(changes):
        # Data sets by name would be looked for, and sizes are what they are.
        changes.pop("dataset", None)
        if limit.over() or not changes:
            return
        try:
            make_plan({**tiny.config(), **changes})
        except ConfigError:
            seen.append("refused")
            return
        seen.append("understood")

    tried()
    assert {"refused", "understood"} == set(seen)


def test_overrides():
    limit, seen = Limit(), []
    words = st.sampled_from(["optimizer", "augment", "0", "9", "-1", "name", "", "learning_rate"])

    @settings(**OPTIONS)
    @given(st.lists(words, min_size=1, max_size=4), st.text(max_size=20))
    def tried(key, text):
        if limit.over():
            return
        values = {**tiny.config(), "augment": [{"name": "flip_lr"}]}
        try:
            command_line.override(values, ".".join(key), text)
        except ConfigError:
            seen.append("refused")
            return
        seen.append("set")

    tried()
    assert {"refused", "set"} == set(seen)
