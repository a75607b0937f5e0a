"""Speed of single families of systems: samplers, decoding with a cache, masked encoding."""

import functools
import statistics
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments import command_line
from experiments.measurements.timing import Budget, Step, in_turn, ratio, seconds_each
from library import config
from library.models.image import mae
from library.models.sequence import gpt
from library.task import Task, TrainState, minimize
from library.tasks.language import language

SAMPLERS = {
    "ancestral": dict(name="ancestral"),
    "ddim": dict(name="ddim", steps=50),
    "dpm_solver": dict(name="dpm_solver", steps=20),
}
_SAMPLES = 16
# The GPT for decoding and for the comparison with PyTorch, of the size of a character model.
GPT = dict(vocab_size=65, context=256, width=128, depth=4, num_heads=4)
# The smallest GPT-2, with its vocabulary padded to a multiple of 128 (Karpathy's nanoGPT).
GPT2 = dict(width=768, depth=12, num_heads=12, vocab_size=50_304, context=1024)
# The masked autoencoders for CPU and accelerators, their batches and the side of an image.
MAE = {
    "cpu": (dict(width=192, depth=12, num_heads=3), 8, 224),
    "accelerator": (dict(width=768, depth=12, num_heads=12), 256, 224),
}
_PATCH = 16


def samplers(budget: Budget) -> dict[str, float]:
    """Counts samples per second of each sampler, with the untrained U-Net for MNIST."""
    values = command_line.load_config("configs/ddpm/mnist.py:cpu")[0]
    budget = budget._replace(steps=1)
    measures = {
        name: functools.partial(seconds_each, _sampling_step(values, spec), budget)
        for name, spec in SAMPLERS.items()
    }
    found = in_turn(budget, measures)
    figures = {
        f"{name} samples/s": _SAMPLES / statistics.median(seconds)
        for name, seconds in found.items()
    }
    rest = [name for name in found if name != "ancestral"]
    speedups = {f"{n} speed-up": ratio(found["ancestral"], found[n]) for n in rest}
    return {**figures, **speedups}


def decoding(budget: Budget) -> dict[str, float]:
    """Times the generation of 256 tokens, with cached keys and values and without."""
    batch = {
        "tokens": jnp.zeros((4, GPT["context"]), jnp.int32),
        "length": jnp.ones(4, jnp.int32),
        "index": jnp.arange(4, dtype=jnp.uint32),
        "temperature": jnp.ones(4),
        "top_k": jnp.zeros(4, jnp.int32),
        "top_p": jnp.ones(4),
    }
    task, state, _ = gpt_task(batch_size=4, context=GPT["context"])
    budget = budget._replace(steps=2)

    def step(name):
        generate = jax.jit(task.outputs[name])
        return functools.partial(generate, state, batch, jax.random.key(0))

    measures = {
        name: functools.partial(seconds_each, step(name), budget)
        for name in ("generate", "generate_uncached")
    }
    found = in_turn(budget, measures)
    tokens = batch["tokens"].size
    return {
        "cached tokens/s": tokens / statistics.median(found["generate"]),
        "uncached tokens/s": tokens / statistics.median(found["generate_uncached"]),
        "speed-up": ratio(found["generate_uncached"], found["generate"]),
    }


def masking(budget: Budget) -> dict[str, float]:
    """Times a masked autoencoder's encoder, forward and backward, on a quarter of the patches.

    The encoder has the size of ViT-Ti/16 on CPU, and of ViT-B/16 on an accelerator.
    """
    size, count, side = MAE["cpu" if jax.default_backend() == "cpu" else "accelerator"]
    model, patches = mae.mae(patch_size=_PATCH, **size), (side // _PATCH) ** 2
    image = jax.random.normal(jax.random.key(0), (count, side, side, 3))
    order = jnp.argsort(jax.random.uniform(jax.random.key(1), (count, patches)), axis=1)
    first = image[:1], order[:1], patches // 4
    params = jax.jit(lambda: model.init(jax.random.key(2), *first))()["params"]
    budget = budget.for_large_steps()

    def step(visible: int | None) -> Step:
        def objective(params):
            chosen = None if visible is None else order[:, :visible]
            tokens = model.apply(
                {"params": params}, method=lambda m: m.encoder.encode(image, True, chosen)
            )
            return jnp.square(tokens).sum()

        return functools.partial(jax.jit(jax.grad(objective)), params)

    steps = {"masked": step(patches // 4), "whole": step(None)}
    flops = {k: s.func.lower(*s.args).compile().cost_analysis()["flops"] for k, s in steps.items()}
    measures = {k: functools.partial(seconds_each, s, budget) for k, s in steps.items()}
    found = in_turn(budget, measures)
    return {
        "75 % masked ms": 1e3 * statistics.median(found["masked"]),
        "unmasked ms": 1e3 * statistics.median(found["whole"]),
        "ratio": ratio(found["masked"], found["whole"]),
        "ratio of FLOP": flops["masked"] / flops["whole"],
    }


def gpt_task(
    batch_size: int, context: int, size: Mapping[str, Any] | None = None, dtype: str = "float32"
) -> tuple[Task, TrainState, dict[str, Any]]:
    """Builds a GPT's task of modelling text, its first state and a batch of random tokens.

    Args:
      batch_size: windows per step.
      context: tokens per window.
      size: sizes and other arguments of the network, by default `GPT`.
      dtype: the type of computations.
    """
    size = size or GPT
    learner = functools.partial(minimize, optimizer=optax.adamw(1e-3, weight_decay=0.1))
    task = language(
        gpt.gpt(**size, dtype=dtype),
        learner,
        vocab_size=size["vocab_size"],
        num_examples=batch_size,
        batch_size=batch_size,
    )
    tokens = np.random.default_rng(0).integers(0, size["vocab_size"], (batch_size, context + 1))
    batch = {
        "tokens": jnp.asarray(tokens, jnp.int32),
        "index": jnp.arange(batch_size, dtype=jnp.uint32),
        "mask": jnp.ones(batch_size),
    }
    return task, jax.jit(task.init)(jax.random.key(0), batch), batch


def _sampling_step(values: dict[str, Any], sampler: dict[str, Any]) -> Step:
    # Guidance would call the model twice per step, with any sampler.
    spec = {**values["task"], "sampler": sampler, "guidance": None}
    known = dict(image_shape=(28, 28, 1), num_classes=10)
    task = config.build(
        spec,
        "library.tasks",
        "task",
        model=config.build(values["model"], "library.models", "model", **known),
        minimize=functools.partial(minimize, optimizer=optax.sgd(0.0)),
        **known,
    )
    place = jnp.arange(_SAMPLES, dtype=jnp.uint32)
    batch = {"index": place, "row": place, "mask": jnp.ones(_SAMPLES)}
    batch["label"] = (place % 10).astype(jnp.int32)
    image = jnp.zeros((_SAMPLES, *known["image_shape"]))
    state = jax.jit(task.init)(jax.random.key(0), {**batch, "image": image})
    return functools.partial(jax.jit(task.outputs["sample"]), state, batch, jax.random.key(1))
