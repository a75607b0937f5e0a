"""docs/config.md says what signatures and docstrings say."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pytest

from experiments import config_keys
from library import config
from library.config import Duration
from library.reporting import reference
from library.reporting.reference import Key
from library.run import sections

ROOT = Path(__file__).resolve().parents[2]


@dataclasses.dataclass(frozen=True)
class Settings:
    """How fast.

    Attributes:
      every: a duration.
      sizes: two of them,
        in pixels.
    """

    every: Duration
    sizes: tuple[int, int] = (3, 4)
    parts: dict = dataclasses.field(default_factory=lambda: {"data": -1})


class Average(NamedTuple):
    """Averages."""

    decay: float
    every: int = 1


def crop(
    size: int | tuple[int, int],
    num_classes: int,
    mode: Literal["constant", "reflect"] = "constant",
    change: Callable | None = None,
    *,
    model: Any,
):
    """Cuts `size` out of <b>images</b>, 2 * 3 or *so*.

    Args:
      size: a side.

    Returns:
      What is
      left.

    Raises (when called):
      ValueError: never.
    """


def test_settings_are_described_by_their_fields():
    entry = reference.of_settings("s", Settings)
    assert entry.text == "How fast."
    assert entry.keys == (
        Key("every", "duration", "", "a duration."),
        Key("sizes", "[int, int]", "`[3, 4]`", "two of them, in pixels."),
        Key("parts", "dict", '`{"data": -1}`', ""),
    )
    average = reference.of_settings("a", Average).keys
    assert average == (Key("decay", "float", "", ""), Key("every", "int", "`1`", ""))


def test_functions_are_described_by_what_a_config_may_give_them():
    entry = reference.of_function("crop", crop, given=("model",), known=("num_classes",))
    assert entry.keys == (
        Key("size", "int or [int, int]", "", "a side."),
        Key("num_classes", "int", "from the data", ""),
        Key("mode", '`"constant"` or `"reflect"`', '`"constant"`', ""),
    )
    assert entry.returns == "What is left."
    assert reference.entry_text(entry) == (
        "### `crop`\n\nCuts `size` out of \\<b>images\\</b>, 2 * 3 or \\*so\\*.\n\n"
        "- `size` (int or [int, int], required): a side.\n"
        "- `num_classes` (int, default from the data)\n"
        '- `mode` (`"constant"` or `"reflect"`, default `"constant"`)\n\n'
        "Returns: What is left.\n"
    )


def test_a_function_that_no_config_can_call_is_left_out():
    def chain(operations: list[Callable]):
        """Chains."""

    assert reference.of_function("chain", chain) is None


def test_the_page_is_current():
    assert (ROOT / "docs" / "config.md").read_text() == config_keys.page(), (
        f"run `{reference.COMMAND}`"
    )


def test_the_page_has_each_key_and_each_name():
    chapters = {chapter.title: chapter for chapter in config_keys.chapters()}
    (recipe,) = chapters["The config"].entries
    assert [key.name for key in recipe.keys] == config.fields(sections.Recipe)
    names = [entry.name for entry in chapters["Tasks"].entries]
    assert {"classification", "gan", "language"} <= set(names)
    assert not {"contrastive.nt_xent", "diffusion.to_unit"} & set(names)
    schedules = [entry.name for entry in chapters["Schedules"].entries]
    assert schedules[1:] == config.available("library.optim.schedules")
    assert "`sgd`: `momentum=None`" in chapters["Optimizers by name"].text


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["Schedules", "COSINE"], ["cosine"]),
        (["on_corrupt"], ["config.dataset"]),
        (["no_such"], []),
    ],
)
def test_words_choose_entries(words, names):
    found = reference.matching(config_keys.chapters(), words)
    assert [entry.name for entry in found] == names
