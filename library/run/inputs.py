"""The input of a step: a batch that is augmented and normalized on the device."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp

from library import config, rng
from library.config import ConfigError
from library.data import (
    augmentation,
    device_preprocessing,
    features,
    graphs,
    graphs_in_memory,
    on_device,
)

# A limit, because the step augments the views one after the other.
MOST_VIEWS = 64


class View(NamedTuple):
    """A named view of each training example.

    Attributes:
      augment: `(batch, key) -> batch`.
      count: number of such views, each with its own random draws.
    """

    augment: Callable
    count: int


class NamedView(NamedTuple):
    """The config of a named view: a list of augmentations, and the number of such views."""

    augment: tuple[dict, ...] = ()
    count: int = 1


def named_views(views: Any) -> dict[str, NamedView]:
    """Reads the named views in a config's `views`; there are none if it is a number.

    Raises:
      ConfigError: the number of views is not 1 to 64, or a name or value is invalid.
    """
    if isinstance(views, int):
        if not 1 <= views <= MOST_VIEWS:
            raise ConfigError(f"views={views}: valid are 1 to {MOST_VIEWS} views of each image")
        return {}
    found = {}
    for name, view in config.plain(views).items():
        given = {"augment": view} if isinstance(view, list) else view
        found[name] = config.read(NamedView, given, f"views.{name}")
        if not name.isidentifier():
            raise ConfigError(
                f"views.{name}: write a name of letters, digits and _, such as 'local'"
            )
    counts = [view.count for view in found.values()]
    if not 1 <= sum(counts) <= MOST_VIEWS or min(counts) < 1:
        raise ConfigError(
            f"views have the counts {counts}: valid are 1 or more each, and up to {MOST_VIEWS} "
            "together"
        )
    return found


def composed(specs: Any, known: Mapping[str, Any]) -> Callable:
    """Builds the augmentation of a list of specs, `(batch, key) -> batch`."""
    return augmentation.compose(
        [config.build(spec, "library.data.augmentation", "augmentation", **known) for spec in specs]
    )


def preprocessed(specs: Any, kinds: Mapping[str, str]) -> Callable:
    """Builds the preprocessing on the device of a list of specs, `batch -> batch`."""
    package, what = "library.data.device_preprocessing", "operation of device_preprocess"
    return device_preprocessing.compose(
        [config.build(spec, package, what, kinds=kinds) for spec in specs]
    )


def built_views(views: Any, known: Mapping[str, Any]) -> dict[str, View]:
    """Builds the named views of a config.

    Raises:
      ConfigError: a view's feature would have the name of another feature.
    """
    found = {}
    for name, view in named_views(views).items():
        found[name] = View(composed(view.augment, known), view.count)
        taken = [f for f in known["kinds"] if f"{name}_{f}" in known["kinds"]]
        if taken:
            raise ConfigError(
                f"views.{name}: the examples have a {f'{name}_{taken[0]}'!r} already; choose "
                "another name"
            )
    return found


def train_input(plan: Any, batch: Mapping, constants: Mapping, key: Any) -> dict:
    """Gathers, augments and normalizes a training batch, on the device.

    With several views, the image and all features in its geometry are (b, views, ...). A named view
    adds its own features: `<view>_image` beside `image`.
    """
    batch = _completed(plan, batch, constants)
    key = rng.purpose(key, "augment")
    if plan.recipe.views == 1:
        return plan.normalize(plan.augment(batch, key))
    if not plan.views:
        keys = [rng.at_step(key, view) for view in range(plan.recipe.views)]
        made = [plan.normalize(plan.augment(batch, key)) for key in keys]
        return {**batch, **_together(plan, made)}
    common, found = plan.augment(batch, key), {}
    for name, view in plan.views.items():
        keys = [rng.at_step(rng.purpose(key, name), i) for i in range(view.count)]
        made = [plan.normalize(view.augment(common, key)) for key in keys]
        seen = _together(plan, made) if view.count > 1 else _placed(plan, made[0])
        found |= {f"{name}_{feature}": x for feature, x in seen.items()}
    return {**plan.normalize(common), **found}


def eval_input(plan: Any, batch: Mapping, constants: Mapping) -> dict:
    """Gathers and normalizes a batch of an evaluation, on the device."""
    return plan.normalize(_completed(plan, batch, constants))


def _completed(plan: Any, batch: Mapping, constants: Mapping) -> dict:
    budget, resident = plan.dataset.budget, constants["resident"]
    if budget is None or not resident:
        batch = on_device.gather(batch, resident)
    else:
        batch = graphs_in_memory.gathered(budget, resident, batch)
    # Batches that evaluators draw have no graphs.
    if budget is not None and "graph" in batch:
        batch = graphs.joined(batch, budget)
    return plan.device_preprocess(on_device.to_float(batch, plan.loader.kinds))


def _together(plan: Any, made: list[Mapping]) -> dict:
    views = [_placed(plan, batch) for batch in made]
    return {name: jnp.stack([view[name] for view in views], axis=1) for name in views[0]}


def _placed(plan: Any, batch: Mapping) -> dict:
    """Returns the features that geometric augmentation changes, and their masks."""
    kinds, spatial = plan.loader.kinds, (*features.RASTERS, *features.OBJECTS)
    names = features.named(kinds, *spatial, among=batch)
    masks = [f"{name}_mask" for name in names if f"{name}_mask" in batch]
    return {name: batch[name] for name in (*names, *masks)}
