"""Text of a language model that continues prompts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def generate(
    trained: Any,
    output: str,
    folder: Path,
    *,
    num: int | None,
    seed: int,
    ema: bool,
    prompt: Sequence[str] | None,
    length: int | None,
    temperature: float,
    top_k: int,
    top_p: float,
) -> None:
    """Generates and writes texts, by default one for each prompt."""
    from library.apps import generation

    prompts = tuple(prompt or ["\n"])
    made = generation.texts(
        trained,
        generation.Request(num or len(prompts), seed, ema),
        prompt=prompts,
        length=length or trained.plan.dataset.context,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
    )
    print(f"\n{'-' * 79}\n".join(made))
    print(f"\n{generation.write_texts(made, folder)}")
