"""Explanations of a classifier's predictions for images, which `explain` shows."""

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, UInt8

from library import layouts
from library.apps.classifier import Network, keys
from library.apps.explain import (
    activations,
    class_activation,
    drawing,
    feature_visualization,
    gradients,
    layers,
    neighbours,
)
from library.apps.explain.drawing import Picture
from library.apps.explain.maps import DEFAULT, METHODS
from library.apps.predictions import Examples, from_split
from library.config import ConfigError, check_choice
from library.data import on_device
from library.reporting import figures, notation
from library.run.session import Trained


class Subject(NamedTuple):
    """The images and the predictions to explain.

    Attributes:
      trained: the run.
      network: the classifier of the run.
      pixels: n images in [0, 1].
      names: names of the images.
      truth: the true classes, or None.
      probabilities: class probabilities of the network.
      label: the class to explain, for each image.
      layer: the layer for maps of a layer; None if no layer has a spatial grid.
      seed: seed of the random draws.
      among: number of examples of a split, for the search of neighbours and for layouts.
    """

    trained: Trained
    network: Network
    pixels: Float[np.ndarray, "n h w c"]
    names: list[str]
    truth: list[int] | None
    probabilities: Float[np.ndarray, "n k"]
    label: Int[np.ndarray, " n"]
    layer: str | None
    seed: int
    among: int

    @property
    def images(self) -> UInt8[np.ndarray, "n h w c"]:
        """The images as uint8."""
        return on_device.pixels(None, self.pixels)


def subject(
    trained: Trained,
    network: Network,
    examples: Examples,
    *,
    label: str | None = None,
    layer: str | None = None,
    seed: int = 0,
    among: int = 2000,
) -> Subject:
    """Returns the subject of an explanation; see `Subject` for the arguments.

    By default it explains each example's predicted class, and uses the last layer with a spatial
    grid.

    Raises:
      ConfigError: there is no such class or layer, or the layer has no spatial grid.
    """
    pixels = in_unit_range(examples)
    number = None if label is None else network.class_of(label)
    found = _layer(network, pixels, layer)
    probabilities = network.probabilities(pixels)
    chosen = probabilities.argmax(-1) if number is None else np.full(len(pixels), number)
    names, truth = examples.names, examples.labels
    asked = np.int32(chosen)
    return Subject(trained, network, pixels, names, truth, probabilities, asked, found, seed, among)


def in_unit_range(examples: Examples) -> Float[np.ndarray, "n h w c"]:
    """Returns the images of examples in [0, 1]."""
    image = np.stack([example["image"] for example in examples.loaded])
    return image.astype(np.float32) / (255 if image.dtype == np.uint8 else 1)


def pictures(subject: Subject, methods: Sequence[str] | None = None) -> list[Picture]:
    """Returns one picture of all maps, a row per image, and one picture for each other method.

    Args:
      subject: the subject of the explanation.
      methods: names in `maps.METHODS` and in PICTURES; by default the methods that are quick and
        apply to the network.

    Raises:
      ConfigError: a method is unknown, or a requested method does not apply.
    """
    for name in methods or ():
        check_choice("method", name, [*METHODS, *PICTURES])
    asked = (*DEFAULT, *DEFAULT_PICTURES) if methods is None else methods
    found = {}
    for name in asked:
        try:
            if name in METHODS:
                found[name] = maps(subject, name)
            else:
                read = {field: getattr(subject, field) for field in _declared(PICTURES[name])}
                found[name] = PICTURES[name](subject, **read)
        except ConfigError as error:
            if methods is not None:
                raise ConfigError(f"method {name!r}: {error}") from error
    of_images = {name: drawn for name, drawn in found.items() if name in METHODS}
    others = [picture for name, picture in found.items() if name in PICTURES]
    return [*([_side_by_side(subject, of_images)] if of_images else []), *others]


def maps(subject: Subject, method: str) -> np.ndarray:
    """Returns the maps of the images by a method of METHODS."""
    made, network = METHODS[method], subject.network
    drawn = keys(subject.seed, len(subject.pixels), "explain")

    def compute(network, pixels, label, keys):
        known = {"label": label, "keys": keys, "layer": subject.layer}
        read = {name: known[name] for name in _declared(made.compute)}
        return made.compute(network, pixels, **read)

    if made.compiled:
        return network.run(compute, subject.pixels, subject.label, drawn)
    return np.asarray(
        compute(network, jnp.asarray(subject.pixels), jnp.asarray(subject.label), drawn)
    )


def reads(methods: Sequence[str] | None = None) -> set[str]:
    """Returns which of label, layer, seed and among the given or the default methods read.

    Raises:
      ConfigError: a method is unknown.
    """
    asked = (*DEFAULT, *DEFAULT_PICTURES) if methods is None else methods
    for name in asked:
        check_choice("method", name, [*METHODS, *PICTURES])
    functions = [METHODS[n].compute if n in METHODS else PICTURES[n] for n in asked]
    named = {name for function in functions for name in _declared(function)}
    return {"seed" if name == "keys" else name for name in named}


def _declared(function: Callable) -> list[str]:
    """Returns the names of a function's keyword-only parameters."""
    parameters = inspect.signature(function).parameters.values()
    return [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]


def captions(subject: Subject) -> list[list[str]]:
    """Returns the text beside each image: name, true class, prediction, class to explain."""
    network, lines = subject.network, []
    for i, name in enumerate(subject.names):
        top = int(subject.probabilities[i].argmax())
        lines.append([notation.printable(Path(name).name, 18)])
        lines[-1] += [f"true: {network.name_of(subject.truth[i])}"] if subject.truth else []
        lines[-1].append(f"says: {network.says(subject.probabilities[i])}")
        if subject.label[i] != top:
            lines[-1].append(f"why {network.name_of(subject.label[i])}?")
    return lines


def _layer(network: Network, pixels: np.ndarray, layer: str | None) -> str | None:
    image = network.normalize(jnp.asarray(pixels[:1]))
    if layer is not None:
        known = layers.survey(network.model, network.variables, image)
        check_choice("layer", layer, known)
        layers.in_space(jnp.zeros(known[layer].shape), image.shape, layer)
        return layer
    try:
        return class_activation.default_layer(network.model, network.variables, image)
    except ConfigError:
        return None


def _side_by_side(subject: Subject, found: dict[str, np.ndarray]) -> Picture:
    images = subject.images
    columns = {METHODS[name].title: METHODS[name].draw(images, x) for name, x in found.items()}
    figure = drawing.table({"image": images, **columns}, captions(subject))
    lines = [METHODS[name].caption.format(layer=subject.layer) for name in found]
    return Picture("maps", "Maps of the images", lines, figures.png(figure))


def _filters(subject: Subject) -> Picture:
    network = subject.network
    image = network.normalize(jnp.asarray(subject.pixels[:1]))
    name, filters = activations.first_filters(network.model, network.variables, image)
    images = activations.filter_images(filters)[:144]
    caption = f"The kernels of {name}, the first layer with any, each by its own scale; grey is 0."
    return Picture("filters", "Filters", [caption], drawing.tiles(images))


def _activations(subject: Subject, *, layer: str | None) -> Picture:
    if layer is None:
        raise ConfigError(f"no layer of {type(subject.network.model).__name__} has a spatial grid")

    def compute(network, pixels):
        model, image = network.model, network.normalize(pixels)
        found = layers.activations(model, network.variables, image, [layer])
        return layers.in_space(found[layer], image.shape, layer)

    found = subject.network.run(compute, subject.pixels)
    chosen, images = activations.activation_images(found)
    height, width = subject.pixels.shape[1:3]
    images = drawing.resized(images, (height, width))
    columns = {f"channel {k}": images[:, i] for i, k in enumerate(chosen)}
    figure = drawing.table({"image": subject.images, **columns}, captions(subject))
    caption = (
        f"The most active channels of layer {layer}, from black, a channel's least value over "
        "these images, to white, its greatest value."
    )
    return Picture("activations", "Activations", [caption], figures.png(figure))


def _visualization(subject: Subject, *, label: np.ndarray, seed: int) -> Picture:
    network, shape = subject.network, subject.pixels.shape[1:]
    classes = np.unique(label)[:10]

    def climb(network, label, keys):
        def score(x):
            return gradients.class_score(network.logits(x), label)

        return feature_visualization.maximize(
            score, keys, shape, jitter=max(1, shape[0] // 10), total_variation=20.0, l2=20.0
        )

    found = network.run(climb, classes, keys(seed, len(classes), "visualize"))
    images = on_device.pixels(None, found)
    # Shortened names may be equal.
    titles = [dict.fromkeys([network.name_of(k), str(k)]) for k in classes]
    columns = {"\n".join(title): images[i : i + 1] for i, title in enumerate(titles)}
    caption = (
        "Images with a high score of each class: gradient ascent makes them from noise (Erhan et "
        "al. 2009; Olah et al. 2017)."
    )
    figure = drawing.table(columns, [[]])
    return Picture("visualization", "Classes, visualized", [caption], figures.png(figure))


def _neighbours(subject: Subject, count: int = 7, *, among: int, seed: int) -> Picture:
    others = _spread(subject, "train", among, seed)
    images = in_unit_range(others)
    bank, queries = _features(subject.network, images), _features(subject.network, subject.pixels)
    near, _ = neighbours.neighbours_in_feature_space(bank, queries, min(count, len(bank)))
    shown = on_device.pixels(None, images)
    columns = {str(place + 1): shown[near[:, place]] for place in range(near.shape[1])}
    figure = drawing.table({"image": subject.images, **columns}, captions(subject))
    caption = f"The nearest of {len(bank):,} training examples, by the cosine of their features."
    return Picture("neighbours", "Neighbours in feature space", [caption], figures.png(figure))


def _embedding(subject: Subject, *, among: int, seed: int) -> Picture:
    examples = _spread(subject, "test", among, seed)
    if examples.labels is None:
        raise ConfigError("points are coloured by class: each example needs one label")
    features = _features(subject.network, in_unit_range(examples))
    perplexity = min(30.0, (len(features) - 1) / 3)
    places = {
        "principal components": layouts.principal_components(features),
        "t-SNE": layouts.t_sne(features, perplexity=perplexity, seed=seed),
    }
    figure = drawing.scatter(places, np.array(examples.labels), subject.network.label_names)
    caption = (
        f"The features of {len(features):,} test examples: their first two principal components, "
        f"and t-SNE (van der Maaten & Hinton 2008) of perplexity {perplexity:g}."
    )
    return Picture("embedding", "Features in the plane", [caption], figures.png(figure))


def _spread(subject: Subject, split: str, among: int, seed: int) -> Examples:
    """Draws `among` examples of a split, or all if there are fewer."""
    size = len(subject.trained.feed.loader(split).source.records)
    return from_split(subject.trained, split, min(among, size), seed)


def _features(network: Network, pixels: np.ndarray) -> Float[np.ndarray, "n d"]:
    def compute(network, pixels):
        image = network.normalize(pixels)
        found = layers.activations(network.model, network.variables, image, ["features"])
        return found["features"].reshape(len(image), -1)

    return network.run(compute, pixels)


# Like those of METHODS, these functions take by name the fields of the subject that they read.
PICTURES: dict[str, Callable[..., Picture]] = {
    "filters": _filters,
    "activations": _activations,
    "visualization": _visualization,
    "neighbours": _neighbours,
    "embedding": _embedding,
}
DEFAULT_PICTURES = ("filters", "activations")
