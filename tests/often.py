"""Which of many like cases the tests of every commit run; the others are marked `full`.

A case is what `pytest.mark.parametrize` takes: a tuple is the values of several arguments.
"""

from collections.abc import Iterable
from typing import Any

import pytest


def first(count: int, cases: Iterable[Any]) -> list[Any]:
    """Returns the cases, those after the first `count` marked."""
    return [case if at < count else _rarely(case) for at, case in enumerate(cases)]


def only(kept: Iterable[Any], cases: Iterable[Any]) -> list[Any]:
    """Returns the cases, marked those that are not among `kept`, each of which there must be."""
    kept, cases = list(kept), list(cases)
    return [case if case in _found(kept, cases) else _rarely(case) for case in cases]


def but(left_out: Iterable[Any], cases: Iterable[Any]) -> list[Any]:
    """Returns the cases, marked those that are among `left_out`, each of which there must be."""
    left_out, cases = list(left_out), list(cases)
    return only([case for case in cases if case not in _found(left_out, cases)], cases)


def _found(named: list[Any], cases: list[Any]) -> list[Any]:
    missing = [case for case in named if case not in cases]
    assert not missing, f"no such cases: {missing}"
    return named


def _rarely(case: Any) -> Any:
    if hasattr(case, "marks"):
        return pytest.param(*case.values, marks=[*case.marks, pytest.mark.full], id=case.id)
    values = case if isinstance(case, tuple) else (case,)
    return pytest.param(*values, marks=pytest.mark.full)
