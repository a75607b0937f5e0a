"""Adversarial training: a classifier learns from images that an adversary makes hard for it.

Madry, Makelov, Schmidt, Tsipras & Vladu 2018, "Towards deep learning models resistant to
adversarial attacks" (arXiv 1706.06083), equation 2.1: min over params of E[max over changes within
a ball of the loss]. For every batch an adversary approximates the inner maximum; the gradient of
the outer minimum is the gradient of the loss at the adversary's images (Danskin's theorem).
"""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from library import config, rng
from library.config import ConfigError
from library.task import Batch, Learner, Loss, Metrics, Task
from library.tasks.classification import classification


def adversarial_training(
    model: nn.Module,
    minimize: Callable[[Loss], Learner],
    *,
    num_classes: int,
    adversary: dict,
    normalize: Callable[[Array], Array],
    unnormalize: Callable[[Array], Array],
    num_examples: int,
    warmup_epochs: float = 0.0,
    label_smoothing: float = 0.0,
    aux_weight: float = 0.0,
    test_time_augmentation: Literal["none", "mirror", "mirror_translate"] = "none",
) -> Task:
    """Builds the task of predicting `batch["label"]` from images that an adversary changes.

    Everything is as in `classification`, but training sees the changed images: its loss and
    accuracy are those under attack. Evaluation sees unchanged images; the evaluator
    `robust_accuracy` attacks them.

    The adversary uses the network in evaluation mode, without dropout and with running statistics,
    so that it treats each example by itself. It replaces a mixed label by the class with the
    greatest share.

    Args:
      model: `(image (b, h, w, c), train) -> logits (b, num_classes)`.
      minimize: turns a loss into the training step.
      num_classes: number of classes of the dataset.
      adversary: name and arguments of a function of library/adversarial_examples/adversaries.py,
        such as dict(name="pgd", epsilon=0.3, steps=40, step_size=0.01).
      normalize: maps images in [0, 1] to the values of the batch.
      unnormalize: the inverse of `normalize`.
      num_examples: examples of an epoch of training.
      warmup_epochs: epochs over which the adversary's changes grow from nothing to full size. Large
        changes from the start may keep a network at chance for long.
      label_smoothing: as in `classification`.
      aux_weight: as in `classification`.
      test_time_augmentation: as in `classification`.

    Raises:
      ConfigError: the adversary is unknown, its settings or the warmup are out of range, or
        `classification` refuses its arguments.
    """
    if not 0 <= warmup_epochs < float("inf"):
        raise ConfigError(f"warmup_epochs={warmup_epochs}: valid are 0 or more")
    change = config.build(adversary, "library.adversarial_examples.adversaries", "adversary")

    def attacked(
        params: PyTree, variables: PyTree, batch: Batch, key: PRNGKeyArray
    ) -> Float[Array, "b h w c"]:
        # No gradient flows through the adversary's steps.
        known = jax.lax.stop_gradient({"params": params, **variables})
        label, keys = batch["label"], rng.per_example(rng.purpose(key, "attack"), batch["index"])
        if label.ndim == 2:
            label = jnp.argmax(label, axis=-1)

        def logits(pixels: Float[Array, "b h w c"]) -> Float[Array, "b k"]:
            return model.apply(known, normalize(pixels), train=False)

        # Normalizing and its inverse may round values slightly out of [0, 1].
        pixels = jnp.clip(unnormalize(batch["image"]), 0, 1)
        changed = change(logits, pixels, label, keys)
        if warmup_epochs:
            share = jnp.minimum(1, batch["index"] / (warmup_epochs * num_examples))
            changed = pixels + share[:, None, None, None] * (changed - pixels)
        return normalize(changed)

    def hardened(loss: Loss) -> Loss:
        def robust_loss(
            params: PyTree, variables: PyTree, batch: Batch, key: PRNGKeyArray
        ) -> tuple[Metrics, PyTree]:
            image = attacked(params, variables, batch, key)
            return loss(params, variables, {**batch, "image": image}, key)

        return robust_loss

    return classification(
        model,
        lambda loss: minimize(hardened(loss)),
        num_classes=num_classes,
        label_smoothing=label_smoothing,
        aux_weight=aux_weight,
        test_time_augmentation=test_time_augmentation,
    )
