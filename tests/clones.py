"""A clone of the project: what others get of it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def clone(folder: Path) -> Path:
    """Clones the project into a folder that does not exist yet, and returns it.

    Changes that are not committed come along; files that git does not know do not. The test is
    skipped where there is no git, or the project is no repository.
    """
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("the project is no git repository here")
    _git("clone", "--quiet", "--no-tags", "--single-branch", ROOT, folder)
    for name in filter(None, _git("-C", ROOT, "diff", "-z", "--name-only", "HEAD").split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
        else:
            (folder / name).unlink()
    return folder


def _git(*arguments: object) -> str:
    # A hook runs with variables that point git to another repository.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    command = ["git", *map(str, arguments)]
    return subprocess.run(command, env=environment, check=True, stdout=-1, text=True).stdout
