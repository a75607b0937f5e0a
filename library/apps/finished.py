"""A finished run as an object of Python, whose methods are the outputs of its task."""

import functools
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from PIL import Image

from library import task
from library.apps import generation, predictions
from library.config import ConfigError, nearest
from library.data import folder, on_device
from library.evaluation import samples
from library.run.session import Trained

# The modes of PIL's images that a PNG file holds.
_PNG_MODES = ("1", "L", "LA", "I", "I;16", "P", "RGB", "RGBA")


class NoOutputError(ConfigError, AttributeError):
    """A run has no output of a name."""


class Finished:
    """A finished run. `run.logits(images)` is the output "logits" of its task, for some images.

    Each name in `outputs` is a method, with two forms:

    - `run.NAME(inputs, seed=0)` returns the output of examples, numpy arrays `(b, ...)`. Inputs are
      uint8 images `(b, h, w, c)`, a path, an image of PIL, or a list of these; or a dict of
      features, `{"tokens": (b, t)}`, as the run's dataset has them before the preprocessing.
    - `run.NAME(num=16, seed=0, label=None)` returns what an output makes without examples. Images
      are uint8 `(num, h, w, c)`. `label` is a class by number or name.

    A language model has `run.generate(prompt)` in place of these, see `generate_text`.

    Attributes:
      outputs: the outputs by name.
      label_names: names of the classes, or None.
      plan: the plan of the run.
      step: the step of the checkpoint.
      state: the trained state, with the running averages as its params if they are used.
    """

    def __init__(self, trained: Trained, *, ema: bool = True):
        """Makes the methods; an output is compiled when it is first used.

        Args:
          trained: the restored run.
          ema: whether to use the running averages if the run has them.
        """
        self.plan, self.step = trained.plan, trained.step
        self.state = task.learnt(trained.state, averages=ema)
        self.label_names = trained.plan.label_names
        writes = "generate" in self.plan.task.outputs and self.plan.loader.source.tokenizer
        own = {"generate": self.generate_text} if writes else {}
        made = {name: functools.partial(self._make, name) for name in self.plan.task.outputs}
        self.outputs: Mapping[str, Callable[..., Any]] = {**made, **own}
        self._trained = trained
        self._compiled: dict[Any, Callable] = {}

    def __getattr__(self, name: str) -> Callable[..., Any]:
        outputs = self.__dict__.get("outputs", {})
        if name in outputs:
            return outputs[name]
        raise NoOutputError(f"this run has no output {name!r}: {nearest(name, outputs)}")

    def __dir__(self):
        return [*super().__dir__(), *self.outputs]

    def __repr__(self) -> str:
        return f"<{self.plan.recipe.task['name']} at step {self.step:,}: {', '.join(self.outputs)}>"

    def pixels(self, images: Any) -> np.ndarray:
        """Returns normalized images (..., h, w, c), such as reconstructions, as uint8."""
        return on_device.pixels(self.plan.recipe.normalize, np.asarray(images))

    def generate_text(
        self,
        prompt: str | Sequence[str] = "\n",
        *,
        num: int | None = None,
        length: int | None = None,
        temperature: float = 0.8,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int = 0,
    ) -> list[str]:
        """Returns texts that continue a prompt, with the prompt.

        Args:
          prompt: the start of each text; the texts cycle through several prompts.
          num: number of texts, by default one for each prompt.
          length: tokens of each text, prompt included; by default the context of the recipe.
          temperature: divisor of the logits; 0 takes the likeliest token.
          top_k: number of the likeliest tokens to draw from; 0 for all.
          top_p: probability of the set of likeliest tokens to draw from.
          seed: seed of the draws.

        Raises:
          ConfigError: a value is out of range, see `samples.text`.
        """
        prompts = (prompt,) if isinstance(prompt, str) else tuple(prompt)
        request = generation.Request(len(prompts) if num is None else num, seed)
        context = self._trained.feed.context(seed=seed)._replace(
            collect=lambda f: functools.partial(self._collect, "generate", f, seed)
        )
        made = samples.text(
            context,
            prompt=prompts,
            num=request.num,
            length=length or self.plan.dataset.context,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            batch_size=generation.batch_size(self._trained, request),
        )
        return list(map(str, made(self.state)["text"]))

    def _make(
        self,
        name: str,
        inputs: Any = None,
        *,
        num: int | None = None,
        seed: int = 0,
        label: int | str | None = None,
    ) -> Any:
        if inputs is None:
            return self._drawn(name, 16 if num is None else num, seed, label)
        for key, value in (("num", num), ("label", label)):
            if value is not None:
                raise ConfigError(f"{name}(inputs, {key}={value!r}): inputs take no {key}")
        return self._of(name, _given(inputs), seed)

    def _of(self, name: str, given: "_Given", seed: int) -> Any:
        """Returns an output of examples."""
        if self.plan.dataset.budget is not None:
            raise ConfigError(f"{name}: a run on graphs takes whole splits; use evaluate")
        examples = predictions.from_records(
            self._trained, given.records, given.names, given.features
        )
        # What is blank must not look like data.
        blank = {f for f in self.plan.loader.source.kinds if f not in given.features}

        def output(state, batch, key):
            batch = {k: x for k, x in batch.items() if k not in blank}
            try:
                return self.plan.task.outputs[name](state, batch, key)
            except KeyError as missing:
                self._explain(name, missing, given.features)
                raise

        def function(batch):
            return self._collect((name, given.features), output, seed, self.state, batch)

        return predictions.over(self._trained, function, examples.loaded)

    def _drawn(self, name: str, num: int, seed: int, label: int | str | None) -> Any:
        """Returns what an output makes without examples."""
        if num < 1:
            raise ConfigError(f"{name}, num={num}: valid are 1 or more")
        features = {}
        if label is not None:
            where = f"{name}, label={label!r}"
            number = generation.class_of(self._trained, str(label), name, where)
            features["label"] = np.full(num, number, np.int32)

        def output(state, batch, key):
            try:
                return self.plan.task.outputs[name](state, batch, key)
            except KeyError as missing:
                self._explain(name, missing)
                raise

        size = generation.batch_size(self._trained, generation.Request(num, seed))
        parts = [
            self._collect((name, None), output, seed, self.state, batch)
            for batch in self._trained.feed.draws(num, size, features)
        ]
        made = jax.tree.map(lambda *x: np.concatenate(x)[:num], *parts)
        floats = isinstance(made, np.ndarray) and np.issubdtype(made.dtype, np.floating)
        images = "image" in self.plan.loader.blank and floats and made.ndim in (4, 5)
        return self.pixels(made) if images else made

    def _explain(self, name: str, missing: KeyError, given: Sequence[str] = ()) -> None:
        """Raises a ConfigError if a feature of the dataset is missing in an output's batch."""
        feature = missing.args[0]
        if feature not in {*self.plan.loader.blank, *self.plan.loader.source.kinds}:
            return
        listed = ", ".join(f"{each!r}: ..." for each in (*given, feature))
        form = "images" if [*given, feature] == ["image"] else f"{{{listed}}}"
        raise ConfigError(f"{name} reads {feature!r}: write {name}({form})") from missing

    def _collect(self, key: Any, function: Callable, seed: int, state: Any, batch: Any) -> Any:
        """Runs a function that is compiled once for each key."""
        if key not in self._compiled:
            self._compiled[key] = self._trained.feed.collecting(function)
        return self._compiled[key](state, batch, seed)


class _Given(NamedTuple):
    """Examples that a user gives, with names for messages, and the features that they have."""

    records: list[dict[str, Any]]
    names: list[str]
    features: tuple[str, ...]


def _given(inputs: Any) -> _Given:
    """Reads the inputs of an output, see `Finished`."""
    if isinstance(inputs, Mapping):
        arrays = {str(name): np.asarray(x) for name, x in inputs.items()}
        sizes = {name: len(x) if x.ndim else 0 for name, x in arrays.items()}
        if len(set(sizes.values())) != 1 or not all(sizes.values()):
            raise ConfigError(f"features need the same length, 1 or more, got {sizes}")
        records = [dict(zip(arrays, each)) for each in zip(*arrays.values())]
        return _Given(records, [f"input {i}" for i in range(len(records))], tuple(arrays))
    if isinstance(inputs, (str, Path, Image.Image)):
        inputs = [inputs]
    elif not isinstance(inputs, (list, tuple)):
        inputs = list(_images(inputs))
    if not inputs:
        raise ConfigError("there are no inputs: give one image or more")
    pairs = [pair for place, each in enumerate(inputs) for pair in _of_one(each, place)]
    return _Given([{"image": image} for _, image in pairs], [name for name, _ in pairs], ("image",))


def _images(array: Any) -> np.ndarray:
    images = np.asarray(array)
    if images.dtype != np.uint8 or images.ndim != 4 or not len(images):
        raise ConfigError(f"images are uint8 (b, h, w, c), got {images.dtype} {images.shape}")
    return images


def _of_one(given: Any, place: int) -> list[tuple[str, Any]]:
    """Returns the names and contents of one input; a directory holds several images."""
    if isinstance(given, (str, Path)):
        files = folder.ImageFiles(tuple(folder.image_files([Path(given).expanduser()])[0]))
        return [(files.describe(row), files[row]["image"]) for row in range(len(files))]
    if isinstance(given, Image.Image):
        return [(f"input {place}", _encoded(given))]
    image = np.asarray(given)
    if image.dtype != np.uint8 or image.ndim != 3:
        raise ConfigError(f"input {place} is {image.dtype} {image.shape}, not uint8 (h, w, c)")
    return [(f"input {place}", image)]


def _encoded(picture: Image.Image) -> bytes:
    """Returns an image of PIL as the bytes of a file, with its EXIF orientation."""
    if picture.mode == "F":
        raise ConfigError("an image with floating-point pixels: its scale is unknown")
    kept = picture if picture.mode in _PNG_MODES else picture.convert("RGB")
    file = io.BytesIO()
    kept.save(file, "PNG", exif=picture.getexif())
    return file.getvalue()
