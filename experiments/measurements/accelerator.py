"""ImageNet networks and GPT-2 on an accelerator, in bfloat16, at the best batch size of each."""

import functools
import importlib.util
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax

from experiments.measurements import families, networks, peers, training
from experiments.measurements.timing import Budget, Step, seconds_each
from library.layers import attention
from library.weights import catalogue

NAMES = ("resnet50", "vit_base_patch16_224")
_SMALLEST, _LARGEST = 32, 4096
_FEWEST_WINDOWS = 4
_GAIN = 1.02


class Best(NamedTuple):
    """The batch with the most images or windows per second, and the seconds of its step."""

    batch: int
    seconds: float

    @property
    def rate(self) -> float:
        """Images, or windows of tokens, per second."""
        return self.batch / self.seconds


def networks_here(budget: Budget) -> dict[str, float]:
    """Measures ImageNet networks: `networks` on CPU, `at_their_best` on an accelerator."""
    return networks.networks(budget) if jax.default_backend() == "cpu" else at_their_best(budget)


def at_their_best(budget: Budget) -> dict[str, float]:
    """Times training steps of ResNet-50 and ViT-B/16 on one device, here and in PyTorch.

    All compute in bfloat16 with params in float32. PyTorch uses channels last, eager and with
    `torch.compile`. Each has its own best batch, found by `best_batch`. A step counts as three
    times the published operations of a forward pass. The share compares its rate with that of a
    large matrix product, measured here.

    Returns:
      For each network images per second, batch and share here; if PyTorch is installed for the
      device, its images per second and batch, and the ratio of the time per image here to that of
      PyTorch.
    """
    budget = budget._replace(steps=max(3, budget.steps // 10))
    # JAX keeps the device memory that it has taken, so PyTorch is measured first.
    theirs = {name: _theirs(functools.partial(_their_seconds, name, budget)) for name in NAMES}
    peak = training.matmul_peak("bfloat16")
    figures = {"bfloat16 matmul peak TFLOP/s": peak / 1e12}
    for name in NAMES:
        ours = best_batch(functools.partial(_our_seconds, name, budget))
        flops = 3e9 * catalogue.find(name).gflops
        figures |= {
            f"{name} images/s": ours.rate,
            f"{name} batch": ours.batch,
            f"{name} share of bfloat16 matmul peak": flops * ours.rate / peak,
        }
        for kind, found in theirs[name].items():
            figures |= {
                f"{name} {kind} images/s": found.rate,
                f"{name} {kind} batch": found.batch,
                f"{name} to {kind}": found.rate / ours.rate,
            }
    return figures


def gpt_here(budget: Budget) -> dict[str, float]:
    """Measures a GPT: a small one on CPU, GPT-2 on an accelerator."""
    return peers.gpt(budget) if jax.default_backend() == "cpu" else gpt2_at_its_best(budget)


def gpt2_at_its_best(budget: Budget) -> dict[str, float]:
    """Times training steps of GPT-2, 124 million params, on one device, here and in PyTorch.

    Both compute in bfloat16 with params in float32, on windows of 1024 tokens, each with its own
    best batch, found by `best_batch`; here with each implementation of attention. The share
    compares the operations of `gpt_flops` with the rate of a large matrix product, measured here.
    """
    budget = budget._replace(steps=max(3, budget.steps // 10))
    size = families.GPT2
    theirs = _theirs(functools.partial(_their_gpt_seconds, budget), _FEWEST_WINDOWS)
    peak = training.matmul_peak("bfloat16")
    figures = {"bfloat16 matmul peak TFLOP/s": peak / 1e12}
    for kind, found in theirs.items():
        figures |= {
            f"{kind} tokens/s": size["context"] * found.rate,
            f"{kind} windows": found.batch,
        }
    for by in attention.CAUSAL if jax.default_backend() == "gpu" else ("xla",):
        ours = best_batch(functools.partial(_our_gpt_seconds, by, budget), _FEWEST_WINDOWS)
        rate = size["context"] * ours.rate
        figures |= {
            f"{by}: tokens/s": rate,
            f"{by}: windows": ours.batch,
            f"{by}: share of bfloat16 matmul peak": gpt_flops(size) * rate / peak,
        }
        figures |= {f"{by}: to {kind}": found.rate / ours.rate for kind, found in theirs.items()}
    return figures


def gpt_flops(size: Mapping[str, int]) -> float:
    """Returns the operations of a training step for each token of a whole window.

    They are six for each param that multiplies, including the tied embedding as the last layer, and
    6 t d in each block for attention over t tokens of width d, of which a token sees half on
    average.
    """
    width, depth = size["width"], size["depth"]
    multiplying = 12 * depth * width**2 + size["vocab_size"] * width
    return 6.0 * (multiplying + depth * size["context"] * width)


def best_batch(measure: Callable[[int], float], smallest: int = _SMALLEST) -> Best:
    """Doubles the batch as long as the rate grows by more than 2 % and the memory suffices.

    Args:
      measure: batch -> seconds of a step; out of memory it raises the error of JAX or PyTorch.
      smallest: the first batch to try.

    Returns:
      The batch with the highest rate of those tried.
    """
    best, batch = None, smallest
    while batch <= _LARGEST:
        try:
            found = Best(batch, measure(batch))
        # The errors of JAX and PyTorch have no common class.
        except Exception as error:
            if best is None or not _out_of_memory(error):
                raise
            return best
        worth = best is None or found.rate > _GAIN * best.rate
        best = found if best is None or found.rate > best.rate else best
        if not worth:
            return best
        batch *= 2
    return best


def _out_of_memory(error: Exception) -> bool:
    return "RESOURCE_EXHAUSTED" in str(error) or "out of memory" in str(error).lower()


def _our_seconds(name: str, budget: Budget, batch: int) -> float:
    return seconds_each(networks.our_step(name, batch, dtype="bfloat16"), budget)


def _our_gpt_seconds(by: str, budget: Budget, windows: int) -> float:
    size = families.GPT2 | {"attention": by}
    return seconds_each(peers.our_gpt(size, windows, "bfloat16"), budget)


def _their_gpt_seconds(budget: Budget, compiled: bool, windows: int) -> float:
    options = dict(device="cuda", bfloat16=True)
    return _seconds_on_gpu(
        lambda: peers.torch_gpt(families.GPT2, windows, compiled, **options), budget
    )


def _pytorch() -> bool:
    if any(importlib.util.find_spec(name) is None for name in ("torch", "torchvision", "timm")):
        return False
    import torch

    return torch.cuda.is_available()


def _theirs(seconds: Callable[[bool, int], float], smallest: int = _SMALLEST) -> dict[str, Best]:
    """Returns PyTorch's best batches, eager and compiled, if it is installed for the device."""
    kinds = ("eager", "torch.compile") if _pytorch() else ()
    return {
        kind: best_batch(functools.partial(seconds, kind == "torch.compile"), smallest)
        for kind in kinds
    }


def _their_seconds(name: str, budget: Budget, compiled: bool, batch: int) -> float:
    options = dict(device="cuda", bfloat16=True)
    return _seconds_on_gpu(
        lambda: networks.their_step(name, compiled, True, batch=batch, **options), budget
    )


def _seconds_on_gpu(made: Callable[[], Step], budget: Budget) -> float:
    """Times a step in PyTorch, and frees its memory before and after."""
    import torch

    # The previous batch leaves compiled code and cached memory.
    torch.compiler.reset()
    torch.cuda.empty_cache()
    step = made()
    seconds = seconds_each(step, budget, wait=lambda _: torch.cuda.synchronize())
    del step
    torch.cuda.empty_cache()
    return seconds
