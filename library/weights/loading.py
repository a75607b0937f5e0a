"""Files of published weights made a model's variables, under whichever names and wrappings.

A training saves {"model": ..., "optimizer": ..., "epoch": ...} and frameworks put a word of their
own before each name, "module." or "_orig_mod.". The same network has other names in other projects
and in older files.
"""

import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from flax import linen as nn

from library.config import ConfigError
from library.weights import files
from library.weights.mapping import Rule, assign, published_names
from library.weights.published import Published

# Under which words trainings keep the running averages of a network, and the network.
AVERAGES = ("model_ema", "state_dict_ema", "ema")
NETWORKS = ("state_dict", "model", "model_state_dict", "net", "network")
# Words that wrappers of networks put before every name: DataParallel, Lightning, torch.compile.
PREFIXES = ("module", "model", "_orig_mod")
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
      model: as it builds it.
      path: a file or a directory, see `files.read`.
      ema: of a training's checkpoint, take the running averages where it has them.
      say: called with one line on what was stripped, if anything was.

    Returns:
      The model's variables, numpy arrays.

    Raises:
      ConfigError: the file cannot be read, its names are none that are known of this network, or
        arrays do not fit; all that do not in one message.
    """
    arrays, shapes = files.read(path), published.shapes(model)
    tables = (published.rules, *published.others)
    known = frozenset().union(*(published_names(rules, shapes) for rules in tables))
    arrays, stripped = unwrapped(arrays, known, ema=ema)
    if stripped:
        say(f"weights {str(path)!r}: {', '.join(stripped)}")
    if not known & arrays.keys():
        _check_project(arrays, published, str(path))
    rules = max(tables, key=lambda rules: _found(arrays, rules, shapes))
    return assign(arrays, rules, shapes, ignored=published.ignored, where=str(path))


def unwrapped(
    arrays: Mapping[str, np.ndarray], known: Collection[str], *, ema: bool = True
) -> tuple[Mapping[str, np.ndarray], list[str]]:
    """Takes a network's arrays out of what they are wrapped in.

    Wherever one of the known names is seen, nothing is stripped any more: they may begin with
    such words themselves. A prefix is stripped that all names share; of several parts the one is
    taken that is named as the network or, with `ema`, as its averages. If the known names do not
    come to light, nothing was understood and all is as it was.

    Args:
      arrays: by name, dicts within dicts as names with dots.
      known: names that the network's arrays may have.
      ema: prefers the averages.

    Returns:
      The arrays by shorter names, and what was stripped, in words.
    """
    order = (*AVERAGES, *NETWORKS) if ema else (*NETWORKS, *AVERAGES)
    found, stripped = arrays, []
    while found and not any(name in found for name in known):
        heads = list(dict.fromkeys(name.partition(".")[0] for name in found))
        usual = [word for word in (*order, *PREFIXES) if word in heads]
        if len(heads) > 1:
            usual = [word for word in usual if word in order]
        if not usual:
            return arrays, []
        prefix = f"{usual[0]}."
        others = [head for head in heads if head != usual[0]]
        left = f" taken, and {', '.join(others)} left" if others else " stripped"
        stripped.append(f"{prefix!r}{left}")
        found = {k.removeprefix(prefix): x for k, x in found.items() if k.startswith(prefix)}
    return (found, stripped) if found else (arrays, [])


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
        f"which are read of vit_*_patch* and deit_* alone; of this network are {read}"
    )
