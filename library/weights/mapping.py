"""Tables that map names and layouts of published weights to those of models here, and back.

A table states for each leaf of a model, such as "params/stage1_block1/conv1/kernel", the name and
the layout of the published array. Forwards it loads weights. Backwards it writes the weights of a
model that was trained here.
"""

import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from library.config import ConfigError

# A longer list of problems is written on several lines, one problem on each.
_ONE_LINE = 12
_GROUP = re.compile(r"\{(\d+)([+-]\d+)?\}")

Shape = tuple[int, ...]


class Layout(NamedTuple):
    """The layout of an array in a published file.

    Attributes:
      load: (published array, shape of the leaf) -> leaf.
      save: leaf -> published array.
      part: (i, n) if the published array joins n leaves along an axis and this is leaf i, such as
        for a fused query, key and value.
      axis: the axis along which the published array joins leaves.
    """

    load: Callable[[np.ndarray, Shape], np.ndarray]
    save: Callable[[np.ndarray], np.ndarray]
    part: tuple[int, int] | None = None
    axis: int = 0

    def of(self, i: int, n: int, axis: int = 0) -> "Layout":
        """Returns the layout of part i of n along an axis of the published array."""
        return self._replace(part=(i, n), axis=axis)


def _window_first(x: np.ndarray, shape: Shape) -> np.ndarray:
    return np.moveaxis(x, (1, 0), (-2, -1))


def _window_last(x: np.ndarray) -> np.ndarray:
    return np.moveaxis(x, (-2, -1), (1, 0))


def _split(x: np.ndarray, shape: Shape) -> np.ndarray:
    # The number of elements alone would accept a kernel that is already transposed.
    if x.ndim != 2 or (x.shape[1] != shape[0] and x.shape[0] != shape[-1]):
        raise ValueError(x.shape)
    return x.T.reshape(shape)


def _plain(x: np.ndarray, shape: Shape) -> np.ndarray:
    # As in `_split`.
    if x.ndim != 2 or (x.shape[0] != shape[0] and x.shape[1] != shape[-1]):
        raise ValueError(x.shape)
    return x.reshape(shape)


def _channels(x: np.ndarray, shape: Shape) -> np.ndarray:
    return x[:, 0, 0] if x.shape == (*shape, 1, 1) else x


SAME = Layout(lambda x, shape: x, lambda x: x)
# One value per feature, here (d,) or, for attention, (heads, d / heads).
VECTOR = Layout(lambda x, shape: x.reshape(shape), lambda x: x.reshape(-1))
# PyTorch's kernels of convolutions, (out, in / groups, *window), here (*window, in / groups, out).
CONV = Layout(_window_first, _window_last)
# Such kernels for published images with channels blue, green and red, as Caffe's.
BLUE_FIRST = Layout(
    lambda x, shape: _window_first(x[:, ::-1], shape), lambda x: _window_last(x)[:, ::-1]
)
# PyTorch's kernels of dense layers, (out, in). Here (in, *out), and INPUTS (*in, out).
DENSE = Layout(_split, lambda x: x.reshape(x.shape[0], -1).T)
INPUTS = Layout(_split, lambda x: x.reshape(-1, x.shape[-1]).T)
# Dense kernels that are published as (in, out). Here (in, *out), and JOINED (*in, out).
PLAIN = Layout(_plain, lambda x: x.reshape(x.shape[0], -1))
JOINED = Layout(_plain, lambda x: x.reshape(-1, x.shape[-1]))
# One value per channel, (d,), published as (d, 1, 1).
CHANNELS = Layout(_channels, lambda x: x.reshape(-1, 1, 1))


def scaled(layout: Layout, factor: float) -> Layout:
    """Returns a layout whose leaves are the published arrays times a factor."""
    return layout._replace(
        load=lambda x, shape: layout.load(x, shape) * factor,
        save=lambda x: layout.save(x) / factor,
    )


def after_flattening(channels: int, height: int, width: int) -> Layout:
    """Returns the layout of a dense kernel whose published input is flattened channels first."""

    def load(x: np.ndarray, shape: Shape) -> np.ndarray:
        return x.reshape(-1, channels, height, width).transpose(2, 3, 1, 0).reshape(shape)

    def save(x: np.ndarray) -> np.ndarray:
        image = x.reshape(height, width, channels, -1)
        return image.transpose(3, 2, 0, 1).reshape(x.shape[-1], -1)

    return Layout(load, save)


class Rule(NamedTuple):
    """One row of a table: the published name of leaves. The first row that matches a leaf applies.

    Attributes:
      path: regular expression that matches the whole path of leaves here.
      name: the published name; {1} is a group of the expression, {1-1} its number minus one.
      layout: the layout of the published array.
    """

    path: str
    name: str
    layout: Layout = SAME


def conv_rules(here: str, there: str, *, bias: bool = False) -> tuple[Rule, ...]:
    """Returns the rows of convolutions; `here` is a regular expression of modules."""
    kernel = Rule(rf"params/{here}/kernel", f"{there}.weight", CONV)
    return (kernel, *([Rule(rf"params/{here}/bias", f"{there}.bias")] if bias else []))


def dense_rules(here: str, there: str, layout: Layout = DENSE) -> tuple[Rule, ...]:
    """Returns the rows of dense layers with a bias."""
    kernel = Rule(rf"params/{here}/kernel", f"{there}.weight", layout)
    return kernel, Rule(rf"params/{here}/bias", f"{there}.bias", VECTOR)


def norm_rules(here: str, there: str) -> tuple[Rule, ...]:
    """Returns the rows of normalization layers, with running statistics or without."""
    return (
        Rule(rf"params/{here}/scale", f"{there}.weight"),
        Rule(rf"params/{here}/bias", f"{there}.bias"),
        Rule(rf"batch_stats/{here}/mean", f"{there}.running_mean"),
        Rule(rf"batch_stats/{here}/var", f"{there}.running_var"),
    )


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
      where: the source of the arrays, for messages.

    Returns:
      Variables of the structure, shapes and types of `shapes`, numpy arrays.

    Raises:
      ConfigError: leaves without an array, arrays of other shapes, arrays of whole numbers for
        leaves of real numbers, or arrays without a leaf. One message lists all of them, one on
        each line if there are many.
    """
    wanted = flatten_dict(shapes, sep="/")
    places = {path: _place(path, rules) for path in wanted}
    names = {name for name, _ in places.values()}
    skip = (*ignored, r".*\.?num_batches_tracked")
    filled, misshapen, mistyped = {}, [], []
    for path, (name, layout) in places.items():
        if name in published:
            leaf = _loaded(published[name], layout, tuple(wanted[path].shape))
            if leaf is None:
                misshapen.append(_misshapen(name, published[name], path, wanted[path]))
            elif _is_real(wanted[path]) and not _is_real(leaf):
                mistyped.append(f"{name} {leaf.dtype} for {path} {wanted[path].dtype}")
            else:
                with np.errstate(over="ignore"):
                    filled[path] = np.asarray(leaf, wanted[path].dtype)
    problems = {
        "missing": [
            f"{name} ({path})" for path, (name, _) in places.items() if name not in published
        ],
        "of another shape": misshapen,
        "of another type": mistyped,
        "without a place in the model": [
            name
            for name in published
            if name not in names and not any(re.fullmatch(pattern, name) for pattern in skip)
        ],
    }
    if any(problems.values()):
        raise ConfigError(f"weights {where!r} do not fit: {_listed(problems)}")
    return unflatten_dict(filled, sep="/")


def published_names(rules: Sequence[Rule], shapes: Mapping[str, Any]) -> frozenset[str]:
    """Returns the published names of a model's variables."""
    return frozenset(names_by_path(rules, shapes).values())


def names_by_path(rules: Sequence[Rule], shapes: Mapping[str, Any]) -> dict[str, str]:
    """Returns the published name of each leaf of a model, by its path."""
    return {path: _place(path, rules)[0] for path in flatten_dict(shapes, sep="/")}


def published_as(variables: Mapping[str, Any], rules: Sequence[Rule]) -> dict[str, np.ndarray]:
    """Returns a model's variables by their published names, in their published layout.

    Each running variance is followed by the count of batches that PyTorch keeps, which is 0.

    Raises:
      ValueError: a leaf has no name, or an array of several leaves lacks some or has one twice.
    """
    parts: dict[str, list[tuple[tuple[int, int], np.ndarray]]] = {}
    axes: dict[str, int] = {}
    for path, leaf in flatten_dict(variables, sep="/").items():
        name, layout = _place(path, rules)
        part = layout.part or (0, 1)
        parts.setdefault(name, []).append((part, layout.save(np.asarray(leaf))))
        axes[name] = layout.axis
        if name.endswith("running_var"):
            count = name.removesuffix("running_var") + "num_batches_tracked"
            parts[count] = [((0, 1), np.zeros((), np.int64))]
    return {name: _whole(name, found, axes.get(name, 0)) for name, found in parts.items()}


def _whole(name: str, parts: Sequence[tuple[tuple[int, int], np.ndarray]], axis: int) -> np.ndarray:
    parts = sorted(parts, key=lambda each: each[0])
    expected = [(i, parts[0][0][1]) for i in range(parts[0][0][1])]
    if [part for part, _ in parts] != expected:
        found = ", ".join(str(i + 1) for (i, _), _ in parts)
        raise ValueError(f"{name} needs parts 1 to {len(expected)}, but has {found}")
    arrays = [array for _, array in parts]
    whole = arrays[0] if len(arrays) == 1 else np.concatenate(arrays, axis)
    return np.asarray(whole, order="C")


def _place(path: str, rules: Sequence[Rule]) -> tuple[str, Layout]:
    for rule in rules:
        match = _compiled(rule.path).fullmatch(path)
        if match:
            return _GROUP.sub(functools.partial(_expand, match), rule.name), rule.layout
    raise ValueError(f"no row of the table names {path}")


@functools.cache
def _compiled(pattern: str) -> re.Pattern:
    return re.compile(pattern)


def _expand(match: re.Match, group: re.Match) -> str:
    found = match[int(group[1])]
    return str(int(found) + int(group[2])) if group[2] else found


def _loaded(array: np.ndarray, layout: Layout, shape: Shape) -> np.ndarray | None:
    """Returns the leaf, or None if the array does not make a leaf of this shape."""
    if layout.part is not None:
        i, n = layout.part
        if array.ndim <= layout.axis or array.shape[layout.axis] % n:
            return None
        array = np.split(array, n, axis=layout.axis)[i]
    try:
        leaf = layout.load(array, shape)
    except ValueError:
        return None
    return leaf if leaf.shape == shape else None


def _is_real(array: Any) -> bool:
    return jnp.issubdtype(array.dtype, jnp.floating)


def _misshapen(name: str, array: np.ndarray, path: str, leaf: Any) -> str:
    return f"{name} {tuple(array.shape)} for {path} {tuple(leaf.shape)}"


def _listed(problems: Mapping[str, Sequence[str]]) -> str:
    found = {what: names for what, names in problems.items() if names}
    if sum(map(len, found.values())) <= _ONE_LINE:
        return "; ".join(f"{', '.join(names)} {what}" for what, names in found.items())
    counts = ", ".join(f"{len(names)} {what}" for what, names in found.items())
    lines = [f"  {name} {what}" for what, names in found.items() for name in names]
    return "\n".join((counts, *lines))
