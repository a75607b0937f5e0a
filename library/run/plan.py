"""The plan of a run: its objects, built and checked, and what evaluators are told of them."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import optax

from library import rng, task
from library.data import on_device, pipeline
from library.parallel import strategies
from library.run import data, inputs
from library.run.data_record import DataRecord
from library.run.inputs import eval_input
from library.run.sections import Dataset, Recipe


class Plan(NamedTuple):
    """The objects of a run, built and checked; nothing is compiled or allocated yet.

    Attributes:
      recipe: the config.
      dataset: the config's `dataset` section.
      strategy: how steps run over the devices.
      task: the task.
      learning_rates: "learning_rate", or one rate for each player, as functions of the step.
      loader: the loader of the training examples. In a plan of a program that does not train, its
        source may have no examples, see `recipe.make_plan`.
      order: the order of the training examples.
      label_names: names of the run's classes, see `class_names`, or None.
      device_preprocess: `batch -> batch`, on the device, before augmentation.
      augment: `(batch, key) -> batch`, on the device, training only.
      views: the named views of each example, see `inputs.View`.
      normalize: `batch -> batch`, on the device.
      preprocess: the host preprocessing of "train" and "test".
      splits: name of a split -> its loader for evaluations; each split is opened once.
      total_steps: steps of the run.
      steps: duration -> number of steps.
      state: shapes of the TrainState.
      metrics: shapes of the metrics of a step.
      flops: FLOPs of a step on all devices together, those of recomputed activations included, see
        library/costs.py; None if the devices' peak rate is unknown, as on CPU.
      judge: `(workdir, output)` -> the output of another run, see `evaluation.context`.
      measured: names of all numbers that the run logs, "train/loss", "test/accuracy", ...
      context_length: the most tokens that a language model sees at a time; None for no limit.
      recorded: the data record of the run's first start; None for a new run.
    """

    recipe: Recipe
    dataset: Dataset
    strategy: strategies.Strategy
    task: task.Task
    learning_rates: Mapping[str, optax.Schedule]
    loader: pipeline.Loader
    order: pipeline.Order
    label_names: tuple[str, ...] | None
    device_preprocess: Callable
    augment: Callable
    views: Mapping[str, inputs.View]
    normalize: Callable
    preprocess: Mapping[str, Callable]
    splits: data.Splits
    total_steps: int
    steps: Callable[[str], int]
    state: task.TrainState
    metrics: Mapping[str, Any]
    measured: frozenset[str]
    judge: Callable
    context_length: int | None = None
    recorded: DataRecord | None = None
    flops: int | None = None


def initial_state(plan: Plan, batch: Mapping, constants: Mapping) -> task.TrainState:
    """Initialises the state from the first training batch, without augmentation."""
    return plan.task.init(rng.purpose(constants["key"], "init"), eval_input(plan, batch, constants))


def drawn_features(plan: Plan, num: int) -> dict[str, np.ndarray]:
    """Returns the features of `num` drawn examples: labels in turn if the dataset has them."""
    names, label = plan.label_names, plan.loader.blank.get("label")
    if not names or label is None or label.ndim:
        return {}
    return {"label": (np.arange(num) % len(names)).astype(label.dtype)}


def context_parts(plan: Plan) -> dict[str, Any]:
    """Returns the parts of a `Context` that need no device."""
    return {
        "judge": plan.judge,
        "pixels": functools.partial(on_device.pixels, plan.recipe.normalize),
        **image_functions(plan.recipe),
        "features": tuple(plan.loader.blank),
        "label_names": plan.label_names,
        "tokenizer": plan.loader.source.tokenizer,
        "context_length": plan.context_length,
    }


def image_functions(recipe: Recipe) -> dict[str, Callable]:
    """Returns the functions that normalize images in [0, 1], and the inverse."""
    normalize = on_device.normalizer(recipe.normalize)
    return {
        "normalize": lambda image: normalize({"image": image})["image"],
        "unnormalize": on_device.unnormalizer(recipe.normalize),
    }
