"""What a system makes, to look at while it learns: images or text, the same places each time."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Int32

from library import decoding, painting
from library.config import ConfigError, nearest
from library.evaluation.context import Context, Evaluator, collected
from library.task import TrainState


def samples(
    context: Context,
    *,
    output: str = "sample",
    num: int = 64,
    split: str | None = None,
    batch_size: int | None = None,
) -> Evaluator:
    """Collects images that the task makes.

    The loop keeps them for every evaluation, and the report shows them side by side.

    Args:
      context: the task, the data and ways to run functions over it.
      output: one of the task's, which returns images (b, h, w, c), or rows (b, k, h, w, c): as the
        model has them, normalized, or uint8 to be shown as they are. Or maps, whole numbers
        (b, h, w), which are painted.
      num: images, or rows.
      split: where the output takes its examples from, such as reconstructions; None for outputs
        that need none.
      batch_size: examples a batch, by default that of evaluation.

    Returns:
      `state -> {output: uint8 images}`. Nothing random changes between evaluations.

    Raises:
      ConfigError: there is no such output, it makes no images, needs a split, or reads what no
        example has.
    """
    make = context.task.outputs.get(output)
    if make is None:
        valid = nearest(output, context.task.outputs)
        raise ConfigError(f"samples, output={output!r}: the task has no such output, {valid}")
    if num < 1:
        raise ConfigError(f"samples, num={num}: valid are 1 or more")

    def run(state, batch, key):
        try:
            image = make(state, batch, key)
        except KeyError as missing:
            reads = f"samples, output={output!r} reads {missing}"
            if split is None and missing.args[0] in context.features:
                raise ConfigError(f"{reads} of examples: give it a split") from missing
            raise ConfigError(
                f"{reads}, which no example here has (they have {', '.join(context.features)}): "
                "it is for programs, which hand it a batch of their own"
            ) from missing
        shape = getattr(image, "shape", None)
        if shape is not None and len(shape) == 3 and jnp.issubdtype(image.dtype, jnp.integer):
            num_classes = context.num_classes or 256
            return {"image": painting.painted(image, num_classes), "mask": batch["mask"]}
        if shape is None or len(shape) not in (4, 5):
            what = "several arrays" if shape is None else f"its shape is {shape}"
            raise ConfigError(f"samples, output={output!r} is no image: {what}")
        return {"image": image, "mask": batch["mask"]}

    function = context.collect(run)

    def batches():
        if split is None:
            yield from context.draws(num, batch_size)
            return
        count = 0
        for batch in context.batches(split, batch_size):
            yield batch
            count += len(batch["index"])
            if count >= num:
                return

    def evaluate(state: TrainState) -> dict[str, np.ndarray]:
        image = collected(function, state, batches())["image"][:num]
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
    """Lets a language model write on from a prompt.

    Args:
      context: the task, the data and ways to run functions over it.
      prompt: where each text begins; of several, the texts take turns.
      num: texts.
      length: tokens of the longest text, its prompt among them.
      temperature: divides the logits; 0 takes the likeliest token.
      top_k: draws from the k likeliest tokens; 0 from all.
      top_p: draws from the likeliest tokens that together have this probability.
      output: the task's, see `library/tasks/language.py`.
      batch_size: texts at a time, by default that of evaluation.

    Returns:
      `state -> {"text": strings (num,)}`, the prompts included.

    Raises:
      ConfigError: the data are no text, a character outside the vocabulary, a prompt longer than
        the model's context or than leaves something to write, or another value out of range.
    """
    tokenizer = context.tokenizer
    if tokenizer is None or output not in context.task.outputs:
        raise ConfigError("samples.text is for language models: dataset.tokenizer says how to read")
    decoding.check_sampling(temperature, top_k, top_p, tokenizer.vocab_size)
    if num < 1 or not prompt:
        raise ConfigError(f"samples.text, prompt={prompt!r}, num={num}: both are to hold something")
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


def _encoded(
    context: Context, prompts: Sequence[str], length: int
) -> list[Int32[np.ndarray, " t"]]:
    """Returns the tokens of prompts, of which the model sees all, with room for more."""
    encoded = [context.tokenizer.encode(prompt) for prompt in prompts]
    longest = max(map(len, encoded))
    for tokens in encoded:
        decoding.check_prompt(len(tokens), context.context_length)
    if longest >= length:
        raise ConfigError(
            f"samples.text: the prompt has {longest} tokens, which leaves nothing of "
            f"length={length} to write: valid are lengths from {longest + 1} on, or prompts of at "
            f"most {length - 1} tokens"
        )
    return encoded
