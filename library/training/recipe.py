"""What a config may say, and the objects that its names become."""

import contextlib
import dataclasses
import functools
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
import optax

from library import config, optimizers, rng, task
from library.config import ConfigError, Duration, nearest
from library.data import augmentation, on_device, pipeline, preprocessing, sources
from library.evaluation.context import Context
from library.parallel import sharding, strategies
from library.parallel.sharding import REPLICATE_OR_FSDP


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Where examples come from and how they are loaded.

    Attributes:
      name: a builder of the project, "folder", or a name of TFDS.
      batch_size: examples a step, over all devices.
      train: the split to train on, such as "train[:90%]".
      test: the split that evaluators call "test".
      eval_batch_size: examples a step of evaluation; by default `batch_size`.
      cache: "device" keeps whole splits in device memory and gathers batches inside the step.
      workers: processes that decode; 0 decodes in threads.
      threads: threads that decode, in this process or in each worker.
      data_dir: where prepared sets lie; by default $TFDS_DATA_DIR or ~/tensorflow_datasets.
      manual_dir: where files brought by hand lie.
      classes: of "folder": the class directories to use, in the order of their labels.
      on_corrupt: "stop" at an example that does not decode, or "skip" and count it.
    """

    name: str
    batch_size: int
    train: str = "train"
    test: str = "test"
    eval_batch_size: int | None = None
    cache: Literal["none", "device"] = "none"
    workers: int = 0
    threads: int = 8
    data_dir: str | None = None
    manual_dir: str | None = None
    classes: tuple[str, ...] | None = None
    on_corrupt: Literal["stop", "skip"] = "stop"


@dataclasses.dataclass(frozen=True)
class Checkpointing:
    """When the state is saved, and which saves are kept.

    Attributes:
      every: a duration; the last step is always saved.
      keep: newest checkpoints to keep.
      best: a metric such as "test/accuracy", whose best checkpoint is kept too.
      mode: whether the best is the "max" or the "min".
    """

    every: Duration = "10%"
    keep: int = 2
    best: str | None = None
    mode: Literal["max", "min"] = "max"


@dataclasses.dataclass(frozen=True)
class Parallel:
    """How the step runs over the devices.

    Attributes:
      strategy: "jit", or "pmap" for per-device batch statistics.
      mesh: devices along data, fsdp and tensor; -1 takes what is left.
      rules: sharding rules, pairs (path pattern, spec), the first match holds.
    """

    strategy: str = "jit"
    mesh: dict = dataclasses.field(default_factory=lambda: {"data": -1})
    rules: tuple[tuple[str, Any], ...] = REPLICATE_OR_FSDP


@dataclasses.dataclass(frozen=True)
class InitFrom:
    """Params to start from: another run's, for fine-tuning.

    Attributes:
      workdir: that run's directory.
      which: its "latest" or its "best" checkpoint.
      ema: take the running averages in place of the params.
      fresh: patterns of params to initialise anew although their shapes agree.
    """

    workdir: str
    which: Literal["latest", "best"] = "latest"
    ema: bool = False
    fresh: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Reported:
    """The claim: what the recipe's paper, or its source, reports.

    Attributes:
      metric: the row of metrics.jsonl that it is compared with, "test/accuracy".
      value: the figure, fractions as fractions.
      source: who reports it, and where.
    """

    metric: str
    value: float
    source: str


@dataclasses.dataclass(frozen=True)
class Recipe:
    """One run, in plain values; `configs/` holds these.

    Attributes:
      dataset: see `Dataset`.
      model: name and arguments of a function under library/models.
      task: name and arguments of a function under library/tasks.
      optimizer: see library/optimizers.py.
      total: the length of the run, a duration.
      preprocess: host preprocessing, a list of specs, or lists by "train" and "test".
      augment: device augmentation of training batches, a list of specs.
      normalize: mean and std by channel, of all batches, after augmentation.
      evaluate: evaluators by name: kind, every, and the kind's own arguments.
      checkpoint: see `Checkpointing`.
      parallel: see `Parallel`.
      ema: decay, every, warmup of running averages, evaluated beside the raw params.
      accumulate: parts each batch is run in.
      on_nonfinite: "stop" at a step that is not finite, or "skip" and count it.
      init_from: see `InitFrom`.
      reported: see `Reported`.
      log_every: a duration.
      seed: of everything random.
      compile_cache: folder of compiled programs; None keeps none.
    """

    dataset: dict
    model: dict
    task: dict
    optimizer: dict
    total: Duration
    preprocess: dict | tuple[dict, ...] = ({"name": "decode"},)
    augment: tuple[dict, ...] = ()
    normalize: dict | None = None
    evaluate: dict = dataclasses.field(default_factory=dict)
    checkpoint: dict = dataclasses.field(default_factory=dict)
    parallel: dict = dataclasses.field(default_factory=dict)
    ema: dict | None = None
    accumulate: int = 1
    on_nonfinite: Literal["stop", "skip"] = "stop"
    init_from: dict | None = None
    reported: dict | None = None
    log_every: Duration = "50 steps"
    seed: int = 0
    compile_cache: str | None = "~/.cache/compendium"


class Plan(NamedTuple):
    """The objects of a run, built and checked; nothing is compiled or allocated yet.

    Attributes:
      recipe: the values it was built from.
      dataset: its `dataset` section.
      strategy: how steps run over the devices.
      task: the system.
      schedule: the learning rate by step.
      loader: how training examples are loaded.
      label_names: names of the classes, or None.
      augment: `(batch, key) -> batch`, on the device, training only.
      normalize: `batch -> batch`, on the device.
      preprocess: host preprocessing by "train" and "test".
      total_steps: updates of the run.
      steps: duration -> number of updates.
      state: shapes of the TrainState.
      metrics: shapes of what an update measures.
    """

    recipe: Recipe
    dataset: Dataset
    strategy: strategies.Strategy
    task: task.Task
    schedule: optax.Schedule
    loader: pipeline.Loader
    label_names: tuple[str, ...] | None
    augment: Callable
    normalize: Callable
    preprocess: Mapping[str, Callable]
    total_steps: int
    steps: Callable[[str], int]
    state: task.TrainState
    metrics: Mapping[str, Any]


def make_plan(values: Mapping[str, Any], devices: Any = None) -> Plan:
    """Reads a config strictly and builds what it names.

    Args:
      values: the config.
      devices: the devices to run on, by default all.

    Raises:
      ConfigError: something in the config was not understood or does not fit together.
    """
    recipe = config.read(Recipe, values, "config")
    dataset = config.read(Dataset, recipe.dataset, "dataset")
    _check_sections(recipe)
    preprocess = _preprocess(recipe)
    source = _open(dataset, dataset.train)
    loader = pipeline.make_loader(
        source, preprocess["train"], seed=recipe.seed, on_corrupt=dataset.on_corrupt
    )
    num_examples = len(source.records)
    total_steps, steps = _durations(recipe, dataset, num_examples)
    strategy = _strategy(recipe, dataset, devices)
    transformation, schedule = optimizers.make_optimizer(
        recipe.optimizer, total_steps=total_steps, steps=steps, batch_size=dataset.batch_size
    )
    minimize = functools.partial(
        task.minimize,
        optimizer=transformation,
        average=config.read(task.Average, recipe.ema, "ema") if recipe.ema else None,
        accumulate=recipe.accumulate,
        on_nonfinite=recipe.on_nonfinite,
        axis_name=strategy.axis_name,
    )
    known = _known_sizes(recipe, source, loader)
    model = _model(recipe.model, known)
    system = config.build(
        recipe.task,
        "library.tasks",
        "task",
        model=model,
        minimize=minimize,
        **known,
    )
    augment = augmentation.compose(
        [
            config.build(
                spec,
                "library.data.augmentation",
                "augmentation",
                num_examples=num_examples,
                **known,
            )
            for spec in recipe.augment
        ]
    )
    plan = Plan(
        recipe=recipe,
        dataset=dataset,
        strategy=strategy,
        task=system,
        schedule=schedule,
        loader=loader,
        label_names=source.label_names,
        augment=augment,
        normalize=on_device.normalizer(recipe.normalize),
        preprocess=preprocess,
        total_steps=total_steps,
        steps=steps,
        state=None,
        metrics={},
    )
    state, metrics = _shapes(plan)
    plan = plan._replace(state=state, metrics=metrics)
    _check_what_comes_later(plan)
    return plan


def train_input(plan: Plan, batch: Mapping, constants: Mapping, key: Any) -> dict:
    """Completes, augments and normalizes a training batch, on the device."""
    batch = on_device.to_float(on_device.gather(batch, constants["resident"]))
    return plan.normalize(plan.augment(batch, rng.purpose(key, "augment")))


def eval_input(plan: Plan, batch: Mapping, constants: Mapping) -> dict:
    """Completes and normalizes a batch of an evaluation, on the device."""
    return plan.normalize(on_device.to_float(on_device.gather(batch, constants["resident"])))


def initial_state(plan: Plan, batch: Mapping, constants: Mapping) -> task.TrainState:
    """Initialises the state from the first training batch, not augmented."""
    return plan.task.init(rng.purpose(constants["key"], "init"), eval_input(plan, batch, constants))


def open_split(plan: Plan, split: str) -> pipeline.Loader:
    """Opens a split for evaluation: "train" and "test" mean the config's, others TFDS's own.

    Raises:
      ConfigError: there is no such split, or it is empty.
    """
    named = {"train": plan.dataset.train, "test": plan.dataset.test}
    source = _open(plan.dataset, named.get(split, split))
    return pipeline.make_loader(
        source,
        plan.preprocess["test"],
        seed=plan.recipe.seed,
        on_corrupt=plan.dataset.on_corrupt,
    )


def _open(dataset: Dataset, split: str) -> sources.Source:
    return sources.open_source(
        dataset.name,
        split,
        data_dir=dataset.data_dir,
        manual_dir=dataset.manual_dir,
        classes=dataset.classes,
    )


def _check_sections(recipe: Recipe) -> None:
    """Reads the sections that are used later, so that a mistake in them shows now."""
    if not 0 <= recipe.seed < 2**32:
        raise ConfigError(f"seed={recipe.seed}: valid are 0 to {2**32 - 1}")
    if recipe.dataset.get("workers", 0) < 0:
        raise ConfigError(f"dataset, workers={recipe.dataset['workers']}: 0 decodes in threads")
    config.read(Checkpointing, recipe.checkpoint, "checkpoint")
    for cls, values, where in (
        (Reported, recipe.reported, "reported"),
        (InitFrom, recipe.init_from, "init_from"),
        (task.Average, recipe.ema, "ema"),
    ):
        if values is not None:
            config.read(cls, values, where)


def _check_what_comes_later(plan: Plan) -> None:
    """Finds now what the loop would stumble over when it saves, logs or evaluates."""
    recipe = plan.recipe
    checkpointing = config.read(Checkpointing, recipe.checkpoint, "checkpoint")
    rules = config.read(Parallel, recipe.parallel, "parallel").rules
    sharding.shardings(plan.state, plan.strategy.mesh, rules)
    measured = {f"train/{name}" for name in plan.metrics if name != "nonfinite"}
    for name, section in recipe.evaluate.items():
        found = _rehearse(plan, name, section)
        measured |= {f"{name}/{key}" for key in found}
        measured |= {f"{name}_ema/{key}" for key in found if plan.state.ema is not None}
    wanted = {"checkpoint.best": checkpointing.best}
    if recipe.reported and recipe.evaluate:
        wanted["reported.metric"] = recipe.reported["metric"]
    intervals = {"log_every": recipe.log_every, "checkpoint.every": checkpointing.every}
    intervals |= {f"evaluate.{k}.every": evaluator(k, v)[0] for k, v in recipe.evaluate.items()}
    for where, every in intervals.items():
        if plan.steps(every) < 1:
            raise ConfigError(f"{where}={every!r} is less than one step")
    for where, metric in wanted.items():
        if metric is not None and metric not in measured:
            raise ConfigError(
                f"{where}={metric!r} is measured nowhere: {nearest(metric, sorted(measured))}"
            )


def evaluator(name: str, section: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Reads one entry of `evaluate`: its interval, a duration, and the evaluator's spec.

    Raises:
      ConfigError: it is no dict, or names no kind.
    """
    section = config.plain(section)
    if not isinstance(section, dict) or "kind" not in section:
        raise ConfigError(f"evaluate.{name} is written dict(kind=..., every=...), got {section!r}")
    every = config.check_value(section.pop("every", "100%"), Duration, f"evaluate.{name}, every")
    kind = section.pop("kind")
    if "name" in section:
        raise ConfigError(f"evaluate.{name} takes no 'name': did you mean 'kind'?")
    if name == "train":
        raise ConfigError("evaluate.train: 'train/...' are the rows of training; try 'train_split'")
    return every, {"name": kind, **section}


def _rehearse(plan: Plan, name: str, section: Mapping[str, Any]) -> list[str]:
    """Runs an evaluator on one blank batch, zeros in place of what a device would compute.

    Returns:
      The names of the numbers that it measures.
    """
    _, spec = evaluator(name, section)

    def batches(split, batch_size):
        size = batch_size or plan.dataset.eval_batch_size or plan.dataset.batch_size
        _check_batch_size(f"evaluate.{name}.batch_size", size, plan.strategy.batch_shards)
        blank = open_split(plan, split).padding(0)
        yield {k: np.broadcast_to(v, (size, *np.shape(v))) for k, v in blank.items()}

    def computed(f):
        def on_inputs(state, batch):
            key = jax.eval_shape(lambda: jax.random.key(0))
            inputs = functools.partial(eval_input, plan, constants={"resident": {}})
            shapes = jax.eval_shape(lambda s, b, k: f(s, inputs(b), k), state, batch, key)
            return jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)

        return on_inputs

    context = Context(plan.task, batches, measure=computed, collect=computed)
    with _fitting(f"evaluate.{name}: "), warnings.catch_warnings(action="ignore"):
        measure = config.build(spec, "library.evaluation", "evaluator", context=context)
        return [key for key, value in measure(plan.state).items() if not np.ndim(value)]


def _preprocess(recipe: Recipe) -> dict[str, Callable]:
    given = recipe.preprocess
    stages = given if isinstance(given, dict) else {"train": given, "test": given}
    for key in stages:
        config.check_choice("preprocess stage", key, ("train", "test"))
    if len(stages) < 2:
        raise ConfigError(f"preprocess by stage needs train and test, got {list(stages)}")
    return {
        stage: preprocessing.chain(
            [config.build(spec, "library.data.preprocessing", "preprocessing") for spec in specs]
        )
        for stage, specs in stages.items()
    }


def _durations(recipe: Recipe, dataset: Dataset, num_examples: int) -> tuple[int, Callable]:
    sizes = {"batch_size": dataset.batch_size, "num_examples": num_examples}
    total = config.duration(recipe.total, **sizes)
    if total < 1:
        raise ConfigError(f"total={recipe.total!r} is less than one step")
    if total * dataset.batch_size >= 2**32:
        # An example's `index`, from which its keys derive, is a uint32.
        raise ConfigError(
            f"total={recipe.total!r} is {total * dataset.batch_size:,} examples: at most "
            f"{2**32 - 1:,} can be told apart"
        )
    return total, functools.partial(config.duration, **sizes, total=total)


def _strategy(recipe: Recipe, dataset: Dataset, devices: Any) -> strategies.Strategy:
    parallel = config.read(Parallel, recipe.parallel, "parallel")
    made = strategies.make_strategy(parallel.strategy, parallel.mesh, parallel.rules, devices)
    _check_batch_size(
        "dataset.batch_size", dataset.batch_size, made.batch_shards, recipe.accumulate
    )
    _check_batch_size("dataset.eval_batch_size", dataset.eval_batch_size, made.batch_shards)
    return made


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


def _known_sizes(recipe: Recipe, source: sources.Source, loader: pipeline.Loader) -> dict[str, int]:
    """Returns what the data say of the size of the output, by the names of its arguments.

    Raises:
      ConfigError: the task has fewer classes than the labels.
    """
    label, target = loader.blank.get("label"), loader.blank.get("target")
    if label is None or source.label_names is None:
        found = None if target is None else target.size
        return {} if found is None else {"num_classes": found, "num_outputs": found}
    found, stated = len(source.label_names), recipe.task.get("num_classes")
    relabelled = "to_label" in str(recipe.preprocess)
    if isinstance(stated, int) and stated < found and label.ndim == 0 and not relabelled:
        name = recipe.dataset["name"]
        raise ConfigError(f"task has num_classes={stated}, but labels of {name} are of {found}")
    return {"num_classes": found, "num_outputs": found}


def _shapes(plan: Plan) -> tuple[task.TrainState, Mapping[str, Any]]:
    """Traces the start of the run, which finds what does not fit before anything is compiled."""
    batch = on_device.specification(plan.loader.padding(0), plan.dataset.batch_size)
    key = jax.eval_shape(lambda: jax.random.key(0))
    constants = {"key": key, "resident": {}}

    def first_step(state, batch, key):
        return plan.task.update(state, train_input(plan, batch, constants, key), key)[1]

    # One device of an axis named as the strategy's, so that sums over it have a meaning.
    part = jax.tree.map(lambda x: jax.ShapeDtypeStruct((1, *x.shape), x.dtype), batch)
    first_step = jax.vmap(first_step, (None, 0, None), axis_name=plan.strategy.axis_name or "all")
    with _fitting():
        state = jax.eval_shape(functools.partial(initial_state, plan), batch, constants)
        optimizers.check_patterns(plan.recipe.optimizer, state.params)
        metrics = jax.eval_shape(first_step, state, part, key)
    return state, jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), metrics)


@contextlib.contextmanager
def _fitting(where: str = "") -> Iterator[None]:
    """Turns what tracing raises into a ConfigError."""
    try:
        yield
    except (ConfigError, preprocessing.CorruptExample):
        raise
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(f"{where}the config does not fit together: {reason}") from error
