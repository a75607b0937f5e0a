"""Samples to look at during training: images or text, with the same random draws each time."""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Int32

from library import decoding
from library.config import ConfigError, nearest
from library.evaluation._pictures import shown
from library.evaluation.context import Context, Evaluator, collected
from library.task import Batch, TrainState


def samples(
    context: Context,
    *,
    output: str = "sample",
    num: int = 64,
    split: str | None = None,
    batch_size: int | None = None,
) -> Evaluator:
    """Collects images that the task makes.

    The run saves the images of every evaluation, and the report shows them side by side.

    Args:
      context: the task, the data and functions to run over it.
      output: the task's output. It returns images (b, h, w, c) or rows of images (b, k, h, w, c),
        either normalized, or uint8, which are shown unchanged; or maps, whole numbers (b, h, w),
        which are painted.
      num: number of images or rows.
      split: the split whose examples the output takes, such as for reconstructions; None for
        outputs without examples.
      batch_size: examples per batch; `dataset.eval_batch_size` by default.

    Returns:
      `state -> {output: uint8 images}`. All evaluations use the same random draws.

    Raises:
      ConfigError: there is no such output, it makes no images, needs a split, or reads a feature
        that no example has.
    """
    make = context.task.outputs.get(output)
    if make is None:
        valid = nearest(output, context.task.outputs)
        raise ConfigError(f"samples, output={output!r}: the task has no such output, {valid}")
    if num < 1:
        raise ConfigError(f"samples, num={num}: valid are 1 or more")

    def run(state, batch, key):
        try:
            made = make(state, batch, key)
        except KeyError as missing:
            raise _without_feature(context, output, split, missing.args[0]) from missing
        return {"image": shown(made, "samples", output, context.num_classes), "mask": batch["mask"]}

    function = context.collect(run)

    def evaluate(state: TrainState) -> dict[str, np.ndarray]:
        batches = _batches(context, split, num, batch_size)
        image = collected(function, state, batches)["image"][:num]
        return {output: image if image.dtype == np.uint8 else context.pixels(image)}

    return evaluate


def text(
    context: Context,
    *,
    prompt: str | tuple[str, ...] = "\n",
    num: int = 4,
    length: int = 400,
    temperature: float = 0.8,
    top_k: int = 0,
    top_p: float = 1.0,
    output: str = "generate",
    batch_size: int | None = None,
) -> Evaluator:
    """Generates texts that continue a prompt.

    Args:
      context: the task, the data and functions to run over it.
      prompt: the start of each text; the texts cycle through several prompts.
      num: number of texts.
      length: number of tokens of each text, prompt included.
      temperature: divisor of the logits; 0 takes the likeliest token.
      top_k: number of the likeliest tokens to draw from; 0 for all.
      top_p: probability of the set of likeliest tokens to draw from.
      output: the task's output, see `library/tasks/language.py`.
      batch_size: texts per batch; `dataset.eval_batch_size` by default.

    Returns:
      `state -> {"text": strings (num,)}`, with the prompts.

    Raises:
      ConfigError: the data are not text, a character is outside the vocabulary, a prompt is longer
        than the model's context or leaves no token to generate, or another value is out of range.
    """
    tokenizer = context.tokenizer
    if tokenizer is None or output not in context.task.outputs:
        raise ConfigError(
            "samples.text is for language models: it needs dataset.tokenizer and a task with "
            f"output {output!r}"
        )
    decoding.check_sampling(temperature, top_k, top_p, tokenizer.vocab_size)
    if num < 1 or not prompt:
        raise ConfigError(
            f"samples.text, prompt={prompt!r}, num={num}: valid are a prompt that is not empty and "
            "num from 1"
        )
    encoded = _encoded(context, (prompt,) if isinstance(prompt, str) else prompt, length)
    turns = [encoded[i % len(encoded)] for i in range(num)]
    features = {
        "tokens": np.stack([np.pad(t, (0, length - len(t))) for t in turns]).astype(np.int32),
        "length": np.array([len(t) for t in turns], np.int32),
        "temperature": np.full(num, temperature, np.float32),
        "top_k": np.full(num, top_k, np.int32),
        "top_p": np.full(num, top_p, np.float32),
    }

    def run(state, batch, key):
        tokens = context.task.outputs[output](state, batch, key)
        return {"tokens": tokens, "mask": batch["mask"]}

    function = context.collect(run)

    def evaluate(state: TrainState) -> dict[str, np.ndarray]:
        tokens = collected(function, state, context.draws(num, batch_size, features))["tokens"]
        return {"text": np.array([tokenizer.decode(row) for row in tokens])}

    return evaluate


def _without_feature(context: Context, output: str, split: str | None, feature: str) -> ConfigError:
    """Returns the error of an output that reads a feature which its batches do not have."""
    reads = f"samples, output={output!r} reads {feature!r}"
    if split is None and feature in context.features:
        return ConfigError(f"{reads} of examples: give it a split")
    return ConfigError(
        f"{reads}, which no example here has (they have {', '.join(context.features)}): "
        "this output is for programs that give it their own batch"
    )


def _batches(
    context: Context, split: str | None, num: int, batch_size: int | None
) -> Iterator[Batch]:
    """Yields batches of a split, or drawn ones without a split, until they hold `num` examples."""
    if split is None:
        yield from context.draws(num, batch_size)
        return
    count = 0
    for batch in context.batches(split, batch_size):
        yield batch
        count += len(batch["index"])
        if count >= num:
            return


def _encoded(
    context: Context, prompts: Sequence[str], length: int
) -> list[Int32[np.ndarray, " t"]]:
    """Returns the tokens of prompts that fit the model's context and leave tokens to generate."""
    encoded = [context.tokenizer.encode(prompt) for prompt in prompts]
    longest = max(map(len, encoded))
    for tokens in encoded:
        decoding.check_prompt(len(tokens), context.context_length)
    if longest >= length:
        raise ConfigError(
            f"samples.text: the prompt has {longest} tokens, which leaves nothing of "
            f"length={length} to generate: valid are lengths from {longest + 1}, or prompts of at "
            f"most {length - 1} tokens"
        )
    return encoded
