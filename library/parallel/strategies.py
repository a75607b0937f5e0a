"""The two ways to run a step on many devices: `jit` over a named mesh, and `pmap`.

Under `jit` the program is written for the global batch, and the compiler splits it. Batch
statistics are those of the global batch. Under `pmap` each device runs the program on its part.
Batch statistics are the device's own, as in the classic ImageNet results.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from library.config import ConfigError, check_choice
from library.layers import placement
from library.parallel import sharding
from library.parallel.mesh import make_mesh


class Strategy(NamedTuple):
    """How functions of (state, batch, constants) are run over the devices.

    Attributes:
      mesh: the devices, by axis.
      axis_name: the axis to sum over inside a step, or None if the compiler sums.
      batch_shards: parts that a batch is split into.
      describe: shapes of a state, of a batch of all processes and of constants -> the same shapes
        with shardings, for a compilation without arrays.
      places: number of examples in a batch of all processes -> the places that this process loads,
        `(n,)`, ascending: those that its devices hold. Other processes may hold them, too.
      put: the examples at these places, numpy arrays -> the batch on the devices. With
        `steps=True` it takes the stacked batches of several steps.
      replicate: host arrays -> the same arrays on every device.
      within: wraps a step, so that its activations have the shardings of the config.
      init: `(f, *arguments)` -> `f(*arguments)`, computed with the shardings of the state.
      update: compiles `(carry, batch, constants) -> (carry, aux)`; the carry is donated and keeps
        its shardings.
      measure: compiles `(state, batch, constants) -> sums`, summed over the whole batch.
      collect: compiles `(state, batch, constants) -> arrays` with a leading example axis.
    """

    mesh: Mesh
    axis_name: str | None
    batch_shards: int
    describe: Callable[[PyTree, PyTree, PyTree], tuple[PyTree, PyTree, PyTree]]
    places: Callable[[int], np.ndarray]
    put: Callable[..., dict[str, jax.Array]]
    replicate: Callable[[PyTree], PyTree]
    within: Callable[[Callable], Callable]
    init: Callable[..., PyTree]
    update: Callable[[Callable, PyTree], Callable]
    measure: Callable[[Callable], Callable]
    collect: Callable[[Callable], Callable]


def make_strategy(
    name: str,
    mesh: Mapping[str, int],
    rules: str | Sequence[sharding.Rule],
    devices: Sequence[jax.Device] | None = None,
    activations: Mapping[str, str] | None = None,
) -> Strategy:
    """Makes the strategy that a config names.

    Args:
      name: "jit" or "pmap".
      mesh: devices along each axis; under `pmap` only the data axis may be wider than one.
      rules: sharding rules, or their name; `pmap` takes only the default.
      devices: the devices to use, by default all.
      activations: axes that split a step's activations, by dimension; see `layers.placement`.

    Raises:
      ConfigError: an unknown strategy, a mesh that does not fit the devices or the strategy, or
        rules or activations that are invalid or that the strategy does not support.
    """
    check_choice("strategy", name, ("jit", "pmap"))
    made = make_mesh(mesh, devices)
    if name == "jit":
        return _jit(made, rules, activations or {})
    if made.shape["data"] != made.size:
        raise ConfigError(f"strategy 'pmap' splits only data, got the mesh {dict(made.shape)}")
    if isinstance(rules, str) or tuple(map(tuple, rules)) != sharding.REPLICATE_OR_FSDP:
        raise ConfigError(f"strategy 'pmap' takes no sharding rules, got {rules!r}")
    if activations:
        raise ConfigError(f"strategy 'pmap' splits no activations, got {dict(activations)}")
    return _pmap(made)


def _jit(
    mesh: Mesh, rules: str | Sequence[sharding.Rule], activations: Mapping[str, str]
) -> Strategy:
    with placement.activations(mesh, activations):
        # An invalid value fails now.
        pass
    replicated = NamedSharding(mesh, PartitionSpec())
    examples = NamedSharding(mesh, PartitionSpec(("data", "fsdp")))
    by_step = NamedSharding(mesh, PartitionSpec(None, ("data", "fsdp")))
    shards = mesh.shape["data"] * mesh.shape["fsdp"]
    held = len(sharding.places(examples, shards))

    def put(batch, steps=False):
        return _from_local(batch, by_step if steps else examples, int(steps), shards / held)

    def init(f, *arguments):
        shardings = sharding.shardings(jax.eval_shape(f, *arguments), mesh, rules)
        # If JAX must not compile, out_shardings have no effect.
        return jax.device_put(jax.jit(f, out_shardings=shardings)(*arguments), shardings)

    def describe(state, batch, rest):
        state = _placed(state, sharding.shardings(state, mesh, rules))
        return state, _placed(batch, examples), _placed(rest, replicated)

    def within(f):
        def placed(*arguments):
            with placement.activations(mesh, activations):
                return f(*arguments)

        return placed if activations else f

    def update(f, carry):
        kept = jax.tree.map(lambda x: x.sharding, carry)
        return jax.jit(within(f), out_shardings=(kept, replicated), donate_argnums=0)

    return Strategy(
        mesh=mesh,
        axis_name=None,
        batch_shards=shards,
        describe=describe,
        places=functools.partial(sharding.places, examples),
        put=put,
        replicate=lambda tree: _replicated(tree, replicated),
        within=within,
        init=init,
        update=update,
        measure=lambda f: jax.jit(f, out_shardings=replicated),
        collect=lambda f: _fetched(jax.jit(f, out_shardings=replicated), lambda x: x),
    )


def _pmap(mesh: Mesh) -> Strategy:
    axis, shards = "data", mesh.size
    # pmap makes this mesh itself: arrays on another mesh would compile the step once more.
    own = Mesh(mesh.devices.reshape(-1), (axis,))
    replicated = NamedSharding(own, PartitionSpec())
    examples = NamedSharding(own, PartitionSpec(axis))
    held = len(sharding.places(examples, shards))

    def put(batch, steps=False):
        parts = {k: _by_device(v, held, int(steps)) for k, v in batch.items()}
        return _from_local(parts, examples, 0, shards / held)

    def describe(state, batch, rest):
        batch = {k: _shape_by_device(x, shards) for k, x in batch.items()}
        return _placed(state, replicated), _placed(batch, examples), _placed(rest, replicated)

    def summed(f):
        return lambda *arguments: jax.lax.psum(f(*arguments), axis)

    def gathered(f):
        return lambda *arguments: jax.lax.all_gather(f(*arguments), axis)

    compiled = functools.partial(_pmapped, mesh=own)
    return Strategy(
        mesh=mesh,
        axis_name=axis,
        batch_shards=shards,
        describe=describe,
        places=functools.partial(sharding.places, examples),
        put=put,
        replicate=lambda tree: _replicated(tree, replicated),
        within=lambda f: f,
        init=lambda f, *arguments: jax.jit(f, out_shardings=replicated)(*arguments),
        update=lambda f, carry: _counted(compiled, f, donate_argnums=0),
        measure=lambda f: compiled(summed(f)),
        collect=lambda f: _fetched(compiled(gathered(f)), lambda x: x.reshape(-1, *x.shape[2:])),
    )


def _by_device(values: np.ndarray, devices: int, at: int) -> np.ndarray:
    """Returns the parts of a batch, (devices, ...), split along axis `at`.

    They are views, so that the batch is not copied.
    """
    shape = *values.shape[:at], devices, -1, *values.shape[at + 1 :]
    return np.moveaxis(values.reshape(shape), at, 0)


def _shape_by_device(x: jax.ShapeDtypeStruct, devices: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((devices, x.shape[0] // devices, *x.shape[1:]), x.dtype)


def _counted(compiled: Callable, f: Callable, **options: Any) -> Callable:
    """Compiles `f` by `compiled`, and counts how often that is done, as `jax.jit` does."""
    traces = []

    def traced(*arguments):
        traces.append(f)
        return f(*arguments)

    run = compiled(traced, **options)
    # jit has this method. pmap has none, but it compiles whenever it traces.
    run._cache_size = lambda: len(traces)
    return run


def _pmapped(f: Callable, mesh: Mesh, **options: Any) -> Callable:
    """Compiles `(state, batch, constants) -> values` for a batch with an axis of devices."""
    if jax.process_count() > 1:
        return _pmap_of_processes(f, mesh, **options)
    (axis,), devices = mesh.axis_names, list(mesh.devices.flat)
    axes = dict(in_axes=(None, 0, None), out_axes=None)
    return jax.pmap(f, axis, devices=devices, **axes, **options)


def _pmap_of_processes(f: Callable, mesh: Mesh, **options: Any) -> Callable:
    """Compiles the program of `jax.pmap` for arrays that several processes hold.

    `jax.pmap` takes the arrays of each process, and copies the whole state at every step.
    """
    whole, part = PartitionSpec(), PartitionSpec(mesh.axis_names)

    def on_each_device(state, batch, constants):
        return f(state, jax.tree.map(lambda x: x[0], batch), constants)

    spread = jax.shard_map(
        on_each_device,
        mesh=mesh,
        in_specs=(whole, part, whole),
        out_specs=whole,
        check_vma=False,
    )
    return jax.jit(spread, **options)


def _placed(shapes: PyTree, places: PyTree) -> PyTree:
    """Returns shapes with shardings: one for each, or one for all."""
    if isinstance(places, NamedSharding):
        places = jax.tree.map(lambda _: places, shapes)
    return jax.tree.map(
        lambda x, place: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), shapes, places
    )


def _from_local(
    batch: Mapping[str, np.ndarray], layout: NamedSharding, along: int, larger: float
) -> dict[str, jax.Array]:
    """Makes global arrays, whose dimension `along` is `larger` times that of this process.

    JAX would infer the factor, but it cannot if processes hold overlapping parts.
    """

    def whole(shape):
        return (*shape[:along], round(larger * shape[along]), *shape[along + 1 :])

    return {
        k: jax.make_array_from_process_local_data(layout, v, whole(v.shape))
        for k, v in batch.items()
    }


def _replicated(tree: PyTree, layout: NamedSharding) -> PyTree:
    def put(x):
        if jnp.issubdtype(getattr(x, "dtype", None), jax.dtypes.prng_key):
            # Only host arrays can be put on the devices of other processes.
            return jax.random.wrap_key_data(
                put(jax.random.key_data(x)), impl=jax.random.key_impl(x)
            )
        return jax.device_put(np.asarray(x), layout)

    return jax.tree.map(put, tree)


def _fetched(f: Callable, reshape: Callable[[np.ndarray], Any]) -> Callable:
    """Wraps a compiled function so that it returns host arrays of the whole batch."""
    return lambda *arguments: jax.tree.map(reshape, jax.device_get(f(*arguments)))
