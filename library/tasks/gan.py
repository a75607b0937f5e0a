"""Generative adversarial networks: a generator learns images that a discriminator takes for real.

The game is that of Goodfellow et al. 2014, "Generative adversarial nets" (arXiv 1406.2661),
algorithm 1. The comments in `LOSSES` and the argument `penalty` of `gan` name the papers of the
objectives and penalties.

Images are in [-1, 1] for both players, and in [0, 1] outside of this file.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from library import rng
from library.config import ConfigError, check_choice, nearest
from library.finite import nan_unless
from library.forward import applied
from library.layers import spectral_normalization
from library.task import Batch, Learner, Loss, Metrics, Task, TrainState, pair

PLAYERS = ("discriminator", "generator")


class Objective(NamedTuple):
    """The losses of both players, as functions of the discriminator's score.

    Attributes:
      real: the discriminator's loss of a real image.
      fake: the discriminator's loss of a generated image.
      generator: the generator's loss of a generated image.
      probability: the discriminator's probability that an image is real, 0 to 1; None for a critic,
        whose scores have no fixed zero.
    """

    real: Callable[[Array], Array]
    fake: Callable[[Array], Array]
    generator: Callable[[Array], Array]
    probability: Callable[[Array], Array] | None


_softplus = jax.nn.softplus

LOSSES = {
    # Goodfellow et al. 2014, equation 1, and the remedy for its vanishing gradient in section 3.
    "saturating": Objective(
        lambda s: _softplus(-s), _softplus, lambda s: -_softplus(s), jax.nn.sigmoid
    ),
    "non_saturating": Objective(
        lambda s: _softplus(-s), _softplus, lambda s: _softplus(-s), jax.nn.sigmoid
    ),
    # Miyato et al. 2018 (arXiv 1802.05957), equations 16 and 17.
    "hinge": Objective(
        lambda s: jax.nn.relu(1 - s),
        lambda s: jax.nn.relu(1 + s),
        lambda s: -s,
        lambda s: jnp.clip((s + 1) / 2, 0, 1),
    ),
    # Mao et al. 2017 (arXiv 1611.04076), equation 9.
    "least_squares": Objective(
        lambda s: jnp.square(s - 1) / 2,
        lambda s: jnp.square(s) / 2,
        lambda s: jnp.square(s - 1) / 2,
        lambda s: jnp.clip(s, 0, 1),
    ),
    # Arjovsky et al. 2017 (arXiv 1701.07875), equations 2 and 3; it needs a penalty, or spectral
    # normalization, to keep the critic Lipschitz.
    "wasserstein": Objective(lambda s: -s, lambda s: s, lambda s: -s, None),
}
PENALTIES = ("none", "interpolates", "r1")


def gan(
    model: Mapping[str, nn.Module] | nn.Module,
    alternate: Callable[..., Learner],
    *,
    image_shape: tuple[int, int, int],
    num_classes: int | None = None,
    conditional: bool = False,
    loss: str = "non_saturating",
    penalty: str = "none",
    penalty_weight: float = 0.0,
    latent_size: int = 100,
    latent: Literal["normal", "uniform"] = "normal",
) -> Task:
    """Builds the game of `model["generator"]` against `model["discriminator"]`.

    The discriminator moves first. It learns from pairs of a real image and an image generated for
    the same example. The two kinds pass through it separately, so that batch normalization sees one
    kind at a time. Latents are drawn by the example's index, so both players get new latents in
    every step.

    A move changes only the variables of its own player. When the generator moves, the discriminator
    normalizes by the statistics of the generated batch, but its running averages and its vectors of
    spectral normalization do not change; the same holds for the generator when the discriminator
    moves. `evaluate` and the outputs use the running averages.

    The training metrics of the discriminator are loss; its parts loss_real and loss_fake, by kind
    of image, and penalty, without its weight: loss is loss_real + loss_fake + penalty_weight *
    penalty; real and fake, the mean probability of being real for each kind (for a critic, the mean
    score); accuracy_real and accuracy_fake (not for a critic). The metric of the generator is loss.
    Evaluation gives the same metrics without the penalty, under the same names,
    discriminator_loss and so on.

    Outputs: "sample" (b, h, w, c) in [0, 1], of the class `label` if conditional; "score" (b,) of
    images; "probability" (b,), that an image is real (not for a critic); "signal" (b,), the norm of
    the gradient of the generator's loss with respect to the image, for images in [0, 1]: the signal
    from which the generator learns; "features" (b, d), the input of the discriminator's head.

    Args:
      model: generator `(latent (b, d), label (b,) or None, train) -> image`, discriminator
        `(image, label or None, train) -> score (b,)`.
      alternate: turns the players' losses into the training step.
      image_shape: height, width and channels of the images.
      num_classes: number of classes of the dataset.
      conditional: whether both players get the label.
      loss: a key of LOSSES.
      penalty: "interpolates" adds weight (|gradient| - 1)^2 at random points between the pairs
        (Gulrajani et al. 2017, arXiv 1704.00028, algorithm 1); "r1" adds weight / 2 |gradient|^2 at
        the real images (Mescheder et al. 2018, arXiv 1801.04406, equation 9). The gradient is that
        of the score with respect to an image in [-1, 1], for each example by itself; batch
        normalization mixes examples and so does not allow it.
      penalty_weight: weight of the penalty: lambda of "interpolates", gamma of "r1"; 10 in both
        papers.
      latent_size: d, the size of the latent.
      latent: the latent's distribution, "normal", or "uniform" in [-1, 1].

    Raises:
      ConfigError: the model has other players, the loss or penalty is unknown, a penalty has no
        weight above 0, a weight has no penalty, `conditional` is set for a dataset without classes,
        or a penalty is set for a discriminator with batch normalization.
    """
    players = _checked_players(model)
    check_choice("loss", loss, LOSSES)
    _check_penalty(penalty, penalty_weight)
    check_choice("latent", latent, ("normal", "uniform"))
    if latent_size < 1:
        raise ConfigError(f"latent_size={latent_size}: valid are 1 or more")
    classes = _checked_classes(players, num_classes) if conditional else None
    game = _Game(players, LOSSES[loss], classes, latent_size, latent, image_shape)
    losses = {
        "discriminator": _discriminator_loss(game, penalty, penalty_weight),
        "generator": _generator_loss(game),
    }
    # A power iteration reads only params, which are the same on all devices.
    learner = alternate(losses, spread={spectral_normalization.COLLECTION: "replicated"})

    def init(key: PRNGKeyArray, batch: Batch) -> TrainState:
        return learner.init(_initial_variables(game, rng.purpose(key, "params"), batch, penalty))

    def evaluate(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Metrics:
        fake, _ = game.generate(state.params, state.variables, batch, key)
        real, _ = game.score(state.params, state.variables, _signed(batch["image"]), batch, key)
        fake, _ = game.score(state.params, state.variables, fake, batch, key)
        measured = _discriminator_metrics(game.objective, real, fake, batch["mask"])
        measured = {f"discriminator_{name}": value for name, value in measured.items()}
        return {
            **measured,
            "generator_loss": pair(game.objective.generator(fake), batch["mask"]),
        }

    return Task(init, learner.update, evaluate, _outputs(game))


class _Game(NamedTuple):
    """The two players, and the functions that call them."""

    players: Mapping[str, nn.Module]
    objective: Objective
    classes: int | None
    latent_size: int
    latent: str
    image_shape: tuple[int, int, int]

    def generate(
        self, params: PyTree, variables: PyTree, batch: Batch, key: PRNGKeyArray, train=False
    ) -> tuple[Float[Array, "b h w c"], PyTree]:
        """Returns an image in [-1, 1] for each example, and the variables after the call."""
        latent = self.draw(batch["index"], key)
        label = self.label(batch)
        image, moved = self._apply("generator", params, variables, latent, label, train, batch, key)
        expected = (len(latent), *self.image_shape)
        if image.shape != expected:
            raise ValueError(
                f"the generator makes images of shape {image.shape}, but the data have {expected}"
            )
        return self._if_known(image, batch), moved

    def score(
        self, params: PyTree, variables: PyTree, image: Array, batch: Batch, key, train=False
    ) -> tuple[Float[Array, " b"], PyTree]:
        """Returns each image's score, and the variables after the call."""
        label = self.label(batch)
        score, moved = self._apply(
            "discriminator", params, variables, image, label, train, batch, key
        )
        return self._if_known(score, batch), moved

    def draw(self, index: Array, key: PRNGKeyArray) -> Float[Array, "b d"]:
        """Returns each example's latent."""
        keys = rng.per_example(rng.purpose(key, "latent"), index)
        if self.latent == "normal":
            return jax.vmap(lambda k: jax.random.normal(k, (self.latent_size,)))(keys)
        return jax.vmap(lambda k: jax.random.uniform(k, (self.latent_size,), minval=-1.0))(keys)

    def label(self, batch: Batch) -> Int[Array, " b"] | None:
        """Returns the label that the players get, or None.

        Raises:
          ConfigError: examples have no label, or their labels are not one class per example.
          KeyError: a batch without images, which asks for samples, has no label.
        """
        if self.classes is None:
            return None
        if "label" not in batch and "image" in batch:
            raise ConfigError("conditional=True needs one label per example, but there is none")
        label = batch["label"]
        if label.ndim != 1:
            raise ConfigError(
                f"conditional=True needs one label per example, int (b,), not {label.shape}"
            )
        return jnp.clip(label, 0, self.classes - 1)

    def _if_known(self, values: Array, batch: Batch) -> Array:
        # A label outside the classes must show as NaN values; padding must not, because batch
        # normalization sees it, too.
        label = self.label(batch)
        if label is None:
            return values
        known = (label == batch["label"]) | (batch["mask"] == 0)
        shape = (len(label),) + (1,) * (values.ndim - 1)
        return nan_unless(known.reshape(shape), values)

    def _apply(self, player, params, variables, x, label, train, batch, key):
        own, params, model = _own(variables, player), params[player], self.players[player]
        if not train:
            return model.apply({"params": params, **own}, x, label, train=False), variables
        output, moved = applied(model, params, own, [x, label], key, batch["index"])
        moved = {name: {**variables[name], player: value} for name, value in moved.items()}
        return output, {**variables, **moved}


def _discriminator_loss(game: _Game, penalty: str, weight: float) -> Loss:
    def objective(params, variables, batch, key):
        real, mask = _signed(batch["image"]), batch["mask"]
        fake, _ = game.generate(params, variables, batch, key, train=True)
        scores, moved = {}, variables
        for name, image in {"real": real, "fake": fake}.items():
            stream = rng.purpose(key, name)
            scores[name], moved = game.score(params, moved, image, batch, stream, train=True)
        metrics = _discriminator_metrics(game.objective, **scores, mask=mask)
        if penalty == "none":
            return metrics, moved

        def slopes(image):
            return _slopes(lambda x: game.score(params, variables, x, batch, key)[0], image)

        if penalty == "r1":
            each = jnp.square(slopes(real)) / 2
        else:
            each = jnp.square(slopes(_between(real, fake, batch["index"], key)) - 1)
        metrics["penalty"] = pair(each, mask)
        total, count = metrics["loss"]
        return {**metrics, "loss": (total + weight * metrics["penalty"][0], count)}, moved

    return objective


def _generator_loss(game: _Game) -> Loss:
    def objective(params, variables, batch, key):
        fake, moved = game.generate(params, variables, batch, key, train=True)
        score, _ = game.score(params, variables, fake, batch, key, train=True)
        return {"loss": pair(game.objective.generator(score), batch["mask"])}, moved

    return objective


def _discriminator_metrics(
    objective: Objective,
    real: Float[Array, " b"],
    fake: Float[Array, " b"],
    mask: Float[Array, " b"],
) -> Metrics:
    of_real, of_fake = objective.real(real), objective.fake(fake)
    metrics = {
        "loss": pair(of_real + of_fake, mask),
        "loss_real": pair(of_real, mask),
        "loss_fake": pair(of_fake, mask),
    }
    if objective.probability is None:
        return {**metrics, "real": pair(real, mask), "fake": pair(fake, mask)}
    real, fake = objective.probability(real), objective.probability(fake)
    return {
        **metrics,
        "real": pair(real, mask),
        "fake": pair(fake, mask),
        "accuracy_real": pair(real > 0.5, mask),
        "accuracy_fake": pair(fake < 0.5, mask),
    }


def _own(variables: PyTree, player: str) -> dict[str, PyTree]:
    return {name: held[player] for name, held in variables.items() if player in held}


def _slopes(score: Callable[[Array], Array], image: Float[Array, "b h w c"]) -> Float[Array, " b"]:
    """Returns the norm of the gradient of each score with respect to its own image."""
    gradient = jax.grad(lambda x: jnp.sum(score(x)))(image)
    # The root has no derivative at 0, which a discriminator reaches where it is flat.
    return jnp.sqrt(jnp.sum(jnp.square(gradient), axis=(1, 2, 3)) + 1e-12)


def _between(
    real: Float[Array, "b h w c"],
    fake: Float[Array, "b h w c"],
    index: Array,
    key: PRNGKeyArray,
) -> Float[Array, "b h w c"]:
    """Returns for each example a uniform random point between its fake and its real image."""
    keys = rng.per_example(rng.purpose(key, "interpolates"), index)
    share = jax.vmap(lambda k: jax.random.uniform(k, (1, 1, 1)))(keys)
    return share * real + (1 - share) * fake


def _outputs(game: _Game) -> Mapping[str, Callable[..., Any]]:
    def sample(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b h w c"]:
        return (game.generate(state.params, state.variables, batch, key)[0] + 1) / 2

    def score(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, " b"]:
        image = _signed(batch["image"])
        return game.score(state.params, state.variables, image, batch, key)[0]

    def probability(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, " b"]:
        return game.objective.probability(score(state, batch, key))

    def signal(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, " b"]:
        def lost(image):
            return game.objective.generator(score(state, {**batch, "image": image}, key))

        return _slopes(lost, batch["image"])

    def features(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b d"]:
        model = game.players["discriminator"]
        own = _own(state.variables, "discriminator")
        held = {"params": state.params["discriminator"], **own}
        arguments = _signed(batch["image"]), game.label(batch)
        _, recorded = model.apply(held, *arguments, train=False, mutable=["intermediates"])
        recorded = recorded.get("intermediates", {})
        if "features" not in recorded:
            name = type(model).__name__
            raise ValueError(f"{name} records no 'features': {nearest('features', recorded)}")
        return recorded["features"]

    outputs = {"sample": sample, "score": score, "signal": signal, "features": features}
    return (
        outputs if game.objective.probability is None else {**outputs, "probability": probability}
    )


def _initial_variables(game: _Game, key: PRNGKeyArray, batch: Batch, penalty: str) -> PyTree:
    # Initial values do not depend on the images, so two examples are enough.
    few = {name: value[:2] for name, value in batch.items()}
    inputs = {"generator": game.draw(few["index"], key), "discriminator": _signed(few["image"])}
    variables: dict[str, dict[str, PyTree]] = {}
    for player in PLAYERS:
        made = game.players[player].init(
            rng.purpose(key, player), inputs[player], game.label(few), train=False
        )
        for collection, held in made.items():
            variables.setdefault(collection, {})[player] = held
    if penalty != "none" and "discriminator" in variables.get("batch_stats", {}):
        raise ConfigError(
            f"penalty={penalty!r} is on the gradient of each example, which batch normalization "
            "mixes: give the discriminator norm='layer' or norm='none'"
        )
    return variables


def _checked_players(model: Mapping[str, nn.Module] | nn.Module) -> Mapping[str, nn.Module]:
    expected = "dict(generator=dict(name=...), discriminator=dict(name=...))"
    if not isinstance(model, Mapping):
        raise ConfigError(f"model {type(model).__name__} is only one player: write {expected}")
    for player in PLAYERS:
        if player not in model:
            raise ConfigError(f"model has no {player!r}, only {sorted(model)}: write {expected}")
    for player in model:
        check_choice("player in model", player, PLAYERS)
    return model


def _check_penalty(penalty: str, weight: float) -> None:
    check_choice("penalty", penalty, PENALTIES)
    if penalty == "none" and weight:
        raise ConfigError(f"penalty_weight={weight} is read with a penalty only, not 'none'")
    if penalty != "none" and not 0 < weight < float("inf"):
        raise ConfigError(f"penalty_weight={weight}: valid are numbers above 0, such as 10.0")


def _checked_classes(players: Mapping[str, nn.Module], num_classes: int | None) -> int:
    if num_classes is None or num_classes < 1:
        raise ConfigError(f"conditional=True needs labels, but num_classes={num_classes}")
    for player in players.values():
        width = getattr(player, "num_classes", num_classes)
        if width != num_classes:
            name = type(player).__name__
            raise ConfigError(
                f"model {name} has num_classes={width}, but the task has {num_classes}"
            )
    return num_classes


def _signed(image: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
    return 2 * image - 1
