"""Decides whether a run can be compared with its recipe's claim, by the overrides of the run."""

from collections.abc import Iterable, Mapping
from typing import Any

from library.reporting import notation

# Keys that a command may set without a change of the recipe: the seed, the distribution of the
# work, logging and saving.
_OPERATIONAL = (
    *("seed", "dataset.folds.fold", "log_every", "histograms_every", "compile_cache", "wandb"),
    *("steps_per_call", "on_nonfinite"),
    *("checkpoint", "parallel.mesh", "parallel.rules", "parallel.activations"),
    *("dataset.workers", "dataset.threads", "dataset.cache", "dataset.eval_batch_size"),
)
# Last parts of keys that state where files are.
_PLACES = ("data_dir", "manual_dir", "workdir", "teacher")
# Last parts of keys of evaluators that state where files are, or how often they measure. Elsewhere
# the same words are a part of the recipe: the interval of a schedule, the loss of a classifier.
_OF_EVALUATORS = ("classifier", "weights", "every")


def is_operational(key: str) -> bool:
    """Returns whether a dotted key of a config states only how and where a recipe runs."""
    inside = any(key == known or key.startswith(f"{known}.") for known in _OPERATIONAL)
    places = (*_PLACES, *_OF_EVALUATORS) if key.startswith("evaluate.") else _PLACES
    return inside or key.rpartition(".")[2] in places


def changes(overrides: Iterable[str], metric: str) -> tuple[str, ...]:
    """Returns the overrides that make a run differ from its recipe.

    With any of them the reported value belongs to the unchanged recipe, and the run has no gap. If
    the claim itself is overridden, it belongs to the run.

    Args:
      overrides: dotted keys.
      metric: the reported metric; overrides of other evaluators do not change it.
    """
    keys = [*overrides]
    if any(key.partition(".")[0] == "reported" for key in keys):
        return ()
    own = f"evaluate.{notation.split_name(metric).removesuffix('_ema')}"
    beside = [k for k in keys if k.startswith("evaluate.") and not f"{k}.".startswith(f"{own}.")]
    return tuple(key for key in keys if not is_operational(key) and key not in beside)


def judged(result: Mapping[str, Any] | None, overrides: Iterable[str]) -> dict[str, Any] | None:
    """Returns the result of a summary, without a gap if overrides change the recipe.

    Args:
      result: metric, value, reported, source and gap; None without a claim.
      overrides: dotted keys.

    Returns:
      The result; "changed" lists the overrides that change the recipe.
    """
    changed = changes(overrides, result["metric"]) if result else ()
    return {**result, "gap": None, "changed": [*changed]} if changed else result
