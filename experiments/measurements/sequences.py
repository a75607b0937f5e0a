"""Networks of sequences here and in PyTorch: training steps and beam search, without tuning.

Both have the same networks, losses, optimizers and sizes: see `torch_sequences`.
"""

import functools
import importlib.util
import statistics
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.measurements import torch_sequences
from experiments.measurements.peers import MISSING
from experiments.measurements.timing import Budget, Step, in_turn, ratio, seconds_each
from library.models.sequence import rnn, transformer
from library.task import Task, minimize
from library.tasks.classification import classification
from library.tasks.translation import translation

# A classifier of series, and the Transformer for Multi30k, with fewer tokens.
LSTM = dict(inputs=16, width=128, depth=2, num_classes=10)
TRANSFORMER = dict(vocab_size=4_000, width=128, depth=4, num_heads=4, feed_forward=256)
# Examples and steps, or tokens of a sentence.
SERIES, SENTENCES, SEARCHED = (32, 100), (32, 24), (8, 24)
BEAMS = 5
_RATE = 1e-3


def sequences(budget: Budget) -> dict[str, float]:
    """Times a step of an LSTM and of a Transformer, and the beam search of the Transformer.

    PyTorch runs the steps eager and with `torch.compile`, and the search eager. Both search to the
    last token: the networks are not trained. Ratios are medians over rounds of the time here over
    the time in PyTorch.
    """
    if importlib.util.find_spec("torch") is None:
        return MISSING
    if jax.default_backend() != "cpu":
        return {"sequences is measured on CPU only, ratio": float("nan")}
    budget = budget.for_large_steps()
    figures: dict[str, float] = {}
    for name in ("lstm", "transformer"):
        steps = {"jax": our_step(name)}
        steps |= {k: their_step(name, k == "torch.compile") for k in ("eager", "torch.compile")}
        figures |= _compared(f"{name} step", budget, steps)
    searches = {"jax": our_search(), "eager": their_search()}
    return figures | _compared("beam search", budget, searches)


def _compared(what: str, budget: Budget, steps: Mapping[str, Step]) -> dict[str, float]:
    measures = {k: functools.partial(seconds_each, s, budget) for k, s in steps.items()}
    found = in_turn(budget, measures)
    ratios = {f"{what} to {k}": ratio(found["jax"], found[k]) for k in steps if k != "jax"}
    return {f"{what} ms": 1e3 * statistics.median(found["jax"]), **ratios}


def batch(name: str) -> dict[str, np.ndarray]:
    """Returns random series with classes, or pairs of random sentences of one length."""
    random, (count, length) = np.random.default_rng(0), _sizes(name)
    found = {"mask": np.ones(count, np.float32), "index": np.arange(count, dtype=np.uint32)}
    if name == "lstm":
        series = random.normal(size=(count, length, LSTM["inputs"]))
        label = random.integers(0, LSTM["num_classes"], count)
        return {**found, "series": np.float32(series), "label": np.int32(label)}
    for language in ("source", "target"):
        tokens = random.integers(3, TRANSFORMER["vocab_size"], (count, length))
        found[language] = np.int32(tokens)
        found[f"{language}_mask"] = np.ones((count, length), np.float32)
    return found


def _sizes(name: str) -> tuple[int, int]:
    return {"lstm": SERIES, "transformer": SENTENCES, "search": SEARCHED}[name]


def our_task(name: str) -> Task:
    """Returns the task here, with the optimizer of `their_step`."""
    learner = functools.partial(minimize, optimizer=optax.adam(_RATE))
    if name == "lstm":
        size = {key: value for key, value in LSTM.items() if key != "inputs"}
        classes = LSTM["num_classes"]
        return classification(rnn.lstm(**size), learner, num_classes=classes, inputs=("series",))
    length = (_sizes(name)[1],)
    names = ("source", "target")
    shapes = {key: length for name in names for key in (name, f"{name}_mask")}
    model = transformer.transformer(**TRANSFORMER, dropout=0.0)
    known = dict(vocab_size=TRANSFORMER["vocab_size"], feature_shapes=shapes, beams=BEAMS)
    return translation(model, learner, inputs=names, **known)


def our_step(name: str) -> Step:
    """Returns a training step here."""
    task, examples = our_task(name), jax.tree.map(jnp.asarray, batch(name))
    update = jax.jit(task.update, donate_argnums=0)
    held = [jax.jit(task.init)(jax.random.key(0), examples)]

    def step():
        held[0], metrics = update(held[0], examples, jax.random.key(1))
        return metrics["loss"]

    return step


def our_search() -> Step:
    """Returns a beam search here."""
    task, examples = our_task("search"), jax.tree.map(jnp.asarray, batch("search"))
    state = jax.jit(task.init)(jax.random.key(0), examples)
    return functools.partial(jax.jit(task.outputs["translate"]), state, examples, jax.random.key(1))


def their_network(name: str) -> Any:
    """Returns a network in PyTorch."""
    import torch

    torch.manual_seed(0)
    if name == "lstm":
        return torch_sequences.lstm(LSTM)
    return torch_sequences.transformer(TRANSFORMER, _sizes(name)[1])


def their_step(name: str, compiled: bool = False) -> Step:
    """Returns a training step in PyTorch."""
    import torch

    network, examples = their_network(name), _tensors(name)
    optimizer = torch.optim.Adam(network.parameters(), lr=_RATE)
    run = torch.compile(network) if compiled else network
    if name == "lstm":
        given, wanted = (examples["series"],), examples["label"]
    else:
        moved = torch.nn.functional.pad(examples["target"][:, :-1], (1, 0), value=1)
        given = (examples["source"], examples["source_mask"], moved)
        wanted = examples["target"]

    def step():
        optimizer.zero_grad(set_to_none=True)
        logits = run(*given).flatten(0, -2)
        torch.nn.functional.cross_entropy(logits, wanted.flatten()).backward()
        optimizer.step()

    return step


def their_search() -> Step:
    """Returns a beam search in PyTorch."""
    import torch

    network, examples = their_network("search"), _tensors("search")
    search = functools.partial(torch_sequences.beam_search, length=SEARCHED[1], beams=BEAMS)

    @torch.inference_mode()
    def step():
        search(network, examples["source"], examples["source_mask"])

    return step


def _tensors(name: str) -> dict[str, Any]:
    import torch

    held = {key: torch.from_numpy(x) for key, x in batch(name).items() if key != "index"}
    return {key: x.long() if x.dtype == torch.int32 else x for key, x in held.items()}
