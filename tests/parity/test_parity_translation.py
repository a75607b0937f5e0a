"""The Transformer and the recurrent encoder beside those of PyTorch, on random weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.layers import gates, positions
from library.models.sequence import transformer

WIDTH, HEADS, HIDDEN, DEPTH, VOCAB = 8, 2, 12, 2, 9
DRAW = np.random.default_rng(0)
MASK = np.float32(np.arange(6) < np.array([[6], [3], [1]]))


def noise(tree):
    return jax.tree.map(lambda x: np.float32(x + 0.3 * DRAW.normal(size=x.shape)), tree)


def with_attention(torch, theirs, ours):
    """Copies the weights of attention; ours has no biases."""
    kernels = [
        np.asarray(ours[k]["kernel"]).reshape(WIDTH, WIDTH) for k in ("query", "key", "value")
    ]
    out = np.asarray(ours["out"]["kernel"]).reshape(WIDTH, WIDTH)
    theirs.in_proj_weight.copy_(torch.tensor(np.concatenate([k.T for k in kernels])))
    theirs.out_proj.weight.copy_(torch.tensor(out.T))
    theirs.in_proj_bias.zero_()
    theirs.out_proj.bias.zero_()


def with_layer(torch, theirs, ours, norms):
    with_attention(torch, theirs.self_attn, ours["attention"])
    for name, dense in (("fc1", theirs.linear1), ("fc2", theirs.linear2)):
        dense.weight.copy_(torch.tensor(np.asarray(ours[name]["kernel"]).T))
        dense.bias.copy_(torch.tensor(np.asarray(ours[name]["bias"])))
    for name, norm in norms.items():
        norm.weight.copy_(torch.tensor(np.asarray(ours[name]["scale"])))
        norm.bias.copy_(torch.tensor(np.asarray(ours[name]["bias"])))


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_a_transformer_is_that_of_pytorch(torch, norm):
    model = transformer.Transformer(
        VOCAB, WIDTH, depth=DEPTH, num_heads=HEADS, feed_forward=HIDDEN, norm=norm
    )
    source = DRAW.integers(0, VOCAB, (3, 6)).astype(np.int32)
    target = DRAW.integers(0, VOCAB, (3, 4)).astype(np.int32)
    params = noise(model.init(jax.random.key(0), source, MASK, target)["params"])
    whole = torch.nn.Transformer(
        WIDTH,
        HEADS,
        DEPTH,
        DEPTH,
        HIDDEN,
        0.0,
        "relu",
        norm_first=norm == "pre",
        layer_norm_eps=1e-6,
        batch_first=True,
    ).eval()
    if norm == "post":
        # PyTorch normalizes once more at the end; Vaswani et al. do not.
        whole.encoder.norm = whole.decoder.norm = None
    with torch.no_grad():
        for i, layer in enumerate(whole.encoder.layers, 1):
            norms = {"norm1": layer.norm1, "norm2": layer.norm2}
            with_layer(torch, layer, params[f"encoder{i}"], norms)
        for i, layer in enumerate(whole.decoder.layers, 1):
            norms = {"norm1": layer.norm1, "cross_norm": layer.norm2, "norm2": layer.norm3}
            with_layer(torch, layer, params[f"decoder{i}"], norms)
            cross = params[f"decoder{i}"]["cross_attention"]
            with_attention(torch, layer.multihead_attn, cross)
        for part in ("encoder", "decoder") if norm == "pre" else ():
            last = getattr(whole, part).norm
            last.weight.copy_(torch.tensor(np.asarray(params[f"{part}_norm"]["scale"])))
            last.bias.copy_(torch.tensor(np.asarray(params[f"{part}_norm"]["bias"])))
        table = np.asarray(params["tokens"]["embedding"]) * WIDTH**0.5
        given = [
            torch.tensor(table[x] + np.asarray(positions.sinusoidal(x.shape[1], WIDTH)))
            for x in (source, target)
        ]
        padding = torch.tensor(MASK == 0)
        expected = whole(
            *given,
            tgt_mask=torch.triu(torch.ones(4, 4, dtype=torch.bool), 1),
            src_key_padding_mask=padding,
            memory_key_padding_mask=padding,
        )
    found, _ = model.apply({"params": params}, source, MASK, target, method="hidden")
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_bidirectional_layer_is_that_of_pytorch_with_lengths(torch, cell):
    kind = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[cell]
    theirs = kind(5, 4, bidirectional=True, batch_first=True)
    x = DRAW.normal(size=(3, 6, 5)).astype(np.float32)
    lengths = torch.tensor(MASK.sum(1).astype(int))
    pack = torch.nn.utils.rnn.pack_padded_sequence
    packed = pack(torch.tensor(x), lengths, batch_first=True)
    with torch.no_grad():
        output, last = theirs(packed)
        output, _ = torch.nn.utils.rnn.pad_packed_sequence(output, batch_first=True, total_length=6)
        last = last[0] if cell == "lstm" else last
        for number, suffix in enumerate(("", "_reverse")):
            w, u, b, c = (
                getattr(theirs, f"{n}_l0{suffix}").numpy()
                for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            rest = c[8:] if cell == "gru" else None
            bias = b + c if cell == "lstm" else b + np.concatenate([c[:8], np.zeros(4, np.float32)])
            weights = gates.Weights(*map(jnp.asarray, (w.T, bias, u.T)), rest)
            there = jnp.asarray(MASK.T[..., None])
            start = gates.zeros(cell, 3, 4)
            state, y = gates.scanned(
                weights, jnp.asarray(x.swapaxes(0, 1)), there, start, reverse=bool(number)
            )
            part = output[..., 4 * number : 4 * number + 4].numpy()
            np.testing.assert_allclose(y.swapaxes(0, 1), part, rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(state["h"], last[number].numpy(), rtol=1e-5, atol=1e-6)
