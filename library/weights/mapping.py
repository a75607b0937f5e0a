"""From the names and layouts of published weights to those of the models here, by a table."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from library.config import ConfigError

_SHOWN = 12


def same(x: np.ndarray) -> np.ndarray:
    """Leaves an array as it is."""
    return x


def conv_kernel(x: np.ndarray) -> np.ndarray:
    """Transposes PyTorch's kernel (out, in, *window) to (*window, in, out)."""
    return np.moveaxis(x, (1, 0), (-2, -1))


def dense_kernel(x: np.ndarray) -> np.ndarray:
    """Transposes PyTorch's kernel (out, in) to (in, out)."""
    return x.T


class Rule(NamedTuple):
    r"""One row of a table: where a published array goes.

    Several rules may match one array, each for a part of it (`convert` cuts it out): a fused
    query, key and value goes to three places.

    Attributes:
      pattern: regular expression of the whole published name.
      path: of the leaf here, with the pattern's groups as `\1`; dots become slashes and capitals
        small, as names here have neither.
      convert: the published array -> the leaf.
    """

    pattern: str
    path: str
    convert: Callable[[np.ndarray], np.ndarray] = same


def assign(
    published: Mapping[str, np.ndarray],
    rules: Sequence[Rule],
    shapes: Mapping[str, Any],
    *,
    ignored: Iterable[str] = (),
    where: str,
) -> dict[str, Any]:
    """Fills the leaves of a model from published arrays.

    Args:
      published: arrays by their published names.
      rules: the table.
      shapes: the model's variables, arrays or shapes: {"params": ..., "batch_stats": ...}.
      ignored: regular expressions of published names that have no place here.
      where: what the arrays come from, for messages.

    Returns:
      Variables of the structure, shapes and types of `shapes`, numpy arrays.

    Raises:
      ConfigError: leaves that nothing fills, arrays of other shapes, and arrays without a place,
        all of them in one message.
    """
    wanted = flatten_dict(shapes, sep="/")
    found, unknown = {}, []
    for name, array in published.items():
        leaves = _leaves(name, array, rules)
        if leaves.keys() <= wanted.keys() and leaves:
            found |= leaves
        elif not any(re.fullmatch(pattern, name) for pattern in ignored):
            unknown.append(name)
    misshapen = [
        f"{path} {tuple(found[path].shape)}, not {tuple(leaf.shape)}"
        for path, leaf in wanted.items()
        if path in found and found[path].shape != leaf.shape
    ]
    problems = {
        "missing": [path for path in wanted if path not in found],
        "of another shape": misshapen,
        "without a place in the model": unknown,
    }
    if any(problems.values()):
        listed = [f"{_listed(names)} {what}" for what, names in problems.items() if names]
        raise ConfigError(f"weights {where!r} do not fit: " + "; ".join(listed))
    filled = {path: np.asarray(found[path], leaf.dtype) for path, leaf in wanted.items()}
    return unflatten_dict(filled, sep="/")


def _leaves(name: str, array: np.ndarray, rules: Sequence[Rule]) -> dict[str, np.ndarray]:
    matches = [(rule, re.fullmatch(rule.pattern, name)) for rule in rules]
    return {
        match.expand(rule.path).replace(".", "/").lower(): rule.convert(array)
        for rule, match in matches
        if match
    }


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
