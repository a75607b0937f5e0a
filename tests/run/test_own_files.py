"""An error of one's own file keeps its traceback; an error of the config is one line."""

import importlib.util
import subprocess
import sys
import traceback

import numpy as np
import pytest

from experiments import command_line
from library.apps import dry_run
from library.config import ConfigError, MisfitError
from library.data.preprocessing import labels
from library.models.image import mlp
from library.run import own_files
from library.tasks import classification
from tests import tiny

MODEL = """
import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from library.layers.head import linear_head
from library.task import Task


class Inner(nn.Module):
    @nn.compact
    def __call__(self, x):
        weight = jnp.ones((7, 7))
        return x @ weight


class Outer(nn.Module):
    num_classes: int

    @nn.compact
    def __call__(self, image, train=False):
        hidden = nn.Dense(3, name="hidden")(image.reshape(len(image), -1))
        return Inner(name="inner")(hidden)


class Helped(Outer):
    @nn.compact
    def __call__(self, image, train=False):
        return linear_head(None, self.num_classes, kernel_init=nn.initializers.zeros)


class NotANumber(Outer):
    @nn.compact
    def __call__(self, image, train=False):
        hidden = nn.Dense(self.num_classes, name="hidden")(image.reshape(len(image), -1))
        return hidden + jnp.log(-1 - hidden**2) if train else hidden


def outer(num_classes: int):
    return Outer(num_classes)


def helped(num_classes: int):
    return Helped(num_classes)


def not_a_number(num_classes: int):
    return NotANumber(num_classes)


def own_task(model, minimize, *, num_classes: int, checks: bool = False):
    def loss(params, batch):
        if checks:
            raise ValueError(f"{num_classes} classes are too many")
        return batch["image"] @ jnp.ones((7, 7))

    def init(key, batch):
        return loss(None, batch)

    return Task(init, init, init, {})


def shifted(keys: tuple[str, ...]):
    return lambda example, rng: {**example, "image": example["image"] + np.ones((7, 5))}


def select(keys: tuple[str, ...]):
    def operation(example, rng):
        raise ValueError("the operation fails")

    return operation
"""


@pytest.fixture(autouse=True)
def data(monkeypatch):
    tiny.serve(monkeypatch, train=tiny.arrays(48), test=tiny.arrays(20, seed=1))


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Puts a function of a file of one's own in the place of a function of the project."""
    path = tmp_path / "mine.py"
    path.write_text(MODEL)
    spec = importlib.util.spec_from_file_location("mine", path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "mine", module)
    spec.loader.exec_module(module)

    def put(name, place, known):
        function = getattr(module, name)
        function.__module__ = place.__name__
        monkeypatch.setattr(place, known, function)
        return path

    return put


def test_a_model_of_ones_own_keeps_its_error(own):
    path = own("outer", mlp, "mlp")
    with pytest.raises(TypeError) as caught:
        tiny.plan_on(1, model=dict(name="mlp.mlp"))
    assert own_files.own_error(caught.value) is caught.value
    lines = own_files.at_hand(caught.value).splitlines()
    number = MODEL.splitlines().index("        return x @ weight") + 1
    assert lines[0] == f"at hand in {path}, line {number}, __call__:"
    assert lines[1] == "  module: inner (Inner)"
    assert lines[2].startswith("  batch: image ")
    assert "[16,8,8,1]" in lines[2]
    assert lines[3:] == ["  x: float32[16,3]", "  weight: float32[7,7]"]


def test_a_task_of_ones_own_keeps_its_error(own):
    path = own("own_task", classification, "classification")
    with pytest.raises(TypeError) as caught:
        tiny.plan_on(1)
    assert own_files.own_error(caught.value) is caught.value
    lines = own_files.at_hand(caught.value).splitlines()
    number = MODEL.splitlines().index('        return batch["image"] @ jnp.ones((7, 7))') + 1
    assert lines[0] == f"at hand in {path}, line {number}, loss:"
    assert lines[1].startswith("  batch: ")
    assert "image float32[16,8,8,1]" in lines[1]


@pytest.mark.parametrize("checks", [False, True])
def test_a_committed_task_shows_its_traceback_above_the_message(own, monkeypatch, capsys, checks):
    path = own("own_task", classification, "classification")
    # It is as if the file were committed, or as if git could not tell.
    monkeypatch.setattr(own_files, "came_with_the_project", lambda file: True)
    with pytest.raises(MisfitError) as caught:
        tiny.plan_on(1, task=dict(name="classification", checks=checks))
    with pytest.raises(SystemExit, match="2"):
        command_line._explain(caught.value)
    *above, last = capsys.readouterr().err.splitlines()
    assert last.startswith("error: the config does not fit together: ")
    assert last.endswith("train --debug shows the traceback") == checks
    if checks:
        assert above == []
    else:
        assert above[0].startswith(f"at hand in {path}, line ")
        assert "image float32[16,8,8,1]" in above[1]
        assert "Traceback (most recent call last):" in above
        assert '    return batch["image"] @ jnp.ones((7, 7))' in above


def test_shared_code_counts_as_the_file_that_calls_it(own):
    own("helped", mlp, "mlp")
    with pytest.raises((AttributeError, TypeError)) as caught:
        tiny.plan_on(1, model=dict(name="mlp.mlp"))
    assert own_files.own_error(caught.value) is caught.value


def test_a_config_that_does_not_fit_the_projects_modules_is_one_line(own):
    own("outer", mlp, "mlp")
    # The model of the project is given what it cannot take; the file of one's own is not in use.
    with pytest.raises(MisfitError, match="the config does not fit together: ") as caught:
        tiny.plan_on(
            1, model=tiny.CONV, task=dict(name="classification", inputs=["image", "label"])
        )
    assert own_files.own_error(caught.value) is None
    assert len(str(caught.value).splitlines()) == 1


def test_an_operation_of_ones_own_is_found_behind_what_it_became(own):
    own("select", labels, "select")
    with pytest.raises(ConfigError, match="the operation fails") as caught:
        dry_run.planned(tiny.config(preprocess=[dict(name="select", keys=["image"])]))
    found = own_files.own_error(caught.value)
    assert type(found) is ValueError
    assert str(found) == "the operation fails"
    with pytest.raises(ValueError, match=r"^the operation fails$") as raised:
        own_files.raise_own(caught.value)
    assert raised.value is found


def test_a_committed_operation_shows_its_traceback(own, monkeypatch):
    own("shifted", labels, "select")
    monkeypatch.setattr(own_files, "came_with_the_project", lambda file: True)
    with pytest.raises(ConfigError, match="could not be broadcast") as caught:
        dry_run.planned(tiny.config(preprocess=[dict(name="select", keys=["image"])]))
    assert own_files.own_error(caught.value) is None
    shown = own_files.described(own_files.behind(caught.value)).splitlines()
    assert shown[0].startswith("at hand in ")
    assert any('"image": example["image"] + np.ones((7, 5))' in line for line in shown)


def test_a_trial_step_stops_at_nan(own):
    own("not_a_number", mlp, "mlp")
    shown = []
    with pytest.raises(FloatingPointError) as caught:
        dry_run.debug(tiny.config(model=dict(name="mlp.mlp")), shown.append)
    lines = [frame.line for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert "return hidden + jnp.log(-1 - hidden**2) if train else hidden" in lines
    assert "  hidden (Dense): float32[16,64] -> float32[16,4]" in shown


def _raised_in(path, text="raise ValueError(1)"):
    """Returns an error that is raised in a file, by code that the file need not hold."""
    with pytest.raises(ValueError, match="1") as caught:
        exec(compile(text, str(path), "exec"), {})
    return caught.value


def test_errors_of_libraries_and_of_the_project_are_not_ones_own(tmp_path):
    mine = tmp_path / "mine.py"
    mine.write_text("")
    assert own_files.own_error(_raised_in(mine)) is not None
    assert own_files.own_error(_raised_in(np.__file__)) is None
    assert own_files.own_error(_raised_in(own_files.ROOT / "library" / "run" / "plan.py")) is None
    assert own_files.own_error(_raised_in(own_files.ROOT / "tests" / "new.py")) is None
    refused = _raised_in(mine, "from library.config import ConfigError\nraise ConfigError('1')")
    assert own_files.own_error(refused) is None
    blamed = ConfigError("a config file of one's own, line 1")
    blamed.__cause__ = _raised_in(mine)
    assert own_files.own_error(blamed) is None
    assert own_files.own_error(None) is None


def test_git_tells_the_projects_files_from_new_ones(tmp_path):
    def git(*words):
        identity = "-c", "user.name=a", "-c", "user.email=a@b"
        subprocess.run(["git", "-C", tmp_path, *identity, *words], check=True, capture_output=True)

    def came(name):
        own_files._is_uncommitted.cache_clear()
        return own_files.came_with_the_project(tmp_path / "library" / name, tmp_path)

    (tmp_path / "library").mkdir()
    for name in ("config.py", "new.py"):
        (tmp_path / "library" / name).write_text("")
    assert came("new.py")
    git("init", "-q")
    assert came("new.py")
    git("add", "library/config.py")
    git("commit", "-q", "-m", "a")
    assert came("config.py")
    assert not came("new.py")
    assert not own_files.came_with_the_project(tmp_path.parent / "b.py", tmp_path)
