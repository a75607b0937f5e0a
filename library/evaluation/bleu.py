"""BLEU of translations (Papineni et al. 2002), as sacreBLEU computes it (Post 2018)."""

import importlib
from typing import Any

import numpy as np

from library.config import ConfigError
from library.evaluation.context import Context, Evaluator, collected
from library.task import Batch, TrainState


def bleu(
    context: Context,
    *,
    target: str,
    split: str = "test",
    output: str = "translate",
    lowercase: bool = False,
    batch_size: int | None = None,
    shown: int = 8,
) -> Evaluator:
    """Measures the BLEU of a translation task over a split, on text that is not tokenized.

    The references are the texts of the feature `target`, decoded from their tokens: they must not
    be cropped.

    Args:
      context: the task, the data and functions to run over it.
      target: the feature with the references, such as "de".
      split: which part of the dataset.
      output: the task's output with the tokens of translations.
      lowercase: whether case counts for nothing; by default it counts.
      batch_size: examples per batch; `dataset.eval_batch_size` by default.
      shown: number of translations that the run keeps, each above its reference.

    Returns:
      `state -> {"bleu", "length_ratio", "signature", "translations"}`: BLEU from 0 to 100; the
      length of the translations over that of the references; sacreBLEU's signature, which says how
      it counted; and strings (shown,).

    Raises:
      ConfigError: sacrebleu is not installed, the task has no such output, the data have no
        vocabulary, or no example has the target.
    """
    sacrebleu = _sacrebleu()
    if output not in context.task.outputs or context.tokenizer is None:
        raise ConfigError(
            f"bleu needs a task of translation, with output {output!r}, and data with a "
            "vocabulary (preprocessing 'tokenize')"
        )
    if target not in context.features:
        raise ConfigError(
            f"bleu, target={target!r}: the examples have {', '.join(context.features)}"
        )

    def run(state: TrainState, batch: Batch, key: Any) -> dict[str, Any]:
        made = context.task.outputs[output](state, batch, key)
        return {"made": made, "wanted": batch[target], "mask": batch["mask"]}

    function = context.collect(run)

    def evaluate(state: TrainState) -> dict[str, float | np.ndarray]:
        found = collected(function, state, context.batches(split, batch_size), split)
        made, wanted = (
            [context.tokenizer.decode(row) for row in found[name]] for name in ("made", "wanted")
        )
        pairs = [f"{a}\n({b})" for a, b in zip(made[:shown], wanted[:shown])]
        scored = _scored(sacrebleu, made, wanted, lowercase)
        return {**scored, "translations": np.array(pairs, str)}

    return evaluate


def _scored(
    sacrebleu: Any, made: list[str], wanted: list[str], lowercase: bool
) -> dict[str, float | np.ndarray]:
    if not made:
        # The rehearsal of a run has no examples.
        return {"bleu": np.nan, "length_ratio": np.nan, "signature": np.array([""])}
    metric = sacrebleu.metrics.BLEU(lowercase=lowercase)
    score = metric.corpus_score(made, [wanted])
    return {
        "bleu": float(score.score),
        "length_ratio": float(score.sys_len / max(score.ref_len, 1)),
        "signature": np.array([str(metric.get_signature())]),
    }


def _sacrebleu() -> Any:
    try:
        return importlib.import_module("sacrebleu")
    except ImportError as error:
        raise ConfigError(
            "the evaluator 'bleu' needs sacrebleu: pip install 'compendium[translation]'"
        ) from error
