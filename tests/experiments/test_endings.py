"""How programs end: by a documented code and a line, whatever is missing around them."""

import json
import subprocess
import sys
from pathlib import Path

import jax
import pytest
from jax._src import xla_bridge

from library.run import environment, session
from tests import often, tiny

ROOT = Path(__file__).resolve().parents[2]
PRINTS = """
import sys
from experiments import command_line

class Late:
    def __del__(self):
        print("taken down", file=sys.stderr)

late = Late()

def main():
    print("line\\n" * 100_000)
    {end}

command_line.run(main)
"""


def piped(command, *arguments):
    """Runs Python with a reader of stdout that is gone at once."""
    with subprocess.Popen(
        [sys.executable, *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        if command == "head":
            process.stdout.readline()
        if command:
            process.stdout.close()
        else:
            process.stdout.read()
        errors = process.stderr.read().decode()
    return process.returncode, errors


def test_a_reader_that_goes_away_ends_a_program_without_a_word():
    assert piped("head", "-c", PRINTS.format(end="return 0")) == (1, "")
    assert piped("true", "-m", "experiments.prepare", "--help")[1] == ""


@pytest.mark.parametrize(
    ("end", "code", "message"),
    [
        ("return 0", 0, ""),
        ("return 75", 75, ""),
        ("raise command_line.ConfigError('no')", 2, "error: no\n"),
        ("raise OSError('no')", 1, "error: no\n"),
        ("raise KeyboardInterrupt", 130, "error: interrupted; run the same command again\n"),
        ("raise TypeError('no')", 1, "TypeError: no\n"),
    ],
)
def test_a_program_leaves_with_its_code_and_takes_nothing_down(end, code, message):
    found, errors = piped("", "-c", PRINTS.format(end=end))
    assert found == code
    assert errors.endswith(message)
    assert "taken down" not in errors


def test_a_program_needs_no_stdout():
    script = "import sys; sys.stdout.close(); sys.stdout = None\n" + PRINTS.format(end="return 75")
    assert piped("", "-c", script) == (75, "")


def test_devices_that_are_not_here_are_named_with_their_variable(program, monkeypatch, tmp_path):
    monkeypatch.setenv("JAX_PLATFORMS", "quantum")
    monkeypatch.setattr(session, "train", lambda *_: xla_bridge.get_backend("quantum"))
    ended = program("train", f"--workdir={tmp_path}/run")
    assert ended.code == 2
    assert ended.err.startswith("error: JAX_PLATFORMS=quantum asks for devices that are not here: ")
    assert ended.err.count("\n") == 1


def test_without_a_place_for_compiled_programs_there_is_a_warning(monkeypatch, caplog):
    said = []
    monkeypatch.setattr(environment.logging, "warning", lambda text, *_: said.append(text))
    monkeypatch.setattr(type(jax.config), "update", lambda _, *change: said.append(change))
    monkeypatch.setenv("HOME", "/dev/null")
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    environment.enable_compile_cache("~/.cache/compendium")
    assert "name another folder by JAX_COMPILATION_CACHE_DIR or --config.compile_cache" in said[0]
    assert said[1:] == [("jax_enable_compilation_cache", False)]
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "/dev/null/programs")
    environment.enable_compile_cache("~/.cache/compendium")
    assert said[2:] == said[:2]


def test_a_home_that_cannot_be_written_is_named_with_what_to_set(program, monkeypatch, tmp_path):
    monkeypatch.setattr(session, "train", lambda *_: Path("~/data").expanduser().mkdir())
    monkeypatch.setenv("HOME", "/dev/null")
    ended = program("train", f"--workdir={tmp_path}/run")
    assert ended.code == 1
    assert ended.err.startswith("error: [Errno 20] Not a directory: '/dev/null/data'; ")
    for name in ("JAX_COMPILATION_CACHE_DIR", "--config.compile_cache", "TFDS_DATA_DIR", "MPLCON"):
        assert name in ended.err


@pytest.mark.parametrize(
    "program_", ["evaluate", "generate", "explain", "compress", "report", "zoo export"]
)
def test_what_is_no_run(program, tmp_path, program_):
    (tmp_path / "file").write_text("")
    folders = {"file": "", "empty": None, "list": "[]", "cut": "{", "newer": None, "none": None}
    newer = {**tiny.config(), "dataset": {"name": "digits", "batch_size": 8, "flavour": 3}}
    for name in ("empty", "list", "cut", "newer"):
        (tmp_path / name).mkdir()
    (tmp_path / "list" / "config.json").write_text(folders["list"])
    (tmp_path / "cut" / "config.json").write_text(folders["cut"])
    (tmp_path / "newer" / "config.json").write_text(json.dumps(newer))
    (tmp_path / "newer" / "metrics.jsonl").write_text("")
    name, *words = program_.split()
    more = [f"--output={tmp_path}/w.safetensors"] if words else []
    for folder in folders:
        ended = program(name, *words, f"--workdir={tmp_path / folder}", *more)
        if folder == "newer" and program_ in ("report", "zoo export"):
            # They read no more of it than they know.
            continue
        assert ended.code == 2, (folder, ended)
        assert (ended.err.count("\n"), "Traceback" in ended.err) == (1, False), ended
        assert str(tmp_path / folder) in ended.err, ended
        if folder == "newer":
            assert "perhaps of a newer version: dataset takes no 'flavour'" in ended.err, ended


@pytest.mark.full
@pytest.mark.parametrize("devices", often.first(1, [1, 8]))
def test_a_run_without_compilation(monkeypatch, tmp_path, devices):
    tiny.serve(monkeypatch, train=tiny.arrays(48), test=tiny.arrays(24, seed=1))
    changes = dict(total="2 steps", log_every="1 steps")
    compiled = tiny.run(tiny.plan_on(devices, **changes), tmp_path / "compiled")
    with jax.disable_jit():
        eager = tiny.run(tiny.plan_on(devices, **changes), tmp_path / "eager")
    assert eager["train_step_compilations"] is None
    assert compiled["train_step_compilations"] == 1
    for name in ("train/loss", "train/accuracy"):
        assert eager["metrics"][name] == pytest.approx(compiled["metrics"][name], rel=1e-4)
