"""Runs of every family, killed at random moments again and again: nothing is lost or repeated."""

import itertools
import random
import signal

import pytest

from tests.experiments.small_recipes import VARIANTS
from tests.runs import check_same, outcome
from tests.trust import AS_IF_LEFT_ALONE

pytestmark = pytest.mark.full
RECIPES = "tests/experiments/small_recipes.py"
# Each of the nine families with one process, two of them with two: 50 kills in all.
KILLS = {**dict.fromkeys(VARIANTS, 4), "gpt": 5, "gan": 5}
KILLS_OF_TWO = {"classifier": 6, "gan": 6}
# Functions in which a run may be struck, and how often they are entered before.
MOMENTS = {
    "library.run.stepping:initial_carry": (1, 1),
    "library.run.stepping:step": (1, 1),
    "library.run.loop:_Run._at": (1, 40),
    "library.run.logger:Logger.write": (1, 8),
    "library.run.logger:Logger.sync": (1, 3),
    "library.run.checkpoints:Checkpoints.save": (1, 3),
    "library.run.checkpoints:_sign": (1, 3),
    "library.run.evaluating:measured": (1, 3),
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


def moments(seed):
    """Draws moments: a function, the call of it, and a delay in seconds."""
    draw = random.Random(seed)
    while True:
        target = draw.choice(list(MOMENTS))
        yield target, draw.randint(*MOMENTS[target]), draw.choice((0, 0, 0.01, 0.1, 0.5))


def check_kills(begin, folder, seed, times, killed):
    """Has runs killed so many times, and compares each that ends with one that is left alone.

    `begin` takes a workdir and a moment to strike at, if any; `killed` is the code of one that was.
    One that ends before it is struck is followed by another.
    """
    numbers, alone = itertools.count(), folder / "alone"
    ended = begin(alone, ()).ended()
    assert ended.code == 0, ended
    assert outcome(alone)["rows"]
    workdir, kills = folder / f"struck{next(numbers)}", 0
    for moment in itertools.islice(moments(seed), 4 * times):
        ended = begin(workdir, (*moment, "SIGKILL")).ended()
        assert ended.code in (0, killed), (moment, ended)
        kills += ended.code == killed
        if kills == times:
            break
        if ended.code == 0:
            check_same(workdir, alone)
            workdir = folder / f"struck{next(numbers)}"
    assert kills == times
    ended = begin(workdir, ()).ended()
    assert ended.code == 0, ended
    check_same(workdir, alone)


@pytest.mark.trust("SIGKILL at a random moment, nine families", AS_IF_LEFT_ALONE)
@pytest.mark.parametrize("family", KILLS)
def test_kills_of_a_run(start, tmp_path, text, family, record_property):
    def begin(workdir, strike):
        return start("train", *arguments(family, workdir, text), strike=strike)

    check_kills(begin, tmp_path, family, KILLS[family], -signal.SIGKILL)
    record_property("times", KILLS[family])


@pytest.mark.trust("SIGKILL of one of two processes at a random moment", AS_IF_LEFT_ALONE)
@pytest.mark.parametrize("family", KILLS_OF_TWO)
def test_kills_of_one_of_two_processes(launch, tmp_path, text, family, record_property):
    places = itertools.cycle((0, 1))

    def begin(workdir, strike):
        given = arguments(family, workdir, text)
        return launch(*given, flags=("--processes=2",), strike=strike, struck=next(places))

    check_kills(begin, tmp_path, family, KILLS_OF_TWO[family], 128 + signal.SIGKILL)
    record_property("times", KILLS_OF_TWO[family])


def test_fifty_kills_are_fifty():
    assert sum(KILLS.values()) + sum(KILLS_OF_TWO.values()) == 50
