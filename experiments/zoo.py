"""The networks whose published weights fit here: `python -m experiments.zoo COMMAND [NAME]`.

    zoo list                            all of them: size, cost, paper, reported accuracy, parity
    zoo summary NAME                    a table of the layers: shapes, params, FLOPs
    zoo check NAME... [--size=64]       compares them with their references; `all` for all
    zoo import NAME --weights=FILE --workdir=DIR
    zoo export --workdir=DIR --output=FILE.safetensors

`import` makes a workdir that `evaluate`, `generate` and `init_from` take, whose config prepares
images as the weights want them. FILE is a .pth or .safetensors file, or a directory as Hugging Face
has them; nothing in it is run. Of a training's checkpoint the weights are taken out, the averages
where it has them and `--noema` is not said. `export` writes a run's weights under the published
names. `check` needs PyTorch with torchvision and timm (requirements-parity.txt), and keeps the
errors at the usual size, and the FLOPs that it counts, in results/zoo/parity.json; `list` shows
those of the logits.
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
_EMA = flags.DEFINE_bool("ema", True, "With import and export: the averages, where there are.")
_SIZE = flags.DEFINE_integer("size", None, "Side of the images, if not the usual.", lower_bound=8)
_ERRORS = Path(__file__).resolve().parents[1] / "results" / "zoo" / "parity.json"
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
    if len(given) > 2 and command != "check":
        raise ConfigError(f"{command} takes one name, got {' '.join(given[1:])}")
    return commands[command](*given[1:])


def _list() -> int:
    from library.weights import catalogue

    measured = json.loads(_ERRORS.read_text()) if _ERRORS.is_file() else {}
    head = (
        *("name", "M params", "GFLOPs", "size", "top-1", "top-5", "parity"),
        *("reported by", "paper"),
    )
    rows = [head]
    for name, each in sorted(catalogue.CATALOGUE.items()):
        reported = each.reported
        rows.append(
            (
                name,
                f"{each.parameters / 1e6:.2f}",
                _gflops(measured.get(name, {}).get("gflops", each.gflops)),
                str(each.transform.size),
                "-" if reported is None else f"{reported.top1:.2f}",
                "-" if reported is None or reported.top5 is None else f"{reported.top5:.2f}",
                f"{measured[name]['error']:.0e}" if name in measured else "-",
                "-" if reported is None else reported.source,
                each.paper,
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(head) - 1)]
    for row in rows:
        figures = [cell.rjust(width) for cell, width in zip(row[1:7], widths[1:7], strict=True)]
        print("  ".join([row[0].ljust(widths[0]), *figures, row[7].ljust(widths[7]), row[8]]))
    return 0


def _gflops(count: float | None) -> str:
    return "-" if count is None else f"{count:.2f}"


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


def _check(*names: str) -> int:
    from library.weights import catalogue

    if names == ("all",):
        names = tuple(k for k, each in catalogue.CATALOGUE.items() if each.reference)
    return max([_check_one(name) for name in names or ("",)])


def _check_one(name: str) -> int:
    from library.weights import catalogue, costs, parity

    found = parity.compare(name, _SIZE.value)
    width = max(map(len, found))
    print(f"{name}\n" + "\n".join(f"  {what:{width}}  {e:.2e}" for what, e in found.items()))
    noise = found.pop("noise")
    worst, allowed = max(found.values()), max(TOLERANCE, NOISES * noise)
    if _SIZE.value is None:
        flops = costs.flops(catalogue.find(name)) / 1e9
        _keep(name, error=found["logits"], worst=worst, noise=noise, gflops=flops)
    if not worst <= allowed:
        print(f"not equal: {worst:.2e} is more than {allowed:.0e}", flush=True)
        return 1
    return 0


def _keep(name: str, **figures: float) -> None:
    known = json.loads(_ERRORS.read_text()) if _ERRORS.is_file() else {}
    known[name] = {key: float(f"{value:.4g}") for key, value in figures.items()}
    _ERRORS.parent.mkdir(exist_ok=True)
    _ERRORS.write_text(json.dumps(dict(sorted(known.items())), indent=1) + "\n")


def _import(name: str = "") -> int:
    folder = command_line.directory("workdir", _WORKDIR.value)
    if _WEIGHTS.value is None:
        raise ConfigError("--weights=FILE says which weights to import")

    from library.training import importing

    identity = {"path": f"weights of {name}", "variant": "", "overrides": {}}
    print(importing.import_weights(name, _WEIGHTS.value, folder, identity, ema=_EMA.value))
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
    command_line.run(main, configurable=False, words=("COMMAND", "NAME..."))
