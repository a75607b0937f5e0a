"""A network cut in two at a layer: the activation there, and the logits as a function of it.

A layer is a submodule by its path, such as "stage4_block2" or "block3/attention", and means what
that module returns; or what the network records under a name, such as "stage4".
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, Var
from jaxtyping import Array, Float, PyTree

from library.apps.explain import traces
from library.config import ConfigError, check_choice

Rest = Callable[[Array], Float[Array, "b k"]]


class Layer(NamedTuple):
    """What is known of a layer: its activation's shape, and whether the network records it."""

    shape: tuple[int, ...]
    recorded: bool


class _Traced(NamedTuple):
    """A network as a jaxpr of `(variables, image)` whose first result is the logits.

    Attributes:
      jaxpr: the network.
      layers: the variable of each layer.
      described: what `survey` returns.
    """

    jaxpr: ClosedJaxpr
    layers: dict[str, Var]
    described: dict[str, Layer]


def survey(model: nn.Module, variables: PyTree, image: Float[Array, "b h w c"]) -> dict[str, Layer]:
    """Returns the layers by name, those recorded first, each kind in the order of computation."""
    return _trace(model, variables, image).described


def activations(
    model: nn.Module, variables: PyTree, image: Float[Array, "b h w c"], names: Sequence[str]
) -> dict[str, Array]:
    """Returns the activations of some layers, by name.

    Raises:
      ConfigError: there is no such layer.
    """
    traced = _trace(model, variables, image)
    for name in names:
        check_choice("layer", name, traced.layers)
    return _values(traced, names, jax.tree.leaves((variables, image)))


def split(
    model: nn.Module, variables: PyTree, image: Float[Array, "b h w c"], layer: str
) -> tuple[Array, Rest]:
    """Returns a layer's activation, and the function from it to the logits.

    What reaches the logits beside the layer, such as a shortcut around it, is computed from the
    image and held fixed. What is computed in vain costs nothing under `jit`.

    Args:
      model: `(image, train) -> logits`.
      variables: its params and statistics.
      image: as the model takes it.
      layer: one of `survey`.

    Raises:
      ConfigError: there is no such layer, or the logits do not depend on it.
    """
    traced = _trace(model, variables, image)
    check_choice("layer", layer, traced.layers)
    place, arguments = traced.layers[layer], jax.tree.leaves((variables, image))
    if not _reaches(traced.jaxpr.jaxpr, place):
        raise ConfigError(f"the logits do not depend on layer {layer!r}")

    def rest(activation: Array) -> Float[Array, "b k"]:
        return traces.evaluate(traced.jaxpr, arguments, values={place: activation})[0]

    return _values(traced, [layer], arguments)[layer], rest


def grid(shape: Sequence[int], image: Sequence[int]) -> tuple[int, int] | None:
    """Returns the rows and columns of a layer, or None if it has no places in space.

    Args:
      shape: of its activation: (b, rows, columns, c), or (b, t, c) of tokens that stand for square
        patches, row by row, behind a class token, that and one of distillation, or none.
      image: shape of the images, (b, h, w, c).
    """
    if len(shape) == 4:
        return tuple(shape[1:3]) if shape[1] * shape[2] > 1 else None
    height, width = image[1:3]
    for special in range(3) if len(shape) == 3 else ():
        patches = shape[1] - special
        side = max(1, math.isqrt(height * width // max(patches, 1)))
        rows, columns = height // side, width // side
        whole = (rows * columns, rows * side, columns * side) == (patches, height, width)
        if patches > 1 and whole:
            return rows, columns
    return None


def in_space(
    activation: Float[Array, "b ... c"], image: Sequence[int], layer: str
) -> Float[Array, "b rows columns c"]:
    """Lays tokens out as the patches they stand for; see `grid`.

    Raises:
      ConfigError: the layer has no places in space.
    """
    found = grid(activation.shape, image)
    if found is None:
        shape = "x".join(map(str, activation.shape[1:]))
        raise ConfigError(f"layer {layer!r} has no places in space: it is {shape}")
    rows, columns = found
    tokens = activation.reshape(len(activation), -1, activation.shape[-1])
    return tokens[:, -rows * columns :].reshape(len(activation), rows, columns, -1)


def _values(traced: _Traced, names: Sequence[str], arguments: Sequence[Any]) -> dict[str, Array]:
    jaxpr = traced.jaxpr.jaxpr.replace(outvars=[traced.layers[name] for name in names])
    found = traces.evaluate(ClosedJaxpr(jaxpr, traced.jaxpr.consts), arguments)
    return dict(zip(names, found))


def _trace(model: nn.Module, variables: PyTree, image: Array) -> _Traced:
    # Recomputed blocks are traced as functions of their own, into which no layer would reach.
    model = model.clone(remat=False) if getattr(model, "remat", False) else model
    found = []

    def function(variables, image):
        logits, state = model.apply(
            variables, image, train=False, capture_intermediates=True, mutable=["intermediates"]
        )
        captured = dict(_named(state["intermediates"]))
        found.append(list(captured))
        return logits, list(captured.values())

    jaxpr = jax.make_jaxpr(function)(variables, image)
    computed = [v for equation in jaxpr.jaxpr.eqns for v in equation.outvars]
    order = {v: place for place, v in enumerate([*jaxpr.jaxpr.invars, *computed])}
    known = zip(found[0], jaxpr.jaxpr.outvars[1:])
    known = [(name, v) for name, v in known if isinstance(v, Var) and v in order]
    known.sort(key=lambda item: (item[0].endswith("/"), order[item[1]]))
    layers, described = {}, {}
    for name, variable in known:
        # Of a record and a submodule of one name it is the record that is meant.
        plain = name.removesuffix("/")
        layers.setdefault(plain, variable)
        described.setdefault(plain, Layer(variable.aval.shape, plain == name))
    return _Traced(jaxpr, layers, described)


def _named(captured: Mapping[str, Any], path: str = ""):
    """Yields (path, value) of what was recorded, and (path with "/", value) of submodules."""
    for name, value in captured.items():
        if isinstance(value, Mapping):
            yield from _named(value, f"{path}{name}/")
        elif name != "__call__":
            yield f"{path}{name}", value
        elif path and isinstance(value[-1], jax.Array):
            yield path, value[-1]


def _reaches(jaxpr: Jaxpr, variable: Var) -> bool:
    """Tells whether the first result depends on a variable."""
    moved = {variable}
    for equation in jaxpr.eqns:
        if any(isinstance(atom, Var) and atom in moved for atom in equation.invars):
            moved.update(equation.outvars)
    return jaxpr.outvars[0] in moved
