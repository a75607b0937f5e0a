"""Turns files of published weights into a model's variables.

Files differ in three ways. A training checkpoint nests the network, such as {"model": ...,
"optimizer": ..., "epoch": ...}. Frameworks put a word before each name, such as "module." or
"_orig_mod.". The same network has other names in other projects and in older files.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from flax import linen as nn
from flax.traverse_util import flatten_dict

from library.config import ConfigError
from library.weights import darknet, files, resampling
from library.weights.mapping import Rule, assign, names_by_path, published_names
from library.weights.published import Published

# The words under which training checkpoints keep a network's running averages, and the network.
AVERAGES = (
    *("model_ema", "state_dict_ema", "ema_state_dict", "ema"),
    *("model_ema_state_dict", "ema_model_state_dict", "ema_model"),
)
NETWORKS = ("state_dict", "model", "model_state_dict", "model_state", "net", "network")
# Words that wrappers of networks put before every name: DataParallel, Lightning, torch.compile.
PREFIXES = ("module", "model", "_orig_mod")
# The value that AveragedModel has in addition to the network that it wraps.
COUNTS = ("n_averaged",)
_TRANSFORMERS = re.compile(r"\w+\.(embeddings|embedder|encoder|conv_stem)\.")


def load(
    published: Published,
    model: nn.Module,
    path: str | Path,
    *,
    ema: bool = True,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Reads weights of a published network.

    Args:
      published: the network.
      model: the model of the network.
      path: a file or a directory, see `files.read`; or a `.weights` file of Darknet.
      ema: whether to take the running averages of a training checkpoint, if it has them.
      say: called with lines about words that were stripped, positions that were resampled, arrays
        of another precision, and arrays with values that are not finite.

    Returns:
      The model's variables, numpy arrays.

    Raises:
      ConfigError: the file cannot be read, its names are not known for this network, or arrays
        do not fit; one message lists all of them.
    """
    shapes = published.shapes(model)
    if Path(path).suffix == darknet.SUFFIX:
        return darknet.load(model, path, shapes)
    arrays = files.read(path)
    tables = (published.rules, *published.others)
    known = frozenset().union(*(published_names(rules, shapes) for rules in tables))
    arrays, stripped = unwrapped(arrays, known, ema=ema)
    if stripped:
        say(f"weights {str(path)!r}: {', '.join(stripped)}")
    if not known & arrays.keys():
        _check_project(arrays, published, str(path))
    rules = max(tables, key=lambda rules: _found(arrays, rules, shapes))
    arrays, resampled = _resampled(arrays, rules, shapes, str(path))
    variables = assign(arrays, rules, shapes, ignored=published.ignored, where=str(path))
    names = published_names(rules, shapes)
    taken = {name: array for name, array in arrays.items() if name in names}
    for line in (*resampled, *_doubts(taken, variables)):
        say(f"weights {str(path)!r}: {line}")
    return variables


def unwrapped(
    arrays: Mapping[str, np.ndarray], known: Collection[str], *, ema: bool = True
) -> tuple[Mapping[str, np.ndarray], list[str]]:
    """Removes prefixes and other parts of a checkpoint from a network's arrays.

    If a known name appears, nothing more is stripped: known names may begin with such words, too. A
    prefix that all names share is stripped. Of several parts, the function takes the first one that
    has the name of a network or, with `ema`, of averages, and that contains known names. If there
    is none, all arrays are returned unchanged.

    Args:
      arrays: arrays by name; nested dicts have names with dots.
      known: names that the network's arrays may have.
      ema: whether to prefer the averages.

    Returns:
      The arrays by shorter names, and a text about what was stripped.
    """
    order = (*AVERAGES, *NETWORKS) if ema else (*NETWORKS, *AVERAGES)
    return _searched(arrays, known, order) or (arrays, [])


def _searched(
    arrays: Mapping[str, np.ndarray], known: Collection[str], order: Sequence[str]
) -> tuple[Mapping[str, np.ndarray], list[str]] | None:
    """Returns what `unwrapped` returns, or None if no known name appears."""
    if any(name in arrays for name in known):
        return arrays, []
    heads = list(dict.fromkeys(name.partition(".")[0] for name in arrays))
    usual = [word for word in dict.fromkeys((*order, *PREFIXES)) if word in heads]
    if len([head for head in heads if head not in COUNTS]) > 1:
        usual = [word for word in usual if word in order]
    for word in usual:
        prefix = f"{word}."
        below = {k.removeprefix(prefix): x for k, x in arrays.items() if k.startswith(prefix)}
        found = _searched(below, known, order)
        if found is not None:
            others = [head for head in heads if head != word]
            left = f" taken, and {', '.join(others)} left" if others else " stripped"
            return found[0], [f"{prefix!r}{left}", *found[1]]
    return None


def _resampled(
    arrays: Mapping[str, np.ndarray], rules: tuple[Rule, ...], shapes: Any, where: str
) -> tuple[Mapping[str, np.ndarray], list[str]]:
    """Resamples positions for images or windows of another size; both are squares.

    Returns:
      All arrays, and a text about what was resampled.
    """
    wanted, made, names = flatten_dict(shapes, sep="/"), dict(arrays), {}
    for path, name in names_by_path(rules, shapes).items():
        here, array = wanted[path].shape, arrays.get(name)
        if array is None or array.shape == here:
            continue
        tokens = (resampling.tokens_beside(path, wanted),) * 2
        try:
            how = resampling.find(path, array.shape, here, tokens=tokens, old=None, new=None)
        except ValueError as error:
            fits = f"{name} {array.shape} for {path} {here}"
            raise ConfigError(f"weights {where!r} do not fit: {fits}: {error}") from error
        if how is not None:
            made[name] = how.apply(array)
            names.setdefault(how, []).append(name)
    return made, [f"{_listed(found)} {how}" for how, found in names.items()]


def _doubts(arrays: Mapping[str, np.ndarray], variables: Any) -> list[str]:
    """Returns lines about arrays of another type than their leaves, and about non-finite leaves."""
    leaves = flatten_dict(variables, sep="/")
    types = {leaf.dtype for leaf in leaves.values()}
    lines = []
    for dtype in sorted({array.dtype for array in arrays.values()} - types, key=str):
        names = [name for name, array in arrays.items() if array.dtype == dtype]
        made = ", ".join(sorted(map(str, types)))
        lines.append(f"{_listed(names)} of {dtype} made {made}")
    broken = [path for path, leaf in leaves.items() if not np.isfinite(leaf).all()]
    return [*lines, f"{_listed(broken)} not finite"] if broken else lines


def _listed(names: Sequence[str]) -> str:
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def _found(arrays: Mapping[str, Any], rules: tuple[Rule, ...], shapes: Any) -> int:
    return len(published_names(rules, shapes) & arrays.keys())


def _check_project(arrays: Mapping[str, Any], published: Published, where: str) -> None:
    named = next((name for name in arrays if _TRANSFORMERS.match(name)), None)
    if named is None:
        return
    project, _, name = (published.reference or "").partition("/")
    read = f"those of {project}'s {name}" if name else "those in its table"
    raise ConfigError(
        f"weights {where!r} have the names of Hugging Face's transformers, such as {named!r}, "
        f"which only vit_*_patch* and deit_* can read; valid names for this network are {read}"
    )
