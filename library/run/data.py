"""The datasets of a run, for training and for evaluation."""

import contextlib
import dataclasses
import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from library import config, rng
from library.config import ConfigError
from library.data import (
    features,
    fingerprints,
    folds,
    joining,
    kept_files,
    orders,
    pipeline,
    preprocessing,
    provenance,
    sources,
    text,
)
from library.data.examples import UnopenedRecords
from library.data.features import Kinds
from library.data.preprocessing import CorruptExample, UnfitExample
from library.run import data_record
from library.run.data_record import DataRecord, Feature
from library.run.sections import Dataset, Recipe, SourceOf, Split

STAGES = ("train", "test")


class Preprocessing(NamedTuple):
    """The host preprocessing of a run.

    Attributes:
      stages: the preprocessing of each stage, "train" and "test".
      fitted: the values fitted to the training split, by the operation's spec as JSON.
    """

    stages: Mapping[str, Callable]
    fitted: Mapping[str, Any]


def preprocess(
    recipe: Recipe, source: sources.Source, recorded: DataRecord | None = None
) -> Preprocessing:
    """Builds the host preprocessing of each stage, and fits it to the training split if needed.

    Args:
      recipe: the run's config.
      source: the training split.
      recorded: the data record of the run's first start; None for a new run.

    Raises:
      ConfigError: an unknown stage or operation, a missing stage, or an operation that needs
        fitting but is only in the evaluation.
    """
    fitted = dict(recorded.preprocess) if recorded is not None else {}
    stages = _stages(recipe)
    training = _chain(stages["train"], source.kinds, fitted, _Fitting(source, recipe))
    return Preprocessing(
        {"train": training, "test": _chain(stages["test"], source.kinds, fitted)}, fitted
    )


def _stages(recipe: Recipe) -> dict[str, Sequence[Mapping[str, Any]]]:
    given = recipe.preprocess
    stages = given if isinstance(given, dict) else dict.fromkeys(STAGES, given)
    for key in stages:
        config.check_choice("preprocess stage", key, STAGES)
    if len(stages) < len(STAGES):
        raise ConfigError(f"preprocess by stage needs train and test, got {list(stages)}")
    return stages


def named_splits(recipe: Recipe) -> dict[str, Split]:
    """Reads the recipe's section `splits`.

    Raises:
      ConfigError: an invalid value, the name "train" or "test", or any split in a recipe with
        several sources.
    """
    found = {}
    for name, values in recipe.splits.items():
        if name in STAGES:
            raise ConfigError(f"splits.{name}: that is dataset.{name}; choose another name")
        if recipe.dataset.get("sources"):
            raise ConfigError(
                f"splits.{name}: a recipe with several sources evaluates only on 'train' and "
                "'test', which dataset.sources set"
            )
        found[name] = config.read(Split, values, f"splits.{name}")
        for spec in (*(found[name].preprocess or ()), *found[name].then):
            config.resolve(spec, "library.data.preprocessing", "preprocessing", kinds={})
    return found


def order(dataset: Dataset, source: sources.Source, seed: int) -> pipeline.Order:
    """Builds the order of the training examples; if they are not open, an order without checks.

    Raises:
      ConfigError: the order is unknown, or the data or the batch size do not fit it.
    """
    if not source.is_open:
        return orders.sequence()
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
        lengths=functools.partial(_lengths, source),
    )
    made(np.arange(1), dataset.batch_size, len(source.records))
    return made


def training_source(
    dataset: Dataset, recorded: DataRecord | None = None, seed: int = 0, *, trains: bool = True
) -> sources.Source:
    """Opens the training split; text becomes windows of tokens.

    A program that does not train needs no examples. The source is then made from the data record
    and has none, unless the data record is older and does not suffice.

    Args:
      dataset: the run's `dataset` section.
      recorded: the data record of the run's first start; None for a new run. It gives the class
        names and the tokenizer.
      seed: seed of the run.
      trains: whether the program trains.

    Raises:
      ConfigError: the split does not exist, or differs from the recorded one.
    """
    if not trains and dataset.has_data and recorded is not None and recorded.suffices:
        return _unopened(dataset, recorded)
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


def _unopened(dataset: Dataset, recorded: DataRecord) -> sources.Source:
    """Makes the training split from the data record, without its examples."""
    source = sources.Source(
        UnopenedRecords(dataset.train),
        recorded.label_names,
        f"{dataset.train}[{{}}]".format,
        epoch=recorded.num_examples,
        kinds=recorded.kinds,
    )
    if dataset.tokenizer is None:
        return source
    fitted = data_record.fitted(recorded, dataset.tokenizer)
    return source._replace(tokenizer=text.make_tokenizer(dataset.tokenizer, source, fitted))


def loader(
    recipe: Recipe,
    dataset: Dataset,
    source: sources.Source,
    preprocess: Callable,
    known: Mapping[str, Feature] | None = None,
) -> pipeline.Loader:
    """Makes the loader of a split.

    Args:
      recipe: the run's config.
      dataset: the config's `dataset` section.
      source: the split.
      preprocess: host preprocessing.
      known: the preprocessed features; by default those of the first readable example.

    Raises:
      ConfigError, CorruptExample, UnfitExample: see `pipeline.make_loader`.
    """
    return pipeline.make_loader(
        source,
        preprocess,
        seed=recipe.seed,
        on_corrupt=dataset.on_corrupt,
        budget=dataset.budget,
        blank=None if known is None else data_record.blank(known),
    )


class Splits:
    """The splits of a run with the preprocessing of evaluations; each is opened once."""

    def __init__(
        self,
        recipe: Recipe,
        dataset: Dataset,
        training: pipeline.Loader,
        made: Preprocessing,
        recorded: DataRecord | None = None,
    ):
        """Stores the arguments; a split is opened at its first use.

        Args:
          recipe: the run's config.
          dataset: the config's `dataset` section.
          training: the loader of the training examples.
          made: the run's preprocessing.
          recorded: the data record of the run's first start; None for a new run.
        """
        self._recipe, self._dataset, self._training = recipe, dataset, training
        self._made, self._recorded = made, recorded
        self._sources: dict[str, sources.Source] = {}
        self._loaders: dict[str, pipeline.Loader] = {}

    def __call__(self, name: str) -> pipeline.Loader:
        """Returns the loader of a split.

        Args:
          name: "train" or "test" for the splits of the config's `dataset`, a name in the config's
            `splits`, or else a split of the dataset.

        Raises:
          ConfigError: the split does not exist or is empty, its classes differ from those of
            training, or "train" or "test" differs from the recorded split.
        """
        if name not in self._loaders:
            self._loaders[name] = self._opened(name)
        return self._loaders[name]

    def evaluated(self) -> pipeline.Loader:
        """Returns the loader of the training split with the preprocessing of evaluations.

        It reads no example if the data record knows the features of evaluations.
        """
        known = None if self._recorded is None else self._recorded.evaluated
        training, preprocess = self._training.source, self._made.stages["test"]
        return loader(self._recipe, self._dataset, training, preprocess, known)

    def found(self) -> DataRecord:
        """Returns the data record of a new run."""
        source, dataset = self._training.source, self._dataset
        prints = {"train": source.fingerprint()}
        # A run without evaluations needs no test split.
        with contextlib.suppress(ConfigError):
            prints["test"] = self._source("test").fingerprint()
        tokenizer, evaluated = None, None
        # Nor do its training examples have to fit the preprocessing of evaluations.
        with contextlib.suppress(ConfigError, CorruptExample, UnfitExample):
            evaluated = data_record.features(self.evaluated().blank)
        if dataset.tokenizer is not None:
            spec = config.plain(dataset.tokenizer)
            tokenizer = {"spec": spec, "fitted": source.tokenizer.fitted}
        return DataRecord(
            data_record.features(self._training.blank),
            source.label_names,
            source.examples_per_epoch,
            prints,
            tokenizer,
            self._made.fitted,
            kinds=dict(source.kinds),
            evaluated=evaluated,
        )

    def _source(self, name: str) -> sources.Source:
        """Opens a split, or reuses that of training; text stays as documents."""
        if name == "train" and self._training_serves():
            return self._training.source
        if name not in self._sources:
            own = named_splits(self._recipe).get(name)
            found = _open_stage(self._dataset, name) if own is None else _open(self._dataset, own)
            if not self._dataset.has_data:
                size = self._dataset.eval_size
                found = sources.without_data(size)
            self._sources[name] = found
        return self._sources[name]

    def _training_serves(self) -> bool:
        """Whether evaluations can read the source of training: windows and joins differ there."""
        changed = self._dataset.tokenizer is not None or bool(self._dataset.sources)
        return self._dataset.has_data and self._training.source.is_open and not changed

    def _opened(self, name: str) -> pipeline.Loader:
        source, dataset, training = self._source(name), self._dataset, self._training.source
        if name == "test" or (name == "train" and not training.is_open):
            data_record.check_source(self._recorded, name, source)
        _check_classes(training.label_names, source.label_names, name)
        if dataset.tokenizer:
            source = text.open_text(
                source,
                tokenizer=training.tokenizer,
                context=dataset.eval_context or dataset.context,
                windows="disjoint",
            )
        split, fitted = named_splits(self._recipe).get(name, Split()), self._made.fitted
        first = self._made.stages["test"]
        if split.preprocess is not None:
            first = _chain(split.preprocess, source.kinds, fitted)
        elif source.kinds != training.kinds:
            first = _chain(_stages(self._recipe)["test"], source.kinds, fitted)
        then = _chain(split.then, features.after(first, source.kinds), fitted)
        return loader(self._recipe, dataset, source, preprocessing.chain([first, then]))


def _open_stage(dataset: Dataset, stage: str, seed: int | None = None) -> sources.Source:
    """Opens a split and joins several sources, for training in an order that `seed` shuffles."""
    if dataset.folds is not None and stage in STAGES:
        return _fold(dataset, stage)
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
            _chain(section.preprocess, source.kinds, {}), source.exif_orientation
        )
        parts[name] = joining.Part(source, first)
    paired, shuffled = dataset.pairing == "row", seed is not None
    return joining.join(parts, paired=paired, shuffled=shuffled, seed=seed or 0)


def _fold(dataset: Dataset, stage: str) -> sources.Source:
    """Opens the part of the training split that a fold trains on, or is tested on."""
    asked, source = dataset.cross_validation, _open(dataset, Split(dataset.train))
    first = np.asarray(source.records[0].get("label", 0.0))
    stratified = first.ndim == 0 and np.issubdtype(first.dtype, np.integer)
    labels = _labels(source) if stratified else None
    found = folds.assigned(len(source.records), asked.num, asked.seed, labels)
    tested = found == asked.fold
    rows = np.flatnonzero(tested if stage == "test" else ~tested)
    note = (
        f"fold {asked.fold} of 0 to {asked.num - 1}: {np.sum(~tested):,} examples of "
        f"{dataset.train!r} are for training and {np.sum(tested):,} for 'test'"
    )
    return source._replace(
        records=folds.Chosen(source.records, rows),
        describe=functools.partial(_described, source.describe, rows),
        notes=(*source.notes, note),
    )


def _described(describe: Callable[[int], str], rows: np.ndarray, row: int) -> str:
    return describe(int(rows[row]))


def _labels(source: sources.Source) -> np.ndarray:
    """Reads the labels of all records."""
    records = source.records
    if hasattr(records, "labels"):
        return np.asarray(records.labels)
    if "label" not in records[0]:
        raise ConfigError(
            f"dataset.order: the examples have no 'label'; they have {', '.join(records[0])}"
        )
    return np.array([records[row]["label"] for row in range(len(records))])


def _lengths(source: sources.Source, feature: str) -> np.ndarray:
    """Reads the number of steps of a feature in each record, before the preprocessing."""
    records = source.records
    config.check_choice("feature of dataset.order", feature, records[0])
    if np.ndim(records[0][feature]) == 0 and not isinstance(records[0][feature], (str, bytes)):
        raise ConfigError(f"dataset.order: {feature!r} has no steps, it is a single number")
    return np.array([len(records[row][feature]) for row in range(len(records))])


def _windows(order: str) -> str:
    windows = {"shuffle": "every", "streams": "streams"}
    config.check_choice("order of text", order, windows)
    return windows[order]


def _open(dataset: Dataset, split: Split) -> sources.Source:
    own = split.dataset in (None, dataset.name)
    columns = {"columns": dataset.columns} if own and dataset.columns is not None else {}
    source = sources.open_source(
        split.dataset or dataset.name,
        split.split,
        data_dir=split.data_dir or dataset.data_dir,
        manual_dir=dataset.manual_dir,
        classes=dataset.classes if own else None,
        **columns,
    )
    known = functools.partial(fingerprints.of_records, split.split, source.records)
    return source._replace(fingerprint=source.fingerprint or known)


def _check_classes(trained: Sequence[str] | None, found: Sequence[str] | None, name: str) -> None:
    """Raises ConfigError if a split has another number or order of classes than training.

    The same classes may have other names.
    """
    if trained is None or found is None or found == trained:
        return
    if len(found) != len(trained):
        raise ConfigError(
            f"split {name!r} has {len(found)} classes, and the training data have {len(trained)}"
        )
    if sorted(found) == sorted(trained):
        place = next(i for i, names in enumerate(zip(trained, found)) if len(set(names)) > 1)
        raise ConfigError(
            f"split {name!r} has the classes in another order: class {place} is "
            f"{found[place]!r}, and {trained[place]!r} in the training data"
        )


class _Fitting(NamedTuple):
    """The training split that operations are fitted to, after the operations before them."""

    source: sources.Source
    recipe: Recipe

    def values(self, made: Any, before: Sequence[Callable]) -> Mapping[str, Any]:
        """Returns what an operation is fitted to; it is kept, see `library.data.kept_files`."""
        return kept_files.values(
            "fitted", self._known(made, before), lambda: made.fit(self._examples(before)), "fit"
        )

    def _known(self, made: Any, before: Sequence[Callable]) -> list | None:
        """Returns what the fitted values follow from; None if that is unknown."""
        try:
            operations = provenance.of_operation([*before, made])
            data = [provenance.of_records(self.source.records), self.source.exif_orientation]
        except (provenance.UnknownError, OSError):
            return None
        skips = self.recipe.dataset.get("on_corrupt")
        return ["preprocessing", operations, data, self.recipe.seed, skips, provenance.versions()]

    def _examples(self, before: Sequence[Callable]) -> Iterator[Mapping[str, Any]]:
        operation = preprocessing.turning(preprocessing.chain(before), self.source.exif_orientation)
        skips = self.recipe.dataset.get("on_corrupt") == "skip"
        for row in range(len(self.source.records)):
            generator = rng.host_generator(self.recipe.seed, "preprocess", row)
            try:
                yield operation(dict(self.source.records[row]), generator)
            except CorruptExample:
                if not skips:
                    raise


def _chain(
    specs: Sequence[Mapping[str, Any]],
    kinds: Kinds,
    fitted: dict[str, Any],
    fitting: _Fitting | None = None,
) -> Callable:
    """Builds a chain of operations; fitted values come from `fitted`, or are added to it."""
    operations = []
    for spec in specs:
        made = config.build(spec, "library.data.preprocessing", "preprocessing", kinds=kinds)
        if hasattr(made, "fit"):
            key = json.dumps(config.plain(spec), sort_keys=True)
            if key not in fitted and fitting is None:
                raise ConfigError(
                    f"preprocessing {spec['name']!r} is fitted to the training split: add it to "
                    f"the preprocessing of training, too; fitted there: {sorted(fitted) or 'none'}"
                )
            if key not in fitted:
                fitted[key] = fitting.values(made, operations)
            made = made.fitted(fitted[key])
        operations.append(made)
        kinds = features.after(made, kinds)
    return preprocessing.chain(operations)
