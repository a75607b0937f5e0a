"""An LSTM, a Transformer that translates, and its beam search in PyTorch.

They are the other side of the benchmark `sequences`, with the layers and params of the networks
here. This file can be imported where PyTorch is not installed.
"""

from collections.abc import Mapping
from typing import Any

from library.special_tokens import BEGIN, END, PAD


def lstm(size: Mapping[str, int]) -> Any:
    """Returns layers of LSTM on a series, (b, t, d), and a linear head on the last state.

    PyTorch adds two biases where the LSTM here has one.

    Args:
      size: inputs, width, depth and num_classes.
    """
    import torch

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            layers = dict(num_layers=size["depth"], batch_first=True)
            self.layers = torch.nn.LSTM(size["inputs"], size["width"], **layers)
            self.head = torch.nn.Linear(size["width"], size["num_classes"])

        def forward(self, series):
            return self.head(self.layers(series)[0][:, -1])

    return Net()


def transformer(size: Mapping[str, int], longest: int) -> Any:
    """Returns a Transformer with post-norm blocks, as library/models/sequence/transformer.py.

    Args:
      size: vocab_size, width, depth, num_heads and feed_forward.
      longest: tokens of the longest source or target.
    """
    import torch
    from torch.nn import functional

    width, heads = size["width"], size["num_heads"]

    class Attention(torch.nn.Module):
        def __init__(self):
            super().__init__()
            names = ("query", "key", "value", "out")
            for name in names:
                setattr(self, name, torch.nn.Linear(width, width, bias=False))

        def keys(self, x):
            return tuple(self.split(layer(x)) for layer in (self.key, self.value))

        def split(self, x):
            return x.unflatten(-1, (heads, -1)).transpose(1, 2)

        def forward(self, x, held, allowed=None, causal=False):
            attend = functional.scaled_dot_product_attention
            y = attend(self.split(self.query(x)), *held, attn_mask=allowed, is_causal=causal)
            return self.out(y.transpose(1, 2).flatten(2))

    class Block(torch.nn.Module):
        def __init__(self, cross):
            super().__init__()
            self.attention = Attention()
            self.norm1 = torch.nn.LayerNorm(width, eps=1e-6)
            if cross:
                self.cross_attention = Attention()
                self.cross_norm = torch.nn.LayerNorm(width, eps=1e-6)
            self.fc1 = torch.nn.Linear(width, size["feed_forward"])
            self.fc2 = torch.nn.Linear(size["feed_forward"], width)
            self.norm2 = torch.nn.LayerNorm(width, eps=1e-6)

        def forward(self, x, held, memory=None, **mask):
            x = self.norm1(x + self.attention(x, held, **mask))
            if memory is not None:
                keys, there = memory
                x = self.cross_norm(x + self.cross_attention(x, keys, there))
            return self.norm2(x + self.fc2(functional.relu(self.fc1(x))))

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens = torch.nn.Embedding(size["vocab_size"], width)
            self.encoder = torch.nn.ModuleList(Block(False) for _ in range(size["depth"]))
            self.decoder = torch.nn.ModuleList(Block(True) for _ in range(size["depth"]))
            self.register_buffer("places", _sinusoidal(longest, width))

        def embed(self, tokens, places):
            return self.tokens(tokens) * width**0.5 + places

        def memory(self, source, source_mask):
            x, there = self.embed(source, self.places[: source.shape[1]]), source_mask > 0
            there = there[:, None, None]
            for block in self.encoder:
                x = block(x, block.attention.keys(x), allowed=there)
            return [block.cross_attention.keys(x) for block in self.decoder], there

        def forward(self, source, source_mask, target):
            keys, there = self.memory(source, source_mask)
            x = self.embed(target, self.places[: target.shape[1]])
            for block, held in zip(self.decoder, keys):
                x = block(x, block.attention.keys(x), (held, there), causal=True)
            return x @ self.tokens.weight.T

        def step(self, tokens, memory, cache, position):
            keys, there = memory
            x = self.embed(tokens[:, None], self.places[position])
            for block, held, own in zip(self.decoder, keys, cache):
                for array, new in zip(own, block.attention.keys(x)):
                    array[:, :, position : position + 1] = new
                seen = tuple(array[:, :, : position + 1] for array in own)
                x = block(x, seen, (held, there))
            return x[:, 0] @ self.tokens.weight.T

    return Net()


def beam_search(net: Any, source: Any, source_mask: Any, *, length: int, beams: int) -> Any:
    """Returns the best outputs (b, length) of a beam search, as `library.searching.beam_search`.

    Keys and values of the tokens before are cached. There is no length penalty.
    """
    import torch

    count = len(source)
    keys, there = net.memory(source, source_mask)
    repeated = [tuple(x.repeat_interleave(beams, 0) for x in held) for held in keys]
    memory = repeated, there.repeat_interleave(beams, 0)
    shape = (count * beams, *keys[0][0].shape[1:2], length, keys[0][0].shape[-1])
    cache = [tuple(source_mask.new_zeros(shape) for _ in held) for held in keys]
    alive = source_mask.new_full((count, beams), -torch.inf)
    alive[:, 0] = 0
    found, scores = source.new_zeros((count, beams, length)), torch.full_like(alive, -torch.inf)
    tokens, last = torch.zeros_like(found), source.new_full((count * beams,), BEGIN)
    settled = torch.zeros(count, dtype=torch.bool)
    first = torch.arange(count)[:, None]
    for at in range(length):
        each = net.step(last, memory, cache, at).log_softmax(-1)
        each[:, [BEGIN, PAD]] = -torch.inf
        if at == length - 1:
            ended = each[:, END].clone()
            each[:] = -torch.inf
            each[:, END] = ended
        total = alive[..., None] + each.unflatten(0, (count, beams))
        best, place = total.flatten(1).topk(2 * beams)
        parent, token = place // each.shape[-1], place % each.shape[-1]
        grown = tokens[first, parent]
        grown[:, :, at] = token
        ends = token == END
        counts = ends & (torch.arange(2 * beams) < beams) & ~settled[:, None]
        new = best.masked_fill(~counts, -torch.inf)
        scores, kept = torch.cat([scores, new], 1).topk(beams)
        found = torch.cat([found, grown], 1)[first, kept]
        alive, kept = best.masked_fill(ends, -torch.inf).topk(beams)
        tokens, parent = grown[first, kept], parent.gather(1, kept)
        full = (scores > -torch.inf).all(1)
        settled |= full | (scores.amax(1) >= alive.amax(1))
        if settled.all():
            break
        rows = (first * beams + parent).flatten()
        cache = [tuple(x[rows] for x in held) for held in cache]
        last = tokens[:, :, at].flatten()
    return found[:, 0]


def _sinusoidal(length: int, width: int) -> Any:
    import numpy as np
    import torch

    from library.layers.positions import sinusoidal

    return torch.from_numpy(np.array(sinusoidal(length, width)))
