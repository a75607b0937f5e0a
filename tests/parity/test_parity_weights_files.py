"""Files as PyTorch and safetensors write them."""

import argparse
import collections
import pathlib

import numpy as np
import pytest

from library.config import ConfigError
from library.weights import files, loading
from library.weights.resampling import Resampling

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
def test_checkpoints_of_trainings_with_averages_and_settings(torch, tmp_path, old):
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    averaged = torch.optim.swa_utils.AveragedModel(module, use_buffers=True)
    optimizer = torch.optim.SGD(module.parameters(), 0.1, momentum=0.9)
    module(torch.ones(2, 3)).sum().backward()
    optimizer.step()
    averaged.update_parameters(module)
    settings = argparse.Namespace(
        output=pathlib.Path("x"),
        device=torch.device("cpu"),
        dtype=torch.float16,
        size=torch.Size([2]),
        rate=np.float64(0.1),
        layer=torch.nn.Linear,
        losses=collections.defaultdict(list, {"loss": [np.float32(1)]}),
    )
    state = {
        "model": module.state_dict(),
        "model_ema": averaged.state_dict(),
        "optimizer": optimizer.state_dict(),
        "lr_scheduler": torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 9).state_dict(),
        "scaler": torch.amp.GradScaler("cpu").state_dict(),
        "args": settings,
    }
    path = tmp_path / "checkpoint.pth.tar"
    torch.save(state, path, _use_new_zipfile_serialization=not old)
    found, said = loading.unwrapped(files.read(path), {"0.weight"})
    assert said[0].startswith("'model_ema.' taken, and model, optimizer")
    assert said[1] == "'module.' taken, and n_averaged left"
    for name, x in averaged.module.state_dict().items():
        np.testing.assert_array_equal(found[name], x.numpy(), strict=True)


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize(("old", "new"), [((14, 14), (24, 24)), ((24, 24), (14, 10))])
def test_positions_are_resampled_as_pytorch_does(torch, old, new, antialias):
    grid = torch.rand(1, 5, *old, dtype=torch.float64)
    options = dict(size=new, mode="bicubic", align_corners=False, antialias=antialias)
    expected = torch.nn.functional.interpolate(grid, **options)
    expected = expected.flatten(2).swapaxes(1, 2).numpy()
    leaf = grid.flatten(2).swapaxes(1, 2).numpy()
    found = Resampling(0, old, new, antialias).apply(leaf)
    np.testing.assert_allclose(found, expected, atol=1e-13)


@pytest.mark.parametrize("old", [False, True])
def test_whole_modules_are_refused(torch, tmp_path, old):
    path = tmp_path / "x.pth"
    torch.save(torch.nn.Linear(2, 3), path, _use_new_zipfile_serialization=not old)
    with pytest.raises(ConfigError, match=r"asks for torch.nn.modules.linear.Linear, .* but only"):
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
