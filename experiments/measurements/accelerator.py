"""ImageNet networks on an accelerator: training in bfloat16, at the batch that suits them best."""

import functools
import importlib.util
from collections.abc import Callable
from typing import NamedTuple

import jax

from experiments.measurements import networks, training
from experiments.measurements.timing import Budget, seconds_each
from library.weights import catalogue

NAMES = ("resnet50", "vit_base_patch16_224")
_SMALLEST, _LARGEST = 32, 4096
_GAIN = 1.02


class Best(NamedTuple):
    """The batch with the most images a second, and the seconds of its step."""

    batch: int
    seconds: float

    @property
    def rate(self) -> float:
        """Images a second."""
        return self.batch / self.seconds


def networks_here(budget: Budget) -> dict[str, float]:
    """Measures networks as suits the devices that JAX computes on."""
    return networks.networks(budget) if jax.default_backend() == "cpu" else at_their_best(budget)


def at_their_best(budget: Budget) -> dict[str, float]:
    """Times training steps of ResNet-50 and ViT-B/16 on one device, here and in PyTorch.

    All compute in bfloat16 with params in float32; PyTorch has channels last, eager and by
    `torch.compile`. Each has the batch of its own that `best_batch` finds. A step is counted as
    three times the published operations of a forward pass, its share is of the rate of a large
    product of matrices, measured here.

    Returns:
      For each network images a second, batch and share here, and images a second, batch and the
      ratio to it of the time here for an image, of PyTorch where it is installed for the device.
    """
    budget = budget._replace(steps=max(3, budget.steps // 10))
    # What JAX has taken of the device's memory it keeps: PyTorch comes first.
    theirs = {name: _theirs(name, budget) for name in NAMES} if _pytorch() else {}
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
        for kind, found in theirs.get(name, {}).items():
            figures |= {
                f"{name} {kind} images/s": found.rate,
                f"{name} {kind} batch": found.batch,
                f"{name} to {kind}": found.rate / ours.rate,
            }
    return figures


def best_batch(measure: Callable[[int], float]) -> Best:
    """Doubles the batch as long as that makes a step worth its while, and the memory suffices.

    Args:
      measure: batch -> seconds of a step; it raises what JAX or PyTorch raise out of memory.

    Returns:
      The best of those tried: the search ends after the first that gains less than 2 %.
    """
    best, batch = None, _SMALLEST
    while batch <= _LARGEST:
        try:
            found = Best(batch, measure(batch))
        # What JAX and PyTorch raise has no class in common.
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


def _pytorch() -> bool:
    if any(importlib.util.find_spec(name) is None for name in ("torch", "torchvision", "timm")):
        return False
    import torch

    return torch.cuda.is_available()


def _theirs(name: str, budget: Budget) -> dict[str, Best]:
    return {
        kind: best_batch(functools.partial(_their_seconds, name, budget, kind == "torch.compile"))
        for kind in ("eager", "torch.compile")
    }


def _their_seconds(name: str, budget: Budget, compiled: bool, batch: int) -> float:
    import torch

    # What the batch before this one has left behind.
    torch.compiler.reset()
    torch.cuda.empty_cache()
    step = networks.their_step(name, compiled, True, batch=batch, device="cuda", bfloat16=True)
    seconds = seconds_each(step, budget, wait=lambda _: torch.cuda.synchronize())
    del step
    torch.cuda.empty_cache()
    return seconds
