"""Equal training steps here and in PyTorch, if it is installed, without tuning."""

import functools
import importlib.util
import statistics
from collections.abc import Mapping
from typing import Any

import jax

from experiments import command_line
from experiments.measurements import families
from experiments.measurements.timing import Budget, Step, in_turn, pairs, ratio, seconds_each
from experiments.measurements.training import bare_step
from library.run.recipe import make_plan

MISSING = {"torch is not installed, ratio": float("nan")}


def mlp(budget: Budget) -> dict[str, float]:
    """Times a training step of the MLP 784-800-800-10 here and in PyTorch, eager."""
    if importlib.util.find_spec("torch") is None:
        return MISSING
    values = command_line.load_config("configs/mlp/mnist.py:mlp")[0]
    steps = bare_step(make_plan(values)), _torch_mlp(values["dataset"]["batch_size"])
    return pairs(budget, *(functools.partial(seconds_each, step, budget) for step in steps))


def gpt(budget: Budget) -> dict[str, float]:
    """Times a training step of a small GPT here and in PyTorch, eager and compiled."""
    if importlib.util.find_spec("torch") is None:
        return MISSING
    budget = budget.for_large_steps()
    size = families.GPT
    steps = {"jax": our_gpt(size, _WINDOWS)}
    steps |= {k: torch_gpt(size, _WINDOWS, k == "compiled") for k in ("eager", "compiled")}
    measures = {k: functools.partial(seconds_each, s, budget) for k, s in steps.items()}
    found = in_turn(budget, measures)
    return {
        "ms": 1e3 * statistics.median(found["jax"]),
        "torch eager ms": 1e3 * statistics.median(found["eager"]),
        "torch.compile ms": 1e3 * statistics.median(found["compiled"]),
        "ratio to eager": ratio(found["jax"], found["eager"]),
        "ratio to torch.compile": ratio(found["jax"], found["compiled"]),
    }


_WINDOWS = 12


def our_gpt(size: Mapping[str, Any], windows: int, dtype: str = "float32") -> Step:
    """Returns a training step of a GPT on `windows` whole windows, with params in float32."""
    task, state, batch = families.gpt_task(windows, size["context"], size, dtype)
    update = jax.jit(task.update, donate_argnums=0)
    held = [state]

    def step():
        held[0], metrics = update(held[0], batch, jax.random.key(1))
        return metrics["loss"]

    return step


def _torch_mlp(batch_size: int) -> Step:
    import torch

    torch.manual_seed(0)
    net = torch.nn.Sequential(
        *(torch.nn.Linear(784, 800), torch.nn.ReLU()),
        *(torch.nn.Linear(800, 800), torch.nn.ReLU()),
        torch.nn.Linear(800, 10),
    )
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    image = torch.rand(batch_size, 784)
    label = torch.randint(0, 10, (batch_size,))

    def step():
        optimizer.zero_grad(set_to_none=True)
        torch.nn.functional.cross_entropy(net(image), label).backward()
        optimizer.step()

    return step


def torch_gpt(
    size: Mapping[str, int],
    windows: int,
    compiled: bool,
    *,
    device: str = "cpu",
    bfloat16: bool = False,
) -> Step:
    """Returns the step of `our_gpt` in PyTorch, with PyTorch's causal attention."""
    import torch

    torch.manual_seed(0)
    net = torch_gpt_module(size).to(device)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.1)
    shape = (windows, size["context"] + 1)
    tokens = torch.randint(0, size["vocab_size"], shape, device=device)
    run = torch.compile(net) if compiled else net

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16, enabled=bfloat16):
            logits = run(tokens[:, :-1]).flatten(0, 1)
            loss = torch.nn.functional.cross_entropy(logits, tokens[:, 1:].flatten())
        loss.backward()
        optimizer.step()

    return step


def torch_gpt_module(size: Mapping[str, int]):
    """Builds a GPT in PyTorch with the params of the GPT here."""
    import torch
    from torch.nn import functional

    width = size["width"]

    class Block(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.norm2 = torch.nn.LayerNorm(width), torch.nn.LayerNorm(width)
            self.qkv, self.out = torch.nn.Linear(width, 3 * width), torch.nn.Linear(width, width)
            self.fc1 = torch.nn.Linear(width, 4 * width)
            self.fc2 = torch.nn.Linear(4 * width, width)

        def forward(self, x):
            heads = self.qkv(self.norm1(x)).unflatten(-1, (3, size["num_heads"], -1))
            query, key, value = heads.permute(2, 0, 3, 1, 4)
            y = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
            x = x + self.out(y.transpose(1, 2).flatten(2))
            return x + self.fc2(functional.gelu(self.fc1(self.norm2(x)), approximate="tanh"))

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens = torch.nn.Embedding(size["vocab_size"], width)
            self.positions = torch.nn.Embedding(size["context"], width)
            self.blocks = torch.nn.ModuleList(Block() for _ in range(size["depth"]))
            self.norm = torch.nn.LayerNorm(width)

        def forward(self, tokens):
            x = self.tokens(tokens) + self.positions.weight[: tokens.shape[1]]
            for block in self.blocks:
                x = block(x)
            return self.norm(x) @ self.tokens.weight.T

    return Net()
