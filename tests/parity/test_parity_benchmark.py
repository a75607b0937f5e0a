"""The networks that the benchmark times in PyTorch are those that it times here."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.measurements import families, peers
from experiments.measurements.timing import Budget
from library import trees
from library.models.sequence import gpt

TINY = dict(vocab_size=11, context=8, width=16, depth=2, num_heads=4)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setattr(families, "GPT", TINY)


def noise(params):
    """Returns params of which none is zero or one: a bias left out would show."""
    draw = np.random.default_rng(0)
    return jax.tree.map(lambda x: np.float32(draw.normal(size=x.shape) * 0.3), params)


def copied(params):
    """Returns our params under PyTorch's names."""
    found = {"tokens.weight": params["tokens"]["embedding"]}
    found["positions.weight"] = params["positions"]["embedding"]
    width = TINY["width"]
    for i in range(TINY["depth"]):
        block, name = params[f"block{i + 1}"], f"blocks.{i}"
        split = [block["attention"][part] for part in ("query", "key", "value")]
        found[f"{name}.qkv.weight"] = np.concatenate(
            [part["kernel"].reshape(width, width).T for part in split]
        )
        found[f"{name}.qkv.bias"] = np.concatenate([part["bias"].ravel() for part in split])
        out = block["attention"]["out"]
        found[f"{name}.out.weight"] = out["kernel"].reshape(width, width).T
        found[f"{name}.out.bias"] = out["bias"]
        for layer in ("fc1", "fc2"):
            found[f"{name}.{layer}.weight"] = block[layer]["kernel"].T
            found[f"{name}.{layer}.bias"] = block[layer]["bias"]
        for layer in ("norm1", "norm2"):
            found |= norm(f"{name}.{layer}", block[layer])
    return found | norm("norm", params["norm"])


def norm(name, layer):
    return {f"{name}.weight": layer["scale"], f"{name}.bias": layer["bias"]}


def test_the_gpt_has_the_same_params_and_logits(torch):
    model, net = gpt.gpt(**TINY), peers.torch_gpt_module(TINY)
    tokens = np.random.default_rng(1).integers(0, TINY["vocab_size"], (3, TINY["context"]))
    params = noise(model.init(jax.random.key(0), jnp.asarray(tokens))["params"])
    count = sum(x.numel() for x in net.parameters())
    assert count == sum(x.size for x in trees.flatten(params).values())
    weights = {k: torch.tensor(np.ascontiguousarray(v)) for k, v in copied(params).items()}
    net.load_state_dict(weights, strict=True)
    ours = model.apply({"params": jax.tree.map(jnp.asarray, params)}, jnp.asarray(tokens))
    theirs = net(torch.tensor(tokens)).detach().numpy()
    assert np.abs(theirs).max() > 1
    np.testing.assert_allclose(ours, theirs, atol=1e-5 * np.abs(theirs).max())


@pytest.mark.full
def test_the_gpt_is_timed_in_both(torch, monkeypatch):
    # Compiling asks for a C++ compiler and minutes: that it is asked for is enough here.
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda net: compiled.append(net) or net)
    found = peers.gpt(Budget(2, 1))
    assert len(compiled) == 1
    assert found["ratio to eager"] == pytest.approx(found["ms"] / found["torch eager ms"])
    assert found["ratio to torch.compile"] == pytest.approx(found["ms"] / found["torch.compile ms"])
