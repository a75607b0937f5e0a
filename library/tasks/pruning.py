"""Magnitude pruning during training: a classifier's smallest weights become zero and stay zero.

One-shot: train, prune, train the remaining weights (Han et al. 2015, arXiv 1506.02626); here the
second training is a run that starts from the params of the first. Gradual: prune more and more
weights during training (Zhu & Gupta 2017, arXiv 1710.01878). `library.compression.pruning`
describes the masks.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, PRNGKeyArray, PyTree

from library import config
from library.compression import pruning as magnitude
from library.config import ConfigError, check_choice
from library.task import HALTED, Batch, Learner, Loss, Metrics, Task, TrainState
from library.tasks.classification import classification

MASKS = "masks"


def pruning(
    model: nn.Module,
    minimize: Callable[..., Learner],
    *,
    num_classes: int,
    num_examples: int,
    batch_size: int,
    sparsity: float = 0.9,
    initial_sparsity: float = 0.0,
    schedule: Literal["cubic", "one_shot"] = "cubic",
    begin: str = "0 steps",
    end: str | None = None,
    every: str | None = None,
    scope: Literal["global", "layer"] = "global",
    kept: tuple[str, ...] = (),
    classifier: dict | None = None,
    inputs: tuple[str, ...] = ("image",),
) -> Task:
    """Builds the task `classification` for a network that is pruned during training.

    With "cubic" the sparsity after i of n prunings is s + (s_0 - s) (1 - i / n)^3. The first
    pruning is before step `begin`, the next ones follow at intervals of `every`, the last is not
    after `end`. With "one_shot" there is one pruning, before step `begin`: with `init_from` and
    begin="0 steps" it prunes the params of another run. The number of zero weights is exact. A
    pruned weight stays zero: its gradient is zero, and changes by momentum or weight decay are
    undone, also in the running averages.

    The variables "masks" hold the masks, True where a weight is not pruned. They are part of the
    checkpoints; a run that starts from a pruned run with `init_from` takes its masks, too.

    The metrics are those of `classification` and sparsity, the share of the kernels' weights that
    is pruned; an evaluation adds nonzero, the number of params of the network that are not zero.
    Outputs are those of `classification`.

    Args:
      model: `(image (b, h, w, c), train) -> logits (b, num_classes)`; it takes `inputs` in place of
        the image.
      minimize: turns a loss into the training step.
      num_classes: number of classes of the dataset.
      num_examples: examples of the training split, for durations.
      batch_size: examples per step, for durations.
      sparsity: s, the share of zeros at the end, in all kernels that are not `kept`.
      initial_sparsity: s_0, the share of zeros from which "cubic" starts.
      schedule: "cubic", many prunings, or "one_shot", one pruning.
      begin: when the first pruning is due: a duration in steps, epochs or examples from the start
        of the run.
      end: when "cubic" ends, which needs it: a duration from the start of the run.
      every: the duration between prunings of "cubic"; "100 steps" by default.
      scope: "global" prunes the smallest weights of all kernels together; "layer" prunes the same
        share of each kernel.
      kept: patterns of kernels that are never pruned, such as "head".
      classifier: further arguments of `classification`, such as dict(label_smoothing=0.1).
      inputs: the features that the model takes, in order.

    Raises:
      ConfigError: a sparsity or duration is out of range, the schedule does not use a setting, a
        pattern matches no kernel, or `classification` refuses its arguments.
    """
    check_choice("scope", scope, magnitude.SCOPES)
    sizes = dict(num_examples=num_examples, batch_size=batch_size)
    shares = initial_sparsity, sparsity
    start, gap, targets = _schedule(schedule, shares, begin, end, every, sizes)
    masking = _masking(minimize, _pruner(start, gap, targets, scope), kept)
    injected = dict(model=model, minimize=masking, num_classes=num_classes, inputs=inputs)
    arguments = config.check_arguments(
        classification, classifier or {}, "task 'pruning', classifier", injected
    )
    inner = classification(**arguments)

    def evaluate(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Metrics:
        masks, _ = _split(state.variables)
        held = jax.tree.leaves(magnitude.masked(state.params, masks))
        nonzero = sum(jnp.sum(leaf != 0) for leaf in held).astype(jnp.float32)
        measured = {"nonzero": (nonzero, jnp.ones(()))}
        if masks:
            measured["sparsity"] = _share(masks)
        return {**_masked(inner.evaluate)(state, batch, key), **measured}

    outputs = {name: _masked(output) for name, output in inner.outputs.items()}
    return Task(inner.init, inner.update, evaluate, outputs, inner.summaries)


def _schedule(
    schedule: str,
    shares: tuple[float, float],
    begin: str,
    end: str | None,
    every: str | None,
    sizes: Mapping[str, int],
) -> tuple[int, int, list[float]]:
    """Returns the step of the first pruning, the steps between two, and the share of zeros of each.

    Args:
      schedule: "cubic" or "one_shot".
      shares: the shares of zeros at the start and at the end.
      begin: a duration.
      end: a duration; None with "one_shot".
      every: a duration; None for the default.
      sizes: `num_examples` and `batch_size`, to which durations refer.
    """
    initial_sparsity, sparsity = shares
    if not 0 <= initial_sparsity < sparsity < 1:
        raise ConfigError(
            f"initial_sparsity={initial_sparsity}, sparsity={sparsity}: valid are shares of zeros "
            "from 0 to below 1, the first below the second"
        )
    if schedule != "one_shot":
        start, gap, pieces = _times(begin, end, every, sizes)
        return start, gap, magnitude.cubic(initial_sparsity, sparsity, pieces)
    unread = dict(initial_sparsity=initial_sparsity or None, end=end, every=every)
    for name, value in unread.items():
        if value is not None:
            raise ConfigError(f"{name}={value!r} is read with schedule='cubic' only")
    return _steps("begin", begin, sizes), 1, [sparsity]


def _masking(
    minimize: Callable[..., Learner],
    prune: Callable[[TrainState], TrainState],
    kept: tuple[str, ...],
) -> Callable[[Loss], Learner]:
    """Returns `minimize` with masks, which `prune` updates before each step."""

    def masking(loss: Loss) -> Learner:
        # All devices compute the same masks because they have the same params.
        learner = minimize(_with_masks(loss), spread={MASKS: "replicated"})

        def init(variables: PyTree) -> TrainState:
            masks = magnitude.initial_masks(variables["params"], kept)
            return learner.init({**variables, MASKS: masks})

        def update(
            state: TrainState, batch: Batch, key: PRNGKeyArray
        ) -> tuple[TrainState, Metrics]:
            if HALTED in batch:
                pruned = jax.lax.cond(batch[HALTED], lambda state: state, prune, state)
            else:
                pruned = prune(state)
            # Pruning stays also where the step is skipped; pruning again changes nothing.
            moved, metrics = learner.update(pruned, batch, key)
            return _zeroed(moved), metrics

        return Learner(init, update)

    return masking


def _masked(call: Callable[..., Any]) -> Callable[..., Any]:
    """Returns `call`, which takes the classifier's state, as a function of the state with masks."""

    def run(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Any:
        masks, rest = _split(state.variables)
        params = magnitude.masked(state.params, masks)
        return call(state.replace(params=params, variables=rest), batch, key)

    return run


def _times(
    begin: str, end: str | None, every: str | None, sizes: Mapping[str, int]
) -> tuple[int, int, int]:
    """Returns the step of the first pruning, the steps between two, and how many more follow."""
    if end is None:
        raise ConfigError("end=None: schedule='cubic' needs a duration, such as end='10 epochs'")
    start, stop = _steps("begin", begin, sizes), _steps("end", end, sizes)
    gap = _steps("every", every or "100 steps", sizes)
    if gap < 1 or stop - start < gap:
        raise ConfigError(
            f"begin={begin!r}, end={end!r}, every={every or '100 steps'!r} are steps {start}, "
            f"{stop} and {gap}: the end must be one interval or more after the begin"
        )
    return start, gap, (stop - start) // gap


def _steps(name: str, text: str, sizes: Mapping[str, int]) -> int:
    try:
        return config.duration(text, **sizes)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None


def _pruner(
    start: int, gap: int, targets: list[float], scope: str
) -> Callable[[TrainState], TrainState]:
    """Returns the function that prunes a state before those steps at which pruning is due."""

    def prune(state: TrainState) -> TrainState:
        masks, _ = _split(state.variables)
        by_time = [magnitude.counts(masks, target, scope) for target in targets]
        table = {name: jnp.array([count[name] for count in by_time]) for name in by_time[0]}
        since = state.step - start
        place = since // gap
        due = (since >= 0) & (since % gap == 0) & (place < len(targets))
        count = {name: row[jnp.clip(place, 0, len(targets) - 1)] for name, row in table.items()}
        masks = jax.lax.cond(
            due,
            lambda params, masks: magnitude.prune_smallest(params, masks, count),
            lambda params, masks: masks,
            state.params,
            masks,
        )
        params = magnitude.masked(state.params, masks)
        return state.replace(params=params, variables={**state.variables, MASKS: masks})

    return prune


def _with_masks(loss: Loss) -> Loss:
    def masked_loss(
        params: PyTree, variables: PyTree, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Metrics, PyTree]:
        masks, rest = _split(variables)
        metrics, moved = loss(magnitude.masked(params, masks), rest, batch, key)
        return {**metrics, "sparsity": _share(masks)}, {**moved, MASKS: masks}

    return masked_loss


def _zeroed(state: TrainState) -> TrainState:
    masks, _ = _split(state.variables)
    ema = state.ema
    if ema is not None:
        ema = {**ema, "params": magnitude.masked(ema["params"], masks)}
    return state.replace(params=magnitude.masked(state.params, masks), ema=ema)


def _split(variables: Mapping[str, PyTree]) -> tuple[PyTree, dict[str, PyTree]]:
    rest = {name: tree for name, tree in variables.items() if name != MASKS}
    return variables.get(MASKS, {}), rest


def _share(masks: PyTree) -> tuple[Array, Array]:
    return magnitude.sparsity_of(masks), jnp.ones(())
