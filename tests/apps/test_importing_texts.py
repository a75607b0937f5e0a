"""A published network of texts becomes a run: its params, its tokenizer, and what it computes."""

import jax
import numpy as np
import pytest

from library import trees
from library.apps import generation, importing_texts
from library.config import ConfigError
from library.data import sources
from library.run import checkpoints, data_record, session, vocabularies
from library.run.workdir import read_config
from library.weights.mapping import published_as
from library.weights.texts import KINDS
from tests import often
from tests.data.vocabularies import gpt2_files
from tests.weights.test_weights_texts import BERT, GPT2, VOCABULARY, drawn, written

IDENTITY = {"path": "weights of bert", "variant": "", "overrides": {}}


def refuse(name, split, **options):
    raise ConfigError(f"{name} is not prepared")


def imported(kind, settings, tmp_path):
    """Imports a network of noise without any data; returns its variables and the workdir."""
    variables = drawn(kind, settings, tmp_path)
    arrays = published_as(variables, KINDS[kind].tables[0])
    folder = written(tmp_path / "published", settings, arrays)
    if kind == "gpt2":
        (folder / "vocab.txt").unlink()
        gpt2_files(folder)
    run = importing_texts.import_texts(kind, folder, tmp_path / "run", IDENTITY)
    return variables, run


@pytest.mark.parametrize("kind", often.first(1, ["bert", "minilm"]))
def test_a_network_of_texts_becomes_a_run(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "open_source", refuse)
    variables, run = imported(kind, BERT, tmp_path)
    _, leaves = checkpoints.load(run)
    held = {
        k.removeprefix("state/params/"): x
        for k, x in leaves.items()
        if k.startswith("state/params/")
    }
    for path, leaf in trees.flatten(variables["params"]).items():
        np.testing.assert_array_equal(held.pop(path), leaf)
    # The classifier of sentences has yet to learn its head.
    assert {path.split("/")[0] for path in held} == ({"head"} if kind == "minilm" else set())
    assert not any(np.any(leaf) for leaf in held.values())
    assert vocabularies.names(data_record.read(run)) == VOCABULARY
    trained = session.restore(read_config(run), run)
    made = trained.plan.loader.blank
    assert made["text"].shape == (BERT["max_position_embeddings"],)
    batch = {name: np.stack([x, x]) for name, x in made.items()}
    output = "features" if kind == "minilm" else "logits"
    found = jax.jit(trained.plan.task.outputs[output])(trained.state, batch, jax.random.key(0))
    assert np.isfinite(found).all()


@pytest.mark.full
def test_gpt2_writes_text(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "open_source", refuse)
    _, run = imported("gpt2", {**GPT2, "vocab_size": 331}, tmp_path)
    trained = session.restore(read_config(run), run)
    request = generation.Request(num=2, seed=0)
    (first, second) = generation.texts(trained, request, length=4)
    assert {type(first), type(second)} == {str}


def test_nothing_is_written_if_it_does_not_fit(tmp_path):
    variables = drawn("bert", BERT, tmp_path)
    arrays = published_as(variables, KINDS["bert"].tables[0])
    del arrays["bert.pooler.dense.bias"]
    folder = written(tmp_path / "published", BERT, arrays)
    with pytest.raises(ConfigError, match=r"bert\.pooler\.dense\.bias .* missing"):
        importing_texts.import_texts("bert", folder, tmp_path / "run", IDENTITY)
    assert not (tmp_path / "run").exists()
