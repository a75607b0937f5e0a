"""Files as PyTorch and safetensors write them."""

import numpy as np
import pytest

from library.config import ConfigError
from library.weights import files

TYPES = ("float32", "float64", "float16", "bfloat16", "int64", "int32", "uint8", "bool")


def as_numpy(torch, x):
    if x.dtype != torch.bfloat16:
        return x.detach().numpy()
    return x.view(torch.uint16).numpy().view(files.STORAGES["BFloat16Storage"])


def tensors(torch, dtype):
    torch.manual_seed(0)
    whole = (100 * torch.rand(3, 4, 5)).to(getattr(torch, dtype))
    return {
        "whole": whole,
        "transposed": whole.permute(2, 0, 1),
        "part": whole[1:, ::2, 1],
        "repeated": whole[0, 0, :1].expand(5),
        "last": whole[:, :, -1],
        "scalar": whole[2, 1, 3],
        "empty": whole[:0],
    }


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("dtype", TYPES)
def test_tensors(torch, tmp_path, dtype, old):
    state = tensors(torch, dtype)
    path = tmp_path / "x.pt"
    torch.save(state, path, _use_new_zipfile_serialization=not old)
    found = files.read(path)
    assert list(found) == list(state)
    for name, x in state.items():
        np.testing.assert_array_equal(found[name], as_numpy(torch, x), strict=True)


@pytest.mark.parametrize("old", [False, True])
def test_checkpoints_of_modules_and_optimizers(torch, tmp_path, old):
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    optimizer = torch.optim.AdamW(module.parameters())
    module(torch.ones(2, 3)).sum().backward()
    optimizer.step()
    path = tmp_path / "x.pth"
    state = {
        "model": module.state_dict(),
        "parameters": dict(module.named_parameters()),
        "optimizer": optimizer.state_dict(),
        "epoch": 3,
        "shape": torch.Size([1, 2]),
    }
    torch.save(state, path, _use_new_zipfile_serialization=not old)
    found = files.read(path)
    for name, x in module.state_dict().items():
        np.testing.assert_array_equal(found[f"model.{name}"], x.numpy(), strict=True)
    for name, x in module.named_parameters():
        np.testing.assert_array_equal(found[f"parameters.{name}"], x.detach().numpy(), strict=True)
    moment = optimizer.state_dict()["state"][0]["exp_avg"]
    np.testing.assert_array_equal(found["optimizer.state.0.exp_avg"], moment.numpy(), strict=True)


@pytest.mark.parametrize("old", [False, True])
def test_whole_modules_are_refused(torch, tmp_path, old):
    path = tmp_path / "x.pth"
    torch.save(torch.nn.Linear(2, 3), path, _use_new_zipfile_serialization=not old)
    with pytest.raises(ConfigError, match=r"asks for torch.nn.modules.linear.Linear, and only"):
        files.read(path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compiled_modules_are_refused(torch, tmp_path):
    path = tmp_path / "x.pt"
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 3), torch.ones(1, 2)), path)
    with pytest.raises(ConfigError, match="asks for __torch__"):
        files.read(path)


@pytest.mark.parametrize("dtype", TYPES)
def test_safetensors(torch, tmp_path, dtype):
    library = pytest.importorskip("safetensors.torch", reason="needs requirements-parity.txt")
    state = {name: x.contiguous().clone() for name, x in tensors(torch, dtype).items()}
    path = tmp_path / "x.safetensors"
    library.save_file(state, path, metadata={"format": "pt"})
    found = files.read(path)
    assert found.keys() == state.keys()
    for name, x in state.items():
        np.testing.assert_array_equal(found[name], as_numpy(torch, x), strict=True)
