"""Measures speed: `python -m experiments.benchmark [--only=loop,pipeline,start,step,...]`.

Most figures are ratios of two quantities that one run measures in turn, so that a drift of the
machine's speed does not change them. Times are medians. A / B is the time of A over the time of B.

    loop      a step of the loop / the compiled step alone
    pipeline  a step with its input / a step that repeats one batch
    start     the time to the first step with cached compiled programs / without
    step      images per second of a training step, and its share of the measured matmul peak
    peer      a training step of an MLP here / in PyTorch, if it is installed
    gpt       a training step of a small GPT here / in PyTorch, eager and torch.compile; on an
              accelerator tokens per second of GPT-2, 124 million params, in bfloat16
    networks  forward pass and training step of four ImageNet networks here / in torchvision or
              timm; on an accelerator images per second of two networks in bfloat16, at their best
              batch sizes
    dense     training step of U-Net, ENet and YOLOv8n here / in PyTorch; YOLOv8n's detections
              per second, with the suppression of overlapping boxes, here / in PyTorch
    sequences training step of an LSTM and of a Transformer here / in PyTorch, eager and
              torch.compile; the beam search of the Transformer here / in PyTorch
    samplers  samples per second of each diffusion sampler, and its speed-up over all 1000 steps
    decoding  256 tokens of a small GPT, with cached keys and values and without
    masking   the encoder's step of MAE on a quarter of the patches / on all patches
    calls     a step with 50 steps per call / with one, of a tiny network, of the recipe and of
              ResNet-20; a step of ResNet-20 in 4 parts / 4 steps of a part
    data      training examples of 224 pixels per second on one core, here and with PyTorch's
              DataLoader and torchvision's transforms; and the first batch of step 10^6
    saves     how long a step waits for a save, how long a restore takes, the memory of a save
    layers    compile time of 48 Transformer blocks / of 12, in a scan or not; memory by remat
    finite    memory of a step with the check for finite values / without it
    processes a step of two processes that share the machine / of one process
    devices   FLOPs, memory and traffic per device on 1, 2, 4 and 8 CPU devices; measured alone

The first four, `calls`, `processes` and `devices` measure the recipe `--config`.
`--write=FILE.json` writes the figures and the machine to a file.
"""

import contextlib
import inspect
import os
from collections.abc import Callable
from pathlib import Path

from absl import flags

from experiments import command_line

KINDS = (
    *("loop", "pipeline", "start", "step", "peer"),
    *("gpt", "networks", "dense", "sequences", "samplers", "decoding", "masking"),
    *("calls", "data", "saves", "layers", "finite", "processes", "devices"),
)
_ONLY = flags.DEFINE_list("only", list(KINDS[:-1]), f"Some of {', '.join(KINDS)}.")
_CONFIG = flags.DEFINE_string("config", command_line.DEFAULT_CONFIG, command_line.CONFIG_HELP)
_STEPS = flags.DEFINE_integer("steps", 200, "Steps of each measurement.", lower_bound=10)
_ROUNDS = flags.DEFINE_integer("rounds", 5, "Rounds of each measurement.", lower_bound=1)
_WRITE = flags.DEFINE_string("write", None, "JSON file for the figures.")


def main() -> int:
    """Runs the chosen measurements, prints a line for each, and writes them with --write."""
    from experiments.measurements.timing import Budget
    from library import config, files
    from library.run import environment

    for kind in _ONLY.value:
        config.check_choice("benchmark", kind, KINDS)
    if {"networks", "gpt"} & {*_ONLY.value}:
        # By default JAX takes most of a GPU's memory at once, and leaves none for PyTorch.
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    if "devices" in _ONLY.value:
        if len(_ONLY.value) > 1:
            raise config.ConfigError(
                "devices needs eight CPU devices and is measured alone: write --only=devices"
            )
        command_line.divide_cpu(8)
    measure = _measurements()
    taken = {kind: inspect.signature(measure[kind]).parameters for kind in _ONLY.value}
    _check_flags({name for names in taken.values() for name in names})
    known = {
        "budget": Budget(steps=_STEPS.value, rounds=_ROUNDS.value),
        "values": command_line.request(_CONFIG.value).values,
        "config": _CONFIG.value,
    }
    figures = {}
    for kind in _ONLY.value:
        figures[kind] = measure[kind](**{name: known[name] for name in taken[kind]})
        shown = ", ".join(f"{name} {value:.4g}" for name, value in figures[kind].items())
        print(f"{kind:9s} {shown}", flush=True)
    if _WRITE.value:
        made = {"config": _CONFIG.value, "figures": figures, **environment.describe()}
        files.write(Path(_WRITE.value), files.to_json(made, indent=2) + "\n")
    return 0


def _check_flags(taken: set[str]) -> None:
    """Refuses flags that none of the measurements reads."""
    read = ["steps", "rounds"] if "budget" in taken else []
    read += ["config"] if taken & {"values", "config"} else []
    command_line.refuse_unread(f"--only={','.join(_ONLY.value)}", read, also=("only", "write"))


def _measurements() -> dict[str, Callable[..., dict[str, float]]]:
    from experiments.measurements import (
        accelerator,
        data,
        dense,
        families,
        peers,
        scale,
        sequences,
        training,
    )

    return {
        "loop": training.loop,
        "pipeline": training.pipeline,
        "start": training.start,
        "step": training.step,
        "peer": peers.mlp,
        "gpt": accelerator.gpt_here,
        "networks": accelerator.networks_here,
        "dense": dense.dense,
        "sequences": sequences.sequences,
        "samplers": families.samplers,
        "decoding": families.decoding,
        "masking": families.masking,
        "calls": training.calls,
        "data": data.loading,
        "saves": scale.checkpoints,
        "layers": scale.layers,
        "finite": training.finite,
        "processes": scale.processes,
        "devices": scale.devices,
    }


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        command_line.run(main)
