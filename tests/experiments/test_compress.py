"""`python -m experiments.compress` on runs of one step."""

import json
import shutil

import pytest

from library.apps import compressing_figure
from tests import families, tiny

BAD = {
    "method": (["--method=prun"], "unknown method 'prun': did you mean 'prune'?"),
    "none": (["--method="], "--method is empty: valid are prune, low_rank, int8"),
    "sparsity": (["--sparsity=1.5"], "sparsity=1.5: valid are 0 to below 1"),
    "no number": (["--sparsity=0.5,much"], "--sparsity=0.5,much: write numbers"),
    "no sparsity": (["--sparsity="], "--sparsity is empty"),
    "rank": (["--rank=2,0"], "--rank=0: valid are whole numbers from 1 and shares below 1"),
    "energy": (["--energy=2"], "energy=2.0: valid are above 0 to 1"),
    "both": (["--rank=2", "--energy=0.5"], "--rank and --energy exclude each other"),
    "unread": (["--method=int8", "--rank=2"], "--rank is not read with --method=int8"),
    "scope": (["--scope=layers"], "unknown scope 'layers': did you mean 'layer'?"),
    "scheme": (["--scheme=spacial"], "unknown scheme 'spacial': did you mean 'spatial'?"),
    "kept": (["--kept=tail"], "'tail' matches no kernel: (valid: "),
    "beside": (["--beside={tmp}/none"], "{tmp}/none does not exist"),
    "flag": (["--methods=prune"], "unknown flag '--methods': did you mean '--method'?"),
}


@pytest.fixture
def run(program, tmp_path, monkeypatch):
    """Trains a config for a step and returns the workdir."""
    tiny.serve(monkeypatch, train=tiny.arrays(48), test=tiny.arrays(24, seed=1))

    def train(values, name="run"):
        path = tmp_path / "config.py"
        path.write_text(f"def get_config():\n    return {values!r}\n")
        folder = tmp_path / name
        ended = program("train", f"--config={path}", f"--workdir={folder}")
        assert ended.code == 0, ended
        return folder

    return train


def test_a_network_and_its_smaller_ones(program, run, tmp_path):
    values = tiny.config(model=tiny.CONV, total="1 steps", ema=dict(decay=0.5))
    folder = run(values)
    task = dict(name="pruning", schedule="one_shot", sparsity=0.75)
    pruned = run({**values, "task": task}, "pruned")
    ended = program(
        "compress",
        f"--workdir={folder}",
        f"--beside={pruned}",
        "--sparsity=0.5",
        "--rank=1,0.5",
        "--kept=head",
    )
    assert ended.code == 0, ended
    output = folder / "compressed"
    names = {"compressed.json", "compressed.html", "compressed.png"}
    assert {path.name for path in output.iterdir()} == names
    assert ended.out.splitlines()[-1] == str(output / "compressed.html")
    record = json.loads((output / "compressed.json").read_text())
    assert (record["run"], record["step"], record["split"]) == ("run", 1, "test")
    assert record["command"].startswith("python -m experiments.compress --workdir=")
    rows = {(row["method"], row["setting"]): row for row in record["rows"]}
    assert list(rows) == [
        ("original", "as trained"),
        ("prune", "0.5 zeros"),
        ("low_rank", "rank 1"),
        ("low_rank", "rank 0.5"),
        ("int8", "weights"),
        ("int8", "weights, inputs"),
        ("pruned", "as trained"),
    ]
    # Two convolutions, 3x3x1x4 and 3x3x4x4, their norms, and the head.
    kernels, rest = 36 + 144, 4 * 4 * 2 + 4 * 4 + 4
    window = 2 * 64
    original = rows["original", "as trained"]
    assert original["bytes"] <= 4 * (kernels + rest)
    assert original["flops"] == window * kernels + 2 * 16
    half = rows["prune", "0.5 zeros"]
    assert half["flops"] == original["flops"]
    assert half["numbers"] == original["numbers"] - 90
    one = rows["low_rank", "rank 1"]
    assert one["flops"] == window * (9 + 4 + 36 + 4) + 2 * 16
    whole = rows["int8", "weights"]
    assert original["bytes"] - whole["bytes"] == 3 * kernels - 4 * 8
    assert rows["int8", "weights, inputs"]["bytes"] == whole["bytes"]
    for row in record["rows"]:
        assert 0 <= row["accuracy"] <= 1
        assert row["times_smaller"] == pytest.approx(original["bytes"] / row["bytes"])
    found = program("evaluate", f"--workdir={pruned}", "--config.evaluate.test.kind=metrics")
    assert found.code == 0, found
    shown = [line.split() for line in found.out.splitlines()]
    accuracy = next(float(line[1]) for line in shown if line and line[0] == "test_ema/accuracy")
    assert rows["pruned", "as trained"]["accuracy"] == pytest.approx(accuracy, abs=1e-4)
    page = (output / "compressed.html").read_text()
    for row in record["rows"]:
        assert compressing_figure.cells(row)[3] in page

    elsewhere = tmp_path / "elsewhere"
    shutil.rmtree(output)
    arguments = [f"--output={elsewhere}", "--method=int8", "--noema"]
    ended = program("compress", f"--workdir={folder}", *arguments)
    assert ended.code == 0, ended
    assert {path.name for path in elsewhere.iterdir()} == names
    assert not output.exists()


def test_what_is_not_understood_writes_nothing(program, run, tmp_path):
    folder = run(tiny.config(model=tiny.CONV, total="1 steps"))
    for arguments, message in BAD.values():
        arguments = [argument.replace("{tmp}", str(tmp_path)) for argument in arguments]
        ended = program("compress", f"--workdir={folder}", *arguments)
        assert ended.code == 2, ended
        assert message.replace("{tmp}", str(tmp_path)) in ended.err
        assert "Traceback" not in ended.err
        assert ended.err.count("\n") <= 2
        assert not (folder / "compressed").exists()


@pytest.mark.full
def test_what_is_no_classifier(program, run, monkeypatch, tmp_path):
    families.serve(monkeypatch)
    folder = run(families.config("vae", total="1 steps", evaluate={}))
    ended = program("compress", f"--workdir={folder}")
    assert ended.code == 2
    assert "task 'variational' makes no logits of images" in ended.err
    assert not (folder / "compressed").exists()
    assert "--workdir is missing: name the workdir" in program("compress").err
    assert program("compress", f"--workdir={tmp_path}").code == 2
