"""A recurrent model in the task of language: streams over a run are one long text."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from library import rng, task
from library.data import pipeline, text
from library.data.sources import Source
from library.models.sequence import recurrent
from library.tasks.language import language

CONTEXT, LANES = 4, 2
VERSE = "aqui me pongo a cantar al compas"


def windows():
    source = Source([{"text": VERSE}], None, str)
    tokenizer = text.make_tokenizer({"name": "character"}, source)
    return text.open_text(source, tokenizer=tokenizer, context=CONTEXT, windows="streams")


def batch_at(step, source):
    positions = pipeline.positions_at(step, LANES)
    rows = pipeline.stream_rows(positions, LANES, len(source.records))
    arrays = {
        "tokens": np.stack([source.records[row]["tokens"] for row in rows]),
        "index": positions.astype(np.uint32),
        "row": rows.astype(np.uint32),
        "mask": np.ones(LANES, np.float32),
    }
    return jax.tree.map(jnp.asarray, arrays)


@pytest.mark.parametrize("factory", [recurrent.lstm, recurrent.gru])
def test_losses_along_streams_are_those_of_the_lanes_read_whole(factory):
    source = windows()
    vocab_size, count = source.tokenizer.vocab_size, len(source.records)
    model = factory(vocab_size, width=8, depth=2)
    learn = functools.partial(task.minimize, optimizer=optax.sgd(0.0))
    sizes = dict(vocab_size=vocab_size, num_examples=count, batch_size=LANES)
    system = language(model, learn, **sizes)
    state = system.init(rng.root(0), batch_at(0, source))
    update, steps = jax.jit(system.update), count // LANES

    whole = source.tokenizer.encode(VERSE)
    lanes = np.stack([whole[j * steps * CONTEXT :][: steps * CONTEXT + 1] for j in range(LANES)])
    lanes = jnp.asarray(lanes)
    logits = model.apply({"params": state.params}, lanes[:, :-1])
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, lanes[:, 1:])

    # Over the second epoch too: there the lanes begin again, from zero.
    for step in range(2 * steps):
        state, metrics = update(state, batch_at(step, source), rng.root(1))
        at = step % steps * CONTEXT
        total, weight = metrics["loss"]
        assert weight == LANES * CONTEXT
        np.testing.assert_allclose(total, losses[:, at : at + CONTEXT].sum(), rtol=1e-5)
