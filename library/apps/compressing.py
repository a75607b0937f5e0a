"""Compression of a trained classifier: smaller networks, their costs and their accuracy.

Nothing is trained here. The tasks `pruning` and `low_rank` train such networks further.
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
# The first of these metrics that a task measures is the score of its networks.
_SCORES = ("accuracy", "label_accuracy")
_add = jax.jit(trees.add)


@dataclasses.dataclass(frozen=True)
class Asked:
    """The settings of a compression.

    Attributes:
      methods: names in METHODS.
      sparsity: shares of zeros after pruning, one network for each.
      scope: "global" prunes the smallest weights of all kernels together, "layer" those of each
        kernel.
      rank: ranks of the factors, whole numbers or shares of the full rank; one network for each.
      energy: in place of ranks, shares of the squared singular values to keep.
      scheme: how convolutions are factored, "channel" or "spatial".
      kept: patterns of kernels that do not change.
    """

    methods: tuple[str, ...] = METHODS
    sparsity: tuple[float, ...] = (0.5, 0.7, 0.8, 0.9, 0.95)
    scope: str = "global"
    rank: tuple[int | float, ...] = ()
    energy: tuple[float, ...] = (0.5, 0.7, 0.8, 0.9, 0.95)
    scheme: str = "channel"
    kept: tuple[str, ...] = ()


class Row(NamedTuple):
    """The measurements of one network.

    Attributes:
      method: the method that made it.
      setting: the setting of the method, as text for people.
      score: the accuracy.
      loss: the loss on the same examples.
      cost: the size and the FLOPs.
    """

    method: str
    setting: str
    score: float
    loss: float
    cost: sizes.Cost


class _Candidate(NamedTuple):
    """A network to measure: its stored params, and how the model computes with them."""

    method: str
    setting: str
    params: PyTree
    restore: Callable[[PyTree], PyTree] = lambda params: params
    interceptor: Callable[..., Any] | None = None


def sweep(trained: Trained, asked: Asked, *, split: str = "test", ema: bool = True) -> list[Row]:
    """Measures the original network and all compressed networks.

    Each batch is loaded once and passes through all networks, which are in memory together.

    Args:
      trained: the run.
      asked: the methods and their settings.
      split: the split on which accuracies are measured.
      ema: whether to use the running averages if the run has them.

    Raises:
      ConfigError: the run is not a classifier of images, a value is out of range, a pattern matches
        no kernel, or there is nothing that a method could compress.
    """
    network, image = _network(trained, ema)
    return _measured(trained, network, image, list(_candidates(network, image, asked)), split)


def as_trained(trained: Trained, name: str, *, split: str = "test", ema: bool = True) -> Row:
    """Measures the network of a run without compression.

    Args:
      trained: the run.
      name: the name of the row.
      split: the split on which accuracies are measured.
      ema: whether to use the running averages if the run has them.

    Raises:
      ConfigError: the run is not a classifier of images.
    """
    network, image = _network(trained, ema)
    candidate = _Candidate(name, "as trained", network.variables["params"])
    return _measured(trained, network, image, [candidate], split)[0]


def parse_rank(text: str) -> int | float:
    """Parses a rank, such as "8", or a share of the full rank, such as "0.25".

    Raises:
      ConfigError: the text is neither.
    """
    try:
        value = int(text) if text.strip().isdecimal() else float(text)
    except ValueError:
        value = 0
    if not (value >= 1 if isinstance(value, int) else 0 < value < 1):
        raise ConfigError(f"--rank={text}: valid are whole numbers from 1 and shares below 1")
    return value


def _network(trained: Trained, ema: bool) -> tuple[Network, Any]:
    """Returns the classifier with only the variables that its model uses, and an image's shape."""
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
    """Returns the fields of `Asked` that a method reads: its function's keyword-only parameters.

    Raises:
      ConfigError: the method is unknown.
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
    """Returns the rows, with `described`, as plain values for a JSON file."""
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
