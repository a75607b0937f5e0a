"""A network split at a layer: the layer's activation, and the logits as a function of it.

A layer is the result of a submodule, named by its path, such as "stage4_block2" or
"block3/attention", or a value that the network records under a name, such as "stage4".
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
    """The shape of a layer's activation, and whether the network records it."""

    shape: tuple[int, ...]
    recorded: bool


class _Traced(NamedTuple):
    """A network as a jaxpr of `(variables, image)` whose first result is the logits.

    Attributes:
      jaxpr: the network.
      layers: the jaxpr's variable of each layer.
      described: the layers that `survey` returns.
    """

    jaxpr: ClosedJaxpr
    layers: dict[str, Var]
    described: dict[str, Layer]


def survey(model: nn.Module, variables: PyTree, image: Float[Array, "b h w c"]) -> dict[str, Layer]:
    """Returns the layers by name: recorded ones, then others, each in order of computation."""
    return _trace(model, variables, image).described


def activations(
    model: nn.Module, variables: PyTree, image: Float[Array, "b h w c"], names: Sequence[str]
) -> dict[str, Array]:
    """Returns the activations of the named layers.

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

    Values that reach the logits around the layer, such as by a shortcut, are computed from the
    image and stay fixed. Unused computation costs nothing under `jit`.

    Args:
      model: `(image, train) -> logits`.
      variables: params and statistics of the model.
      image: images as the model takes them.
      layer: a name in `survey`.

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
    """Returns the rows and columns of a layer's spatial grid, or None if it has none.

    Args:
      shape: shape of the layer's activation: (b, rows, columns, c), or (b, t, c) for tokens of
        square patches, row by row, after a class token, a class and a distillation token, or none.
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
    """Returns an activation as a spatial grid; tokens are arranged as their patches, see `grid`.

    Raises:
      ConfigError: the layer has no spatial grid.
    """
    found = grid(activation.shape, image)
    if found is None:
        shape = "x".join(map(str, activation.shape[1:]))
        raise ConfigError(f"layer {layer!r} has no spatial grid: its shape is {shape}")
    rows, columns = found
    tokens = activation.reshape(len(activation), -1, activation.shape[-1])
    return tokens[:, -rows * columns :].reshape(len(activation), rows, columns, -1)


def _values(traced: _Traced, names: Sequence[str], arguments: Sequence[Any]) -> dict[str, Array]:
    jaxpr = traced.jaxpr.jaxpr.replace(outvars=[traced.layers[name] for name in names])
    found = traces.evaluate(ClosedJaxpr(jaxpr, traced.jaxpr.consts), arguments)
    return dict(zip(names, found))


def _trace(model: nn.Module, variables: PyTree, image: Array) -> _Traced:
    # Rematerialized blocks are traced as separate functions, whose layers are out of reach.
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
        # If a recorded value and a submodule have one name, it means the recorded value.
        plain = name.removesuffix("/")
        layers.setdefault(plain, variable)
        described.setdefault(plain, Layer(variable.aval.shape, plain == name))
    return _Traced(jaxpr, layers, described)


def _named(captured: Mapping[str, Any], path: str = ""):
    """Yields (path, value) of recorded values, and (path with "/", value) of submodules."""
    for name, value in captured.items():
        if isinstance(value, Mapping):
            yield from _named(value, f"{path}{name}/")
        elif name != "__call__":
            yield f"{path}{name}", value
        elif path and isinstance(value[-1], jax.Array):
            yield path, value[-1]


def _reaches(jaxpr: Jaxpr, variable: Var) -> bool:
    """Returns whether the first result of a jaxpr depends on a variable."""
    moved = {variable}
    for equation in jaxpr.eqns:
        if any(isinstance(atom, Var) and atom in moved for atom in equation.invars):
            moved.update(equation.outvars)
    return jaxpr.outvars[0] in moved
