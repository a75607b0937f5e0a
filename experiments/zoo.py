"""The networks whose published weights fit here: `python -m experiments.zoo COMMAND [NAME]`.

    zoo list                            all of them: size, cost, paper, reported accuracy, parity
    zoo summary NAME                    a table of the layers: shapes, params, FLOPs
    zoo check NAME [--size=64]          compares it with its reference, with random weights
    zoo import NAME --weights=FILE --workdir=DIR
    zoo export --workdir=DIR --output=FILE.safetensors

`import` makes a workdir that `evaluate`, `generate` and `init_from` take, whose config prepares
images as the weights want them. FILE is a .pth or .safetensors file, or a directory as Hugging Face
has them; nothing in it is run. `export` writes a run's weights under the published names. `check`
needs PyTorch with torchvision and timm (requirements-parity.txt), and keeps the error of the logits
at the usual size, and the FLOPs that it counts, in results/zoo.json; `list` shows the former.
"""

import json
from pathlib import Path

from absl import flags

from experiments import command_line
from library.config import ConfigError, nearest

_WEIGHTS = flags.DEFINE_string("weights", None, "With import: the published weights.")
_WORKDIR = flags.DEFINE_string("workdir", None, "With import and export: directory of the run.")
_OUTPUT = flags.DEFINE_string("output", None, "With export: the file to write.")
_WHICH = flags.DEFINE_enum("which", "latest", ["latest", "best"], "With export: the checkpoint.")
_EMA = flags.DEFINE_bool("ema", True, "With export: the averages, where the run kept them.")
_SIZE = flags.DEFINE_integer("size", None, "Side of the images, if not the usual.", lower_bound=8)
_ERRORS = Path(__file__).resolve().parents[1] / "results" / "zoo.json"
# Ten times the noise of float32 in networks as deep as these, and of some that have more.
TOLERANCE, NOISES = 1e-5, 3


def main() -> int:
    """Does what the first word says."""
    commands = {
        "list": _list,
        "summary": _summary,
        "check": _check,
        "import": _import,
        "export": _export,
    }
    given = command_line.words()
    command = given[0] if given else ""
    if command not in commands:
        raise ConfigError(f"unknown command {command!r}: {nearest(command, commands)}")
    return commands[command](*given[1:])


def _list() -> int:
    from library.weights import catalogue

    measured = json.loads(_ERRORS.read_text()) if _ERRORS.is_file() else {}
    head = ("name", "M params", "GFLOPs", "size", "top-1", "top-5", "parity", "paper")
    rows = [head]
    for name, each in sorted(catalogue.CATALOGUE.items()):
        reported = each.reported
        rows.append(
            (
                name,
                f"{each.parameters / 1e6:.2f}",
                "-" if each.gflops is None else f"{each.gflops:.2f}",
                str(each.transform.size),
                "-" if reported is None else f"{reported.top1:.2f}",
                "-" if reported is None or reported.top5 is None else f"{reported.top5:.2f}",
                f"{measured[name]['error']:.0e}" if name in measured else "-",
                each.paper,
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(head) - 1)]
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:-1], widths[1:])]
        print("  ".join([*cells, row[-1]]))
    return 0


def _summary(name: str = "") -> int:
    from library.weights import catalogue, costs

    published = catalogue.find(name)
    rows = costs.layers(published, _SIZE.value)
    width = max(len(row.path) for row in rows)
    print(f"{'layer':{width}}  {'output':>18}  {'params':>12}  {'MFLOPs':>10}")
    for row in rows:
        shape = "x".join(map(str, row.shape))
        print(f"{row.path:{width}}  {shape:>18}  {row.params:>12,}  {row.flops / 1e6:>10,.2f}")
    total = sum(row.flops for row in rows)
    print(f"{'all':{width}}  {'':>18}  {published.parameters:>12,}  {total / 1e6:>10,.2f}")
    return 0


def _check(name: str = "") -> int:
    from library.weights import catalogue, costs, parity

    found = parity.compare(name, _SIZE.value)
    width = max(map(len, found))
    for what, error in found.items():
        print(f"{what:{width}}  {error:.2e}")
    noise = found.pop("noise")
    worst, allowed = max(found.values()), max(TOLERANCE, NOISES * noise)
    if _SIZE.value is None:
        _keep(name, found["logits"], costs.flops(catalogue.find(name)))
    if not worst <= allowed:
        print(f"not equal: {worst:.2e} is more than {allowed:.0e}")
        return 1
    return 0


def _keep(name: str, error: float, flops: int) -> None:
    known = json.loads(_ERRORS.read_text()) if _ERRORS.is_file() else {}
    known[name] = {"error": float(f"{error:.2e}"), "gflops": float(f"{flops / 1e9:.4g}")}
    _ERRORS.write_text(json.dumps(dict(sorted(known.items())), indent=1) + "\n")


def _import(name: str = "") -> int:
    folder = command_line.directory("workdir", _WORKDIR.value)
    if _WEIGHTS.value is None:
        raise ConfigError("--weights=FILE says which weights to import")

    from library.training import importing

    identity = {"path": f"weights of {name}", "variant": "", "overrides": {}}
    print(importing.import_weights(name, _WEIGHTS.value, folder, identity))
    return 0


def _export() -> int:
    folder = command_line.directory("workdir", _WORKDIR.value)
    if _OUTPUT.value is None:
        raise ConfigError("--output=FILE.safetensors says where to write the weights")

    from library.training import importing

    path = Path(_OUTPUT.value).expanduser()
    print(importing.export_weights(folder, path, which=_WHICH.value, ema=_EMA.value))
    return 0


if __name__ == "__main__":
    command_line.run(main, configurable=False, words=("COMMAND", "NAME"))
