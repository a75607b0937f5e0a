"""How a config becomes the plan of a run.

`read` reads the config strictly. `make_plan` then opens the data, derives the durations, spreads
batches over the devices, and builds the model and the task, in this order, because each step needs
what came before it. Last, `rehearsal` traces the first step and every evaluator: what does not fit
together is an error before anything is compiled.
"""

import functools
from collections.abc import Mapping
from typing import Any

from library import config
from library.config import ConfigError
from library.data import graphs, on_device, pipeline, preprocessing, sources
from library.parallel import strategies
from library.run import (
    checks,
    class_names,
    data,
    data_record,
    inputs,
    learning,
    rehearsal,
    restoring,
)
from library.run.data_record import DataRecord
from library.run.plan import Plan, image_functions
from library.run.sections import Dataset, Parallel, Recipe


def read(values: Mapping[str, Any]) -> tuple[Recipe, Dataset]:
    """Reads a config strictly, and checks what needs neither data nor devices.

    Raises:
      ConfigError: a key is unknown or missing, or a value is invalid.
    """
    recipe = config.read(Recipe, values, "config")
    dataset = config.read(Dataset, recipe.dataset, "dataset")
    checks.check_sections(recipe)
    return recipe, dataset


def make_plan(
    values: Mapping[str, Any],
    devices: Any = None,
    recorded: DataRecord | None = None,
    *,
    trains: bool = True,
) -> Plan:
    """Reads a config strictly and builds the objects that it names.

    Args:
      values: the config.
      devices: the devices to run on, by default all.
      recorded: the data record of the run's first start; None for a new run.
      trains: whether the program trains. Otherwise the training split is not opened if the data
        record suffices, and other splits are opened where they are used.

    Raises:
      ConfigError: the config is invalid or does not fit together, or the data differ from the data
        record.
    """
    recipe, dataset = read(values)
    if trains:
        checks.check_float16(recipe)
    source = data.training_source(dataset, recorded, recipe.seed, trains=trains)
    made = data.preprocess(recipe, source, recorded)
    if source.tokenizer is None:
        # Preprocessing that tokenizes has a vocabulary, too.
        found = preprocessing.tokenizer_of(made.stages["train"])
        source = source._replace(tokenizer=found)
    known = None if source.is_open else recorded.features
    loader = data.loader(recipe, dataset, source, made.stages["train"], known)
    data_record.check_features(recorded, loader.blank)
    num_examples = _num_examples(source, recorded)
    names = class_names.names(recipe.preprocess, recipe.task, loader.blank, source.label_names)
    total_steps, steps = learning.durations(recipe, dataset, num_examples)
    strategy = _strategy(recipe, dataset, devices)
    sizes = {"total_steps": total_steps, "batch_size": dataset.batch_size}
    learners, learning_rates = learning.learners(
        recipe, axis_name=strategy.axis_name, steps=steps, **sizes
    )
    known = {
        **_known_sizes(recipe, names, loader),
        **sizes,
        "axis_name": strategy.axis_name,
        "num_examples": num_examples,
        "order": dataset.order_name,
        "kinds": loader.kinds,
        "label_names": names,
        "teaching": functools.partial(restoring.teacher, make_plan),
        **image_functions(recipe),
    }
    model = _model(recipe.model, known)
    plan = Plan(
        recipe=recipe,
        dataset=dataset,
        strategy=strategy,
        task=_task(recipe, loader, model=model, **learners, **known),
        learning_rates=learning_rates,
        loader=loader,
        order=data.order(dataset, source, recipe.seed),
        label_names=names,
        device_preprocess=inputs.preprocessed(recipe.device_preprocess, loader.kinds),
        augment=inputs.composed(recipe.augment, known),
        views=inputs.built_views(recipe.views, known),
        normalize=on_device.normalizer(recipe.normalize, loader.kinds),
        preprocess=made.stages,
        splits=data.Splits(recipe, dataset, loader, made, recorded),
        total_steps=total_steps,
        steps=steps,
        state=None,
        metrics={},
        measured=frozenset(),
        judge=functools.partial(restoring.judge, make_plan),
        context_length=getattr(model, "context", None),
        recorded=recorded,
    )
    return rehearsal.rehearsed(plan)


def _num_examples(source: sources.Source, recorded: DataRecord | None) -> int | None:
    """Returns the examples of an epoch, which stay those of the run's first start."""
    if recorded is not None and recorded.num_examples is not None:
        return recorded.num_examples
    return source.examples_per_epoch


def _strategy(recipe: Recipe, dataset: Dataset, devices: Any) -> strategies.Strategy:
    parallel = config.read(Parallel, recipe.parallel, "parallel")
    made = strategies.make_strategy(
        parallel.strategy, parallel.mesh, parallel.rules, devices, parallel.activations
    )
    checks.check_batch_size(
        "dataset.batch_size", dataset.batch_size, made.batch_shards, recipe.accumulate
    )
    checks.check_batch_size("dataset.eval_batch_size", dataset.eval_batch_size, made.batch_shards)
    checks.check_groups(recipe, dataset, made.batch_shards)
    return made


def _task(recipe: Recipe, loader: pipeline.Loader, **known: Any) -> Any:
    if recipe.task.get("inputs", ["image"]) == []:
        raise ConfigError("task.inputs is empty: name one feature or more, such as 'image'")
    added = () if loader.budget is None else (*graphs.ADDED, "mask")
    for name in recipe.task.get("inputs", ()):
        config.check_choice("feature in task.inputs", name, (*loader.blank, *added))
    return config.build(recipe.task, "library.tasks", "task", **known)


def _model(spec: Mapping[str, Any], known: Mapping[str, int]) -> Any:
    spec = config.plain(spec)
    parts = spec.values() if isinstance(spec, dict) else ()
    if parts and all(isinstance(part, dict) and "name" in part for part in parts):
        return {name: _model(part, known) for name, part in spec.items()}
    return config.build(spec, "library.models", "model", **known)


def _known_sizes(
    recipe: Recipe, names: tuple[str, ...] | None, loader: pipeline.Loader
) -> dict[str, Any]:
    """Returns the sizes and names that the data give, by the names of model and task arguments.

    Raises:
      ConfigError: the task has fewer classes than the labels.
    """
    label, target = loader.blank.get("label"), loader.blank.get("target")
    sizes = {}
    sizes["feature_shapes"] = {name: tuple(x.shape) for name, x in loader.blank.items()}
    if "image" in loader.blank:
        sizes["image_shape"] = tuple(loader.blank["image"].shape)
    if loader.source.tokenizer is not None:
        sizes["vocab_size"] = loader.source.tokenizer.vocab_size
        sizes["token_names"] = loader.source.tokenizer.names
        if "counts" in loader.source.tokenizer.fitted:
            sizes["token_counts"] = tuple(loader.source.tokenizer.fitted["counts"])
    if names is None or (label is None and target is not None):
        found = None if target is None else target.size
        outputs = {} if found is None else {"num_classes": found, "num_outputs": found}
        return {**sizes, **outputs}
    if label is None:
        # The names belong to the classes of a map or of objects.
        return {**sizes, "num_classes": len(names)}
    found, stated = len(names), recipe.task.get("num_classes")
    relabelled = "to_label" in str(recipe.preprocess)
    if isinstance(stated, int) and stated < found and label.ndim == 0 and not relabelled:
        name = recipe.dataset.get("name")
        raise ConfigError(
            f"task has num_classes={stated}, but the labels of {name} have {found} classes"
        )
    return {**sizes, "num_classes": found, "num_outputs": found}
