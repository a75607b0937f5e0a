"""The small variants of large recipes, run as a person runs them."""

import importlib.util
import json
import math
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def small(path):
    """Returns the variants of a config that need no data, in the order of the file."""
    spec = importlib.util.spec_from_file_location("config", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    names = [name for name in getattr(module, "VARIANTS", ()) if name.startswith("smoke")]
    return [n for n in names if module.get_config(n).dataset.name.startswith("synthetic/")]


FILES = [path for path in sorted((ROOT / "configs").rglob("*.py")) if small(path)]


@pytest.mark.full
@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT / "configs")))
def test_a_few_steps_end_in_a_report(start, tmp_path, path):
    for name in small(path):
        # Processes of their own give back the gigabytes that compiling some of them takes.
        ended = start("train", f"--config={path}:{name}", folder=tmp_path).ended()
        assert ended.code == 0, ended
        # Where it goes by itself: others start from there.
        folder = tmp_path / "runs" / f"{path.parent.name}-{path.stem}-{name}"
        assert (folder / "report.html").is_file()
        summary = json.loads((folder / "summary.json").read_text())
        assert summary["steps"] >= 3
        assert summary["metrics"]
        losses = [value for key, value in summary["metrics"].items() if key.endswith("loss")]
        assert losses
        assert all(map(math.isfinite, losses))
