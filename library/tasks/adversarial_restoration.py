"""Restoration by a generator whose images a discriminator takes for real.

SRGAN (Ledig et al. 2017, arXiv 1609.04802, section 2.2) enlarges images; the context encoder
(Pathak et al. 2016, arXiv 1604.07379, section 3.2) fills holes. The generator minimizes a loss of
content, as in `library.tasks.restoration`, and a share of the adversarial loss. The content may
also be compared by the features of a finished network.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from library import config, rng
from library.config import ConfigError, check_choice
from library.forward import applied
from library.task import Batch, Learner, Metrics, Task, TrainState, pair
from library.tasks.restoration import (
    LOSSES,
    Posed,
    Problem,
    check_unnormalized,
    damages,
    outputs,
)

PLAYERS = ("discriminator", "generator")
TEACHER = "teacher"


class Perceptual(NamedTuple):
    """The comparison by features.

    Attributes:
      teacher: workdir of the finished run whose features are compared.
      weight: factor of the mean squared difference.
      output: the output of its task with the features (b, ...).
    """

    teacher: str
    weight: float = 0.006
    output: str = "features"


def adversarial_restoration(
    model: Mapping[str, nn.Module] | nn.Module,
    alternate: Callable[..., Learner],
    *,
    degradation: dict | None = None,
    test_degradation: dict | None = None,
    inputs: tuple[str, ...] = (),
    target: str = "image",
    loss: Literal["l1", "l2", "charbonnier"] = "l2",
    adversarial_weight: float = 1e-3,
    perceptual: dict | None = None,
    measure: Literal["luma", "all"] = "luma",
    context: float = 0.0,
    margin: int | None = None,
    teaching: Callable[[str, str], tuple[Any, Callable[[Any, Array], Array]]] | None = None,
    unnormalize: Callable[[Array], Array] = lambda image: image,
) -> Task:
    """Builds the game of `model["generator"]`, which restores, against `model["discriminator"]`.

    The discriminator moves first, and sees true and restored images in [-1, 1] separately. If the
    damage loses pixels, the restored image has the known pixels of the damaged one.

    The training metrics of the discriminator are loss, real and fake, the mean probabilities of
    being real; those of the generator are loss, content, adversarial and, if it is compared,
    perceptual, without their weights, and psnr. Evaluation and outputs are those of `restoration`,
    of the generator. The variables "teacher" hold the network whose features are compared.

    Args:
      model: generator `(damaged images ..., train) -> image`, discriminator `(image, None, train)
        -> score (b,)`.
      alternate: turns the players' losses into the training step.
      degradation: see `restoration`.
      test_degradation: see `restoration`.
      inputs: see `restoration`.
      target: see `restoration`.
      loss: the loss of content, see `restoration`.
      adversarial_weight: factor of the generator's adversarial loss, -log of the probability.
      perceptual: teacher, weight and output of the comparison by features, see `Perceptual`.
      measure: see `restoration`.
      context: see `restoration`.
      margin: see `restoration`.
      teaching: loads the network of `perceptual`: (workdir, output) -> its state, and a function
        (state, image in [0, 1]) -> output.
      unnormalize: maps the batch's images back to [0, 1], which must change nothing.

    Raises:
      ConfigError: as `restoration`; the model has other players, a weight is negative, or there is
        no such run.
    """
    players = _checked_players(model)
    check_choice("loss", loss, LOSSES)
    check_unnormalized(unnormalize)
    damage, test = damages(degradation, test_degradation, inputs)
    if not 0 <= adversarial_weight < float("inf"):
        raise ConfigError(f"adversarial_weight={adversarial_weight}: valid are numbers from 0")
    problem = Problem(damage, inputs, target, "all", LOSSES[loss], measure, context, margin)
    compared = _Comparison.of(perceptual, teaching)
    game = _Game(players, problem, adversarial_weight, compared)
    losses = {"discriminator": game.discriminator_loss, "generator": game.generator_loss}
    learner = alternate(losses, spread={TEACHER: "constant"} if compared else {})

    def init(key: PRNGKeyArray, batch: Batch) -> TrainState:
        return learner.init(game.initial(batch, key))

    def apply(state: TrainState, images: list[Array]) -> Float[Array, "b h w c"]:
        held = {"params": state.params["generator"], **_own(state.variables, "generator")}
        return players["generator"].apply(held, *images, train=False)

    tested = problem._replace(degradation=test, context=0.0)

    def restored(state: TrainState, posed: Posed) -> Float[Array, "b h w c"]:
        return problem.completed(apply(state, posed.inputs), posed)

    def evaluate(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Metrics:
        posed = tested.posed(batch, key)
        made = restored(state, posed)
        each = {"loss": tested.losses(made, posed), **tested.measured(made, posed)}
        each["input_psnr"] = tested.measured(posed.baseline, posed)["psnr"]
        mask = posed.harmed(batch["mask"])
        return {name: pair(values, mask) for name, values in each.items()}

    return Task(init, learner.update, evaluate, outputs(tested, restored, apply))


class _Comparison(NamedTuple):
    """The network whose features are compared, and their weight."""

    weight: float
    state: PyTree
    apply: Callable[[PyTree, Array], Array]

    @staticmethod
    def of(perceptual: dict | None, teaching: Callable | None) -> "_Comparison | None":
        """Loads the network that a config names, if there is one."""
        if perceptual is None:
            return None
        given = config.read(Perceptual, perceptual, "perceptual")
        if not 0 < given.weight < float("inf"):
            raise ConfigError(f"perceptual, weight={given.weight}: valid are numbers above 0")
        return _Comparison(given.weight, *teaching(given.teacher, given.output))

    def differences(self, state: PyTree, made: Array, clean: Array) -> Float[Array, " b"]:
        """Returns the mean squared difference of the features of each pair of images."""
        apart = self.apply(state, made) - jax.lax.stop_gradient(self.apply(state, clean))
        return jnp.mean(jnp.square(apart).reshape(len(made), -1), axis=-1)


class _Game(NamedTuple):
    """The two players and their losses."""

    players: Mapping[str, nn.Module]
    problem: Problem
    adversarial_weight: float
    compared: _Comparison | None

    def discriminator_loss(self, params, variables, batch, key) -> tuple[Metrics, PyTree]:
        """Returns the discriminator's metrics, and the variables after its move."""
        posed = self.problem.posed(batch, key)
        made, _ = self._restored(params, variables, posed, batch, key)
        scores, moved, mask = {}, variables, batch["mask"]
        for name, image in {"real": posed.clean, "fake": made}.items():
            stream = rng.purpose(key, name)
            scores[name], moved = self._score(params, moved, image, batch, stream)
        loss = jax.nn.softplus(-scores["real"]) + jax.nn.softplus(scores["fake"])
        probable = {name: pair(jax.nn.sigmoid(each), mask) for name, each in scores.items()}
        return {"loss": pair(loss, mask), **probable}, moved

    def generator_loss(self, params, variables, batch, key) -> tuple[Metrics, PyTree]:
        """Returns the generator's metrics, and the variables after its move."""
        posed, mask = self.problem.posed(batch, key), batch["mask"]
        raw, moved = self._apply("generator", params, variables, posed.inputs, batch, key)
        # What is put in place of known pixels would have no error.
        each = {"content": self.problem.losses(raw, posed)}
        made = self.problem.completed(raw, posed)
        score, _ = self._score(params, variables, made, batch, key)
        each["adversarial"] = jax.nn.softplus(-score)
        loss = each["content"] + self.adversarial_weight * each["adversarial"]
        if self.compared is not None:
            teacher = variables[TEACHER]
            each["perceptual"] = self.compared.differences(teacher, made, posed.clean)
            loss = loss + self.compared.weight * each["perceptual"]
        measures = {name: pair(values, mask) for name, values in {"loss": loss, **each}.items()}
        psnr = self.problem.measured(made, posed)["psnr"]
        return {**measures, "psnr": pair(psnr, posed.harmed(mask))}, moved

    def initial(self, batch: Batch, key: PRNGKeyArray) -> dict[str, PyTree]:
        """Returns the initial variables of both players, by collection and player."""
        posed = self.problem.posed(self.problem.whole(batch), key)
        given = {"generator": posed.inputs, "discriminator": [posed.clean, None]}
        found: dict[str, PyTree] = {}
        for player in PLAYERS:
            own = rng.purpose(rng.purpose(key, "params"), player)
            made = self.players[player].init(own, *given[player], train=False)
            for collection, held in made.items():
                found.setdefault(collection, {})[player] = held
        if self.compared is not None:
            found[TEACHER] = jax.tree.map(jnp.asarray, self.compared.state)
        return found

    def _restored(self, params, variables, posed, batch, key) -> tuple[Array, PyTree]:
        made, moved = self._apply("generator", params, variables, posed.inputs, batch, key)
        return self.problem.completed(made, posed), moved

    def _score(self, params, variables, image, batch, key) -> tuple[Array, PyTree]:
        seen = [2 * image - 1, None]
        return self._apply("discriminator", params, variables, seen, batch, key)

    def _apply(self, player, params, variables, given, batch, key) -> tuple[Array, PyTree]:
        own = _own(variables, player)
        made, moved = applied(self.players[player], params[player], own, given, key, batch["index"])
        moved = {name: {**variables[name], player: value} for name, value in moved.items()}
        return made, {**variables, **moved}


def _own(variables: PyTree, player: str) -> dict[str, PyTree]:
    held = {name: tree for name, tree in variables.items() if name != TEACHER}
    return {name: tree[player] for name, tree in held.items() if player in tree}


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
