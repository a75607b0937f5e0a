"""Diarization: who speaks when, from a network that embeds voices."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from library.config import ConfigError, check_choice
from library.evaluation.context import Context, Evaluator, collected
from library.summaries import Summary
from library.task import Batch, TrainState


def diarization(
    context: Context,
    *,
    output: str = "features",
    audio: str = "audio",
    turns: str = "turns",
    window: int = 50,
    step: int = 25,
    threshold: float = 0.3,
    split: str = "test",
    batch_size: int | None = None,
) -> Evaluator:
    """Measures the diarization error rate of conversations; which frames hold speech is given.

    Windows of a conversation are embedded and clustered, by the mean cosine distance of two
    clusters (Garcia-Romero et al. 2017, "Speaker diarization using deep neural network embeddings",
    with a learnt distance). A frame belongs to the nearest window of half speech or more.

    Args:
      context: a context whose task embeds spectra.
      output: the output of the task with the embeddings, (b, d).
      audio: the feature with the spectra, (b, t, c), with its mask.
      turns: the feature with the speaker of each frame, int (b, t'), t' at least t; 0 is silence.
      window: frames of a window.
      step: frames from a window to the next.
      threshold: the cosine distance from which on two clusters are two people, 0 to 2.
      split: the split of conversations.
      batch_size: examples per batch; `dataset.eval_batch_size` by default.

    Returns:
      `state -> {"error_rate", "speaker_count_error"}`: frames with a wrong speaker, missed or
      invented, by those with speech, see `diarization_errors`; and the mean absolute error of the
      number of speakers.

    Raises:
      ConfigError: there is no such output or feature, a number is below 1, or the threshold is out
        of range. When it is traced: the conversations are shorter than a window.
      ValueError: (when called) a conversation has no speech.
    """
    check_choice("output of the task", output, context.task.outputs)
    for name, value in dict(window=window, step=step).items():
        if value < 1:
            raise ConfigError(f"diarization, {name}={value}: valid are 1 or more")
    if not 0 < threshold < 2:
        raise ConfigError(f"diarization, threshold={threshold}: valid are numbers from 0 to 2")

    def read(state: TrainState, batch: Batch, key: PRNGKeyArray) -> dict[str, Array]:
        for name in (audio, turns):
            check_choice("feature of diarization", name, batch)
        count = batch[audio].shape[1]
        if count < window:
            raise ConfigError(f"diarization, window={window}: conversations have {count} frames")
        who = jnp.where(batch[f"{audio}_mask"] > 0, batch[turns][:, :count], 0)
        places = np.arange(0, count - window + 1, step)[:, None] + np.arange(window)
        speech = (who > 0).astype(jnp.float32)[:, places]
        given = _one_by_one({audio: batch[audio][:, places], f"{audio}_mask": speech})
        found = context.task.outputs[output](state, given, key)
        share = speech.mean(-1)
        found = found.reshape(*share.shape, -1)
        return {"found": found, "share": share, "who": who, "mask": batch["mask"]}

    compiled = context.collect(read)

    def evaluate(state: TrainState) -> Summary:
        held = collected(compiled, state, context.batches(split, batch_size), split)
        if not len(held["who"]):
            # The rehearsal of a run has no examples.
            return {"error_rate": float("nan"), "speaker_count_error": float("nan")}
        wrong, speech, counts = 0, 0, []
        for embedded, share, who in zip(held["found"], held["share"], held["who"]):
            if not who.any():
                raise ValueError(f"diarization: a conversation of {split!r} has no speech")
            found = speakers(embedded, share >= 0.5, who > 0, window, step, threshold)
            wrong += diarization_errors(who, found)
            speech += np.count_nonzero(who)
            counts.append(abs(len(set(found[found > 0])) - len(set(who[who > 0]))))
        return {"error_rate": wrong / speech, "speaker_count_error": float(np.mean(counts))}

    return evaluate


def _one_by_one(windows: dict[str, Array]) -> dict[str, Array]:
    """Returns a batch of windows, (b w, ...), from those of conversations, (b, w, ...)."""
    flat = {name: x.reshape(-1, *x.shape[2:]) for name, x in windows.items()}
    number = jnp.arange(len(next(iter(flat.values()))), dtype=jnp.uint32)
    return {**flat, "mask": jnp.ones(len(number)), "index": number, "row": number}


def speakers(
    embedded: Float[np.ndarray, "w d"],
    heard: Bool[np.ndarray, " w"],
    speech: Bool[np.ndarray, " t"],
    window: int,
    step: int,
    threshold: float,
) -> Int[np.ndarray, " t"]:
    """Returns a number for the speaker of each frame, from 1 on, and 0 where there is no speech.

    Args:
      embedded: embeddings of the windows.
      heard: the windows to cluster; all of them if there is none.
      speech: the frames with speech.
      window: frames of a window.
      step: frames from a window to the next.
      threshold: the distance from which on two clusters are two people.
    """
    chosen = np.flatnonzero(heard) if heard.any() else np.arange(len(heard))
    numbers = clusters(np.asarray(embedded[chosen], np.float64), threshold)
    centres = chosen * step + (window - 1) / 2
    nearest = np.abs(np.arange(len(speech))[:, None] - centres).argmin(axis=1)
    return np.where(speech, numbers[nearest], 0)


def clusters(x: Float[np.ndarray, "n d"], threshold: float) -> Int[np.ndarray, " n"]:
    """Returns the cluster of each vector, from 1 on, by the mean cosine distance of clusters."""
    from scipy.cluster import hierarchy

    if len(x) == 1:
        return np.ones(1, int)
    unit = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    first, second = np.triu_indices(len(x), 1)
    distances = np.maximum(1 - (unit @ unit.T)[first, second], 0)
    tree: Any = hierarchy.linkage(distances, "average")
    return hierarchy.fcluster(tree, threshold, "distance")


def diarization_errors(true: Int[np.ndarray, " t"], found: Int[np.ndarray, " t"]) -> int:
    """Counts the frames that are missed, invented, or given to another speaker.

    The error rate of NIST (Fiscus et al. 2006, "The rich transcription 2006 spring meeting
    recognition evaluation") is their number by that of frames with speech. Speakers are matched
    one to one, so that as few frames as possible are wrong. No frames about a change of speaker are
    left out.

    Args:
      true: the speaker of each frame, 0 for silence.
      found: the speaker that was found, by any numbers, 0 for silence.
    """
    from scipy.optimize import linear_sum_assignment

    ours, theirs = (np.unique(x[x > 0]) for x in (true, found))
    both = (true[:, None] == ours).T.astype(int) @ (found[:, None] == theirs).astype(int)
    right = int(both[linear_sum_assignment(both, maximize=True)].sum())
    return int(np.count_nonzero((true > 0) | (found > 0))) - right
