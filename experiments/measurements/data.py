"""Speed of loading photographs, here and with PyTorch's DataLoader, and of seeking to a step."""

import contextlib
import functools
import importlib.util
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from PIL import Image

from experiments.measurements.timing import Budget, in_turn, ratio, seconds_each
from library.data import augmentation, on_device, orders, pipeline, preprocessing, sources

# Height and width of photographs: the average of ImageNet, and a larger size.
_USUAL, _LARGE = (375, 500), (1125, 1500)
_PHOTOGRAPHS, _BATCH, _BATCHES, _SIZE = 64, 64, 16, 224
_MEAN, _STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
# The number of ImageNet's examples, and a step that a long run reaches.
_EXAMPLES, _FAR = 1_281_167, 10**6


class _Setting(NamedTuple):
    """Height and width of photographs, the number of loading processes, the least decoded side."""

    sides: tuple[int, int]
    workers: int
    min_size: int | None


_SETTINGS = {
    "no worker": _Setting(_USUAL, 0, None),
    "one worker": _Setting(_USUAL, 1, None),
    "large, decoded at half": _Setting(_LARGE, 0, 2 * _SIZE),
}


def loading(budget: Budget) -> dict[str, float]:
    """Counts training examples of 224 pixels per second on one core, here and in PyTorch.

    Both read the same JPEG files, crop a random part of each and resize it, to the same pixels
    unless images are decoded smaller here, which torchvision cannot do. torchvision also flips and
    normalizes on the host; here the device does that. "finished" includes this work, done by the
    same core. Without a worker both load in the training process, with one worker in another.
    """
    figures: dict[str, float] = {}
    with _one_core():
        for name, setting in _SETTINGS.items():
            with tempfile.TemporaryDirectory() as folder:
                _write_photographs(Path(folder), *setting.sides)
                found = _compared(folder, setting, budget)
            figures |= {f"{name}: {what}": value for what, value in found.items()}
    return figures | {"seek to step 10^6 s": _seeking()}


def _compared(folder: str, setting: _Setting, budget: Budget) -> dict[str, float]:
    opened: dict[str, Callable] = {
        "here": lambda: _ours(folder, setting),
        "finished": lambda: map(_device_part(), _ours(folder, setting)),
    }
    if all(importlib.util.find_spec(each) for each in ("torch", "torchvision")):
        opened["torch"] = lambda: _theirs(folder, setting.workers)
    found = in_turn(budget, {k: functools.partial(_seconds_a_record, f) for k, f in opened.items()})
    figures = {f"{k} records/s": 1 / statistics.median(seconds) for k, seconds in found.items()}
    for name in ("here", "finished") if "torch" in found else ():
        # This is a ratio of rates, not of times: higher is better.
        figures[f"{name} to torch"] = ratio(found["torch"], found[name])
    return figures


@contextlib.contextmanager
def _one_core() -> Iterator[None]:
    """Keeps this process, and processes that it starts, on one core, if the system can."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _write_photographs(folder: Path, height: int, width: int) -> None:
    """Writes JPEG files of noise at several scales, whose statistics are like photographs'."""
    random = np.random.default_rng(0)
    (folder / "train" / "a").mkdir(parents=True)
    for number in range(_PHOTOGRAPHS):
        image = 128.0 + 6 * random.normal(size=(height, width, 1))
        for cells in (4, 16, 64, 200):
            noise = random.normal(size=(3, cells, cells)).astype(np.float32)
            fields = [Image.fromarray(x).resize((width, height), Image.BICUBIC) for x in noise]
            image = image + 80 / cells**0.5 * np.stack([np.asarray(x) for x in fields], axis=-1)
        path = folder / "train" / "a" / f"{number}.jpg"
        Image.fromarray(np.uint8(np.clip(image, 0, 255))).save(path, quality=90)


def _ours(folder: str, setting: _Setting) -> Iterator[Any]:
    source = sources.open_source("folder", "train", data_dir=folder)
    decode = preprocessing.decode(min_size=setting.min_size)
    crop = [decode, preprocessing.inception_crop(_SIZE)]
    loader = pipeline.make_loader(source, preprocessing.chain(crop), seed=0)
    order = orders.shuffle(0)
    return pipeline.train_batches(loader, _BATCH, order=order, workers=setting.workers, threads=1)


def _device_part() -> Callable[[Any], Any]:
    """Returns the function by which the step prepares a batch: flip, scale, normalize."""
    flip = augmentation.compose([augmentation.flip_lr()])
    normalize = on_device.normalizer(dict(mean=_MEAN, std=_STD))
    finish = jax.jit(lambda batch, key: normalize(flip(on_device.to_float(batch), key)))
    key = jax.random.key(0)
    return lambda batch: jax.block_until_ready(finish(batch, key))


def _theirs(folder: str, workers: int) -> Iterator[Any]:
    import torch

    from library.weights import parity

    vision = parity.torchvision()
    torch.set_num_threads(1)
    operations = vision.transforms.Compose(
        [
            vision.transforms.RandomResizedCrop(_SIZE),
            vision.transforms.RandomHorizontalFlip(),
            vision.transforms.ToTensor(),
            vision.transforms.Normalize(_MEAN, _STD),
        ]
    )
    data = vision.datasets.ImageFolder(f"{folder}/train", operations)
    options = dict(shuffle=True, drop_last=True, persistent_workers=workers > 0)
    loader = torch.utils.data.DataLoader(data, _BATCH, num_workers=workers, **options)
    while True:
        yield from loader


def _seconds_a_record(opened: Callable[[], Iterator[Any]]) -> float:
    """Returns the seconds per example, from the third batch on, when no batch is prefetched."""
    batches = opened()
    next(batches)
    each = Budget(steps=_BATCHES, rounds=1)
    return seconds_each(lambda: next(batches), each, wait=lambda batch: None) / _BATCH


def _seeking() -> float:
    """Returns the seconds to the first batch of a late step, for a dataset of ImageNet's size."""
    images = np.broadcast_to(np.uint8(0), (_EXAMPLES, 8, 8, 3))
    source = sources.from_arrays({"image": images}, label_names=None, name="far")
    loader = pipeline.make_loader(source, preprocessing.chain([]), seed=0)
    begun = time.perf_counter()
    next(pipeline.train_batches(loader, 1024, order=orders.shuffle(0), start=_FAR))
    return time.perf_counter() - begun
