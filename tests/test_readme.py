"""The README and docs/ are true: examples and commands are run as they stand, in a fresh place."""

import inspect
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import jax
import pytest
from PIL import Image

from experiments.config_files import load_config
from library.apps import outputs
from library.run.recipe import make_plan
from tests import clones, often

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
}
OTHERS = ("ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "SYSTEMS.md", "RESULTS.md")
EXAMPLES = {
    "library/data/builders/stripes.py",
    "library/models/image/two_layer.py",
    "library/tasks/margin.py",
    "library/evaluation/decision_margin.py",
    "configs/examples/stripes.py",
}
CONFIG = "configs/cnn/digits.py"
# A block that cannot run everywhere says so in its first line.
NEEDS = re.compile(r"# needs \w.*\n")
TRAINS = re.compile(
    r"experiments\.(train|sweep|plan|benchmark)|-m launch|session\.(evaluate|restore)|\.update\b"
)


class Block(NamedTuple):
    """A block of code of a page."""

    page: str
    text: str


def blocks(language):
    pattern = re.compile(rf"^```{language}\n(.*?)^```", re.DOTALL | re.MULTILINE)
    return [Block(page, block) for page, text in PAGES.items() for block in pattern.findall(text)]


SHELL = blocks("sh")
RUN = [block for block in SHELL if not NEEDS.match(block.text)]
FILES = dict(
    re.match(r"# (\S+/\S+\.py)\n(.*)", block.text, re.DOTALL).groups()
    for block in blocks("python")
    if re.match(r"# \S+/\S+\.py\n", block.text)
)
SCRIPTS = [block for block in blocks("python") if not re.match(r"# \S+/\S+\.py\n", block.text)]
COMMANDS = re.findall(
    r"^(?:\w+=\S+ )*python -m (\S+)(.*)$",
    "\n".join(re.sub(r"\\\n +", "", block.text) for block in SHELL),
    re.MULTILINE,
)


def named(block):
    return f"{block.page}: {block.text.partition(chr(10))[0][:60]}"


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """Copies the project, puts the worked examples in place, and returns how to run a command."""
    folder = tmp_path_factory.mktemp("copy")
    for part in ("library", "experiments", "configs", "launch", "results"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    return folder, in_place(folder)


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """Clones the project as others do; the rest as `copy`."""
    folder = clones.clone(tmp_path_factory.mktemp("clone") / "compendium")
    return folder, in_place(folder)


def in_place(folder):
    """Puts the worked examples in place, and returns how to run a command in the folder."""
    assert set(FILES) == EXAMPLES
    for path, code in FILES.items():
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

    def run(*command: str) -> subprocess.CompletedProcess:
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)

    return run


def in_shell(run, block):
    text = block.text.replace("--config=...", f"--config={CONFIG}")
    return run("bash", "-euo", "pipefail", "-c", text)


def test_every_command_is_run_or_says_what_it_needs():
    assert SHELL
    for page, text in PAGES.items():
        fences = re.findall(r"^```\w+$", text, re.MULTILINE)
        assert set(fences) <= {"```sh", "```python"}, page
    for block in RUN:
        # What is left to the reader besides a config cannot be run.
        assert "..." not in block.text.replace("--config=...", ""), block
        assert not re.search(r"\b(DIR|NAME|FILE|WORKDIR)\b", block.text), block


@pytest.mark.parametrize(
    "block", [block for block in RUN if not TRAINS.search(block.text)], ids=named
)
def test_a_block_runs_as_it_stands(copy, block):
    done = in_shell(copy[1], block)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.full
@pytest.mark.parametrize("block", RUN, ids=named)
def test_a_block_runs_in_a_clone(clone, block):
    done = in_shell(clone[1], block)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.full
def test_the_worked_examples_train_to_their_expected_number(clone):
    folder, run = clone
    (block,) = [block for block in RUN if "configs/examples/stripes.py" in block.text]
    done = in_shell(run, block)
    assert done.returncode == 0, done.stderr[-2000:]
    summary = json.loads((folder / "runs" / "examples-stripes" / "summary.json").read_text())
    assert summary["metrics"]["test/accuracy"] == 1.0
    # Two scores that the hinge loss is content with are one apart.
    assert summary["metrics"]["margin/margin"] > 0.5


def scripts():
    """Joins the Python of a page, of which each block builds on those before: light, and whole."""
    for page in dict.fromkeys(block.page for block in SCRIPTS):
        code = [block.text for block in SCRIPTS if block.page == page]
        light = "\n".join(text for text in code if not TRAINS.search(text))
        yield pytest.param(light, id=page)
        if light != "\n".join(code):
            yield pytest.param("\n".join(code), id=f"{page}, whole", marks=pytest.mark.full)


@pytest.mark.full
@pytest.mark.parametrize("code", list(scripts()))
def test_python_runs_as_it_stands(clone, code):
    done = clone[1](sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize(
    ("program", "arguments"), [c for c in COMMANDS if c[0].startswith("experiments.")]
)
def test_a_command_has_the_flags_that_it_is_given(program, arguments):
    defined = re.findall(
        r'DEFINE_\w+\(\s*"(\w+)"', (ROOT / f"{program.replace('.', '/')}.py").read_text()
    )
    if program == "experiments.generate":
        read = [inspect.signature(function).parameters.values() for function in outputs.makers()]
        defined += [each.name for all in read for each in all if each.kind is each.KEYWORD_ONLY]
    words = shlex.split(arguments, comments=True)
    given = [word.partition("=")[0] for word in words if word.startswith("--")]
    given = [flag.removeprefix("--") for flag in given if not flag.startswith("--config.")]
    assert {flag for flag in given} <= {*defined, *(f"no{name}" for name in defined)}


@pytest.fixture
def own_data(tmp_path, monkeypatch):
    """Makes photographs of five classes, scenes with maps, pairs and a text; goes to them."""
    for label in "abcde":
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(10):
            image = Image.new("RGB", (40, 30), (number, 99, ord(label)))
            image.save(tmp_path / "photos" / label / f"{number}.png")
    (tmp_path / "scenes" / "images").mkdir(parents=True)
    (tmp_path / "scenes" / "maps").mkdir()
    (tmp_path / "scenes" / "classes.txt").write_text("ground\nthing\n")
    for number in range(20):
        Image.new("RGB", (40, 30), (number, 99, 0)).save(
            tmp_path / "scenes" / "images" / f"{number}.png"
        )
        Image.new("L", (40, 30), number % 2).save(tmp_path / "scenes" / "maps" / f"{number}.png")
    for folder, size in (("clean", (320, 300)), ("damaged", (160, 150))):
        (tmp_path / "pairs" / folder).mkdir(parents=True)
        for number in range(20):
            image = Image.new("RGB", size, (number, 99, 0))
            image.save(tmp_path / "pairs" / folder / f"{number}.png")
    (tmp_path / "texts").mkdir()
    words = (f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in "bdfgklmnprst")
    (tmp_path / "texts" / "a.txt").write_text(" ".join(words) * 8)
    monkeypatch.chdir(tmp_path)


OWN = [c for c in COMMANDS if c[0] == "experiments.train" and "dataset.data_dir=" in c[1]]


@pytest.mark.parametrize(
    "arguments",
    [pytest.param(c[1], marks=[pytest.mark.full] if i > 1 else []) for i, c in enumerate(OWN)],
)
def test_commands_for_data_of_ones_own_fit(own_data, arguments):
    given = dict(word.partition("=")[::2] for word in shlex.split(arguments))
    overrides = {k.removeprefix("--config."): v for k, v in given.items() if "--config." in k}
    plan = make_plan(load_config(given["--config"], overrides)[0], devices=jax.devices()[:1])
    assert plan.measured >= {"train/loss", "test/loss"}


LAUNCHES = [arguments for program, arguments in COMMANDS if program == "launch"]
PLACES = {re.search(r"--on=(\w+)", arguments)[1]: arguments for arguments in LAUNCHES}


@pytest.mark.parametrize(
    "arguments", often.only([PLACES[place] for place in ("local", "slurm")], LAUNCHES)
)
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


def test_configs_that_are_named_exist():
    for page, text in PAGES.items():
        for path, variant in re.findall(r"(configs/[a-z]\w*/\w+\.py)(?::(\w+))?", text):
            if path not in FILES:
                named_variant = f"{path}:{variant}" if variant else path
                assert load_config(named_variant)[1] == path, page


@pytest.mark.parametrize("page", [*PAGES, *OTHERS])
def test_links_lead_to_files_and_headings(page):
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\(([^()\s]+)\)", text):
        if re.match(r"https?://", target):
            continue
        path, _, heading = target.partition("#")
        file = ((ROOT / page).parent / path).resolve() if path else ROOT / page
        assert file.exists(), f"{page}: {target}"
        if heading:
            titles = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
            known = [re.sub(r"[^\w -]", "", t.lower()).replace(" ", "-") for t in titles]
            assert heading in known, f"{page}: {target}"


def test_the_readme_links_every_page():
    unlinked = [page for page in PAGES if f"]({page})" not in PAGES["README.md"]]
    assert unlinked == ["README.md"]
