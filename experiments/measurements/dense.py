"""Networks for segmentation and detection here and in PyTorch, without tuning.

Both have the same networks, losses and sizes: see `torch_networks` and `torch_detection`.
"""

import functools
import importlib.util
import statistics
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.measurements import torch_detection, torch_networks
from experiments.measurements.peers import MISSING
from experiments.measurements.timing import Budget, Step, in_turn, ratio, seconds_each
from library import config
from library.object_detection.task_aligned import Settings
from library.task import Task, minimize
from library.tasks.detection import detection
from library.tasks.segmentation import segmentation

_BATCH = 4


class Network(NamedTuple):
    """A network that is timed.

    Attributes:
      size: arguments of the network here and in PyTorch.
      sides: height and width of the images.
      fixed: further arguments of the network here; the one in PyTorch has no others.
    """

    size: Mapping[str, Any]
    sides: tuple[int, int]
    fixed: Mapping[str, Any] = {}


# The U-Net and the images are those of configs/unet/camvid240.py.
NETWORKS = {
    "unet": Network(
        dict(num_classes=11, widths=(16, 32, 64, 128, 256), dropout=0.2),
        (192, 240),
        dict(normalization="batch"),
    ),
    "enet": Network(dict(num_classes=11), (192, 240)),
    "yolo_v8": Network(dict(num_classes=80, depth=0.33, width=0.25), (320, 320)),
}
_OBJECTS, _BINS = 8, 16
_LOSS = Settings(top_k=10, alpha=0.5, beta=6.0, box=7.5, classes=0.5, distances=1.5)
# An untrained network is sure of nothing, and suppression is to have candidates.
_KEPT = dict(num=300, least=1e-9, overlap=0.7)
_CANDIDATES = 1000


def dense(budget: Budget) -> dict[str, float]:
    """Times training steps of U-Net, ENet and YOLOv8n, and YOLOv8n's detections.

    PyTorch runs the steps eager, eager with channels last, and with `torch.compile`. Detections
    include the suppression of overlapping boxes among 1000 candidates of an image, which in PyTorch
    is torchvision's. Ratios are medians over rounds of the time here over the time in PyTorch.
    """
    if any(importlib.util.find_spec(name) is None for name in ("torch", "torchvision")):
        return MISSING
    if jax.default_backend() != "cpu":
        return {"dense is measured on CPU only, ratio": float("nan")}
    budget = budget.for_large_steps()
    figures: dict[str, float] = {}
    for name in NETWORKS:
        figures |= _compared(f"{name} step", budget, {"jax": our_step(name), **_their_steps(name)})
    both = {"jax": our_detections(), "eager": their_detections()}
    return {**figures, **_compared("yolo_v8 detection", budget, both)}


def _compared(what: str, budget: Budget, steps: Mapping[str, Step]) -> dict[str, float]:
    measures = {k: functools.partial(seconds_each, s, budget) for k, s in steps.items()}
    found = in_turn(budget, measures)
    ratios = {f"{what} to {k}": ratio(found["jax"], found[k]) for k in steps if k != "jax"}
    return {f"{what} images/s": _BATCH / statistics.median(found["jax"]), **ratios}


def _their_steps(name: str) -> dict[str, Step]:
    return {
        "eager": their_step(name),
        "channels last": their_step(name, channels_last=True),
        "torch.compile": their_step(name, compiled=True),
    }


def batch(name: str) -> dict[str, np.ndarray]:
    """Returns a batch of random images, with random maps or boxes."""
    random = np.random.default_rng(0)
    network = NETWORKS[name]
    classes, sides = network.size["num_classes"], network.sides
    image = random.uniform(size=(_BATCH, *sides, 3))
    found: dict[str, Any] = {"image": np.float32(image), "mask": np.ones(_BATCH, np.float32)}
    found["index"] = np.arange(_BATCH, dtype=np.uint32)
    if name != "yolo_v8":
        return {**found, "map": random.integers(0, classes, (_BATCH, *sides), np.int32)}
    corner = random.uniform(0, 0.6, (_BATCH, _OBJECTS, 2))
    reach = random.uniform(0.05, 0.4, (_BATCH, _OBJECTS, 2))
    found["boxes"] = np.float32(np.concatenate([corner, corner + reach], axis=-1))
    found["boxes_label"] = random.integers(0, classes, (_BATCH, _OBJECTS), np.int32)
    return {**found, "boxes_mask": np.ones((_BATCH, _OBJECTS), np.float32)}


def our_task(name: str) -> Task:
    """Returns the task here of a network, with the optimizer of `their_step`."""
    network = NETWORKS[name]
    spec = dict(name=name, **network.size, **network.fixed)
    model = config.build(spec, "library.models", "model")
    optimizer = optax.sgd(1e-3, momentum=0.9)
    learner = functools.partial(minimize, optimizer=optimizer)
    classes = network.size["num_classes"]
    if name != "yolo_v8":
        return segmentation(model, learner, num_classes=classes)
    kept = dict(num_detections=_KEPT["num"], least=_KEPT["least"], suppress=_KEPT["overlap"])
    return detection(model, learner, num_classes=classes, method=dict(name="aligned"), **kept)


def our_step(name: str) -> Step:
    """Returns a training step of a network here."""
    task, examples = our_task(name), jax.tree.map(jnp.asarray, batch(name))
    update = jax.jit(task.update, donate_argnums=0)
    held = [jax.jit(task.init)(jax.random.key(0), examples)]

    def step():
        held[0], metrics = update(held[0], examples, jax.random.key(1))
        return metrics["loss"]

    return step


def our_detections() -> Step:
    """Returns a step that finds the objects in a batch here."""
    task, examples = our_task("yolo_v8"), jax.tree.map(jnp.asarray, batch("yolo_v8"))
    state = jax.jit(task.init)(jax.random.key(0), examples)
    return functools.partial(
        jax.jit(task.outputs["detections"]), state, examples, jax.random.key(1)
    )


def their_network(name: str) -> Any:
    """Returns a network in PyTorch."""
    import torch

    network = NETWORKS[name]
    applied = functools.partial(getattr(torch_networks, name), **network.size)
    return torch_networks.module(applied, torch.zeros(1, 3, *network.sides))


def their_loss(name: str) -> Callable[[Any], Any]:
    """Returns the loss of the batch in PyTorch as a function of the network's outputs."""
    import torch

    examples = {k: torch.from_numpy(v) for k, v in batch(name).items() if k != "index"}
    if name != "yolo_v8":
        return lambda logits: torch.nn.functional.cross_entropy(logits, examples["map"].long())
    height, width = NETWORKS[name].sides
    boxes = examples["boxes"] * torch.tensor([height, width, height, width])
    objects = torch_detection.Objects(
        boxes, examples["boxes_label"].long(), examples["boxes_mask"] > 0
    )
    return lambda maps: torch_detection.loss(
        torch_detection.points(maps, _BINS, height), objects, _LOSS
    )


def their_step(name: str, compiled: bool = False, channels_last: bool = False) -> Step:
    """Returns a training step of a network in PyTorch."""
    import torch

    network, lost, image = their_network(name), their_loss(name), _their_image(name)
    if channels_last:
        network = network.to(memory_format=torch.channels_last)
        image = image.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9)
    run = torch.compile(network) if compiled else network

    def step():
        optimizer.zero_grad(set_to_none=True)
        lost(run(image)).backward()
        optimizer.step()

    return step


def their_detections() -> Step:
    """Returns a step that finds the objects in a batch in PyTorch."""
    import torch

    network, image = their_network("yolo_v8").eval(), _their_image("yolo_v8")
    sides = NETWORKS["yolo_v8"].sides

    @torch.inference_mode()
    def step():
        found = torch_detection.points(network(image), _BINS, sides[0])
        torch_detection.detections(found, sides, most=_CANDIDATES, **_KEPT)

    return step


def _their_image(name: str) -> Any:
    import torch

    return torch.from_numpy(batch(name)["image"]).permute(0, 3, 1, 2).contiguous()
