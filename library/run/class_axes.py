"""Which axes of which params of a model have an entry for each class, or for each token."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import linen as nn

from library import trees
from library.run.plan import Plan, initial_state


class Reordering(NamedTuple):
    """How a leaf is reordered: entry i of the new axis is entry `order[i]` of the old one."""

    axis: int
    order: tuple[int, ...]

    def __str__(self) -> str:
        return "reordered by the names of its classes"

    def apply(self, leaf: np.ndarray) -> np.ndarray:
        """Returns the leaf with its classes in the new order."""
        return np.take(leaf, self.order, axis=self.axis)


class Classes(NamedTuple):
    """The classes of another run and of this run.

    Attributes:
      there: names of the other run's classes, None if unknown.
      here: names of this run's classes, None if unknown.
      axes: returns the axes of the classes by path, see `axes`.
    """

    there: Sequence[str] | None = None
    here: Sequence[str] | None = None
    axes: Callable[[], Mapping[str, int | None]] = dict

    @property
    def differ(self) -> bool:
        """Whether the names are known and differ, or have another order."""
        known = self.there is not None and self.here is not None
        return known and list(self.there) != list(self.here)

    def change(self, path: str, shape: tuple[int, ...]) -> Reordering | str | None:
        """Returns what a leaf of the same shape in both runs needs.

        Returns:
          None if it can be taken, a reordering, or the reason why it cannot be taken.
        """
        if not self.differ or path not in self.axes():
            return None
        axis, before, now = self.axes()[path], list(self.there), list(self.here)
        if sorted(before) != sorted(now):
            pairs = zip(before, now)
            other = next((pair for pair in pairs if pair[0] != pair[1]), None)
            example = f", {other[0]!r} and not {other[1]!r}" if other else ""
            return f"its classes have other names there{example}"
        if axis is None or shape[axis] != len(now) or len(set(now)) != len(now):
            return "its classes have another order there"
        return Reordering(axis, tuple(before.index(name) for name in now))


def axes(plan: Plan, attribute: str = "num_classes") -> dict[str, int | None]:
    """Returns the axis of the classes of each leaf that has one, by path: "params/head/kernel".

    These are the leaves whose shapes change with the attribute `num_classes` of the plan's models.
    The axis is None if it has other entries than the classes, too, as in the head of a detector.
    With the attribute "vocab_size" it is the axis of the tokens. The function traces
    initialisations.
    """
    # Two players may have leaves of one path with other shapes.
    found: dict[str, dict[tuple[int, ...], int | None]] = {}
    busy = False

    def note(call, arguments, options, context):
        nonlocal busy
        module, method = context.module, context.method_name
        outermost = not busy and module.path == () and _counts(module, attribute)
        if not outermost or method == "setup":
            return call(*arguments, **options)
        # A method that the model calls itself may make no sense by itself.
        busy = True
        try:
            changing = _changing(module, attribute, method, arguments, options)
            for path, (shape, axis) in changing.items():
                found.setdefault(path, {})[shape] = axis
            return call(*arguments, **options)
        finally:
            busy = False

    batch = plan.loader.like(plan.dataset.batch_size)
    key = jax.eval_shape(lambda: jax.random.key(0))
    with nn.intercept_methods(note):
        jax.eval_shape(functools.partial(initial_state, plan), batch, {"key": key, "resident": {}})
    state = trees.flatten({"params": plan.state.params, **plan.state.variables})
    known = {path: _known(path, leaf.shape, found) for path, leaf in state.items()}
    return {path: axis[0] for path, axis in known.items() if axis}


def _counts(module: nn.Module, attribute: str) -> bool:
    return isinstance(getattr(module, attribute, None), int)


def _changing(
    module: nn.Module, attribute: str, method: str, arguments: tuple, options: Mapping[str, Any]
) -> dict[str, tuple[tuple[int, ...], int | None]]:
    """Returns the shapes and axes of the leaves that another value of an attribute changes."""
    count = getattr(module, attribute)

    def shapes(value: int) -> dict[str, tuple[int, ...]]:
        made = module.clone(parent=None, **{attribute: value})

        def init(key):
            keys = {"params": key, "dropout": key}
            return made.init(keys, *arguments, **options, method=method)

        key = jax.eval_shape(lambda: jax.random.key(0))
        return {k: x.shape for k, x in trees.flatten(jax.eval_shape(init, key)).items()}

    before, after = shapes(count), shapes(count + 1)
    found = {}
    for path in before.keys() & after.keys():
        pairs = zip(before[path], after[path])
        moved = [axis for axis, (old, new) in enumerate(pairs) if old != new]
        if moved:
            whole = len(moved) == 1 and before[path][moved[0]] == count
            found[path] = (before[path], moved[0] if whole else None)
    return found


def _known(
    path: str, shape: tuple[int, ...], found: Mapping[str, Mapping[tuple[int, ...], int | None]]
) -> tuple[int | None] | None:
    """Returns the axis of the classes of a leaf of the state, in a tuple; None if it has none.

    The leaf may be below a player's name. In another collection than in the module it is of the
    param of that path, as masks are.
    """
    collection, _, rest = path.partition("/")
    names = [f"{top}/{inner}" for top in (collection, "params") for inner in _below(rest)]
    return next(((found[name][shape],) for name in names if shape in found.get(name, {})), None)


def _below(path: str) -> tuple[str, str]:
    return path, path.partition("/")[2]
