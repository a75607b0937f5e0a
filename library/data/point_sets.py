"""Small made sets of points: the problems on which networks were first understood.

A name is "points/PROBLEM", such as "points/xor". Every example depends only on the name, its split
and row, and not on the seed of a run.

| name | features | answer |
| --- | --- | --- |
| points/xor | 2 bits | label: whether they differ; four examples |
| points/separable | 2 numbers | label: the side of a line, a margin of 0.1 away |
| points/rings | 2 numbers | label: a disc, and a ring around it |
| points/moons | 2 numbers | label: two half circles that interlock, with noise; few to train on |
| points/wave | a number | target: sin(2 pi x) + sin(6 pi x) / 2, for x from -1 to 1 |
| points/product | 2 numbers | target: exp(sin(pi x) + y^2), for both from -1 to 1 |
| points/encoder | an image (1, 8, 1) | label: the one of eight pixels that is white |
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from library.config import check_choice
from library.data import splits

PREFIX = "points/"


class Problem(NamedTuple):
    """A made set of points.

    Attributes:
      make: `(generator, number of examples) -> arrays by feature`.
      sizes: the number of examples of each split. Splits of a fixed set are equal.
      label_names: names of the classes, or None.
    """

    make: Callable[[np.random.Generator, int], dict[str, np.ndarray]]
    sizes: Mapping[str, int]
    label_names: tuple[str, ...] | None


def is_name(name: str) -> bool:
    """Returns whether a dataset's name is one of a set of points."""
    return str(name).startswith(PREFIX)


def find(name: str) -> Problem:
    """Returns the set of a name.

    Raises:
      ConfigError: there is no such set.
    """
    check_choice("dataset", name, [PREFIX + problem for problem in PROBLEMS])
    return PROBLEMS[name.removeprefix(PREFIX)]


def arrays(name: str, split: str) -> dict[str, np.ndarray]:
    """Returns the examples of a split, such as "train[:64]".

    Raises:
      ConfigError: there is no such set, or the split is malformed.
    """
    problem, made = find(name), []
    for part in splits.resolve(split, problem.sizes, name):
        generator = np.random.default_rng(list(problem.sizes).index(part.split))
        whole = problem.make(generator, problem.sizes[part.split])
        made.append({key: values[part.start : part.stop] for key, values in whole.items()})
    return {key: np.concatenate([each[key] for each in made]) for key in made[0]}


KINDS = {"features": "array", "label": "label", "target": "target", "image": "image"}


def _points(x: np.ndarray, label: np.ndarray) -> dict[str, np.ndarray]:
    return {"features": x.astype(np.float32), "label": label.astype(np.int32)}


def _xor(generator: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    x = np.array([(0, 0), (0, 1), (1, 0), (1, 1)])
    return _points(x, x[:, 0] ^ x[:, 1])


def _separable(generator: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Points of the square [-1, 1]^2 on both sides of 0.6 x - 0.8 y + 0.1 = 0, 0.1 away or more."""
    x, normal = generator.uniform(-1, 1, (count, 2)), np.array([0.6, -0.8])
    distance = x @ normal + 0.1
    side = np.where(distance < 0, -1, 1)
    # A point that is too near moves away from the line.
    x += np.outer(side * np.maximum(0.1 - abs(distance), 0), normal)
    return _points(x, side > 0)


def _rings(generator: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    label, angle = np.arange(count) % 2, generator.uniform(0, 2 * np.pi, count)
    radius = np.where(label == 0, 0.4, 0.8) + generator.uniform(-0.1, 0.1, count)
    return _points(radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1), label)


def _moons(generator: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    label, angle = np.arange(count) % 2, generator.uniform(0, np.pi, count)
    upper = np.stack([np.cos(angle) - 0.5, np.sin(angle) - 0.25], 1)
    x = np.where(label[:, None] == 0, upper, -upper) * 0.7
    return _points(x + generator.normal(0, 0.15, (count, 2)), label)


def _wave(generator: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    x = np.linspace(-1, 1, count)[:, None]
    y = np.sin(2 * np.pi * x) + np.sin(6 * np.pi * x) / 2
    return {"features": x.astype(np.float32), "target": y.astype(np.float32)}


def _product(generator: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    x = generator.uniform(-1, 1, (count, 2))
    y = np.exp(np.sin(np.pi * x[:, :1]) + x[:, 1:] ** 2)
    return {"features": x.astype(np.float32), "target": y.astype(np.float32)}


def _encoder(generator: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    image = np.uint8(255 * np.eye(count)).reshape(count, 1, count, 1)
    return {"image": image, "label": np.arange(count, dtype=np.int32)}


_TWO = ("0", "1")
PROBLEMS = {
    "xor": Problem(_xor, {"train": 4, "test": 4}, _TWO),
    "separable": Problem(_separable, {"train": 200, "test": 200}, _TWO),
    "rings": Problem(_rings, {"train": 400, "test": 400}, _TWO),
    "moons": Problem(_moons, {"train": 40, "test": 1000}, _TWO),
    "wave": Problem(_wave, {"train": 256, "test": 1001}, None),
    "product": Problem(_product, {"train": 1000, "test": 1000}, None),
    "encoder": Problem(_encoder, {"train": 8, "test": 8}, tuple("01234567")),
}
