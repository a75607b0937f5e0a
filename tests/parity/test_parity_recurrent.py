"""Recurrent nets against PyTorch's, on random weights and series of different lengths."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.models.sequence import rnn

BATCH, LENGTH, INPUTS, WIDTH, DEPTH = 4, 11, 3, 5, 2
COUNTS = np.array([11, 7, 3, 1])
# The gates of PyTorch in our order.
GATES = {"elman": [0], "lstm": [0, 1, 2, 3], "gru": [0, 1, 2]}


def taken(net, cell, layer, reverse):
    """Returns the params of a layer from those of PyTorch."""
    suffix = f"_l{layer}" + ("_reverse" if reverse else "")
    parts = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    w, u, b, c = (getattr(net, part + suffix).detach().numpy() for part in parts)
    order = np.concatenate([np.arange(WIDTH) + WIDTH * gate for gate in GATES[cell]])
    w, u, b, c = w[order], u[order], b[order], c[order]
    recurrent = {"kernel": u.T}
    if cell == "gru":
        # Only the candidate keeps a bias of its own within the product.
        recurrent["bias"] = c[2 * WIDTH :]
        c = np.concatenate([c[: 2 * WIDTH], np.zeros(WIDTH, np.float32)])
    return {"input": {"kernel": w.T, "bias": b + c}, "recurrent": recurrent}


@pytest.mark.parametrize("padded", [False, True], ids=["whole", "padded"])
@pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both"])
@pytest.mark.parametrize("cell", ["elman", "lstm", "gru"])
def test_outputs_and_last_states_are_those_of_pytorch(torch, cell, bidirectional, padded):
    torch.manual_seed(0)
    kind = {"elman": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[cell]
    net = kind(INPUTS, WIDTH, DEPTH, batch_first=True, bidirectional=bidirectional)
    x = np.random.default_rng(0).normal(size=(BATCH, LENGTH, INPUTS)).astype(np.float32)
    counts = COUNTS if padded else np.full(BATCH, LENGTH)
    with torch.no_grad():
        packed = torch.nn.utils.rnn.pack_padded_sequence(
            torch.from_numpy(x), torch.from_numpy(counts), batch_first=True
        )
        outputs, last = net(packed)
        outputs, _ = torch.nn.utils.rnn.pad_packed_sequence(outputs, batch_first=True)
    last = (last[0] if cell == "lstm" else last).numpy()
    directions = 1 + bidirectional
    size = WIDTH * directions
    params = {
        "head": {"kernel": np.eye(size, dtype=np.float32), "bias": np.zeros(size, np.float32)}
    }
    for layer in range(DEPTH):
        for reverse in (False, True)[:directions]:
            name = f"layer{layer + 1}" + ("_reversed" if reverse else "")
            params[name] = taken(net, cell, layer, reverse)
    options = dict(width=WIDTH, depth=DEPTH, cell=cell, bidirectional=bidirectional)
    mask = jnp.asarray(np.arange(LENGTH) < counts[:, None], jnp.float32)
    x = jnp.asarray(x)

    def answers(output):
        apply = jax.jit(rnn.RecurrentNet(size, output=output, **options).apply)
        return apply({"params": params}, x, mask)

    each = answers("each")
    np.testing.assert_allclose(each, outputs.numpy(), rtol=0, atol=1e-6)
    ends = answers("last")
    expected = np.concatenate(list(last[-directions:]), axis=-1)
    np.testing.assert_allclose(ends, expected, rtol=0, atol=1e-6)
