"""Whether a run may be set against what its recipe reports: overrides can make it another run."""

from collections.abc import Iterable, Mapping
from typing import Any

from library.reporting import notation

# What a command may set of a recipe without making another one of it: chance, how the work is
# spread, what is logged and saved.
_OPERATIONAL = (
    *("seed", "log_every", "compile_cache", "wandb", "steps_per_call", "on_nonfinite"),
    *("checkpoint", "parallel.mesh", "parallel.rules", "parallel.activations"),
    *("dataset.workers", "dataset.threads", "dataset.cache", "dataset.eval_batch_size"),
)
# Last parts of a key that say where something lies, or how often it is measured.
_PLACES = ("data_dir", "manual_dir", "workdir", "teacher", "classifier", "weights", "every")


def is_operational(key: str) -> bool:
    """Tells whether a dotted key of a config only says how and where a recipe is run."""
    inside = any(key == known or key.startswith(f"{known}.") for known in _OPERATIONAL)
    return inside or key.rpartition(".")[2] in _PLACES


def changes(overrides: Iterable[str], metric: str) -> tuple[str, ...]:
    """Returns the overrides that make a run another than its recipe.

    With any of them the reported value is that of the unchanged recipe, and there is no gap. A
    claim that is itself overridden is of the run as it was asked for.

    Args:
      overrides: dotted keys.
      metric: that is reported; evaluators of other names do not concern it.
    """
    keys = [*overrides]
    if any(key.partition(".")[0] == "reported" for key in keys):
        return ()
    own = f"evaluate.{notation.split_name(metric).removesuffix('_ema')}"
    beside = [k for k in keys if k.startswith("evaluate.") and not f"{k}.".startswith(f"{own}.")]
    return tuple(key for key in keys if not is_operational(key) and key not in beside)


def judged(result: Mapping[str, Any] | None, overrides: Iterable[str]) -> dict[str, Any] | None:
    """Returns the result of a summary without a gap where overrides make it another run.

    Args:
      result: metric, value, reported, source and gap; None without a claim.
      overrides: dotted keys.

    Returns:
      The same, and as "changed" the overrides that are the reason.
    """
    changed = changes(overrides, result["metric"]) if result else ()
    return {**result, "gap": None, "changed": [*changed]} if changed else result
