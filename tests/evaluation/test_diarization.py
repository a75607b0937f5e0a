"""Diarization: its errors against every matching of speakers, and clusters of known voices."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.data.builders import fsdd_conversations
from library.evaluation import diarization
from library.evaluation.context import Context
from library.task import Task, TrainState

STATE = TrainState(jnp.int32(0), {}, {}, (), None)


def brute_force(true, found):
    """Counts wrong frames under the best of all one-to-one matchings of found to true speakers."""
    ours, theirs = sorted({*true} - {0}), sorted({*found} - {0})
    nobody = [-1 - i for i in range(len(theirs))]
    best = len(true)
    for chosen in itertools.permutations([*ours, *nobody], len(theirs)):
        named = dict(zip(theirs, chosen)) | {0: 0}
        best = min(best, sum(named[y] != x for x, y in zip(true, found)))
    return best


@pytest.mark.parametrize(
    ("true", "found", "wrong"),
    [
        ([1, 1, 2, 2], [7, 7, 3, 3], 0),
        ([1, 1, 2, 2], [5, 5, 5, 5], 2),
        ([1, 1, 0, 2], [1, 0, 1, 2], 2),
        ([1, 1, 1, 1], [1, 2, 3, 4], 3),
        ([1, 2, 0], [0, 0, 0], 2),
    ],
)
def test_errors_of_a_few_frames(true, found, wrong):
    assert diarization.diarization_errors(np.array(true), np.array(found)) == wrong
    assert brute_force(true, found) == wrong


def test_errors_are_those_of_the_best_matching():
    random = np.random.default_rng(0)
    for _ in range(20):
        true, found = random.integers(0, 4, 30), random.integers(0, 4, 30)
        wrong = diarization.diarization_errors(true, found)
        assert wrong == brute_force(true.tolist(), found.tolist())


def test_clusters_are_as_far_apart_as_the_threshold():
    angles = np.radians([0, 2, 4, 60, 62, 180])
    x = np.stack([np.cos(angles), np.sin(angles)], axis=1) * np.arange(1, 7)[:, None]
    # 1 - cos 60 degrees is 0.5.
    assert len(set(diarization.clusters(x, 0.3))) == 3
    assert len(set(diarization.clusters(x, 0.6))) == 2
    found = diarization.clusters(x, 0.3)
    assert found[0] == found[1] == found[2] != found[3] == found[4] != found[5]


def test_a_frame_belongs_to_the_nearest_window_of_speech():
    embedded = np.array([[1.0, 0], [0, 1], [1, 0], [0, 1]])
    heard, speech = np.array([True, False, True, True]), np.arange(10) != 3
    # Windows of 4 frames, 2 apart, have their middles at 1.5, 3.5, 5.5 and 7.5.
    found = diarization.speakers(embedded, heard, speech, 4, 2, 0.5)
    first, last = found[0], found[9]
    assert first != last
    np.testing.assert_array_equal(found, [first] * 3 + [0] + [first] * 3 + [last] * 3)


def make_context(who, masked):
    """Returns a context whose spectra are one-hot vectors of who speaks."""

    def features(state, batch, key):
        mask = batch["audio_mask"][..., None]
        return (batch["audio"] * mask).sum(1) / jnp.maximum(mask.sum(1), 1)

    def batches(split, batch_size):
        audio = jax.nn.one_hot(who, 4)
        mask = jnp.arange(who.shape[1]) < masked
        extended = jnp.pad(who, [(0, 0), (0, 2)], constant_values=1)
        yield {
            "audio": audio,
            "audio_mask": jnp.broadcast_to(mask, who.shape).astype(float),
            "turns": extended,
            "mask": jnp.ones(len(who)),
        }

    def collect(function):
        return lambda state, batch: jax.device_get(function(state, batch, jax.random.key(0)))

    return Context(Task(None, None, None, {"features": features}), batches, collect, collect)


def test_a_perfect_voice_makes_no_errors_and_a_deaf_one_confuses():
    turns = np.repeat([[1, 0, 2, 0, 1, 3], [2, 0, 2, 0, 3, 1]], 8, axis=1)
    who = jnp.asarray(np.pad(turns, [(0, 0), (0, 5)], constant_values=3))
    context = make_context(who, 48)
    options = dict(window=4, step=4, threshold=0.5)
    found = diarization.diarization(context, **options)(STATE)
    assert found == {"error_rate": 0, "speaker_count_error": 0}
    # One cluster: the speaker of 16 of 32 frames is right.
    deaf = context._replace(
        task=context.task._replace(
            outputs={"features": lambda state, batch, key: jnp.ones((len(batch["audio"]), 2))}
        )
    )
    found = diarization.diarization(deaf, **options)(STATE)
    assert found == {"error_rate": 0.5, "speaker_count_error": 2}


def test_requests_that_do_not_fit():
    context = make_context(jnp.ones((1, 8), int), 8)
    for options, said in (
        (dict(window=0), "window=0: valid are 1"),
        (dict(threshold=2.0), "threshold=2.0: valid"),
        (dict(output="voices"), "'voices'"),
    ):
        with pytest.raises(ConfigError, match=said):
            diarization.diarization(context, **options)
    with pytest.raises(ConfigError, match="window=50: conversations have 8 frames"):
        diarization.diarization(context)(STATE)
    with pytest.raises(ConfigError, match="'turn'"):
        diarization.diarization(context, window=4, turns="turn")(STATE)


def packed_recordings():
    """Returns two takes each of three people for training and for test; samples name the people."""
    take, speaker = np.tile([0, 1, 5, 6], 3), np.repeat(np.arange(3), 4)
    lengths = np.arange(12) % 3 * 40 + 400
    samples = np.repeat(1 + speaker, lengths).astype(np.uint16)
    return dict(
        hi=(samples >> 8).astype(np.uint8),
        lo=(samples & 255).astype(np.uint8),
        offsets=np.cumsum([0, *lengths]),
        labels=np.zeros(12, np.uint8),
        speaker=speaker,
        speakers=np.array(["ann", "bob", "cid"]),
        take=take,
    )


def test_turns_say_who_is_heard_in_the_middle_of_each_frame():
    arrays = packed_recordings()
    made = dict(fsdd_conversations.conversations(arrays, True, 12))
    again = dict(fsdd_conversations.conversations(arrays, True, 12))
    for at, example in made.items():
        audio, turns = example["audio"], example["turns"]
        np.testing.assert_array_equal(audio, again[at]["audio"])
        np.testing.assert_array_equal(turns, audio[: len(audio) // 80 * 80][40::80])
        assert len(audio) <= fsdd_conversations.LONGEST
        heard = [int(x) for x, _ in itertools.groupby(turns[turns > 0])]
        # Nobody has two turns in a row, and all who are named speak.
        assert 8 <= len(heard) <= 12
        named = {("ann", "bob", "cid")[x - 1] for x in heard}
        assert named == set(example["id"].split("_")[1:])
        assert len(named) in (2, 3)
    assert {len(x["id"].split("_")) for x in made.values()} == {3, 4}
