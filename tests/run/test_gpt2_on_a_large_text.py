"""GPT-2's recipe starts on a gigabyte of text, which is never in memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from library.data.tokenizers import bpe
from tests.data.vocabularies import END, gpt2_files

ROOT = Path(__file__).parents[2]
GIGABYTE = 10**9


def words():
    """Returns words as long as those of English, roughly."""
    random = np.random.default_rng(0)
    letters = random.choice(list("etaoinshrdlu"), (400, 9))
    return ["".join(word[:length]) for word, length in zip(letters, random.integers(1, 10, 400))]


def write_text(path):
    """Writes a gigabyte of random words in documents."""
    random, known = np.random.default_rng(1), words()
    blocks = [" ".join(random.choice(known, 160_000)) + END for _ in range(20)]
    size = 0
    with path.open("w") as file:
        while size < GIGABYTE:
            size += file.write(blocks[random.integers(len(blocks))])


def gpt2_vocabulary(folder):
    """Writes a vocabulary of GPT-2's size: most words are a token, and most tokens unused."""
    model = json.loads(bpe([" ".join(words()) * 2], 1100).fitted["rules"])["model"]
    more = [f"unused{i}" for i in range(50_256 - len(model["vocab"]))]
    return gpt2_files(folder, model, [*more, END])


def train(folder, name, text="text.txt"):
    """Trains two steps of one window in a process; returns its summary, output and peak bytes."""
    files = gpt2_vocabulary(folder)
    settings = {
        "dataset.data_dir": folder / text,
        "dataset.tokenizer.vocab": files["vocab"],
        "dataset.tokenizer.merges": files["merges"],
        "dataset.batch_size": 1,
        "dataset.eval_batch_size": 1,
        "accumulate": 1,
        "total": "2 steps",
        "log_every": "1 step",
        "optimizer.schedule.warmup": "1 step",
        "evaluate": "{}",
        "checkpoint": "dict(every='100%')",
        "compile_cache": folder / "compiled",
    }
    command = [sys.executable, "-m", "experiments.train", "--config=configs/gpt/gpt2.py"]
    command += [f"--config.{key}={value}" for key, value in settings.items()]
    command += [f"--workdir={folder / name}"]
    environment = {key: value for key, value in os.environ.items() if key != "XLA_FLAGS"}
    environment |= {"XDG_CACHE_HOME": str(folder / "cache"), "COMPENDIUM_CACHE_GB": "5"}
    with (folder / f"{name}.log").open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    said = (folder / f"{name}.log").read_text()
    assert process.returncode == 0, said
    summary = json.loads((folder / name / "summary.json").read_text())
    return summary, said, used.ru_maxrss * 1024


@pytest.mark.full
def test_gpt2_starts_on_a_gigabyte_of_text(tmp_path):
    write_text(tmp_path / "text.txt")
    _, said, _ = train(tmp_path, "cold")
    assert "are encoded" in said
    summary, said, peak = train(tmp_path, "warm")
    assert "are encoded" not in said
    assert summary["phases"]["build"] < 60
    # The memory is that of a run on a text of a thousandth, whatever the step takes itself.
    with (tmp_path / "text.txt").open() as file:
        (tmp_path / "small.txt").write_text(file.read(GIGABYTE // 1000))
    train(tmp_path, "small cold", "small.txt")
    _, _, least = train(tmp_path, "small", "small.txt")
    assert peak < least + GIGABYTE / 4
