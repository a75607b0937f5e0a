"""Visual explanations: sentences about an image that also tell its class.

Hendricks et al. 2016, "Generating visual explanations" (arXiv 1603.08507), section 3.2. Two losses
train the network that writes. The relevance loss is the cross-entropy of people's sentences. The
discriminative loss is the expected reward of the network's own sentences: the probability that a
judge, who reads a sentence and sees no image, gives the class. Its gradient is that of REINFORCE
(Williams 1992). The judge learns from people's sentences alone; in the paper it is trained before,
and here beside the network.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from library import rng, searching
from library.config import ConfigError
from library.forward import streams
from library.layers.checks import check_sizes
from library.special_tokens import BEGIN, END, PAD
from library.task import Batch, Learner, Metrics, Task, TrainState, pair, where_present

PLAYERS = ("judge", "explainer")
_ALPHABET = searching.Alphabet(begin=BEGIN, end=END, never=(PAD,))


def visual_explanation(
    model: Mapping[str, nn.Module] | nn.Module,
    alternate: Callable[..., Learner],
    *,
    feature_shapes: Mapping[str, tuple[int, ...]],
    inputs: tuple[str, ...] = ("image", "caption"),
    discriminative: float = 1.0,
    samples: int = 4,
) -> Task:
    """Builds the task of describing the image `inputs[0]` so that its class can be told.

    `batch[inputs[1]]` (b, t) is a sentence, with the token that ends it, and its `_mask` (b, t);
    `batch["label"]` (b,) is the class. The loss of the explainer is the sum over a sentence's
    words of -log p, the cross-entropy of the image's class, and `discriminative` times minus the
    expected reward. The training metrics are judge_loss and judge_accuracy; explainer_loss,
    explainer_relevance (nats a sentence), explainer_accuracy of the class and, with a
    discriminative loss, explainer_reward. Those of evaluation are loss, the relevance, accuracy,
    judge_accuracy on people's sentences, and reward of a sentence that is drawn.

    Outputs: "caption" (b, t), the words that are likeliest one after the other, with zeros after
    the end; "drawn" (b, t), words that are drawn; "logits" (b, k) of the image's class.

    Args:
      model: judge `(words (b, t), mask (b, t), train) -> logits (b, k)`, such as `rnn.lstm`; and
        explainer, see library/models/sequence/explainer.py.
      alternate: turns the players' losses into the training step.
      feature_shapes: shapes of the features in an example.
      inputs: the image and the sentence.
      discriminative: the weight of the discriminative loss; 0 for relevance alone.
      samples: sentences that are drawn for an image. The mean reward of the others is subtracted
        from that of each, which changes no expected gradient; with 1 nothing is subtracted.

    Raises:
      ConfigError: the model has other players, a feature is missing, or a number is out of range.
    """
    players = _players(model)
    _check(feature_shapes, inputs)
    check_sizes(samples=samples)
    if not 0 <= discriminative < float("inf"):
        raise ConfigError(f"discriminative={discriminative}: valid are numbers from 0")
    game = _Game(players, inputs, feature_shapes[inputs[1]][0], discriminative, samples)

    def init(key: PRNGKeyArray, batch: Batch) -> TrainState:
        keys = {name: rng.purpose(rng.purpose(key, "params"), name) for name in PLAYERS}
        image, words, mask = game.given(batch)
        params = {
            "judge": players["judge"].init(keys["judge"], words, mask)["params"],
            "explainer": players["explainer"].init(keys["explainer"], image, words)["params"],
        }
        return learner.init({"params": params})

    def evaluate(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Metrics:
        _, judged = game.judge_metrics(state.params, batch)
        relevance, right = game.relevance(state.params, batch)[:2]
        drawn = game.drawn(state.params, batch, key, 1)
        reward = game.rewards(state.params, drawn, batch["label"])[:, 0]
        values = dict(loss=relevance, accuracy=right, judge_accuracy=judged, reward=reward)
        return {name: pair(x, batch["mask"]) for name, x in values.items()}

    def caption(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Int[Array, "b t"]:
        return game.likeliest(state.params, batch)

    def drawn(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Int[Array, "b t"]:
        return game.drawn(state.params, batch, key, 1)[:, 0]

    def logits(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b k"]:
        return game.explain(state.params, batch[inputs[0]], method="seen")[1]

    learner = alternate({"judge": game.judge_loss, "explainer": game.explainer_loss})
    outputs = {"caption": caption, "drawn": drawn, "logits": logits}
    return Task(init, learner.update, evaluate, outputs)


def reinforced(log_p: Float[Array, "b s"], rewards: Float[Array, "b s"]) -> Float[Array, " b"]:
    """Returns a loss whose expected gradient is that of minus the expected reward.

    E[R grad log p] = grad E[R] (Williams 1992). What is subtracted from a reward depends on the
    other draws alone, and so changes no expectation (Kool, van Hoof & Welling 2019).

    Args:
      log_p: log-probabilities of s independent draws for each example.
      rewards: the reward of each draw.
    """
    draws = rewards.shape[1]
    others = (jnp.sum(rewards, axis=1, keepdims=True) - rewards) / max(draws - 1, 1)
    return -jnp.mean(jax.lax.stop_gradient(rewards - others) * log_p, axis=1)


class _Game:
    """The losses of both players."""

    def __init__(
        self,
        players: Mapping[str, nn.Module],
        inputs: tuple[str, ...],
        length: int,
        discriminative: float,
        samples: int,
    ):
        self.judge, self.explainer = (players[name] for name in PLAYERS)
        self.inputs, self.length = inputs, length
        self.discriminative, self.samples = discriminative, samples

    def given(self, batch: Batch) -> tuple[Array, Array, Array]:
        """Returns the image, the sentence, and 1 for its words and 0 for padding."""
        image, words = self.inputs
        mask = where_present(batch[f"{words}_mask"], batch["mask"])
        return batch[image], where_present(batch[words], mask), mask

    def explain(self, params: PyTree, *given: Any, **options: Any) -> Any:
        return self.explainer.apply({"params": params["explainer"]}, *given, **options)

    def judged(
        self, params: PyTree, words: Int[Array, "n t"], mask: Float[Array, "n t"], **options: Any
    ) -> Float[Array, "n k"]:
        return self.judge.apply({"params": params["judge"]}, words, mask, **options)

    def judge_metrics(
        self, params: PyTree, batch: Batch, **options: Any
    ) -> tuple[Float[Array, " b"], Bool[Array, " b"]]:
        """Returns the judge's loss of people's sentences, and whether it is right."""
        _, words, mask = self.given(batch)
        logits = self.judged(params, words, mask, **options)
        loss = optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"])
        return loss, jnp.argmax(logits, axis=-1) == batch["label"]

    def judge_loss(
        self, params: PyTree, variables: PyTree, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Metrics, PyTree]:
        options = dict(train=True, rngs=streams(key, batch["index"]))
        loss, right = self.judge_metrics(params, batch, **options)
        mask = batch["mask"]
        return {"loss": pair(loss, mask), "accuracy": pair(right, mask)}, variables

    def relevance(self, params: PyTree, batch: Batch) -> tuple[Array, Array, Array]:
        """Returns -log p of people's sentences, whether the class is right, and its loss, (b,)."""
        image, words, mask = self.given(batch)
        log_p, logits = self.log_p(params, image, words, mask)
        loss = optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"])
        return -log_p, jnp.argmax(logits, axis=-1) == batch["label"], loss

    def log_p(
        self, params: PyTree, image: Array, words: Array, mask: Array
    ) -> tuple[Float[Array, " n"], Float[Array, "n k"]]:
        """Returns the log-probabilities of sentences, and the logits of the images' classes."""
        before = jnp.pad(words[:, :-1], ((0, 0), (1, 0)), constant_values=BEGIN)
        logits, classes = self.explain(params, image, before)
        each = jax.nn.log_softmax(_allowed(logits))
        # Padding is no word, and has no probability.
        chosen = jnp.where(mask > 0, words, END)
        each = jnp.take_along_axis(each, chosen[..., None], axis=-1)[..., 0]
        return jnp.sum(where_present(each, mask), axis=1), classes

    def explainer_loss(
        self, params: PyTree, variables: PyTree, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Metrics, PyTree]:
        relevance, right, class_loss = self.relevance(params, batch)
        values = dict(loss=relevance + class_loss, relevance=relevance, accuracy=right)
        if self.discriminative:
            drawn = jax.lax.stop_gradient(self.drawn(params, batch, key, self.samples))
            rewards = self.rewards(params, drawn, batch["label"])
            log_p = self.log_p_of_draws(params, batch, drawn)
            values["loss"] += self.discriminative * reinforced(log_p, rewards)
            values["reward"] = jnp.mean(rewards, axis=1)
        return {name: pair(x, batch["mask"]) for name, x in values.items()}, variables

    def log_p_of_draws(
        self, params: PyTree, batch: Batch, drawn: Int[Array, "b s t"]
    ) -> Float[Array, "b s"]:
        image, flat = jnp.repeat(batch[self.inputs[0]], drawn.shape[1], axis=0), _flat(drawn)
        mask = (flat != PAD).astype(jnp.float32)
        return self.log_p(params, image, flat, mask)[0].reshape(drawn.shape[:2])

    def rewards(
        self, params: PyTree, drawn: Int[Array, "b s t"], label: Int[Array, " b"]
    ) -> Float[Array, "b s"]:
        """Returns the probability that the judge gives the class when it reads a sentence."""
        flat = _flat(drawn)
        logits = self.judged(params, flat, (flat != PAD).astype(jnp.float32))
        likely = jax.nn.softmax(logits).reshape(*drawn.shape[:2], -1)
        return jnp.take_along_axis(likely, label[:, None, None], axis=-1)[..., 0]

    def drawn(
        self, params: PyTree, batch: Batch, key: PRNGKeyArray, samples: int
    ) -> Int[Array, "b s t"]:
        """Draws sentences; a draw depends on the example's index and not on the batch."""
        keys = rng.per_example(rng.purpose(key, "captions"), batch["index"])
        keys = jax.vmap(lambda key: jax.random.split(key, samples))(keys).reshape(-1)
        memory, _ = self.explain(params, batch[self.inputs[0]], method="seen")
        memory, count = jnp.repeat(memory, samples, axis=0), len(keys)
        settings = (jnp.ones(count), jnp.zeros(count, jnp.int32), jnp.ones(count))
        found = searching.drawn(
            partial(self.explain, params, method="step"),
            memory,
            self.explainer.initial_cache(count),
            keys,
            settings,
            _ALPHABET,
            length=self.length,
        )
        return found.reshape(-1, samples, self.length)

    def likeliest(self, params: PyTree, batch: Batch) -> Int[Array, "b t"]:
        memory, _ = self.explain(params, batch[self.inputs[0]], method="seen")
        count = len(memory)
        step = partial(self.explain, params, method="step")
        cache, there = self.explainer.initial_cache(count), jnp.ones((count, 1))
        options = dict(length=self.length, beams=1)
        return searching.beam_search(step, memory, cache, there, _ALPHABET, **options).tokens[:, 0]


def _players(model: Mapping[str, nn.Module] | nn.Module) -> Mapping[str, nn.Module]:
    if not isinstance(model, Mapping) or set(model) != set(PLAYERS):
        found = ", ".join(model) if isinstance(model, Mapping) else type(model).__name__
        raise ConfigError(
            f"task 'visual_explanation' takes the models {' and '.join(PLAYERS)}, not {found}"
        )
    return model


def _check(shapes: Mapping[str, tuple[int, ...]], inputs: tuple[str, ...]) -> None:
    if len(inputs) != 2:
        raise ConfigError(f"task.inputs={list(inputs)}: valid are an image and a sentence")
    words = inputs[1]
    if f"{words}_mask" not in shapes or len(shapes.get(words, ())) != 1 or "label" not in shapes:
        raise ConfigError(
            f"visual_explanation needs a label, tokens {words!r} of a fixed length, and "
            f"{words}_mask: add dict(name='tokenize', keys=['{words}'], ...) and "
            "dict(name='pad_series', length=...) to the preprocessing"
        )


def _allowed(logits: Float[Array, "n t v"]) -> Float[Array, "n t v"]:
    """Returns logits without the tokens that no sentence has, as a search leaves them out."""
    return logits.at[..., jnp.array([PAD, BEGIN])].set(-jnp.inf)


def _flat(drawn: Int[Array, "b s t"]) -> Int[Array, "n t"]:
    return drawn.reshape(-1, drawn.shape[-1])
