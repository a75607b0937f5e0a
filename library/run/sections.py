"""The sections of a config, as dataclasses of plain values."""

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from library import config
from library.config import ConfigError, Duration
from library.data.folds import Folds, checked
from library.data.graphs import Budget
from library.parallel.sharding import REPLICATE_OR_FSDP
from library.reporting import notation


@dataclasses.dataclass(frozen=True)
class Dataset:
    """The dataset of a run, and how its examples are loaded.

    Attributes:
      name: name of a dataset: one that the project prepares, "folder", "audio_folder", "table", or
        one of TFDS; "none" for a system that generates its own data.
      sources: several datasets by name, in place of one `name`, see `SourceOf`. The features of
        "photos" are then called `photos_image`, ... An epoch is one pass over the first source.
      pairing: how examples of several sources meet: by "row", or each source in its "own" order.
      batch_size: examples per step, over all devices.
      train: the split to train on, such as "train[:90%]".
      test: the split that evaluators call "test".
      folds: for cross-validation, num, fold and seed, see `library.data.folds.Folds`: `train` is
        divided into num folds, with all classes in each. The run is tested on one and trains on the
        others. `test` is not read then. `python -m experiments.sweep` runs all folds.
      eval_batch_size: examples per batch of an evaluation; by default `batch_size`.
      cache: "device" keeps whole splits in device memory and gathers batches inside the step.
      workers: number of processes that decode; 0 decodes in threads.
      threads: number of threads that decode, in this process or in each worker.
      data_dir: folder of prepared datasets; by default $TFDS_DATA_DIR or ~/tensorflow_datasets.
      manual_dir: folder of files that the user downloads by hand.
      classes: for "folder", the class directories to use, in the order of their labels.
      columns: for "table", the names of its columns: inputs, and target or label, and time, see
        `library.data.table.Columns`.
      on_corrupt: what to do with an example that cannot be read or decoded: "stop" the run, or
        "skip" the example. Metrics leave a skipped example out; a warning counts it, and
        skipped.json of the workdir names it.
      tokenizer: for text, the name and arguments of a file in library/data/tokenizers/.
      context: for text, the tokens of an example, without the token to predict after the last one.
      eval_context: for text, the tokens of an example in evaluation; by default `context`.
      order: the name, or name and arguments, of a file in library/data/orders/: "shuffle", or
        "streams", in which example i of a batch continues example i of the previous batch, for
        models that carry a state from batch to batch.
      graphs: for graphs, num_graphs, num_nodes and num_edges: the size of a group of graphs, see
        `library.data.graphs.Budget`.
      repeats: how often a batch holds each example, each time with a new augmentation (repeated
        augmentation, Hoffer et al. 2020); `batch_size` counts all copies.
    """

    batch_size: int
    name: str | None = None
    sources: dict | None = None
    pairing: Literal["row", "own"] = "row"
    train: str = "train"
    test: str = "test"
    folds: dict | None = None
    eval_batch_size: int | None = None
    cache: Literal["none", "device"] = "none"
    workers: int = 0
    threads: int = 8
    data_dir: str | None = None
    manual_dir: str | None = None
    classes: tuple[str, ...] | None = None
    columns: dict | None = None
    on_corrupt: Literal["stop", "skip"] = "stop"
    tokenizer: dict | None = None
    context: int | None = None
    eval_context: int | None = None
    order: str | dict = "shuffle"
    graphs: dict | None = None
    repeats: int = 1

    def __post_init__(self):
        if not 1 <= self.repeats <= self.batch_size:
            raise ConfigError(
                f"dataset, repeats={self.repeats}: valid are 1 to batch_size={self.batch_size}"
            )
        self._check_sources()
        self._check_folds()
        if self.repeats > 1 and self.order_name != "shuffle":
            raise ConfigError(
                f"dataset, repeats={self.repeats} with order={self.order!r}: repeats need the "
                "order 'shuffle'"
            )

    @property
    def order_name(self) -> str:
        """The name of the order, without its arguments."""
        return self.order if isinstance(self.order, str) else self.order.get("name", "")

    @property
    def budget(self) -> Budget | None:
        """The budget of a group of graphs, or None if the examples are no graphs."""
        return None if self.graphs is None else config.read(Budget, self.graphs, "dataset.graphs")

    @property
    def eval_size(self) -> int:
        """The number of examples per batch of an evaluation that states none itself."""
        return self.eval_batch_size or self.batch_size

    @property
    def cross_validation(self) -> Folds | None:
        """The folds of the training split, or None."""
        if self.folds is None:
            return None
        return checked(config.read(Folds, self.folds, "dataset.folds"))

    @property
    def has_data(self) -> bool:
        """Whether there is a dataset; otherwise the system generates its own data."""
        return self.name != "none"

    def _check_folds(self) -> None:
        if self.cross_validation is None:
            return
        for other, set_ in (("sources", self.sources), ("tokenizer", self.tokenizer)):
            if set_:
                raise ConfigError(f"dataset.folds does not support dataset.{other}; leave one out")
        if not self.has_data:
            raise ConfigError("dataset.folds needs data, and dataset.name is 'none'")

    def _check_sources(self) -> None:
        if (self.name is None) == (not self.sources):
            raise ConfigError("dataset needs either 'name' or 'sources', and not both")
        apart = bool(self.sources) and self.pairing == "own"
        if self.cache == "device" and (apart or not self.has_data):
            what = "sources in their own order" if apart else "a run without data"
            raise ConfigError(f"dataset.cache='device' does not support {what}; leave it out")
        for key in ("train", "test", "classes") if self.sources else ():
            if getattr(self, key) != getattr(type(self), key):
                raise ConfigError(
                    f"dataset.{key} is not read with dataset.sources: write "
                    f"dataset.sources.{next(iter(self.sources))}.{key}"
                )
        if self.sources and self.tokenizer is not None:
            raise ConfigError("dataset.tokenizer needs one source of text, not several sources")


@dataclasses.dataclass(frozen=True)
class SourceOf:
    """One of several sources of a dataset.

    Attributes:
      name: name of a dataset, see `Dataset`.
      train: the split to train on.
      test: the split that evaluators call "test".
      data_dir: folder of the prepared dataset; by default `dataset.data_dir`.
      classes: for "folder", the class directories to use, in the order of their labels.
      preprocess: host preprocessing of this source's examples, before the sources are joined.
    """

    name: str
    train: str = "train"
    test: str = "test"
    data_dir: str | None = None
    classes: tuple[str, ...] | None = None
    preprocess: tuple[dict, ...] = ()


@dataclasses.dataclass(frozen=True)
class Split:
    """A split that the recipe names, for evaluators.

    Attributes:
      split: the split's name in its dataset, "validation" or "test[:90%]".
      dataset: another dataset with the same classes; by default the dataset of training.
      data_dir: folder of the prepared dataset; by default `dataset.data_dir`.
      preprocess: host preprocessing, such as a larger crop; by default that of "test".
      then: further host preprocessing, such as `to_labels`, which makes another feature the label.
    """

    split: str = "test"
    dataset: str | None = None
    data_dir: str | None = None
    preprocess: tuple[dict, ...] | None = None
    then: tuple[dict, ...] = ()


@dataclasses.dataclass(frozen=True)
class Checkpointing:
    """When the state is saved, and which checkpoints are kept.

    Attributes:
      every: the interval, a duration; the last step is always saved.
      keep: number of newest checkpoints to keep.
      best: a metric such as "test/accuracy"; the checkpoint with its best value is kept, too.
      mode: whether the "max" or the "min" of the metric is best. The default is known for the
        usual metrics; other metrics need it.
    """

    every: Duration = "10%"
    keep: int = 2
    best: str | None = None
    mode: Literal["max", "min"] | None = None

    def direction(self) -> notation.Direction | None:
        """Returns whether the "max" or the "min" is best; None if no best checkpoint is kept.

        Raises:
          ConfigError: `mode` contradicts the metric, or is missing for an unknown metric.
        """
        return None if self.best is None else _direction("checkpoint", "best", self.best, self.mode)


@dataclasses.dataclass(frozen=True)
class EarlyStopping:
    """When a run ends before its total: when a metric no longer improves.

    The run looks at the metric at each evaluation that its evaluator's `every` makes due. It ends
    after the first of these that is `patience` or more behind the last improvement. Before the
    first value that is finite, patience counts from the start of the run. The params are those of
    the last step: `checkpoint.best` keeps the best ones. The schedule and percentages follow
    `total`, also if the run ends earlier.

    Attributes:
      metric: a number of an evaluator, such as "test/accuracy".
      patience: a duration such as "5 epochs", or a number of evaluations: "3 evaluations".
      min_delta: a value is an improvement if it is better than the best one by more than this.
      mode: whether the "max" or the "min" of the metric is best. The default is known for the
        usual metrics; other metrics need it.
    """

    metric: str
    patience: str
    min_delta: float = 0.0
    mode: Literal["max", "min"] | None = None

    def __post_init__(self):
        if not 0 <= self.min_delta < float("inf"):
            raise ConfigError(
                f"stop, min_delta={self.min_delta!r}: a finite number from 0 is needed"
            )
        if self._evaluations() is None:
            # Only the run knows the task's own units.
            config.check_value(self.patience, Duration, "stop, patience")
        elif self._evaluations() < 1:
            raise ConfigError(f"stop, patience={self.patience!r}: valid are '1 evaluation' or more")

    def direction(self) -> notation.Direction:
        """Returns whether the "max" or the "min" is best.

        Raises:
          ConfigError: `mode` contradicts the metric, or is missing for an unknown metric.
        """
        return _direction("stop", "metric", self.metric, self.mode)

    def steps(self, steps: Callable[[str], int], every: int) -> int:
        """Returns the patience in steps.

        Args:
          steps: converts a duration into a number of steps.
          every: steps from one evaluation of the metric to the next.

        Raises:
          ConfigError: the patience has an unknown unit, or is less than one step.
        """
        evaluations = self._evaluations()
        if evaluations is not None:
            return evaluations * every
        try:
            found = steps(self.patience)
        except ConfigError as error:
            raise ConfigError(f"stop, patience: {error}, or '3 evaluations'") from None
        if found < 1:
            raise ConfigError(f"stop, patience={self.patience!r} is less than one step")
        return found

    def _evaluations(self) -> int | None:
        match = re.fullmatch(r"\s*(\d+)\s*evaluations?\s*", self.patience)
        return int(match[1]) if match else None


def _direction(
    section: str, key: str, metric: str, mode: notation.Direction | None
) -> notation.Direction:
    """Returns the direction of a metric that a section names, see `Checkpointing.direction`."""
    known = notation.direction(metric)
    if known is None and mode is None:
        raise ConfigError(
            f"{section}.{key}={metric!r}: it is unknown whether higher values are better; "
            f"set {section}.mode to 'max' or 'min'"
        )
    if None not in (known, mode) and known != mode:
        raise ConfigError(
            f"{section}.mode={mode!r} would keep the worst {metric!r}: write {known!r}, or leave "
            "it out"
        )
    return mode or known


@dataclasses.dataclass(frozen=True)
class Parallel:
    """How the step runs over the devices.

    Attributes:
      strategy: "jit", or "pmap" for per-device batch statistics.
      mesh: number of devices along data, fsdp and tensor; -1 takes the devices that are left.
      rules: sharding rules, pairs (path pattern, spec), the first match holds; or "transformer".
      activations: for Transformers, the mesh axes that split a step's activations, by dimension,
        such as {"sequence": "tensor"}; see library/layers/placement.py.
    """

    strategy: str = "jit"
    mesh: dict = dataclasses.field(default_factory=lambda: {"data": -1})
    rules: str | tuple[tuple[str, Any], ...] = REPLICATE_OR_FSDP
    activations: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class InitFrom:
    """The params of another run to start from, for fine-tuning.

    Attributes:
      workdir: the other run's directory, or the folder of an exported run.
      which: the "latest" or the "best" checkpoint of the other run.
      ema: whether to take its running averages in place of its params.
      prefix: the submodule or player of the other run that becomes this model, such as "encoder".
      fresh: patterns of params that keep their new initial values although the shapes match.
      grid: rows and columns of the other run's grid of patches, a square by default. Learned
        positions are resampled from it.
      classes: whether params of the classes, such as the head, are taken by the "names" of the
        classes, where both runs know them, or by their "numbers" alone.
      tokens: whether params of the tokens, such as embeddings, are taken by the "names" of the
        tokens, where both runs know them, or by their "numbers" alone. Tokens that the other run
        lacks keep their new initial values.
    """

    workdir: str
    which: Literal["latest", "best"] = "latest"
    ema: bool = False
    prefix: str = ""
    fresh: tuple[str, ...] = ()
    grid: tuple[int, int] | None = None
    classes: Literal["names", "numbers"] = "names"
    tokens: Literal["names", "numbers"] = "names"


@dataclasses.dataclass(frozen=True)
class Reported:
    """The result that the recipe's paper, or another source, reports.

    Attributes:
      metric: the metric to compare with the value, "test/accuracy".
      value: the reported value; an accuracy of 93% is 0.93.
      source: who reports the value, and where.
      of: what is compared of several seeds or folds: the mean of their "last" values, or the
        "best_mean" over all evaluations.
    """

    metric: str
    value: float
    source: str
    of: Literal["last", "best_mean"] = "last"


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The config of one run, in plain values; the files in `configs/` return it.

    Attributes:
      dataset: see `Dataset`.
      model: name and arguments of a function in library/models, or a dict of such specs by player.
      task: name and arguments of a function in library/tasks.
      optimizer: see library/optim/settings.py; or a dict of such specs by player, with `updates`,
        the number of the player's updates per step. None if the task updates its params itself.
      total: the length of the run, a duration.
      preprocess: host preprocessing, a list of specs, or lists by "train" and "test".
      device_preprocess: preprocessing of all batches on the device, before augmentation, such as
        spectra of waves; a list of specs.
      augment: device augmentation of training batches, a list of specs.
      views: number of views of each training image, each with its own augmentation; with more than
        one, `image` is (b, views, h, w, c) in training. Or a dict of named views: each is a list of
        augmentations after `augment`, or dict(augment=[...], count=8) for several views of a kind.
        The view "local" gives `local_image`, (b, h, w, c) or (b, count, h, w, c), beside `image`.
      normalize: mean and std of each channel, for all batches, after augmentation.
      evaluate: evaluators by name: kind, every, ema, and the kind's own arguments, see
        `evaluator`.
      splits: further splits for evaluators, by name, see `Split`.
      checkpoint: see `Checkpointing`.
      parallel: see `Parallel`.
      ema: decay, every and warmup of running averages. They are evaluated beside the params, or in
        place of them.
      accumulate: number of parts of a batch that run one after the other. Gradients are those of
        the whole batch, but BatchNorm normalizes each part by the part's own statistics.
      steps_per_call: the most steps in one call of the compiled step. A call ends where a row, an
        evaluation or a save is due. It helps models that are so small that a call takes longer than
        its computation, and needs `dataset.cache="device"`. The results are the same bits.
      on_nonfinite: whether to "stop" at a step that is not finite, or to "skip" and count it;
        schedules count it, too.
      init_from: see `InitFrom`.
      stop: see `EarlyStopping`; None trains to the total in any case.
      reported: see `Reported`.
      log_every: the interval of logged rows, a duration.
      histograms_every: the interval, a duration, at which TensorBoard gets histograms of params and
        of what the step adds to them, and rows `train/update_ratio`, the norm of this update over
        that of the params. Such a step needs a second copy of the params. None writes none.
      seed: seed of all random draws.
      compile_cache: folder of compiled programs; None keeps none.
      wandb: the project of Weights & Biases that gets the rows, too, or arguments of its `init`:
        project, entity, name, group, tags, notes, mode. If wandb is not installed, a warning says
        so.
    """

    dataset: dict
    model: dict
    task: dict
    total: Duration
    optimizer: dict | None = None
    preprocess: dict | tuple[dict, ...] = ({"name": "decode"},)
    device_preprocess: tuple[dict, ...] = ()
    augment: tuple[dict, ...] = ()
    views: int | dict = 1
    normalize: dict | None = None
    evaluate: dict = dataclasses.field(default_factory=dict)
    splits: dict = dataclasses.field(default_factory=dict)
    checkpoint: dict = dataclasses.field(default_factory=dict)
    parallel: dict = dataclasses.field(default_factory=dict)
    ema: dict | None = None
    accumulate: int = 1
    steps_per_call: int = 1
    on_nonfinite: Literal["stop", "skip"] = "stop"
    init_from: dict | None = None
    stop: dict | None = None
    reported: dict | None = None
    log_every: Duration = "50 steps"
    histograms_every: Duration | None = None
    seed: int = 0
    compile_cache: str | None = "~/.cache/compendium"
    wandb: str | dict | None = None


class Evaluate(NamedTuple):
    """One entry of `evaluate`.

    Attributes:
      every: the interval, a duration.
      spec: name and arguments of the evaluator.
      ema: whether running averages are evaluated "beside" the params, or are the "only" ones, for
        slow evaluations. Their results are named "<name>_ema/..." either way.
    """

    every: str
    spec: dict[str, Any]
    ema: str


def evaluator(name: str, section: Mapping[str, Any]) -> Evaluate:
    """Reads one entry of `evaluate`: kind, every, ema, and the kind's own arguments.

    Raises:
      ConfigError: the entry is no dict or has no kind, or its `ema` is unknown.
    """
    section = config.plain(section)
    if not isinstance(section, dict) or "kind" not in section:
        raise ConfigError(f"evaluate.{name} is written dict(kind=..., every=...), got {section!r}")
    every = config.check_value(section.pop("every", "100%"), Duration, f"evaluate.{name}, every")
    kind, ema = section.pop("kind"), section.pop("ema", "beside")
    config.check_choice(f"evaluate.{name}, ema", ema, ("beside", "only"))
    if "name" in section:
        raise ConfigError(f"evaluate.{name} takes no 'name': did you mean 'kind'?")
    if name == "train":
        raise ConfigError(
            "evaluate.train: 'train/...' are the metrics of training; write 'train_split'"
        )
    return Evaluate(every, {"name": kind, **section}, ema)
