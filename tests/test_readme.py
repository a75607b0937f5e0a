"""The README is true: its worked examples and its commands are run as it says, in a fresh copy."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import often

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
EXAMPLES = {
    "library/data/builders/stripes.py",
    "library/models/two_layer.py",
    "library/tasks/margin.py",
    "configs/examples/stripes.py",
}
CONFIG = "configs/cnn/digits.py"
BLOCKS = re.findall(r"^```sh\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
# A block that cannot run everywhere says so in its first line.
NEEDS = re.compile(r"# needs \w.*\n")
RUN = [block for block in BLOCKS if not NEEDS.match(block)]
TRAINS = re.compile(r"experiments\.(train|plan|benchmark)|-m launch")
COMMANDS = re.findall(
    r"^(?:\w+=\S+ )*python -m (\S+)(.*)$",
    "\n".join(re.sub(r"\\\n +", "", block) for block in BLOCKS),
    re.MULTILINE,
)


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """Copies the project, puts the worked examples in place, and returns how to run a block."""
    folder = tmp_path_factory.mktemp("copy")
    for part in ("library", "experiments", "configs", "launch", "results"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    blocks = re.findall(r"```python\n# (\S+)\n(.*?)```", README, re.DOTALL)
    assert {path for path, _ in blocks} == EXAMPLES
    for path, code in blocks:
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(code)
    programs = folder / "programs"
    programs.mkdir()
    (programs / "python").symlink_to(sys.executable)
    environment = {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        # A link to an interpreter does not know its packages.
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p.endswith("site-packages")),
        "TFDS_DATA_DIR": str(folder / "data"),
        "XLA_FLAGS": "",
        "JAX_COMPILATION_CACHE_DIR": str(ROOT / ".cache" / "tests"),
    }

    def run(block: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block.replace("--config=...", f"--config={CONFIG}")],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
        )

    return folder, run


def test_every_command_is_run_or_says_what_it_needs():
    assert BLOCKS
    assert len(re.findall(r"^```\w+$", README, re.MULTILINE)) == len(
        re.findall(r"^```(?:sh|python)$", README, re.MULTILINE)
    )
    for block in RUN:
        # What is left to the reader besides a config cannot be run.
        assert "..." not in block.replace("--config=...", ""), block
        assert not re.search(r"\b(DIR|NAME|FILE|WORKDIR)\b", block), block


@pytest.mark.parametrize(
    "block",
    [
        pytest.param(block, marks=[pytest.mark.full] if TRAINS.search(block) else [])
        for block in RUN
    ],
    ids=lambda block: block.partition("\n")[0][:60],
)
def test_a_block_runs_as_it_stands(copy, block):
    done = copy[1](block)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.full
def test_the_worked_examples_train_to_their_expected_number(copy):
    folder, run = copy
    (block,) = [block for block in RUN if "configs/examples/stripes.py" in block]
    done = run(block)
    assert done.returncode == 0, done.stderr[-2000:]
    summary = json.loads((folder / "runs" / "examples-stripes" / "summary.json").read_text())
    assert summary["metrics"]["test/accuracy"] == 1.0


@pytest.mark.parametrize(
    ("program", "arguments"), [c for c in COMMANDS if c[0].startswith("experiments.")]
)
def test_a_command_has_the_flags_that_it_is_given(program, arguments):
    defined = re.findall(
        r'DEFINE_\w+\(\s*"(\w+)"', (ROOT / f"{program.replace('.', '/')}.py").read_text()
    )
    words = shlex.split(arguments, comments=True)
    given = [word.partition("=")[0] for word in words if word.startswith("--")]
    given = [flag.removeprefix("--") for flag in given if not flag.startswith("--config.")]
    assert {flag for flag in given} <= {*defined, *(f"no{name}" for name in defined)}


LAUNCHES = [arguments for program, arguments in COMMANDS if program == "launch"]


PLACES = {re.search(r"--on=(\w+)", arguments)[1]: arguments for arguments in LAUNCHES}


@pytest.mark.parametrize("arguments", often.only(PLACES.values(), LAUNCHES))
def test_what_it_says_of_launching_is_understood(arguments):
    words = shlex.split(arguments.replace("--config=...", f"--config={CONFIG}"), comments=True)
    at = words.index("--")
    run = [sys.executable, "-m", "launch", *words[:at], "--dry_run", *words[at:]]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "experiments.train" in done.stdout
    assert CONFIG in done.stdout


def test_it_says_how_to_launch_everywhere():
    assert set(PLACES) == {"local", "slurm", "kubernetes", "tpu"}
