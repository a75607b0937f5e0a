"""The data sets of a run, opened as its config says: to train on, and to evaluate on."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from library import config
from library.config import ConfigError
from library.data import features, fingerprints, joining, pipeline, preprocessing, sources, text
from library.data.features import Kinds
from library.run import data_record
from library.run.data_record import DataRecord
from library.run.sections import Dataset, Recipe, SourceOf, Split

STAGES = ("train", "test")


def preprocess(recipe: Recipe, kinds: Kinds = features.USUAL) -> dict[str, Callable]:
    """Builds the host preprocessing by stage, "train" and "test".

    Args:
      recipe: the run's values.
      kinds: of the features of the source.

    Raises:
      ConfigError: other stages, or operations that there are not.
    """
    given = recipe.preprocess
    stages = given if isinstance(given, dict) else dict.fromkeys(STAGES, given)
    for key in stages:
        config.check_choice("preprocess stage", key, STAGES)
    if len(stages) < len(STAGES):
        raise ConfigError(f"preprocess by stage needs train and test, got {list(stages)}")
    return {stage: _chain(specs, kinds) for stage, specs in stages.items()}


def named_splits(recipe: Recipe) -> dict[str, Split]:
    """Reads the splits that the recipe names itself.

    Raises:
      ConfigError: a value that is not understood, or a name that has a meaning already.
    """
    found = {}
    for name, values in recipe.splits.items():
        if name in STAGES:
            raise ConfigError(f"splits.{name}: that is dataset.{name}; choose another name")
        found[name] = config.read(Split, values, f"splits.{name}")
        _chain([*(found[name].preprocess or ()), *found[name].then])
    return found


def order(dataset: Dataset, source: sources.Source, seed: int) -> pipeline.Order:
    """Builds the order of the training examples.

    Raises:
      ConfigError: there is no such order, or the data or the batch do not fit it.
    """
    spec = dataset.order if isinstance(dataset.order, dict) else {"name": dataset.order}
    if not dataset.has_data:
        spec = {"name": "sequence"}
    made = config.build(
        spec,
        "library.data.orders",
        "order",
        seed=seed,
        repeats=dataset.repeats,
        labels=functools.partial(_labels, source),
    )
    made(np.arange(1), dataset.batch_size, len(source.records))
    return made


def training_source(
    dataset: Dataset, recorded: DataRecord | None = None, seed: int = 0
) -> sources.Source:
    """Opens the training split; of text, as windows of tokens.

    Args:
      dataset: the run's `dataset` section.
      recorded: what the run took from its data when it was started, if it was. Names of classes
        and the tokenizer are taken from there.
      seed: of the run.

    Raises:
      ConfigError: there is no such split, or it is not what the run was started with.
    """
    source = _open_stage(dataset, "train", seed)
    data_record.check_source(recorded, "train", source)
    if recorded is not None and recorded.label_names is not None and source.label_names:
        _check_classes(recorded.label_names, source.label_names, dataset.train)
        source = source._replace(label_names=recorded.label_names)
    if dataset.tokenizer is None:
        return source
    fitted = data_record.fitted(recorded, dataset.tokenizer)
    return text.open_text(
        source,
        tokenizer=text.make_tokenizer(dataset.tokenizer, source, fitted),
        context=dataset.context,
        windows=_windows(dataset.order_name),
    )


def found(dataset: Dataset, training: pipeline.Loader) -> DataRecord:
    """Returns what a run that is started now takes from its data.

    Args:
      dataset: its `dataset` section.
      training: how training examples are loaded.
    """
    source = training.source
    prints = {"train": source.fingerprint()}
    # A set needs no split for evaluations, if there are none.
    with contextlib.suppress(ConfigError):
        prints["test"] = _open_stage(dataset, "test").fingerprint()
    tokenizer = None
    if source.tokenizer is not None:
        spec = config.plain(dataset.tokenizer)
        tokenizer = {"spec": spec, "fitted": source.tokenizer.fitted}
    shapes = data_record.features(training.blank)
    return DataRecord(shapes, source.label_names, source.examples_per_epoch, prints, tokenizer)


def open_split(
    recipe: Recipe,
    dataset: Dataset,
    training: pipeline.Loader,
    test: Callable,
    name: str,
    recorded: DataRecord | None = None,
) -> pipeline.Loader:
    """Opens a split for evaluation.

    Args:
      recipe: the run's values.
      dataset: its `dataset` section.
      training: how training examples are loaded.
      test: host preprocessing of evaluations.
      name: "train" and "test" mean the config's, others those that it names itself, or else TFDS's
        own.
      recorded: what the run took from its data when it was started, if it was.

    Raises:
      ConfigError: there is no such split, it is empty, its classes are others, or "test" is not
        what it was.
    """
    split = named_splits(recipe).get(name, Split(name))
    source = _open(dataset, split) if name in recipe.splits else _open_stage(dataset, name)
    if not dataset.has_data:
        source = sources.without_data(dataset.eval_batch_size or dataset.batch_size)
    if name == "test":
        data_record.check_source(recorded, name, source)
    _check_classes(training.source.label_names, source.label_names, name)
    if dataset.tokenizer:
        source = text.open_text(
            source,
            tokenizer=training.source.tokenizer,
            context=dataset.eval_context or dataset.context,
            windows="disjoint",
        )
    if split.preprocess is not None:
        first = _chain(split.preprocess, source.kinds)
    elif source.kinds == training.source.kinds:
        first = test
    else:
        first = preprocess(recipe, source.kinds)["test"]
    then = _chain(split.then, features.after(first, source.kinds))
    return pipeline.make_loader(
        source,
        preprocessing.chain([first, then]),
        seed=recipe.seed,
        on_corrupt=dataset.on_corrupt,
    )


def _open_stage(dataset: Dataset, stage: str, seed: int | None = None) -> sources.Source:
    """Opens "train", "test" or another split; several sources joined, in training by a seed."""
    if not dataset.sources:
        return _open(dataset, Split({s: getattr(dataset, s) for s in STAGES}.get(stage, stage)))
    parts = {}
    for name, values in dataset.sources.items():
        section = config.read(SourceOf, values, f"dataset.sources.{name}")
        own = dataclasses.replace(
            dataset,
            name=section.name,
            sources=None,
            classes=section.classes,
            data_dir=section.data_dir or dataset.data_dir,
        )
        source = _open(own, Split({s: getattr(section, s) for s in STAGES}.get(stage, stage)))
        first = preprocessing.turning(
            _chain(section.preprocess, source.kinds), source.exif_orientation
        )
        parts[name] = joining.Part(source, first)
    paired, shuffled = dataset.pairing == "row", seed is not None
    return joining.join(parts, paired=paired, shuffled=shuffled, seed=seed or 0)


def _labels(source: sources.Source) -> np.ndarray:
    """Reads the labels of all records."""
    records = source.records
    if hasattr(records, "labels"):
        return np.asarray(records.labels)
    if "label" not in records[0]:
        raise ConfigError(
            f"dataset.order: the examples have no 'label', but {', '.join(records[0])}"
        )
    return np.array([records[row]["label"] for row in range(len(records))])


def _windows(order: str) -> str:
    windows = {"shuffle": "every", "streams": "streams"}
    config.check_choice("order of text", order, windows)
    return windows[order]


def _open(dataset: Dataset, split: Split) -> sources.Source:
    source = sources.open_source(
        split.dataset or dataset.name,
        split.split,
        data_dir=split.data_dir or dataset.data_dir,
        manual_dir=dataset.manual_dir,
        classes=dataset.classes if split.dataset in (None, dataset.name) else None,
    )
    known = functools.partial(fingerprints.of_records, split.split, source.records)
    return source._replace(fingerprint=source.fingerprint or known)


def _check_classes(trained: Sequence[str] | None, found: Sequence[str] | None, name: str) -> None:
    """Refuses labels that count other classes; the same may be named otherwise elsewhere."""
    if trained is None or found is None or found == trained:
        return
    if len(found) != len(trained):
        raise ConfigError(
            f"split {name!r} has {len(found)} classes, and the training data {len(trained)}"
        )
    if sorted(found) == sorted(trained):
        place = next(i for i, names in enumerate(zip(trained, found)) if len(set(names)) > 1)
        raise ConfigError(
            f"split {name!r} has the classes in another order: {place} is {found[place]!r}, and "
            f"{trained[place]!r} in the training data"
        )


def _chain(specs: Sequence[Mapping[str, Any]], kinds: Kinds = features.USUAL) -> Callable:
    operations = []
    for spec in specs:
        made = config.build(spec, "library.data.preprocessing", "preprocessing", kinds=kinds)
        operations.append(made)
        kinds = features.after(made, kinds)
    return preprocessing.chain(operations)
