"""Weights of Darknet: its classifiers, YOLOv2 and YOLOv3, in the format of its `.weights` files.

A file is a header and then float32 values, layer by layer, without names or shapes (parser.c). The
header has three int32, the version, and the number of images seen: int64 from version 0.2 on,
before that int32. A convolution has its biases, with batch normalization then scales, means and
variances, and then its weights (out, in, window, window). The order of the layers is that of the
.cfg file.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from flax import linen as nn
from flax.traverse_util import flatten_dict

from library.config import ConfigError
from library.layers.darknet import PLAIN
from library.models.image.darknet import BLOCKS, Darknet
from library.weights.mapping import CONV, Layout, Rule, assign
from library.weights.published import Published, Reported, Table, Transform

SUFFIX = ".weights"


def _dense(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return x[:, :, 0, 0].T


# A convolution of a single pixel after the mean over space is a dense layer.
_CLASSIFIER = Layout(_dense, lambda x: x.T[:, :, None, None])
_NORMALIZED = (
    Rule(r"params/(.+)_norm/scale", "{1}.scales"),
    Rule(r"params/(.+)_norm/bias", "{1}.biases"),
    Rule(r"batch_stats/(.+)_norm/mean", "{1}.rolling_mean"),
    Rule(r"batch_stats/(.+)_norm/var", "{1}.rolling_variance"),
)
RULES = (
    *_NORMALIZED,
    Rule(r"params/head/kernel", "head.weights", _CLASSIFIER),
    Rule(r"params/(.+)/kernel", "{1}.weights", CONV),
    Rule(r"params/(.+)/bias", "{1}.biases"),
)
# Detectors end in convolutions.
DETECTOR_RULES = (*_NORMALIZED, *RULES[-2:])


def plain_order() -> tuple[str, ...]:
    """Returns the layers of Darknet-19 before its classifier, in the order of its file."""
    return tuple(
        f"stage{stage}_conv{i}"
        for stage, factors in enumerate(PLAIN, 1)
        for i in range(1, len(factors) + 1)
    )


def residual_order(blocks: Sequence[int] = BLOCKS) -> tuple[str, ...]:
    """Returns the layers of Darknet-53 before its classifier, in the order of its file."""
    names = ["stem"]
    for stage, count in enumerate(blocks, 1):
        names.append(f"stage{stage}_down")
        for block in range(1, count + 1):
            names += [f"stage{stage}_block{block}_conv{i}" for i in (1, 2)]
    return tuple(names)


def order(model: nn.Module) -> tuple[str, ...]:
    """Returns the layers of a network in the order of Darknet's file.

    Raises:
      ConfigError: Darknet has no such network.
    """
    if isinstance(model, Darknet):
        return (*(residual_order(model.blocks) if model.blocks else plain_order()), "head")
    kind = type(model).__name__
    if kind == "YOLOv2":
        necks = ("neck_conv1", "neck_conv2", "passthrough", "neck_conv3")
        return (*plain_order(), *necks, "head")
    if kind == "YOLOv3":
        names = list(residual_order(model.blocks))
        for scale in (3, 2, 1):
            names += [f"up{scale}"] if scale < 3 else []
            names += [f"neck{scale}_conv{i}" for i in range(1, 6)]
            names += [f"head{scale}_conv", f"head{scale}"]
        return tuple(names)
    raise ConfigError(f"{kind} is no network of Darknet: valid are Darknet, YOLOv2, YOLOv3")


def read(
    path: str | Path, names: Sequence[str], shapes: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """Reads a file of Darknet.

    Args:
      path: the file.
      names: the layers in the order of the file, see `order`.
      shapes: the model's variables, arrays or shapes.

    Returns:
      The arrays as "LAYER.biases", "LAYER.weights" and so on, as views of the file's contents.

    Raises:
      ConfigError: there is no such file, it has no header, or it has more or fewer values than the
        layers.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise ConfigError(f"weights {str(path)!r}: there is no such file")
    values, place, found = _values(path), 0, {}
    for name, shape in _parts(names, shapes):
        size = int(np.prod(shape))
        if place + size > len(values):
            raise ConfigError(
                f"weights {str(path)!r}: it has {len(values):,} values and ends within {name}: it "
                "belongs to another network"
            )
        found[name] = values[place : place + size].reshape(shape)
        place += size
    if place != len(values):
        raise ConfigError(
            f"weights {str(path)!r}: it has {len(values):,} values, but the network has {place:,}: "
            "it belongs to another network, or to another number of classes"
        )
    return found


def load(model: nn.Module, path: str | Path, shapes: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the variables of a network of Darknet from a file, numpy arrays.

    Args:
      model: a `Darknet`, `YOLOv2` or `YOLOv3`, with as many classes as the file.
      path: the `.weights` file.
      shapes: the model's variables, or their shapes, from `jax.eval_shape(model.init, ...)`.

    Raises:
      ConfigError: as `read`, or Darknet has no such network.
    """
    rules = RULES if isinstance(model, Darknet) else DETECTOR_RULES
    return assign(read(path, order(model), shapes), rules, shapes, where=str(path))


def _values(path: Path) -> np.ndarray:
    content = path.read_bytes()
    if len(content) < 16:
        raise ConfigError(f"weights {str(path)!r}: {len(content)} bytes are no header of Darknet")
    major, minor, _ = struct.unpack_from("<3i", content)
    recent = major * 10 + minor >= 2 and 0 <= major < 1000 and 0 <= minor < 1000
    body = content[12 + (8 if recent else 4) :]
    if len(body) % 4:
        raise ConfigError(f"weights {str(path)!r}: it is cut short, or it is no file of Darknet")
    return np.frombuffer(body, "<f4")


def _parts(
    names: Sequence[str], shapes: Mapping[str, Any]
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yields the name and the shape of each array of a file, in order."""
    leaves = flatten_dict(shapes, sep="/")
    for name in names:
        kernel = tuple(leaves[f"params/{name}/kernel"].shape)
        window = kernel[:2] if len(kernel) == 4 else (1, 1)
        features = kernel[-1]
        normalized = f"params/{name}_norm/scale" in leaves
        vectors = ("biases", "scales", "rolling_mean", "rolling_variance")
        for vector in vectors if normalized else vectors[:1]:
            yield f"{name}.{vector}", (features,)
        yield f"{name}.weights", (features, kernel[-2], *window)


_PIXELS = dict(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
PUBLISHED: Table = {
    "darknet19": Published(
        model=dict(name="darknet.darknet19"),
        rules=RULES,
        paper="Redmon & Farhadi 2017, YOLO9000: better, faster, stronger, arXiv 1612.08242",
        parameters=20_842_376,
        gflops=None,
        transform=Transform(size=224, resize=224, **_PIXELS),
        reported=Reported(72.9, 91.2, "Redmon & Farhadi 2017, section 3, at 224"),
    ),
    "darknet53": Published(
        model=dict(name="darknet.darknet53"),
        rules=RULES,
        paper="Redmon & Farhadi 2018, YOLOv3: an incremental improvement, arXiv 1804.02767",
        parameters=41_609_928,
        gflops=None,
        transform=Transform(size=256, resize=256, **_PIXELS),
        reported=Reported(77.2, 93.8, "Redmon & Farhadi 2018, table 2, at 256"),
    ),
}
