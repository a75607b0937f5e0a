"""Adversarial examples of a classifier, which `explain` shows."""

import inspect
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from library.adversarial_examples import attacks
from library.apps.classifier import Network, keys
from library.apps.explain import drawing
from library.apps.explain.drawing import Picture
from library.apps.explain.explaining import in_unit_range
from library.apps.predictions import Examples
from library.config import ConfigError, check_choice
from library.data import on_device
from library.reporting import figures, notation


class Attack(NamedTuple):
    """The settings of an attack.

    Attributes:
      name: a key of ATTACKS.
      epsilon: radius of the ball that contains the change.
      norm: norm of the ball, "linf" or "l2"; "fgsm" takes only "linf".
      steps: number of steps of "pgd".
      target: the class that the network should predict, by number or name; by default any class but
        the true one.
      seed: seed of the random draws.
    """

    name: str
    epsilon: float
    norm: str = "linf"
    steps: int = 40
    target: str | None = None
    seed: int = 0


class AttackResult(NamedTuple):
    """The result of an attack.

    Attributes:
      changed: the changed images, in [0, 1].
      before: class probabilities of the original images.
      after: class probabilities of the changed images.
      label: the right class of each image: the true class or, if unknown, the predicted class.
      target: the class that the network should predict, or None.
      known: whether the true classes are known.
    """

    changed: Float[np.ndarray, "n h w c"]
    before: Float[np.ndarray, "n k"]
    after: Float[np.ndarray, "n k"]
    label: Int[np.ndarray, " n"]
    target: int | None
    known: bool


def attack(network: Network, examples: Examples, asked: Attack) -> AttackResult:
    """Changes images so that the network misclassifies them.

    Raises:
      ConfigError: the attack or the target is unknown, or an epsilon, norm or number of steps is
        out of range.
    """
    read = {name: getattr(asked, name) for name in settings(asked.name)}
    if asked.norm != "linf" and "norm" not in read:
        raise ConfigError(f"attack {asked.name!r} takes the norm 'linf' only, not {asked.norm!r}")
    target = None if asked.target is None else network.class_of(asked.target)
    pixels = in_unit_range(examples)
    before = network.probabilities(pixels)
    label = np.int32(before.argmax(-1) if examples.labels is None else examples.labels)
    aim = label if target is None else np.full_like(label, target)
    changed = ATTACKS[asked.name](network, pixels, aim, **read)
    after = network.probabilities(changed)
    return AttackResult(changed, before, after, label, target, examples.labels is not None)


def settings(name: str) -> list[str]:
    """Returns the fields of `Attack` that an attack reads: its function's keyword-only parameters.

    Raises:
      ConfigError: the attack is unknown.
    """
    check_choice("attack", name, ATTACKS)
    parameters = inspect.signature(ATTACKS[name]).parameters.values()
    return [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]


def lines(network: Network, found: AttackResult) -> list[str]:
    """Renders the accuracy before and after the attack, and how often the target is predicted."""
    total, what = len(found.label), "accuracy" if found.known else "class kept"
    rows = [("clean", found.before), ("adversarial", found.after)]
    written = [f"{name} {what}: {_share(p.argmax(-1) == found.label)}" for name, p in rows]
    if found.target is not None:
        met = _share(found.after.argmax(-1) == found.target)
        written.append(f"classified as {network.label_names[found.target]}: {met}")
    return [f"{line} of {total} examples" for line in written]


def picture(network: Network, examples: Examples, found: AttackResult, asked: Attack) -> Picture:
    """Draws the images before and after the attack, and their differences."""
    pixels = in_unit_range(examples)
    change = found.changed - pixels
    greatest = max(float(np.abs(change).max()), 1e-12)
    columns = {
        "clean": on_device.pixels(None, pixels),
        "adversarial": on_device.pixels(None, found.changed),
        "difference": drawing.around_grey(change, greatest),
    }
    captions = [
        [
            notation.printable(name, 18),
            *([f"true: {network.name_of(found.label[i])}"] if found.known else []),
            f"clean: {network.says(found.before[i])}",
            f"now: {network.says(found.after[i])}",
        ]
        for i, name in enumerate(examples.names)
    ]
    figure = drawing.table(columns, captions)
    caption = f"{_TITLES[asked.name]} Differences are drawn {1 / greatest / 2:.3g} times as large."
    return Picture(f"adversarial_{asked.name}", asked.name, [caption], figures.png(figure))


def _share(hits: np.ndarray) -> str:
    return f"{hits.mean():.1%}, {hits.sum()}"


def _fgsm(network: Network, pixels, aim, *, epsilon, target) -> np.ndarray:
    def change(network, pixels, aim):
        return attacks.fast_gradient_sign(
            network.logits, pixels, aim, epsilon=epsilon, targeted=target is not None
        )

    return network.run(change, pixels, aim)


def _pgd(network: Network, pixels, aim, *, epsilon, norm, steps, target, seed) -> np.ndarray:
    def change(network, pixels, aim, keys):
        return attacks.projected_gradient(
            network.logits,
            pixels,
            aim,
            keys,
            epsilon=epsilon,
            norm=norm,
            steps=steps,
            targeted=target is not None,
        )

    return network.run(change, pixels, aim, keys(seed, len(pixels), "attack"))


ATTACKS: dict[str, Callable[..., np.ndarray]] = {"fgsm": _fgsm, "pgd": _pgd}
_TITLES = {
    "fgsm": "One step along the sign of the gradient (Goodfellow et al. 2015).",
    "pgd": "Projected gradient descent (Madry et al. 2018).",
}
