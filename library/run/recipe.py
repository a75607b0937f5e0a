"""The plan of a run: the objects that a config names, built and checked."""

import contextlib
import functools
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from library import config, rng, task
from library.config import ConfigError, nearest
from library.data import on_device, pipeline, preprocessing, sources
from library.evaluation.context import Context
from library.optim import optimizers
from library.parallel import sharding, strategies
from library.run import data, data_record, inputs, learning, restoring, tracking
from library.run.data_record import DataRecord
from library.run.inputs import eval_input, train_input
from library.run.sections import (
    Checkpointing,
    Dataset,
    InitFrom,
    Parallel,
    Recipe,
    Reported,
    evaluator,
)
from library.summaries import summarize

# A limit, because the run reacts to a signal only after the current calls.
MOST_STEPS_PER_CALL = 1000


class Plan(NamedTuple):
    """The objects of a run, built and checked; nothing is compiled or allocated yet.

    Attributes:
      recipe: the config.
      dataset: the config's `dataset` section.
      strategy: how steps run over the devices.
      task: the task.
      learning_rates: "learning_rate", or one rate for each player, as functions of the step.
      loader: the loader of the training examples.
      order: the order of the training examples.
      label_names: names of the classes, or None.
      augment: `(batch, key) -> batch`, on the device, training only.
      views: the named views of each example, see `inputs.View`.
      normalize: `batch -> batch`, on the device.
      preprocess: the host preprocessing of "train" and "test".
      splits: name of a split -> its loader for evaluations; each split is opened once.
      total_steps: steps of the run.
      steps: duration -> number of steps.
      state: shapes of the TrainState.
      metrics: shapes of the metrics of a step.
      measured: names of all numbers that the run logs, "train/loss", "test/accuracy", ...
      context_length: the most tokens that a language model sees at a time; None for no limit.
      recorded: the data record of the run's first start; None for a new run.
    """

    recipe: Recipe
    dataset: Dataset
    strategy: strategies.Strategy
    task: task.Task
    learning_rates: Mapping[str, optax.Schedule]
    loader: pipeline.Loader
    order: pipeline.Order
    label_names: tuple[str, ...] | None
    augment: Callable
    views: Mapping[str, inputs.View]
    normalize: Callable
    preprocess: Mapping[str, Callable]
    splits: data.Splits
    total_steps: int
    steps: Callable[[str], int]
    state: task.TrainState
    metrics: Mapping[str, Any]
    measured: frozenset[str]
    context_length: int | None = None
    recorded: DataRecord | None = None


def read(values: Mapping[str, Any]) -> tuple[Recipe, Dataset]:
    """Reads a config strictly, and checks what needs neither data nor devices.

    Raises:
      ConfigError: a key is unknown or missing, or a value is invalid.
    """
    recipe = config.read(Recipe, values, "config")
    dataset = config.read(Dataset, recipe.dataset, "dataset")
    _check_sections(recipe)
    return recipe, dataset


def make_plan(
    values: Mapping[str, Any], devices: Any = None, recorded: DataRecord | None = None
) -> Plan:
    """Reads a config strictly and builds the objects that it names.

    Args:
      values: the config.
      devices: the devices to run on, by default all.
      recorded: the data record of the run's first start; None for a new run.

    Raises:
      ConfigError: the config is invalid or does not fit together, or the data differ from the data
        record.
    """
    recipe, dataset = read(values)
    source = data.training_source(dataset, recorded, recipe.seed)
    order = data.order(dataset, source, recipe.seed)
    made = data.preprocess(recipe, source, recorded)
    loader = pipeline.make_loader(
        source,
        made.stages["train"],
        seed=recipe.seed,
        on_corrupt=dataset.on_corrupt,
        budget=dataset.budget,
    )
    data_record.check_features(recorded, loader.blank)
    num_examples = source.examples_per_epoch
    if recorded is not None and recorded.num_examples is not None:
        num_examples = recorded.num_examples
    total_steps, steps = learning.durations(recipe, dataset, num_examples)
    strategy = _strategy(recipe, dataset, devices)
    _check_groups(recipe, dataset, strategy.batch_shards)
    learners, learning_rates = learning.learners(
        recipe,
        axis_name=strategy.axis_name,
        total_steps=total_steps,
        steps=steps,
        batch_size=dataset.batch_size,
    )
    normalize = on_device.normalizer(recipe.normalize, loader.kinds)
    known = {
        **_known_sizes(recipe, source, loader),
        "axis_name": strategy.axis_name,
        "num_examples": num_examples,
        "batch_size": dataset.batch_size,
        "total_steps": total_steps,
        "order": dataset.order_name,
        "kinds": loader.kinds,
        "teaching": functools.partial(restoring.teacher, make_plan),
        **_of_images(recipe),
    }
    for name in recipe.task.get("inputs", ()):
        config.check_choice("feature in task.inputs", name, loader.blank)
    model = _model(recipe.model, known)
    system = config.build(
        recipe.task,
        "library.tasks",
        "task",
        model=model,
        **learners,
        **known,
    )
    plan = Plan(
        recipe=recipe,
        dataset=dataset,
        strategy=strategy,
        task=system,
        learning_rates=learning_rates,
        loader=loader,
        order=order,
        label_names=source.label_names,
        augment=inputs.composed(recipe.augment, known),
        views=inputs.built_views(recipe.views, known),
        normalize=normalize,
        preprocess=made.stages,
        splits=data.Splits(recipe, dataset, loader, made, recorded),
        total_steps=total_steps,
        steps=steps,
        state=None,
        metrics={},
        measured=frozenset(),
        context_length=getattr(model, "context", None),
        recorded=recorded,
    )
    state, metrics = _shapes(plan)
    plan = plan._replace(state=state, metrics=metrics)
    return plan._replace(measured=_check_what_comes_later(plan))


def initial_state(plan: Plan, batch: Mapping, constants: Mapping) -> task.TrainState:
    """Initialises the state from the first training batch, without augmentation."""
    return plan.task.init(rng.purpose(constants["key"], "init"), eval_input(plan, batch, constants))


def _check_sections(recipe: Recipe) -> None:
    """Checks the sections that are used later, so that their errors appear now."""
    if not 0 <= recipe.seed < 2**32:
        raise ConfigError(f"seed={recipe.seed}: valid are 0 to {2**32 - 1}")
    inputs.named_views(recipe.views)
    _check_steps_per_call(recipe.steps_per_call, recipe.dataset.get("cache", "none"))
    tokenizer, context = recipe.dataset.get("tokenizer"), recipe.dataset.get("context")
    if (tokenizer is None) != (context is None):
        raise ConfigError(
            f"dataset has context={context!r} and tokenizer={tokenizer!r}: text needs both, such "
            "as context=64, tokenizer=dict(name='character'), and other data need neither"
        )
    if recipe.dataset.get("workers", 0) < 0:
        raise ConfigError(
            f"dataset, workers={recipe.dataset['workers']}: valid are 0, which decodes in threads, "
            "and more"
        )
    config.read(Checkpointing, recipe.checkpoint, "checkpoint")
    data.named_splits(recipe)
    tracking.read(recipe.wandb or {})
    for cls, values, where in (
        (Reported, recipe.reported, "reported"),
        (InitFrom, recipe.init_from, "init_from"),
        (task.Average, recipe.ema, "ema"),
    ):
        if values is not None:
            config.read(cls, values, where)


def _check_steps_per_call(steps: int, cache: str) -> None:
    if not 1 <= steps <= MOST_STEPS_PER_CALL:
        raise ConfigError(f"steps_per_call={steps}: valid are 1 to {MOST_STEPS_PER_CALL}")
    if steps > 1 and cache != "device":
        raise ConfigError(
            f"steps_per_call={steps} needs dataset.cache='device', but that is {cache!r}: set it, "
            "or leave steps_per_call out"
        )


def _check_what_comes_later(plan: Plan) -> frozenset[str]:
    """Checks now what would fail later, when the loop saves, logs or evaluates.

    Returns:
      The names of all numbers that the run logs.
    """
    recipe = plan.recipe
    checkpointing = config.read(Checkpointing, recipe.checkpoint, "checkpoint")
    rules = config.read(Parallel, recipe.parallel, "parallel").rules
    sharding.shardings(plan.state, plan.strategy.mesh, rules)
    zeros = {k: [np.zeros(x.shape) for x in v] for k, v in plan.metrics.items() if k != "nonfinite"}
    measured = {
        f"train/{name}"
        for name, value in summarize(zeros, plan.task.summaries).items()
        if not np.ndim(value)
    }
    for name, section in recipe.evaluate.items():
        found, only = _rehearse(plan, name, section), evaluator(name, section).ema == "only"
        if only and plan.state.ema is None:
            raise ConfigError(
                f"evaluate.{name}, ema='only': the run has no running averages; "
                "leave it out, or set config.ema"
            )
        measured |= {f"{name}/{key}" for key in found if not only}
        measured |= {f"{name}_ema/{key}" for key in found if plan.state.ema is not None}
    wanted = {"checkpoint.best": checkpointing.best}
    if recipe.reported and recipe.evaluate:
        wanted["reported.metric"] = recipe.reported["metric"]
    intervals = {"log_every": recipe.log_every, "checkpoint.every": checkpointing.every}
    intervals |= {f"evaluate.{k}.every": evaluator(k, v).every for k, v in recipe.evaluate.items()}
    for where, every in intervals.items():
        if plan.steps(every) < 1:
            raise ConfigError(f"{where}={every!r} is less than one step")
    for where, metric in wanted.items():
        if metric is not None and metric not in measured:
            raise ConfigError(
                f"{where}={metric!r} is not measured: {nearest(metric, sorted(measured))}"
            )
    checkpointing.direction()
    return frozenset(measured)


def _rehearse(plan: Plan, name: str, section: Mapping[str, Any]) -> list[str]:
    """Runs an evaluator on one blank batch, with zeros in place of all device computations.

    Returns:
      The names of the numbers that the evaluator returns.
    """
    spec = evaluator(name, section).spec

    def size_of(batch_size):
        size = batch_size or plan.dataset.eval_batch_size or plan.dataset.batch_size
        _check_batch_size(f"evaluate.{name}.batch_size", size, plan.strategy.batch_shards)
        return size

    def batches(split, batch_size):
        shapes = plan.splits(split).like(size_of(batch_size))
        yield {k: np.broadcast_to(np.zeros((), x.dtype), x.shape) for k, x in shapes.items()}

    def draws(num, batch_size=None, features=None):
        size = size_of(batch_size)
        place = np.arange(size, dtype=np.uint32)
        batch = {"index": place, "row": place, "mask": np.float32(place < num)}
        given = {**drawn(plan, num), **(features or {})}
        yield {**batch, **{k: x[np.minimum(place, num - 1)] for k, x in given.items()}}

    def computed(f):
        def on_inputs(state, batch):
            key = jax.eval_shape(lambda: jax.random.key(0))
            inputs = functools.partial(eval_input, plan, constants={"resident": {}})
            shapes = jax.eval_shape(lambda s, b, k: f(s, inputs(b), k), state, batch, key)
            return jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)

        return on_inputs

    context = Context(
        plan.task,
        batches,
        measure=computed,
        collect=computed,
        draws=draws,
        num_examples=lambda split: len(plan.splits(split).source.records),
        warn=lambda message: None,
        **described(plan),
    )
    with _fitting(f"evaluate.{name}: "), warnings.catch_warnings(action="ignore"):
        measure = config.build(spec, "library.evaluation", "evaluator", context=context)
        return [key for key, value in measure(plan.state).items() if not np.ndim(value)]


def drawn(plan: Plan, num: int) -> dict[str, np.ndarray]:
    """Returns the features of `num` drawn examples: labels in turn if the dataset has them."""
    names, label = plan.label_names, plan.loader.blank.get("label")
    if not names or label is None or label.ndim:
        return {}
    return {"label": (np.arange(num) % len(names)).astype(label.dtype)}


def described(plan: Plan) -> dict[str, Any]:
    """Returns the parts of a `Context` that need no device."""
    return {
        "judge": functools.partial(restoring.judge, make_plan),
        "pixels": functools.partial(on_device.pixels, plan.recipe.normalize),
        **_of_images(plan.recipe),
        "features": tuple(plan.loader.blank),
        "label_names": plan.label_names,
        "tokenizer": plan.loader.source.tokenizer,
        "context_length": plan.context_length,
    }


def _of_images(recipe: Recipe) -> dict[str, Callable]:
    """Returns the functions that normalize images in [0, 1], and the inverse."""
    normalize = on_device.normalizer(recipe.normalize)
    return {
        "normalize": lambda image: normalize({"image": image})["image"],
        "unnormalize": on_device.unnormalizer(recipe.normalize),
    }


def _strategy(recipe: Recipe, dataset: Dataset, devices: Any) -> strategies.Strategy:
    parallel = config.read(Parallel, recipe.parallel, "parallel")
    made = strategies.make_strategy(
        parallel.strategy, parallel.mesh, parallel.rules, devices, parallel.activations
    )
    _check_batch_size(
        "dataset.batch_size", dataset.batch_size, made.batch_shards, recipe.accumulate
    )
    _check_batch_size("dataset.eval_batch_size", dataset.eval_batch_size, made.batch_shards)
    return made


def _check_groups(recipe: Recipe, dataset: Dataset, shards: int) -> None:
    """Raises ConfigError if the batch does not split into whole groups of graphs per device."""
    if dataset.budget is None:
        return
    if recipe.accumulate != 1:
        raise ConfigError(f"accumulate={recipe.accumulate}: batches of graphs need accumulate=1")
    for where in ("batch_size", "eval_batch_size"):
        size, each = getattr(dataset, where), shards * dataset.budget.num_graphs
        if size is not None and size % each:
            raise ConfigError(
                f"dataset.{where}={size}: {shards} devices with groups of "
                f"{dataset.budget.num_graphs} graphs need a multiple of {each}"
            )


def _check_batch_size(where: str, size: int | None, shards: int, accumulate: int = 1) -> None:
    parts = shards * accumulate
    if size is None or size % parts == 0:
        return
    below = size - size % parts
    near = f"{below} or {below + parts}" if below else f"{parts}"
    accumulated = f" x accumulate={accumulate}" if accumulate > 1 else ""
    raise ConfigError(
        f"{where}={size} does not divide over {shards} devices{accumulated}: try {near}"
    )


def _model(spec: Mapping[str, Any], known: Mapping[str, int]) -> Any:
    spec = config.plain(spec)
    parts = spec.values() if isinstance(spec, dict) else ()
    if parts and all(isinstance(part, dict) and "name" in part for part in parts):
        return {name: _model(part, known) for name, part in spec.items()}
    return config.build(spec, "library.models", "model", **known)


def _known_sizes(recipe: Recipe, source: sources.Source, loader: pipeline.Loader) -> dict[str, Any]:
    """Returns the sizes that the data give, by the names of model and task arguments.

    Raises:
      ConfigError: the task has fewer classes than the labels.
    """
    label, target = loader.blank.get("label"), loader.blank.get("target")
    sizes = {}
    sizes["feature_shapes"] = {name: tuple(x.shape) for name, x in loader.blank.items()}
    if "image" in loader.blank:
        sizes["image_shape"] = tuple(loader.blank["image"].shape)
    if source.tokenizer is not None:
        sizes["vocab_size"] = source.tokenizer.vocab_size
    if source.label_names is None or (label is None and target is not None):
        found = None if target is None else target.size
        outputs = {} if found is None else {"num_classes": found, "num_outputs": found}
        return {**sizes, **outputs}
    if label is None:
        # The names belong to the classes of a map or of objects.
        return {**sizes, "num_classes": len(source.label_names)}
    found, stated = len(source.label_names), recipe.task.get("num_classes")
    relabelled = "to_label" in str(recipe.preprocess)
    if isinstance(stated, int) and stated < found and label.ndim == 0 and not relabelled:
        name = recipe.dataset.get("name")
        raise ConfigError(
            f"task has num_classes={stated}, but the labels of {name} have {found} classes"
        )
    return {**sizes, "num_classes": found, "num_outputs": found}


def _shapes(plan: Plan) -> tuple[task.TrainState, Mapping[str, Any]]:
    """Traces the initialisation and one step, to find errors before anything is compiled."""
    batch = plan.loader.like(plan.dataset.batch_size)
    key = jax.eval_shape(lambda: jax.random.key(0))
    constants = {"key": key, "resident": {}}

    def first_step(state, batch, key):
        return plan.task.update(state, train_input(plan, batch, constants, key), key)[1]

    axis = plan.strategy.axis_name
    # An axis of one device with the strategy's name, so that sums over it can be traced.
    axes = None if axis is None else [(axis, 1)]
    with _fitting():
        state = jax.eval_shape(functools.partial(initial_state, plan), batch, constants)
        for name, spec in learning.by_player(plan.recipe).items():
            optimizers.check_patterns(spec, state.params if name is None else state.params[name])
        step = plan.strategy.within(first_step)
        _, metrics = jax.make_jaxpr(step, axis_env=axes, return_shape=True)(state, batch, key)
    return state, metrics


@contextlib.contextmanager
def _fitting(where: str = "") -> Iterator[None]:
    """Turns errors of tracing into ConfigErrors."""
    try:
        yield
    except (ConfigError, preprocessing.CorruptExample):
        raise
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(f"{where}the config does not fit together: {reason}") from error
