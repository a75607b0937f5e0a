"""The README's worked examples are whole: they are put in place as it says, and run."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = {
    "library/data/builders/stripes.py",
    "library/models/two_layer.py",
    "library/tasks/margin.py",
    "configs/examples/stripes.py",
}


def test_the_worked_examples_train_to_their_expected_number(tmp_path):
    blocks = re.findall(r"```python\n# (\S+)\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert {path for path, _ in blocks} == EXAMPLES
    for folder in ("library", "experiments", "configs"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    for path, code in blocks:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(code)
    environment = {**os.environ, "TFDS_DATA_DIR": str(tmp_path / "data"), "XLA_FLAGS": ""}
    environment["JAX_COMPILATION_CACHE_DIR"] = str(ROOT / ".cache" / "tests")
    command = ["experiments.prepare", "--dataset=stripes"]
    train = ["experiments.train", "--config=configs/examples/stripes.py", "--workdir=run"]
    for arguments in (command, train):
        run = [sys.executable, "-m", *arguments]
        done = subprocess.run(run, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["metrics"]["test/accuracy"] == 1.0


CONFIG = "configs/digits/cnn.py"
COMMANDS = re.findall(
    r"^python -m (launch .*)$",
    re.sub(r"\\\n +", "", (ROOT / "README.md").read_text()),
    re.MULTILINE,
)


@pytest.mark.parametrize("command", COMMANDS)
def test_what_it_says_of_launching_is_understood(command):
    words = shlex.split(command.replace("--config=...", f"--config={CONFIG}"))
    at = words.index("--")
    run = [sys.executable, "-m", *words[:at], "--dry_run", *words[at:]]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "experiments.train" in done.stdout
    assert CONFIG in done.stdout


def test_it_says_how_to_launch_everywhere():
    places = {re.search(r"--on=(\w+)", command)[1] for command in COMMANDS}
    assert places == {"local", "slurm", "kubernetes", "tpu"}
