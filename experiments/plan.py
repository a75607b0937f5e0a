"""Shows the cost of a run, and whether it fits: `python -m experiments.plan --config=PATH ...`.

    python -m experiments.plan --config=configs/vit/imagenet.py:b16 --devices=256 --chip=v5e
    python -m experiments.plan --config=... --devices=8 --hbm=40 --config.parallel.mesh.fsdp=8

No accelerator is needed: the step is compiled for as many CPU devices. The dataset is needed only
if sizes of the config come from it; `--config.dataset.name=synthetic` replaces it. The least time
of a step is that of the chip's roofline: peak FLOPs, bandwidth of the memory and of the links.

Exit codes: 0 it fits; 1 it does not; 2 the request was not understood.
"""

from absl import flags

from experiments import command_line
from library.config import check_choice
from library.parallel.chips import CHIPS

_CONFIG = flags.DEFINE_string("config", command_line.DEFAULT_CONFIG, command_line.CONFIG_HELP)
_DEVICES = flags.DEFINE_integer("devices", 1, "Accelerators of the run.", lower_bound=1)
_HBM = flags.DEFINE_float("hbm", None, "GB of memory per device; by default the chip's.", 0.001)
_CHIP = flags.DEFINE_string("chip", "h100", f"Kind of accelerator: {', '.join(CHIPS)}.")


def main() -> int:
    """Compiles the step for the devices, and prints its cost."""
    check_choice("chip", _CHIP.value, CHIPS)
    request = command_line.request(_CONFIG.value)
    command_line.divide_cpu(_DEVICES.value)

    from rich.console import Console

    from library.apps import planning, planning_table
    from library.run import restoring
    from library.run.recipe import make_plan

    chip = CHIPS[_CHIP.value]
    memory = _HBM.value * 1e9 if _HBM.value else chip.memory
    plan = make_plan(restoring.without_evaluations(request.values))
    found = planning.cost(plan)
    bound = planning.roofline(found, chip)
    Console(soft_wrap=True).print(
        planning_table.table(found, bound, _CHIP.value, memory, plan.dataset.batch_size),
        highlight=False,
    )
    return 0 if found.peak_bytes <= memory else 1


if __name__ == "__main__":
    command_line.run(main)
