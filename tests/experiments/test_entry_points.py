"""Programs answer at once, and every module can be imported."""

import importlib
import os
import pkgutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest

import experiments
import library
from tests import clones

ROOT = Path(__file__).resolve().parents[2]
MODULES = [
    info.name
    for package in (experiments, library)
    for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
]
PROGRAMS = [
    f"experiments.{path.stem}"
    for path in sorted((ROOT / "experiments").glob("*.py"))
    if "command_line.run(main" in path.read_text()
]
HEAVY = ("jax", "flax", "optax", "orbax", "grain", "tensorflow_datasets", "matplotlib", "sklearn")
ASK_FOR_HELP = """
import runpy, sys
heavy = sys.argv[2].split(",")
program, sys.argv = sys.argv[1], [sys.argv[1], "--help"]
try:
    runpy.run_module(program, run_name="__main__", alter_sys=True)
finally:
    print("IMPORTED", [name for name in heavy if name in sys.modules])
"""


def test_the_programs_are_found():
    names = {name.partition(".")[2] for name in PROGRAMS}
    assert {"train", "evaluate", "generate", "prepare", "report"} <= names


@pytest.mark.parametrize("name", PROGRAMS)
def test_help_is_answered_without_heavy_imports(name):
    arguments = [sys.executable, "-c", ASK_FOR_HELP, name, ",".join(HEAVY)]
    ended = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    assert f"python -m {name}" in ended.stdout
    assert "IMPORTED []" in ended.stdout
    if "configurable=False" not in (ROOT / f"{name.replace('.', '/')}.py").read_text():
        assert "docs/config.md" in ended.stdout


def test_an_installation_has_all_that_programs_need():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    found = project["tool"]["setuptools"]
    assert found["packages"]["find"]["include"] == [
        "library*",
        "experiments*",
        "configs*",
        "launch*",
    ]
    assert found["dynamic"]["dependencies"]["file"] == ["requirements.txt"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Installs a clone into a new environment that finds all other packages where they are.

    Returns a function that runs its interpreter in a folder of the user.
    """
    folder = tmp_path_factory.mktemp("installed")
    source, environment, elsewhere = (folder / x for x in ("source", "environment", "elsewhere"))
    clones.clone(source)
    elsewhere.mkdir()
    run([sys.executable, "-m", "venv", "--without-pip", environment], cwd=folder)
    python = environment / "bin" / "python"
    asked = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = Path(run(asked, cwd=folder).stdout.strip())
    (packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
    done = run([*pip, "install", "--no-deps", "-e", source], cwd=folder, check=False)
    if done.returncode and "setuptools" in done.stderr and "matching distribution" in done.stderr:
        pytest.skip("no package index from which to build an installation")
    assert done.returncode == 0, done.stderr
    return source, lambda *words: run([python, *words], cwd=elsewhere)


def run(command, *, cwd, check=True):
    variables = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    words = [str(word) for word in command]
    ended = subprocess.run(words, cwd=cwd, env=variables, capture_output=True, text=True)
    assert not check or ended.returncode == 0, ended.stderr
    return ended


@pytest.mark.full
@pytest.mark.parametrize("name", [*PROGRAMS, "launch"])
def test_installed_programs_start_in_any_folder(installed, name):
    assert f"python -m {name}" in installed[1]("-m", name, "--help").stdout


@pytest.mark.full
def test_an_installed_program_finds_the_recipes(installed):
    source, python = installed
    ended = python("-m", "experiments.train", "--config=configs/cnn/digits.py", "--dry_run")
    assert "params" in ended.stdout
    ended = python("-c", "import launch, library; print(launch.__file__, library.__file__)")
    assert ended.stdout.split() == [str(source / x / "__init__.py") for x in ("launch", "library")]


@pytest.mark.parametrize("name", PROGRAMS)
def test_help_names_every_flag(program, name):
    ended = program(name.partition(".")[2], "--help")
    assert ended.code == 0
    source = (ROOT / f"{name.replace('.', '/')}.py").read_text()
    defined = [line.split('"')[1] for line in source.split("flags.DEFINE_")[1:]]
    assert defined
    for flag in defined:
        assert f"-{flag}" in ended.out or f"-[no]{flag}" in ended.out


@pytest.mark.parametrize("name", [name for name in MODULES if name not in PROGRAMS])
def test_every_module_can_be_imported(name):
    assert importlib.import_module(name).__doc__
