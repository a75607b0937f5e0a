"""Weighted nearest neighbours: the accuracy of a vote by features, without training.

Wu, Xiong, Yu & Lin 2018, "Unsupervised feature learning via non-parametric instance
discrimination" (arXiv 1805.01978), section 3.4.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from library import trees
from library.config import ConfigError
from library.evaluation.context import Context, Evaluator
from library.evaluation.frozen_features import count_classes, labelled_features
from library.summaries import Summary
from library.task import TrainState

# Test examples per comparison: the similarities of 512 with 50,000 others take 100 MB.
_CHUNK = 512


def nearest_neighbours(
    context: Context,
    *,
    k: int = 200,
    temperature: float = 0.07,
    train: str = "train",
    test: str = "test",
    num_train: int | None = None,
    batch_size: int | None = None,
) -> Evaluator:
    """Classifies each test example by the vote of its k nearest training examples.

    Nearest means the highest cosine similarity s of the task's "features". A neighbour votes for
    its class with weight exp(s / temperature). The defaults are those of the paper.

    Args:
      context: the task, the data and functions to run over it.
      k: number of neighbours that vote.
      temperature: the temperature of the weights; a low one gives the nearest more weight.
      train: the split of the neighbours.
      test: the split to classify.
      num_train: number of examples from the start of `train`; all by default.
      batch_size: examples per batch; `dataset.eval_batch_size` by default.

    Returns:
      `state -> {"accuracy", "top5"}`; "top5" only with five classes or more.

    Raises:
      ConfigError: there are fewer training examples than k, k or num_train is below 1, the
        temperature is not positive, the task has no features, or, when called, examples do not have
        one label each.
    """
    if num_train is not None and num_train < 1:
        raise ConfigError(f"num_train={num_train}: valid are 1 and more")
    available = min(filter(None, (context.num_examples(train), num_train)), default=0)
    if not 1 <= k <= available:
        raise ConfigError(
            f"k={k} neighbours: valid are 1 to {available}, the examples of {train!r}"
        )
    if not 0 < temperature < float("inf"):
        raise ConfigError(f"temperature={temperature}: valid are numbers above 0, such as 0.07")
    read = labelled_features(context, batch_size=batch_size)

    def evaluate(state: TrainState) -> Summary:
        neighbours, queries = read(state, train, num_train), read(state, test)
        num_classes = count_classes(context, neighbours.label)
        names = {"accuracy": 1, "top5": 5} if num_classes >= 5 else {"accuracy": 1}
        if not len(neighbours.label) or not len(queries.label):
            return dict.fromkeys(names, float("nan"))
        share = votes(*neighbours, queries.features, k, temperature, num_classes, context.pause)
        rank = np.argsort(-share, axis=-1, kind="stable")
        hit = rank == queries.label[:, None]
        return {name: float(hit[:, :top].any(axis=-1).mean()) for name, top in names.items()}

    return evaluate


def votes(
    features: Float[np.ndarray, "n d"],
    label: Int[np.ndarray, " n"],
    queries: Float[np.ndarray, "m d"],
    k: int,
    temperature: float,
    num_classes: int,
    pause: Callable[[], None] = lambda: None,
) -> Float[np.ndarray, "m c"]:
    """Returns the share of the votes that each class has for each query.

    Args:
      features: features of the neighbours, of any length.
      label: classes of the neighbours.
      queries: features to classify.
      k: number of neighbours that vote; all vote if there are fewer.
      temperature: temperature of the weights.
      num_classes: number of classes.
      pause: called before each part of the queries, see `Context.pause`.
    """
    bank, label = _on_sphere(jnp.asarray(features)), jnp.asarray(label)
    k = min(k, len(label))
    votes = functools.partial(_votes, k=k, num_classes=num_classes)
    parts = trees.parts(queries, _CHUNK)
    shares = []
    for part in parts:
        pause()
        shares.append(np.asarray(votes(bank, label, part, temperature)))
    return np.concatenate(shares)[: len(queries)]


@functools.partial(jax.jit, static_argnames=("k", "num_classes"))
def _votes(
    bank: Float[Array, "n d"],
    label: Int[Array, " n"],
    queries: Float[Array, "m d"] | Float[np.ndarray, "m d"],
    temperature: float | Array,
    *,
    k: int,
    num_classes: int,
) -> Float[Array, "m c"]:
    similarity = jnp.matmul(_on_sphere(queries), bank.T, precision="highest")
    near, place = jax.lax.top_k(similarity, k)
    # The softmax differs from exp only by a factor per query, and does not overflow.
    weight = jax.nn.softmax(near / temperature, axis=-1)
    classes = jnp.arange(num_classes)
    return jnp.stack([jnp.sum(weight * (label[place] == c), axis=-1) for c in classes], axis=-1)


@jax.jit
def _on_sphere(x: Float[Array, "n d"] | Float[np.ndarray, "n d"]) -> Float[Array, "n d"]:
    return x / jnp.maximum(jnp.linalg.norm(x, axis=-1, keepdims=True), 1e-12)
