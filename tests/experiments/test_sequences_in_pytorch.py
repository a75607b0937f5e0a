"""What the benchmark `sequences` times in PyTorch computes what is timed here."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from experiments.measurements import sequences, torch_sequences
from experiments.measurements.timing import Budget

torch = pytest.importorskip("torch")
SMALL = dict(vocab_size=11, width=8, depth=2, num_heads=2, feed_forward=12)
KEY = jax.random.key(0)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(sequences, "TRANSFORMER", SMALL)
    monkeypatch.setattr(sequences, "LSTM", dict(inputs=3, width=5, depth=2, num_classes=4))
    for name in ("SERIES", "SENTENCES", "SEARCHED"):
        monkeypatch.setattr(sequences, name, (6, 7))
    monkeypatch.setattr(sequences, "BEAMS", 3)


def ours(name):
    task, batch = sequences.our_task(name), jax.tree.map(jnp.asarray, sequences.batch(name))
    state = jax.jit(task.init)(KEY, batch)
    if name == "transformer":
        # The token that ends an output is likely or unlikely, so that some outputs end early.
        table = state.params["tokens"]["embedding"].at[2].multiply(6)
        state = state.replace(params={**state.params, "tokens": {"embedding": table}})
    return task, batch, state


def carried(network, params):
    """Gives the Transformer in PyTorch the params of the one here."""
    held = {}
    for path, x in flatten_dict(params, sep="/").items():
        name = path.replace("encoder", "encoder/").replace("decoder", "decoder/").split("/")
        if name[0] in ("encoder", "decoder"):
            name[1] = str(int(name[1]) - 1)
        name[-1] = {"kernel": "weight", "scale": "weight", "embedding": "weight"}.get(
            name[-1], name[-1]
        )
        x = np.asarray(x)
        if path.endswith("kernel"):
            x = x.reshape(-1, x.shape[-1]) if name[-2] == "out" else x.reshape(len(x), -1)
            x = x.T
        held[".".join(name)] = torch.from_numpy(np.array(x))
    held["places"] = network.places
    network.load_state_dict(held)
    return network


def test_the_transformer_and_its_search_are_those_here():
    task, batch, state = ours("transformer")
    network = carried(sequences.their_network("transformer"), state.params).eval()
    tensors = sequences._tensors("transformer")
    tensors["source_mask"][0, 4:] = 0
    batch["source_mask"] = batch["source_mask"].at[0, 4:].set(0)
    moved = torch.nn.functional.pad(tensors["target"][:, :-1], (1, 0), value=1)
    with torch.inference_mode():
        logits = network(tensors["source"], tensors["source_mask"], moved)
        found = torch_sequences.beam_search(
            network, tensors["source"], tensors["source_mask"], length=7, beams=3
        )
    expected = jax.jit(task.outputs["logits"])(state, batch, KEY)
    np.testing.assert_allclose(logits.numpy(), expected, rtol=1e-3, atol=1e-3)
    translated = np.asarray(jax.jit(task.outputs["translate"])(state, batch, KEY))
    np.testing.assert_array_equal(found.numpy(), translated)
    ended = (translated == 2).argmax(axis=1)
    assert len(set(ended)) > 1


def test_the_lstm_has_a_second_bias_and_no_other_param():
    _, _, state = ours("lstm")
    here = sum(x.size for x in jax.tree.leaves(state.params))
    there = sum(x.numel() for x in sequences.their_network("lstm").parameters())
    assert there - here == 2 * 4 * 5


def test_every_step_is_timed(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda network: network)
    found = sequences.sequences(Budget(40, 1))
    assert set(found) == {
        *("lstm step ms", "lstm step to eager", "lstm step to torch.compile"),
        *("transformer step ms", "transformer step to eager"),
        *("transformer step to torch.compile", "beam search ms", "beam search to eager"),
    }
    assert all(value > 0 for value in found.values())
