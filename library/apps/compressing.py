"""What `compress` makes of a trained classifier: smaller ones, what they take and what they do.

Nothing is trained here. The tasks `pruning` and `low_rank` train such networks on.
"""

import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from library import trees
from library.apps import classifier
from library.apps.classifier import Network
from library.compression import kernels, low_rank, pruning, quantization, sizes
from library.config import ConfigError, check_choice
from library.run.session import Trained
from library.summaries import summarize
from library.task import TrainState

METHODS = ("prune", "low_rank", "int8")
# The first that a task measures says how good its networks are.
_SCORES = ("accuracy", "label_accuracy")
_add = jax.jit(trees.add)


@dataclasses.dataclass(frozen=True)
class Asked:
    """How a network is to be compressed.

    Attributes:
      methods: of METHODS.
      sparsity: shares of zeros to prune to, one network each.
      scope: "global" prunes the smallest weights of all kernels, "layer" of each.
      rank: ranks to factor to, whole numbers or shares of the full rank.
      energy: in place of ranks, shares of the squared singular values to keep.
      scheme: how convolutions are factored, "channel" or "spatial".
      kept: patterns of kernels that stay as they are.
    """

    methods: tuple[str, ...] = METHODS
    sparsity: tuple[float, ...] = (0.5, 0.7, 0.8, 0.9, 0.95)
    scope: str = "global"
    rank: tuple[int | float, ...] = ()
    energy: tuple[float, ...] = (0.5, 0.7, 0.8, 0.9, 0.95)
    scheme: str = "channel"
    kept: tuple[str, ...] = ()


class Row(NamedTuple):
    """One network.

    Attributes:
      method: how it was made.
      setting: how far, for people.
      score: its accuracy.
      loss: on the same examples.
      cost: what it takes.
    """

    method: str
    setting: str
    score: float
    loss: float
    cost: sizes.Cost


class _Candidate(NamedTuple):
    """A network to measure: its params as they are stored, and how a model computes with them."""

    method: str
    setting: str
    params: PyTree
    restore: Callable[[PyTree], PyTree] = lambda params: params
    interceptor: Callable[..., Any] | None = None


def sweep(trained: Trained, asked: Asked, *, split: str = "test", ema: bool = True) -> list[Row]:
    """Measures the network as it is, and then each one that is asked for.

    All of them see each batch, which is so loaded once, and are in memory together.

    Args:
      trained: the run.
      asked: the methods, and how far they go.
      split: what accuracies are measured on.
      ema: use the running averages, where the run kept them.

    Raises:
      ConfigError: the run is no classifier of images, a value is out of range or a pattern of no
        kernel, or there is nothing that a method could compress.
    """
    network, image = _network(trained, ema)
    return _measured(trained, network, image, list(_candidates(network, image, asked)), split)


def as_trained(trained: Trained, name: str, *, split: str = "test", ema: bool = True) -> Row:
    """Measures the network of a run as it is.

    Args:
      trained: the run.
      name: what to call it.
      split: what accuracies are measured on.
      ema: use the running averages, where the run kept them.

    Raises:
      ConfigError: the run is no classifier of images.
    """
    network, image = _network(trained, ema)
    candidate = _Candidate(name, "as trained", network.variables["params"])
    return _measured(trained, network, image, [candidate], split)[0]


def parse_rank(text: str) -> int | float:
    """Reads a rank, "8", or a share of the full rank, "0.25".

    Raises:
      ConfigError: it is neither.
    """
    try:
        value = int(text) if text.strip().isdecimal() else float(text)
    except ValueError:
        value = 0
    if not (value >= 1 if isinstance(value, int) else 0 < value < 1):
        raise ConfigError(f"--rank={text}: valid are whole numbers from 1 and shares below 1")
    return value


def _network(trained: Trained, ema: bool) -> tuple[Network, Any]:
    """Returns the classifier with what it computes by alone, and the shape of an image."""
    network = classifier.network(trained, ema=ema)
    image = jax.ShapeDtypeStruct((1, *trained.plan.loader.blank["image"].shape), jnp.float32)
    own = jax.eval_shape(network.model.init, jax.random.key(0), image)
    return network._replace(variables={name: network.variables[name] for name in own}), image


def _candidates(network: Network, image: Any, asked: Asked) -> Iterator[_Candidate]:
    for method in asked.methods:
        check_choice("method", method, METHODS)
    params = network.variables["params"]
    yield _Candidate("original", "as trained", params)
    found = kernels.survey(network.model, network.variables, image)
    for method in asked.methods:
        if method != "prune" and not found:
            name = type(network.model).__name__
            raise ConfigError(f"method {method!r}: {name} has no dense layer or convolution")
        read = {name: getattr(asked, name) for name in settings(method)}
        yield from _MAKERS[method](params, found, **read)


def settings(method: str) -> list[str]:
    """Returns what a method reads of `Asked`: the keyword-only parameters of its function.

    Raises:
      ConfigError: an unknown method.
    """
    check_choice("method", method, METHODS)
    parameters = inspect.signature(_MAKERS[method]).parameters.values()
    return [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]


def _pruned(
    params: PyTree, found: Mapping, *, sparsity: Sequence[float], scope: str, kept: Sequence[str]
) -> Iterator[_Candidate]:
    for share in _given("sparsity", sparsity):
        made = pruning.one_shot(params, share, scope=scope, kept=kept)
        yield _Candidate("prune", f"{share:.4g} zeros", made)


def _factored(
    params: PyTree,
    found: Mapping,
    *,
    rank: Sequence[int | float],
    energy: Sequence[float],
    scheme: str,
    kept: Sequence[str],
) -> Iterator[_Candidate]:
    decomposed = low_rank.decompose(params, found, scheme=scheme, kept=kept)
    asks = [("rank", each) for each in rank]
    asks = asks or [("energy", each) for each in _given("energy", energy)]
    for name, value in asks:
        made = low_rank.factored(params, decomposed, **{name: value})
        yield _Candidate("low_rank", f"{name} {value:.4g}", made, interceptor=low_rank.two_steps)


def _quantized(params: PyTree, found: Mapping, *, kept: Sequence[str]) -> Iterator[_Candidate]:
    made = quantization.quantized(params, found, kept)
    yield _Candidate("int8", "weights", made, restore=quantization.dequantized)
    yield _Candidate("int8", "weights, inputs", made, interceptor=quantization.whole_numbers)


_MAKERS = {"prune": _pruned, "low_rank": _factored, "int8": _quantized}


def _given(name: str, values: Sequence[float]) -> Sequence[float]:
    if not values:
        raise ConfigError(f"--{name} is empty: write one value or more, such as 0.5,0.9")
    return values


def _measured(
    trained: Trained, network: Network, image: Any, candidates: Sequence[_Candidate], split: str
) -> list[Row]:
    context, compiled = trained.feed.context(), {}
    for each in candidates:
        ways = each.restore, each.interceptor
        if ways not in compiled:
            compiled[ways] = context.measure(_evaluation(trained, *ways))
    stored = [jax.device_get({**network.variables, "params": each.params}) for each in candidates]
    states = [_state(trained, variables) for variables in stored]
    totals: list[Any] = [None] * len(candidates)
    for batch in context.batches(split, None):
        for i, (each, state) in enumerate(zip(candidates, states)):
            sums = compiled[each.restore, each.interceptor](state, batch)
            totals[i] = sums if totals[i] is None else _add(totals[i], sums)
    trained.feed.tell(context.warn)
    return [
        _row(trained, network, image, *found)
        for found in zip(candidates, stored, map(summarize, jax.device_get(totals)))
    ]


def _evaluation(trained: Trained, restore: Callable, interceptor: Callable | None) -> Callable:
    def evaluate(state, batch, key):
        state = state.replace(params=restore(state.params))
        if interceptor is None:
            return trained.plan.task.evaluate(state, batch, key)
        with nn.intercept_methods(interceptor):
            return trained.plan.task.evaluate(state, batch, key)

    return evaluate


def _state(trained: Trained, variables: Mapping[str, PyTree]) -> TrainState:
    placed = trained.plan.strategy.replicate(dict(variables))
    params = placed.pop("params")
    return trained.state.replace(params=params, variables=placed, opt_state=(), ema=None)


def _row(
    trained: Trained,
    network: Network,
    image: Any,
    candidate: _Candidate,
    stored: PyTree,
    summary: Mapping[str, Any],
) -> Row:
    scores = [summary[name] for name in _SCORES if name in summary]
    if not scores:
        name = trained.plan.recipe.task["name"]
        raise ConfigError(f"task {name!r} measures no accuracy, but {', '.join(sorted(summary))}")
    restored = {**stored, "params": jax.device_get(candidate.restore(stored["params"]))}
    taken = sizes.cost(network.model, restored, image, candidate.interceptor, stored)
    loss = float(summary["loss"])
    return Row(candidate.method, candidate.setting, float(scores[0]), loss, taken)


def record(rows: Sequence[Row], **described: Any) -> dict[str, Any]:
    """Returns the rows as plain values for a JSON file, under what describes them."""
    first = rows[0].cost
    return {
        **described,
        "rows": [
            {
                "method": row.method,
                "setting": row.setting,
                "accuracy": row.score,
                "loss": row.loss,
                **row.cost._asdict(),
                "times_smaller": first.bytes / row.cost.bytes,
            }
            for row in rows
        ],
    }
