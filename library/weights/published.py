"""Published ImageNet weights without their arrays: model, names, preprocessing, accuracies."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from library import config
from library.weights.mapping import Rule

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5)
# Caffe takes grey levels minus their mean, without division; pixels here are in [0, 1].
GREY_LEVELS = (1 / 255, 1 / 255, 1 / 255)
V1, V2 = (f"torchvision 0.28, IMAGENET1K_V{version}" for version in (1, 2))
_YEAR = re.compile(r"\b(19|20)\d\d\b")


class Transform(NamedTuple):
    """The preprocessing of images for the weights.

    Attributes:
      size: side of the square images that the network takes.
      resize: length of the shorter side before the center crop.
      interpolation: "bilinear" or "bicubic", with antialiasing, as in PIL.
      mean: mean of the channels, which is subtracted from pixels in [0, 1].
      std: standard deviation of the channels, which divides them.
      squash: whether the whole image is resized to a square of side `resize`, for any shape.
    """

    size: int = 224
    resize: int = 256
    interpolation: str = "bilinear"
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    squash: bool = False

    def steps(self) -> list[dict[str, Any]]:
        """Returns the specs of host preprocessing, starting from the image's bytes."""
        resize = dict(size=self.resize, method=self.interpolation)
        return [
            dict(name="decode"),
            dict(name="resize" if self.squash else "resize_short", **resize),
            dict(name="center_crop", size=self.size),
        ]


class Reported(NamedTuple):
    """The reported accuracies of published weights on the 50,000 validation images.

    Attributes:
      top1: top-1 accuracy in percent.
      top5: top-5 accuracy in percent, None if it is not reported.
      source: who reports it, and for which file.
    """

    top1: float
    top5: float | None
    source: str


class Weights(NamedTuple):
    """Other weights of a network: the properties that differ from those of its default weights.

    Attributes:
      transform: the preprocessing for these weights.
      reported: the accuracies of these weights.
    """

    transform: Transform
    reported: Reported


class Published(NamedTuple):
    """A network whose weights others have published, or that they describe in a table.

    Attributes:
      model: spec of the model here, such as `dict(name="resnet.resnet50")`.
      rules: the published names of its leaves, see `library.weights.mapping`.
      paper: authors, year, title and arXiv number of the paper.
      parameters: the published number of params.
      gflops: the published multiplications and additions for one image at `transform.size`, two
        for each MAC, in 1e9; None if no source states them.
      reference: "torchvision" or "timm" and the name in it, such as "torchvision/resnet50"; None
        if neither has the network.
      stages: modules of the reference whose outputs are "stage1", "stage2", ... here.
      ignored: regular expressions of published names without a place here.
      transform: the preprocessing for the default weights.
      reported: the accuracies of the default weights.
      options: keyword arguments of the reference's function.
      others: more tables, for files with other names for the same leaves.
      weights: other weights of the network, by name.
    """

    model: dict[str, Any]
    rules: tuple[Rule, ...]
    paper: str
    parameters: int
    gflops: float | None
    reference: str | None = None
    stages: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    transform: Transform = Transform()
    reported: Reported | None = None
    options: Mapping[str, Any] = MappingProxyType({})
    others: tuple[tuple[Rule, ...], ...] = ()
    weights: Mapping[str, Weights] = MappingProxyType({})

    @property
    def year(self) -> int:
        """Returns the year of the paper."""
        return int(_YEAR.search(self.paper)[0])

    def with_weights(self, name: str) -> "Published":
        """Returns the network with the transform and accuracies of other weights.

        Raises:
          KeyError: the network has no such weights.
        """
        transform, reported = self.weights[name]
        gflops = self.gflops if transform.size == self.transform.size else None
        return self._replace(transform=transform, reported=reported, gflops=gflops)

    def build(self, **changes: Any) -> nn.Module:
        """Returns the model, with changes of its spec."""
        return config.build({**self.model, **changes}, "library.models", "model")

    def shapes(self, model: nn.Module, size: int | None = None) -> Any:
        """Returns the shapes and types of a model's variables."""
        side = size or self.transform.size
        image = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
        return jax.eval_shape(model.init, jax.random.key(0), image)


Table = dict[str, Published]
