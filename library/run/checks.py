"""Checks of a config before anything is built from it: its sections, and how batches divide."""

from collections.abc import Mapping
from typing import Any

from library import config, task
from library.config import ConfigError
from library.run import data, inputs, tracking
from library.run.sections import (
    Checkpointing,
    Dataset,
    EarlyStopping,
    InitFrom,
    Recipe,
    Reported,
)

# A limit, because the run reacts to a signal only after the current calls.
MOST_STEPS_PER_CALL = 1000
# Tasks whose loss is a sum of cross-entropies: its gradient with respect to a logit is an error of
# a probability, which float16 holds without a loss scale.
_CROSS_ENTROPIES = (
    *("classification", "adversarial_training", "contrastive", "distillation"),
    *("domain_adaptation", "language", "low_rank", "masked_language", "pruning", "tagging"),
    *("translation", "race", "node_classification", "attribute_masking"),
    *("harmonization", "piano_roll"),
)


def check_sections(recipe: Recipe) -> None:
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
        (EarlyStopping, recipe.stop, "stop"),
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


def check_float16(recipe: Recipe) -> None:
    """Raises ConfigError if a model is to train in float16 with a loss that needs a loss scale.

    The mean over the pixels of an image, for example, has gradients that float16 rounds to 0.
    """
    if "float16" not in _dtypes(config.plain(recipe.model)):
        return
    name = config.locate(recipe.task.get("name"), "library.tasks", "task").__name__
    if name not in _CROSS_ENTROPIES:
        raise ConfigError(
            f"model.dtype='float16' with the task {name!r}: small gradients would become 0, as "
            "there is no loss scale; nearest: 'bfloat16' (cross-entropies such as 'classification' "
            "and 'language' train in float16)"
        )


def _dtypes(model: Any) -> set[str]:
    """Returns the dtypes that the spec of a model, or of several, states at any depth."""
    if isinstance(model, Mapping):
        stated = {model["dtype"]} if isinstance(model.get("dtype"), str) else set()
        return stated.union(*map(_dtypes, model.values()))
    if isinstance(model, (list, tuple)):
        return set().union(*map(_dtypes, model))
    return set()


def check_groups(recipe: Recipe, dataset: Dataset, shards: int) -> None:
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


def check_batch_size(where: str, size: int | None, shards: int, accumulate: int = 1) -> None:
    """Checks that a batch divides over the devices, and each device's part over its steps.

    Args:
      where: the key of the config, for the message.
      size: the batch size; None where a config states none.
      shards: the number of parts of a batch, one for each device that holds one.
      accumulate: the number of parts that a device takes one after the other.

    Raises:
      ConfigError: the size does not divide.
    """
    parts = shards * accumulate
    if size is None or size % parts == 0:
        return
    below = size - size % parts
    near = f"{below} or {below + parts}" if below else f"{parts}"
    accumulated = f" x accumulate={accumulate}" if accumulate > 1 else ""
    raise ConfigError(
        f"{where}={size} does not divide over {shards} devices{accumulated}: try {near}"
    )
