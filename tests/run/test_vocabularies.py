"""A run takes what it shares with the vocabulary of another run, by the names of the tokens."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from library.config import ConfigError
from library.data import sources
from library.run import checkpoints, data_record, fine_tuning, vocabularies
from library.run.recipe import make_plan
from library.run.vocabularies import Rows, Vocabularies
from tests import saved, tiny


def test_entries_of_tokens_that_both_have_are_taken():
    axes = {"table": 0, "head": 1, "joined": None}
    both = Vocabularies(("a", "b", "c", "x", "x"), ("c", "d", "a", "x"), lambda: axes)
    rows = both.rows("table", (5, 2), (4, 2))
    assert rows == Rows(0, (2, 0), (0, 2), 4)
    assert str(rows) == "2 of 4 tokens, by their names"
    made, taken = rows.apply(np.arange(10.0).reshape(5, 2))
    np.testing.assert_array_equal(made, [[4, 5], [0, 0], [0, 1], [0, 0]])
    np.testing.assert_array_equal(taken.any(1), [True, False, True, False])
    made, taken = both.rows("head", (2, 5), (2, 4)).apply(np.arange(10.0).reshape(2, 5))
    np.testing.assert_array_equal(made, [[2, 0, 0, 0], [7, 0, 5, 0]])
    for path, there, here in (
        ("joined", (5, 2), (4, 2)),
        ("other", (5, 2), (4, 2)),
        ("table", (5, 3), (4, 2)),
        ("table", (6, 2), (4, 2)),
    ):
        assert both.rows(path, there, here) is None
    same = Vocabularies(("a", "b"), ("a", "b"), lambda: axes)
    assert not same.differ
    assert same.rows("table", (2, 2), (2, 2)) is None
    assert not Vocabularies(None, ("a",)).differ


def serve(monkeypatch, texts):
    """Makes "tiny" sentences of two classes, with a vector for each."""
    vectors = np.random.default_rng(0).normal(size=(len(texts), 4)).astype(np.float32)
    held = {"text": np.array(texts), "label": np.arange(len(texts)) % 2, "vector": vectors}
    held["label"] = held["label"].astype(np.int32)
    kinds = {"text": "text", "vector": "array"}
    source = sources.from_arrays(held, label_names=("no", "yes"), name="tiny", kinds=kinds)
    tiny.serve(monkeypatch, train=source, test=source)


def words(**more):
    return [
        dict(name="select", keys=["text", *more]),
        dict(name="tokenize", keys=["text"], tokenizer=dict(name="word")),
        dict(name="pad_series", length=4),
    ]


def test_a_network_of_texts_starts_from_vectors_of_words(tmp_path, monkeypatch):
    serve(monkeypatch, ["cat", "dog", "emu"])
    common = dict(dataset=dict(batch_size=2), normalize=None)
    given = tiny.config(
        **common,
        preprocess=words(vector=0),
        model=dict(name="word_table", width=4),
        task=dict(name="given_vectors"),
        optimizer=None,
    )
    saved.run(given, tmp_path / "vectors")
    record = data_record.read(tmp_path / "vectors")
    marks = ("<pad>", "<begin>", "<end>", "<unknown>")
    assert vocabularies.names(record) == (*marks, "cat", "dog", "emu")
    serve(monkeypatch, ["emu ant cat", "bee emu"])
    values = tiny.config(
        **common,
        preprocess=words(label=0),
        model=dict(name="text_cnn", embedding=4, windows=(2,), filters=3),
        task=dict(name="classification", inputs=["text", "text_mask"]),
        init_from=dict(workdir=str(tmp_path / "vectors")),
    )
    plan = make_plan(values, devices=jax.devices()[:1])
    assert plan.loader.source.tokenizer.names == (*marks, "emu", "ant", "bee", "cat")
    fine_tuning.check(values["init_from"], plan)
    fresh, file = saved.noise(plan.state, seed=1), io.StringIO()
    fresh = jax.tree.map(jnp.asarray, fresh)
    started = fine_tuning.started(plan, fresh, Console(file=file, soft_wrap=True))
    _, leaves = checkpoints.load(tmp_path / "vectors")
    there = leaves["state/params/tokens/embedding"]
    here = started.params["tokens"]["embedding"]
    np.testing.assert_array_equal(here[jnp.array([0, 1, 2, 3, 4, 7])], there[[0, 1, 2, 3, 6, 4]])
    untaken = jnp.array([5, 6])
    np.testing.assert_array_equal(here[untaken], fresh.params["tokens"]["embedding"][untaken])
    assert "taken    params/tokens/embedding 6 of 8 tokens, by their names" in file.getvalue()
    spec = {**values["init_from"], "tokens": "numbers"}
    with pytest.raises(ConfigError, match="none of the model's 5 leaves has the path and shape"):
        fine_tuning.check(spec, plan)
