"""Translations of a finished run: of the lines of a file, and the attention that made them."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from matplotlib.figure import Figure

from library import decoding, files, task
from library.apps import generation, predictions
from library.config import ConfigError
from library.data import text_files
from library.evaluation.context import collected
from library.run.session import Trained
from library.special_tokens import END

# The most translations whose attention is drawn.
DRAWN = 8


class Translations(NamedTuple):
    """The translations of n texts.

    Attributes:
      sources: the texts.
      texts: their translations.
      tokens: tokens of the sources and of the translations, pairs of names, with those that end a
        text.
      attention: for each text, the weights (t, s) of each token of the translation.
    """

    sources: list[str]
    texts: list[str]
    tokens: list[tuple[list[str], list[str]]]
    attention: list[np.ndarray]


class Drawing(NamedTuple):
    """How translations are drawn instead of searched, see `library.decoding.sample`."""

    temperature: float
    top_k: int = 0
    top_p: float = 1.0


def lines(path: Path) -> tuple[list[str], list[str]]:
    """Returns the lines of a text file, and their names for messages: "file.txt, line 3".

    Raises:
      ConfigError: the file cannot be read, is not UTF-8, or has an empty line.
    """
    found = text_files.read(path).removesuffix("\n").split("\n")
    names = [f"{path}, line {number}" for number in range(1, len(found) + 1)]
    for line, name in zip(found, names):
        if not line.strip():
            raise ConfigError(f"{name} is empty: every line is a text to translate")
    return found, names


def translated(
    trained: Trained,
    request: generation.Request,
    texts: Sequence[str],
    names: Sequence[str],
    drawing: Drawing | None = None,
) -> Translations:
    """Translates texts.

    Args:
      trained: the run, of a task of translation.
      request: the seed, and whether to use running averages.
      texts: the texts, of the language of `task.inputs[0]`.
      names: names of the texts, for messages.
      drawing: how to draw translations; by default they are searched, as the run's task says.

    Raises:
      ConfigError: a text has more tokens than the run's sources, or a setting is out of range.
    """
    source, tokenizer = trained.plan.recipe.task["inputs"][0], trained.feed.context().tokenizer
    extra: dict[str, np.ndarray] = {}
    if drawing is not None:
        decoding.check_sampling(*drawing, tokenizer.vocab_size)
        kinds = dict(temperature=np.float32, top_k=np.int32, top_p=np.float32)
        extra = {name: kinds[name](value) for name, value in drawing._asdict().items()}
    records = [{source: text} for text in texts]
    examples = predictions.from_records(trained, records, names, [source]).loaded
    outputs = trained.plan.task.outputs

    def run(state: Any, batch: Mapping[str, Any], key: Any) -> dict[str, Any]:
        count = len(batch["mask"])
        own = {name: jax.numpy.full(count, value) for name, value in extra.items()}
        made = outputs["translate"](state, {**batch, **own}, key)
        seen = outputs["translation_attention"](state, {**batch, "translation": made}, key)
        return {"made": made, "attention": seen, "source": batch[source], "mask": batch["mask"]}

    context = trained.feed.context(seed=request.seed)
    state = task.learnt(trained.state, averages=request.ema)
    batches = _batches(trained, examples, generation.batch_size(trained, request))
    found = collected(context.collect(run), state, batches)
    return _told(texts, tokenizer, found)


def write(made: Translations, folder: Path) -> list[Path]:
    """Writes translate.txt, a line a text, and alignment_N.png for the first 8 texts.

    Only the first of several processes writes.
    """
    if jax.process_index():
        return [folder / "translate.txt"]
    folder.mkdir(exist_ok=True)
    paths = [files.write(folder / "translate.txt", "\n".join(made.texts) + "\n")]
    for number, (tokens, weights) in enumerate(zip(made.tokens[:DRAWN], made.attention), 1):
        if weights.size and weights.any():
            path = folder / f"alignment_{number}.png"
            with files.replacing(path) as partial:
                drawn(*tokens, weights).savefig(partial, format="png", dpi=120)
            paths.append(path)
    return paths


def drawn(source: Sequence[str], target: Sequence[str], weights: np.ndarray) -> Figure:
    """Draws attention (t, s) as a matrix, white for 1, with the tokens at its sides."""
    figure = Figure(figsize=(1.5 + 0.3 * len(source), 1.2 + 0.3 * len(target)), layout="tight")
    axes = figure.subplots()
    axes.imshow(weights, cmap="gray", vmin=0, vmax=1, aspect="equal")
    axes.xaxis.tick_top()
    # Tokens may have a dollar sign, which is no formula.
    shown = [[each.replace("$", r"\$") for each in side] for side in (source, target)]
    axes.set_xticks(range(len(source)), shown[0], rotation=90, fontsize=8)
    axes.set_yticks(range(len(target)), shown[1], fontsize=8)
    return figure


def _batches(
    trained: Trained, examples: Sequence[Mapping[str, np.ndarray]], size: int
) -> Iterator[Mapping[str, jax.Array]]:
    strategy = trained.plan.strategy
    for start in range(0, len(examples), size):
        part = [*examples[start : start + size]]
        padding = {**part[-1], "mask": np.float32(0)}
        batch = trained.plan.loader.batch([*part, *[padding] * (size - len(part))])
        places = strategy.places(size)
        yield strategy.put({name: values[places] for name, values in batch.items()})


def _told(texts: Sequence[str], tokenizer: Any, found: Mapping[str, np.ndarray]) -> Translations:
    made, tokens, attention = [], [], []
    for source, target, weights in zip(found["source"], found["made"], found["attention"]):
        sizes = [_length(row) for row in (target, source)]
        made.append(tokenizer.decode(target))
        names = [tokenizer.names[i] for i in source[: sizes[1]]]
        tokens.append((names, [tokenizer.names[i] for i in target[: sizes[0]]]))
        attention.append(weights[: sizes[0], : sizes[1]])
    return Translations(list(texts), made, tokens, attention)


def _length(tokens: np.ndarray) -> int:
    """Returns the number of tokens up to the one that ends a text, or all of them."""
    ends = np.flatnonzero(tokens == END)
    return int(ends[0]) + 1 if len(ends) else len(tokens)
