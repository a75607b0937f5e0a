"""The format of metrics, gaps, durations and devices, which is the same in every report.

Metrics that are shares of examples, such as accuracies and error rates, are stored as fractions and
shown in percent. Other metrics are shown unchanged.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

_SHARES = (
    *("accuracy", "precision", "recall", "f1", "iou", "dice", "auc", "knn", "probe"),
    "sparsity",
)
_LOWER = (
    *("error", "loss", "entropy", "perplexity", "nll", "bpd", "dim", "fid", "kid"),
    *("wer", "cer", "mse", "mae", "rmse", "ece", "distance", "divergence"),
)
_HIGHER = (
    *("bleu", "score", "psnr", "ssim", "reward", "return", "likelihood", "elbo", "r2"),
    *("correlation", "auroc", "match", "agreement", "coverage", "covered", "density"),
)
# Neither good nor bad in themselves: of samples, the best are the values of real images.
_NEUTRAL = ("sparsity", "pairwise_distance", "class_distance", "class_entropy")
NONE = "-"
Direction = Literal["max", "min"]


def metric_name(key: str) -> str:
    """Returns the metric of a key, such as "accuracy" for "test_ema/accuracy"."""
    return key.partition("/")[2] or key


def split_name(key: str) -> str:
    """Returns the data on which a key is measured: "test_ema" for "test_ema/accuracy", or ""."""
    head, slash, _ = key.partition("/")
    return head if slash else ""


def is_share(key: str) -> bool:
    """Returns whether a metric is a share of examples, stored as a fraction, shown in percent."""
    words = re.split(r"[/_\s-]+", key.lower())
    if words[-1] == "error":
        return not {"squared", "absolute", "mean", "reconstruction", "denoised"} & set(words)
    tail = set(re.split(r"[_\s-]+", metric_name(key).lower()))
    return bool(tail & set(_SHARES)) or any(re.fullmatch(r"top\d+", word) for word in tail)


def direction(key: str) -> Direction | None:
    """Returns whether the best value of a metric is its "max" or "min"; None if that is unknown.

    All comparisons use this function: the best checkpoint, the order of compared runs, and whether
    a result misses its claim.
    """
    words = re.split(r"[/_\s-]+", key.lower())
    last = words[-1]
    if key.lower().endswith(_NEUTRAL):
        return None
    if last in _LOWER or (last in _HIGHER and "negative" in words):
        return "min"
    if last in _HIGHER or is_share(key):
        return "max"
    return None


def is_judged(key: str) -> bool:
    """Returns whether higher or lower is known to be better; it is not for a learning rate."""
    return direction(key) is not None


def best_of(key: str, values: Iterable[float], mode: Direction | None = None) -> float:
    """Returns the best finite value of a metric; nan if there is none or its direction is unknown.

    Args:
      key: the metric.
      values: the values of the metric.
      mode: the metric's direction if the config states it, by default `direction(key)`.
    """
    finite = [value for value in values if math.isfinite(value)]
    mode = mode or direction(key)
    if not finite or mode is None:
        return math.nan
    return min(finite) if mode == "min" else max(finite)


def is_better(value: float, than: float | None, mode: Direction) -> bool:
    """Returns whether a value is finite and better than the best value so far."""
    if not math.isfinite(value) or than is None:
        return math.isfinite(value)
    return value < than if mode == "min" else value > than


def direction_in_words(mode: Direction | None) -> str:
    """Returns the text that follows a metric's name, such as " (lower is better)"."""
    return {"min": " (lower is better)", "max": " (higher is better)"}.get(mode, "")


def shown(key: str, value: float | None, spread: float | None = None) -> str:
    """Renders a metric's value, with the spread over seeds if there is one.

    A share of 0.9302 becomes "93.02%". Other metrics have five significant digits, such as
    "3.1712".
    """
    if value is None:
        return NONE
    if not is_share(key):
        return number(value) + (f" ± {number(spread)}" if spread is not None else "")
    if not math.isfinite(value):
        return number(value)
    return f"{100 * value:.2f}" + (f" ± {100 * spread:.2f}" if spread is not None else "") + "%"


def shown_gap(key: str, gap: float | None) -> str:
    """Renders ours minus the reported value with its sign; shares are in percentage points."""
    if gap is None or not math.isfinite(gap):
        return NONE
    scaled = round(100 * gap, 2) if is_share(key) else float(f"{gap:.4g}")
    return f"{scaled + 0.0:+.2f}" if is_share(key) else f"{scaled + 0.0:+g}"


def is_miss(key: str, gap: float | None, mode: Direction | None = None) -> bool:
    """Returns whether a gap is on the worse side, at the precision of its display.

    Args:
      key: the metric.
      gap: ours minus the reported value.
      mode: the metric's direction if the config states it, by default `direction(key)`.
    """
    mode = mode or direction(key)
    if gap is None or not math.isfinite(gap) or mode is None:
        return False
    written = float(shown_gap(key, gap))
    return written > 0 if mode == "min" else written < 0


def number(value: Any) -> str:
    """Renders a number: integers with separators, other numbers with five significant digits."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return NONE if value is None else str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if math.isfinite(value) and abs(value) >= 1e5:
        return f"{value:,.0f}" if abs(value) < 1e9 else f"{value:.3g}"
    return f"{value:.5g}"


def stopped_early(summary: Mapping[str, Any]) -> str:
    """Returns the sentence about a run that stopped early, from its summary's `stopped_early`."""
    best, delta = summary["best"], summary["min_delta"]
    value = "" if best is None else f" ({shown(summary['metric'], best)})"
    more = f" by more than {delta:g}" if delta else ""
    return (
        f"stopped early after step {summary['step']:,} of {summary['total']:,}: "
        f"{summary['metric']} has not improved{more} since step {summary['best_step']:,}{value}, "
        f"and the patience is {summary['patience']}"
    )


def duration(seconds: float | None) -> str:
    """Renders seconds as "850 ms", "42.1 s", "7 min 05 s", "3 h 12 min" or "2 d 04 h"."""
    if seconds is None or not math.isfinite(seconds):
        return NONE
    if seconds < 0.9995:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600:02d} h"


def device(description: Mapping[str, Any] | None) -> str:
    """Renders a device in short, such as "2 x CPU core", "8 x TPU v4" or "1 x NVIDIA H200"."""
    if not description:
        return NONE
    platform, kind = str(description.get("platform") or ""), str(description.get("kind") or "")
    if platform.lower() == "cpu":
        cores = description.get("cores")
        return f"{cores} x CPU core" if cores else "CPU"
    kind = re.sub(r"\s+", " ", re.sub(r"\(R\)|\(TM\)|®|™", "", kind)).strip()
    return f"{description.get('count', 1)} x {kind or platform.upper()}"


def short_commit(commit: str | None, dirty: bool = False) -> str:
    """Renders a commit with seven digits, and "+" if the tree had changes on top of it."""
    return f"{commit[:7]}{'+' if dirty else ''}" if commit else NONE


def printable(label: Any, width: int | None = None) -> str:
    """Returns a label on one line without control characters, cut to `width` with "…"."""
    line = " ".join(str(label).split())
    line = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)
    return line if width is None or len(line) <= width else line[: max(width - 1, 1)] + "…"


def class_names(label_names: Sequence[str] | None, classes: int) -> list[str]:
    """Returns the names of classes as labels, or their numbers if there is not a name for each."""
    named = label_names is not None and len(label_names) == classes
    return [printable(n) for n in label_names] if named else [*map(str, range(classes))]


def percent(share: float) -> str:
    """Renders a share as "97%", and a share below a tenth as "6.0%"."""
    return f"{100 * share:.0f}%" if share >= 0.0995 else f"{100 * share:.1f}%"
