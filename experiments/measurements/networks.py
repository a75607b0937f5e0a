"""ImageNet networks here and in PyTorch: forward pass and training step, without tuning.

These are the measurements on a CPU; those on other devices are in `accelerator`.
"""

import functools
import importlib.util
from typing import Any

import jax
import jax.numpy as jnp
import optax

from experiments.measurements.timing import Budget, Step, in_turn, ratio, seconds_each
from library.task import minimize
from library.tasks.classification import classification
from library.weights import catalogue, parity

NAMES = ("resnet50", "vit_small_patch16_224", "mobilenet_v2", "convnext_tiny")
_BATCH, _CLASSES = 8, 1000


def networks(budget: Budget) -> dict[str, float]:
    """Times networks of the catalogue on 8 images of their default size, here and in PyTorch.

    PyTorch runs them eager, with `torch.compile`, and eager with channels last. Ratios are medians
    over rounds of the time here over the time in PyTorch.
    """
    if importlib.util.find_spec("torch") is None or importlib.util.find_spec("timm") is None:
        return {"torch, torchvision or timm is not installed, ratio": float("nan")}
    budget = budget._replace(steps=max(2, budget.steps // 100), rounds=max(2, budget.rounds // 2))
    figures: dict[str, float] = {}
    for name in NAMES:
        for part in ("forward", "step"):
            steps = _steps(name, part)
            found = in_turn(
                budget, {k: functools.partial(seconds_each, s, budget) for k, s in steps.items()}
            )
            best = min(found["jax"])
            figures[f"{name} {part} images/s"] = _BATCH / best
            for kind in steps:
                if kind != "jax":
                    figures[f"{name} {part} to {kind}"] = ratio(found["jax"], found[kind])
    return figures


def _steps(name: str, part: str) -> dict[str, Step]:
    ours, theirs = (_ours, _theirs) if part == "forward" else (our_step, their_step)
    return {
        "jax": ours(name),
        "eager": theirs(name),
        "channels last": theirs(name, channels_last=True),
        "torch.compile": theirs(name, compiled=True),
    }


def _image(name: str, batch: int = _BATCH) -> Any:
    side = catalogue.find(name).transform.size
    return jax.random.uniform(jax.random.key(0), (batch, side, side, 3))


def _ours(name: str) -> Step:
    model, image = catalogue.find(name).build(), _image(name)
    variables = jax.jit(model.init)(jax.random.key(0), image)
    return functools.partial(jax.jit(model.apply), variables, image)


def our_step(name: str, batch: int = _BATCH, dtype: str = "float32") -> Step:
    """Returns a training step of a network of the catalogue here, its params in float32."""
    model = catalogue.find(name).build(dtype=dtype)
    optimizer = optax.sgd(0.1, momentum=0.9)
    task = classification(
        model, functools.partial(minimize, optimizer=optimizer), num_classes=_CLASSES
    )
    examples = {
        "image": _image(name, batch),
        "label": jnp.arange(batch, dtype=jnp.int32) % _CLASSES,
        "index": jnp.arange(batch, dtype=jnp.uint32),
        "mask": jnp.ones(batch),
    }
    update = jax.jit(task.update, donate_argnums=0)
    held = [jax.jit(task.init)(jax.random.key(0), examples)]

    def step():
        held[0], metrics = update(held[0], examples, jax.random.key(1))
        return metrics["loss"]

    return step


def _network(
    name: str, compiled: bool, channels_last: bool, batch: int = _BATCH, device: str = "cpu"
) -> tuple[Any, Any]:
    import torch

    network = parity.reference(catalogue.find(name))[0].to(device)
    side = catalogue.find(name).transform.size
    image = torch.rand(batch, 3, side, side, device=device)
    if channels_last:
        network = network.to(memory_format=torch.channels_last)
        image = image.to(memory_format=torch.channels_last)
    return torch.compile(network) if compiled else network, image


def _theirs(name: str, compiled: bool = False, channels_last: bool = False) -> Step:
    import torch

    network, image = _network(name, compiled, channels_last)

    @torch.inference_mode()
    def step():
        network(image)

    return step


def their_step(
    name: str,
    compiled: bool = False,
    channels_last: bool = False,
    *,
    batch: int = _BATCH,
    device: str = "cpu",
    bfloat16: bool = False,
) -> Step:
    """Returns a training step of the network in PyTorch, its params in float32."""
    import torch

    network, image = _network(name, compiled, channels_last, batch, device)
    network.train()
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9)
    label = torch.arange(batch, device=device) % _CLASSES

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16, enabled=bfloat16):
            loss = torch.nn.functional.cross_entropy(network(image), label)
        loss.backward()
        optimizer.step()

    return step
