"""Adversarial training: a classifier learns from images that an adversary makes hard for it.

Madry, Makelov, Schmidt, Tsipras & Vladu 2018, "Towards deep learning models resistant to
adversarial attacks" (arXiv 1706.06083), equation 2.1: min over params of E[max over changes within
a ball of the loss]. For every batch an adversary approximates the inner maximum; the gradient of
the outer minimum is the gradient of the loss at the adversary's images (Danskin's theorem).
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, PRNGKeyArray, PyTree, UInt32

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

    warmup = warmup_epochs * num_examples if warmup_epochs else 0.0
    attack = _Attack(model, change, normalize, unnormalize, warmup)
    return classification(
        model,
        lambda loss: minimize(_hardened(loss, attack)),
        num_classes=num_classes,
        label_smoothing=label_smoothing,
        aux_weight=aux_weight,
        test_time_augmentation=test_time_augmentation,
    )


class _Attack(NamedTuple):
    """The adversary of a network in training.

    Attributes:
      model: the network.
      change: `(network, pixels (b, h, w, c), label (b,), keys (b,)) -> pixels`, the adversary.
      normalize: maps images in [0, 1] to the values of the batch.
      unnormalize: the inverse of `normalize`.
      warmup: number of examples over which the changes grow to full size.
    """

    model: nn.Module
    change: Callable[..., Array]
    normalize: Callable[[Array], Array]
    unnormalize: Callable[[Array], Array]
    warmup: float

    def image(
        self, params: PyTree, variables: PyTree, batch: Batch, key: PRNGKeyArray
    ) -> Float[Array, "b h w c"]:
        """Returns the batch's images as the adversary of this network changes them."""
        # No gradient flows through the adversary's steps.
        known = jax.lax.stop_gradient({"params": params, **variables})
        label, keys = batch["label"], rng.per_example(rng.purpose(key, "attack"), batch["index"])
        if label.ndim == 2:
            label = jnp.argmax(label, axis=-1)

        def logits(pixels: Float[Array, "b h w c"]) -> Float[Array, "b k"]:
            return self.model.apply(known, self.normalize(pixels), train=False)

        # Normalizing and its inverse may round values slightly out of [0, 1].
        pixels = jnp.clip(self.unnormalize(batch["image"]), 0, 1)
        changed = self.change(logits, pixels, label, keys)
        if self.warmup:
            changed = pixels + self.share(batch["index"]) * (changed - pixels)
        return self.normalize(changed)

    def share(self, index: UInt32[Array, " b"]) -> Float[Array, "b 1 1 1"]:
        """Returns the share of its change that an example gets in the warmup."""
        return jnp.minimum(1, index / self.warmup)[:, None, None, None]


def _hardened(loss: Loss, attack: _Attack) -> Loss:
    """Returns the loss at the images of the adversary."""

    def robust_loss(
        params: PyTree, variables: PyTree, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Metrics, PyTree]:
        image = attack.image(params, variables, batch, key)
        return loss(params, variables, {**batch, "image": image}, key)

    return robust_loss
