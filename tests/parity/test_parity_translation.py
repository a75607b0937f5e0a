"""The Transformer beside that of PyTorch, on random weights."""

import functools

import jax
import numpy as np
import pytest

from library.layers import positions
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
    params = noise(jax.jit(model.init)(jax.random.key(0), source, MASK, target)["params"])
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
    hidden = jax.jit(functools.partial(model.apply, method="hidden"))
    found, _ = hidden({"params": params}, source, MASK, target)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-5)
