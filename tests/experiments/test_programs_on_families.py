"""Every program on every kind of run does its work, or says in a line why not."""

import random

import pytest

from tests.experiments import small_recipes

RECIPES = small_recipes.__file__
# What programs are asked for; the flags that a system does not know are among it.
ASKED = [
    ("evaluate",),
    ("report",),
    ("explain", "--methods=gradient", "--num=2"),
    ("explain", "--attack=fgsm", "--num=2"),
    ("compress", "--method=int8"),
    ("generate",),
    ("generate", "--num=2", "--split=test"),
    ("generate", "--prompt=a"),
    ("generate", "--class=1", "--num=2"),
    ("generate", "--output=features", "--split=test"),
    ("generate", "--output=nothing"),
]
# The programs that do their work on a family, beside `evaluate` and `report`.
WORK = {
    "classifier": {"explain", "compress", "generate"},
    "vae": {"generate"},
    "gan": {"generate"},
    "diffusion": {"generate"},
    "gpt": {"generate"},
    "lstm": {"generate"},
}


@pytest.mark.full
@pytest.mark.parametrize("family", small_recipes.VARIANTS)
def test_a_program_works_or_says_why_not(program, tmp_path, family):
    run = [f"--config={RECIPES}:{family}", f"--workdir={tmp_path}/run", "--config.total=1 steps"]
    if family in ("gpt", "lstm"):
        letters = random.Random(0).choices("abc \n", k=4000)
        for split in ("train", "test"):
            (tmp_path / f"{split}.txt").write_text("".join(letters))
        run.append(f"--config.dataset.data_dir={tmp_path}")
    assert program("train", *run).code == 0
    worked = set()
    for name, *arguments in ASKED:
        ended = program(name, f"--workdir={tmp_path}/run", *arguments)
        assert ended.code in (0, 2), ended
        assert (ended.err.count("\n"), ended.err[:7]) == (1, "error: ") or ended.code == 0, ended
        worked |= {name} if ended.code == 0 else set()
    assert worked == {"evaluate", "report"} | WORK.get(family, set())
