"""What a config may say: the sections of a recipe, in plain values."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from library import config
from library.config import ConfigError, Duration
from library.data.graphs import Budget
from library.parallel.sharding import REPLICATE_OR_FSDP
from library.reporting import notation


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Where examples come from and how they are loaded.

    Attributes:
      name: a builder of the project, "folder", or a name of TFDS; "none" for systems that make
        their own data.
      sources: in place of a name, several by name, see `SourceOf`: the features of "photos" are
        called `photos_image`, ... The first leads: an epoch passes it once.
      pairing: of several sources, by "row", or each in its "own" order.
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
      on_corrupt: "stop" at an example that cannot be read or decoded, or "skip" it: it is part of
        no metric, is counted and warned of, and skipped.json of the workdir names it.
      tokenizer: of text: name and arguments of a function of library/data/tokenizers.py.
      context: of text: tokens an example, beside the one that follows them.
      eval_context: of text: tokens an example of an evaluation; by default `context`.
      order: the name of a function of library/data/orders.py, or name and arguments: "shuffle", or
        "streams": example i of a batch goes on where example i of the batch before it ended, for
        models that carry a state from batch to batch.
      graphs: of graphs: what of them shares a budget of nodes and edges, see
        `library.data.graphs.Budget`: num_graphs, num_nodes and num_edges.
      repeats: times that each example comes in its batch, each time augmented anew (repeated
        augmentation, Hoffer et al. 2020); `batch_size` counts all of them.
    """

    batch_size: int
    name: str | None = None
    sources: dict | None = None
    pairing: Literal["row", "own"] = "row"
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
        if self.repeats > 1 and self.order_name != "shuffle":
            raise ConfigError(
                f"dataset, repeats={self.repeats} with order={self.order!r}: examples are repeated "
                "in the order 'shuffle' only"
            )

    @property
    def order_name(self) -> str:
        """The name of the order, without its arguments."""
        return self.order if isinstance(self.order, str) else self.order.get("name", "")

    @property
    def budget(self) -> Budget | None:
        """The budget of a group of graphs, if batches are of graphs."""
        return None if self.graphs is None else config.read(Budget, self.graphs, "dataset.graphs")

    @property
    def has_data(self) -> bool:
        """Whether there are examples; a system without any makes its own."""
        return self.name != "none"

    def _check_sources(self) -> None:
        if (self.name is None) == (not self.sources):
            raise ConfigError("dataset needs 'name', or several sources by name, and not both")
        apart = bool(self.sources) and self.pairing == "own"
        if self.cache == "device" and (apart or not self.has_data):
            what = "sources in their own order" if apart else "no data"
            raise ConfigError(f"dataset.cache='device' keeps one split, and there are {what}")
        if self.cache == "device" and self.budget is not None:
            raise ConfigError("dataset.cache='device' keeps arrays of one shape, and no graphs")
        if self.sources and self.tokenizer is not None:
            raise ConfigError("dataset.tokenizer is of one source of text, not of several sources")


@dataclasses.dataclass(frozen=True)
class SourceOf:
    """One of several sources.

    Attributes:
      name: as that of a single source.
      train: the split to train on.
      test: the split that evaluators call "test".
      data_dir: where it lies; by default where the others do.
      classes: of "folder".
      preprocess: host preprocessing of its own examples, before they are joined to the others.
    """

    name: str
    train: str = "train"
    test: str = "test"
    data_dir: str | None = None
    classes: tuple[str, ...] | None = None
    preprocess: tuple[dict, ...] = ()


@dataclasses.dataclass(frozen=True)
class Split:
    """A split of a name of the recipe's own, for evaluators to take.

    Attributes:
      split: as its data set calls it, "validation" or "test[:90%]".
      dataset: another data set of the same classes; by default the one that is trained on.
      data_dir: where that lies, by default where the other does.
      preprocess: host preprocessing of its own, such as a larger crop; by default that of "test".
      then: what comes after either, such as `to_labels`, which makes another feature the label.
    """

    split: str = "test"
    dataset: str | None = None
    data_dir: str | None = None
    preprocess: tuple[dict, ...] | None = None
    then: tuple[dict, ...] = ()


@dataclasses.dataclass(frozen=True)
class Checkpointing:
    """When the state is saved, and which saves are kept.

    Attributes:
      every: a duration; the last step is always saved.
      keep: newest checkpoints to keep.
      best: a metric such as "test/accuracy", whose best checkpoint is kept too.
      mode: whether the best is the "max" or the "min"; by default what is better of that metric,
        which must be said where no one knows.
    """

    every: Duration = "10%"
    keep: int = 2
    best: str | None = None
    mode: Literal["max", "min"] | None = None

    def direction(self) -> notation.Direction | None:
        """Returns whether the best is the "max" or the "min"; None where no best is kept.

        Raises:
          ConfigError: `mode` contradicts the metric, or is missing where the metric is unknown.
        """
        if self.best is None:
            return None
        known = notation.direction(self.best)
        if known is None and self.mode is None:
            raise ConfigError(
                f"checkpoint.best={self.best!r}: whether more of it is better is not known; set "
                "checkpoint.mode to 'max' or 'min'"
            )
        if None not in (known, self.mode) and known != self.mode:
            raise ConfigError(
                f"checkpoint.mode={self.mode!r} would keep the worst {self.best!r}: write "
                f"{known!r}, or leave it out"
            )
        return self.mode or known


@dataclasses.dataclass(frozen=True)
class Parallel:
    """How the step runs over the devices.

    Attributes:
      strategy: "jit", or "pmap" for per-device batch statistics.
      mesh: devices along data, fsdp and tensor; -1 takes what is left.
      rules: sharding rules, pairs (path pattern, spec), the first match holds; or "transformer".
      activations: of Transformers: axes that split what a step keeps, by dimension, such as
        {"sequence": "tensor"}; see library/layers/placement.py.
    """

    strategy: str = "jit"
    mesh: dict = dataclasses.field(default_factory=lambda: {"data": -1})
    rules: str | tuple[tuple[str, Any], ...] = REPLICATE_OR_FSDP
    activations: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class InitFrom:
    """Params to start from: another run's, for fine-tuning.

    Attributes:
      workdir: that run's directory.
      which: its "latest" or its "best" checkpoint.
      ema: take the running averages in place of the params.
      prefix: the submodule or player of that run that becomes this model, such as "encoder".
      fresh: patterns of params to initialise anew although their shapes agree.
      grid: rows and columns of that run's grid of patches, a square by default, by which learned
        positions are resampled.
    """

    workdir: str
    which: Literal["latest", "best"] = "latest"
    ema: bool = False
    prefix: str = ""
    fresh: tuple[str, ...] = ()
    grid: tuple[int, int] | None = None


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
      model: name and arguments of a function under library/models, or a dict of such by player.
      task: name and arguments of a function under library/tasks.
      optimizer: see library/optim/optimizers.py; or a dict of such by player, with `updates`, the
        player's moves a step; none where the task moves its params itself.
      total: the length of the run, a duration.
      preprocess: host preprocessing, a list of specs, or lists by "train" and "test".
      augment: device augmentation of training batches, a list of specs.
      views: times that each training image is augmented, each time anew; with more than one,
        `image` is (b, views, h, w, c) in training. Or views by name, each a list of augmentations
        that come after `augment`, or dict(augment=[...], count=8) of several: "local" makes
        `local_image`, (b, h, w, c) or (b, count, h, w, c), beside `image`.
      normalize: mean and std by channel, of all batches, after augmentation.
      evaluate: evaluators by name: kind, every, ema, and the kind's own arguments, see
        `evaluator`.
      splits: by name, what evaluators may take for their `split`, see `Split`.
      checkpoint: see `Checkpointing`.
      parallel: see `Parallel`.
      ema: decay, every, warmup of running averages, evaluated beside the raw params, or in place
        of them.
      accumulate: parts each batch is run in, one after the other. Gradients are those of the whole
        batch, but for BatchNorm, which normalizes each part by its own statistics.
      steps_per_call: steps that the device makes at each call of the compiled step, at the most; a
        call ends where a row, an evaluation or a save is due. For models so small that calling
        takes longer than computing, with `dataset.cache="device"`. The results are the same bits.
      on_nonfinite: "stop" at a step that is not finite, or "skip" and count it; schedules count it,
        too.
      init_from: see `InitFrom`.
      reported: see `Reported`.
      log_every: a duration.
      seed: of everything random.
      compile_cache: folder of compiled programs; None keeps none.
      wandb: the project of Weights & Biases that gets the rows, too, or what its `init` is given:
        project, entity, name, group, tags, notes, mode. Where it is not installed, a warning.
    """

    dataset: dict
    model: dict
    task: dict
    total: Duration
    optimizer: dict | None = None
    preprocess: dict | tuple[dict, ...] = ({"name": "decode"},)
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
    reported: dict | None = None
    log_every: Duration = "50 steps"
    seed: int = 0
    compile_cache: str | None = "~/.cache/compendium"
    wandb: str | dict | None = None


class Evaluate(NamedTuple):
    """One entry of `evaluate`.

    Attributes:
      every: its interval, a duration.
      spec: name and arguments of the evaluator.
      ema: whether running averages are evaluated "beside" the raw params, or are the "only" ones,
        where evaluating is slow; their rows are those of "<name>_ema" either way.
    """

    every: str
    spec: dict[str, Any]
    ema: str


def evaluator(name: str, section: Mapping[str, Any]) -> Evaluate:
    """Reads one entry of `evaluate`: kind, every, ema, and the kind's own arguments.

    Raises:
      ConfigError: it is no dict, names no kind, or has an `ema` that there is not.
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
        raise ConfigError("evaluate.train: 'train/...' are the rows of training; try 'train_split'")
    return Evaluate(every, {"name": kind, **section}, ema)
