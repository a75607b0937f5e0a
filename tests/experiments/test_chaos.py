"""Runs of every family, killed at random moments again and again: nothing is lost or repeated."""

import random

import pytest

from tests.experiments.small_recipes import VARIANTS
from tests.runs import check_same, outcome

pytestmark = pytest.mark.full
RECIPES = "tests/experiments/small_recipes.py"
# Each of the nine families with one process, two of them with two: 50 kills in all.
KILLS = {**dict.fromkeys(VARIANTS, 4), "gpt": 5, "gan": 5}
KILLS_OF_TWO = {"classifier": 6, "gan": 6}
# Functions in which a run may be struck, and how often they are entered before.
MOMENTS = {
    "library.training.loop:initial_carry": (1, 1),
    "library.training.loop:step": (1, 1),
    "library.training.loop:_Run._at": (1, 40),
    "library.training.logger:Logger.write": (1, 8),
    "library.training.logger:Logger.sync": (1, 3),
    "library.training.checkpoints:Checkpoints.save": (1, 3),
    "library.training.checkpoints:_sign": (1, 3),
    "library.training.loop:measured": (1, 3),
    "library.files:write": (1, 6),
}


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """A folder with a text for the language models."""
    folder = tmp_path_factory.mktemp("text")
    draw = random.Random(0)
    for split, size in (("train", 4000), ("test", 400)):
        (folder / f"{split}.txt").write_text("".join(draw.choices("abcd \n", k=size)))
    return folder


def arguments(family, workdir, text):
    given = [f"--config={RECIPES}:{family}", f"--workdir={workdir}"]
    return given + ([f"--config.dataset.data_dir={text}"] if family in ("gpt", "lstm") else [])


def moments(seed, count):
    """Draws moments: a function, the call of it, and a delay in seconds."""
    draw = random.Random(seed)
    for _ in range(count):
        target = draw.choice(list(MOMENTS))
        yield target, draw.randint(*MOMENTS[target]), draw.choice((0, 0, 0.01, 0.1, 0.5))


@pytest.mark.parametrize("family", KILLS)
def test_kills_of_a_run(start, tmp_path, text, family):
    given = arguments(family, tmp_path / "alone", text)
    ended = start("train", *given).ended()
    assert ended.code == 0, ended
    given = arguments(family, tmp_path / "struck", text)
    for moment in moments(family, KILLS[family]):
        start("train", *given, strike=(*moment, "SIGKILL")).ended()
    ended = start("train", *given).ended()
    assert ended.code == 0, ended
    check_same(tmp_path / "struck", tmp_path / "alone")


@pytest.mark.parametrize("family", KILLS_OF_TWO)
def test_kills_of_one_of_two_processes(launch, tmp_path, text, family):
    flags = ("--processes=2",)
    given = arguments(family, tmp_path / "alone", text)
    ended = launch(*given, flags=flags).ended()
    assert ended.code == 0, ended
    given = arguments(family, tmp_path / "struck", text)
    for place, moment in enumerate(moments(family, KILLS_OF_TWO[family])):
        strike = (*moment, "SIGKILL")
        launch(*given, flags=flags, strike=strike, struck=place % 2).ended()
    ended = launch(*given, flags=flags).ended()
    assert ended.code == 0, ended
    check_same(tmp_path / "struck", tmp_path / "alone")
    assert outcome(tmp_path / "struck")["rows"]


def test_fifty_kills_are_fifty():
    assert sum(KILLS.values()) + sum(KILLS_OF_TWO.values()) == 50
