"""Networks with published weights, and runs to keep: `python -m experiments.zoo COMMAND [NAME]`.

    zoo list                            all networks: year, size, cost, reported accuracy, parity
    zoo summary NAME                    a table of the layers: shapes, params, FLOPs
    zoo count NAME...                   counts the FLOPs of networks; `all` for all
    zoo check NAME... [--size=64]       compares networks with their references; `all` for all that
                                        fit into memory
    zoo import NAME[.WEIGHTS] --weights=FILE --workdir=DIR [--size=384] [--noema]
    zoo import NAME[.WEIGHTS] --download --workdir=DIR      fetches the published file first
    zoo import bert|minilm|gpt2 --weights=FOLDER --workdir=DIR    a network of texts
    zoo export --workdir=DIR --output=FILE.safetensors [--as=NAME]
    zoo export --workdir=DIR --to=FOLDER [--which=best]     any run of one's own, as a folder
    zoo import FOLDER --workdir=DIR                         makes a workdir of such a folder
    zoo export --workdir=DIR --to=FOLDER --format=stablehlo [--returns=OUTPUT] [--noema]

`import` makes a workdir that `evaluate`, `generate` and `init_from` take. Its config prepares
images as the weights need. A file does not name its weights, so the program prints which weights it
assumes: `resnet50` are torchvision's first, `resnet50.v2` its second. Without --weights it prints
where the weights are published, if that is known. --download fetches them to `downloads/weights` in
the directory of prepared datasets ($TFDS_DATA_DIR), or takes them from `weights` in
$COMPENDIUM_DATA. --size=384 imports for images of another size than the default.

FILE is a .safetensors or .npz file, a file of PyTorch (.pth, .pt, .bin, .ckpt, .pth.tar, .tar; also
in its older format), or a directory in the layout of Hugging Face, whole or in parts. Nothing in it
is run. Tensors in nested dicts are read; everything else, such as the settings of a training, is
left out. A pickled module or a TorchScript is refused.

From a training checkpoint `import` takes the network ("state_dict", "model" and similar names), or
its averages ("model_ema", "state_dict_ema", "ema_state_dict", "ema" and similar names) if it has
them and --noema is not given. It strips "module.", "_orig_mod." and "model." before all names. It
prints what it takes, leaves and strips. The file must contain all arrays of the network, with its
1000 classes; otherwise the program lists all that do not fit, and writes nothing. PyTorch's counts
of batches are left out. Arrays of other precision become float32. Learned positions for images or
windows of another size are resampled: bicubic, with antialiasing except for Swin's biases. The
program prints both.

A network of texts comes from a folder in the layout of Hugging Face: config.json states its sizes,
and its vocabulary becomes the tokenizer of the workdir.

`export --to` writes a run as a folder: model.safetensors (params, variables, running averages),
config.json, data.json (classes, tokenizer, fitted preprocessing) and README.md, which says what the
run is and what it reached. `import FOLDER` makes a workdir that gives the same outputs to the bit.
`--config.init_from.workdir=FOLDER` starts a run from it. `--format=stablehlo` writes a program in
place of the run: it takes raw images, or the features that the task takes, and needs only JAX.

`export --output` writes a run's weights under published names: those under which it was imported,
those of the most similar network, or those of --as=NAME. It writes the averages if there are any;
--noema writes the params. Counts of batches are 0. `check` needs PyTorch with torchvision and timm
(requirements-parity.txt). For the default size it writes the errors and the counted FLOPs to
results/zoo/parity.json; `count` writes only FLOPs. `list` shows the errors of the logits.
"""

import inspect
from pathlib import Path
from typing import Any

from absl import flags

from experiments import command_line
from library.config import ConfigError, nearest

_WEIGHTS = flags.DEFINE_string("weights", None, "With import: the published weights.")
_DOWNLOAD = flags.DEFINE_bool("download", False, "With import: fetch the published weights.")
_MIRROR = flags.DEFINE_string("mirror", None, "With --download: an address to ask, MIRROR/FILE.")
_WORKDIR = flags.DEFINE_string("workdir", None, "With import and export: directory of the run.")
_OUTPUT = flags.DEFINE_string("output", None, "With export: the file to write.")
_TO = flags.DEFINE_string("to", None, "With export: the folder to write the run into.")
_FORMAT = flags.DEFINE_enum("format", "run", ["run", "stablehlo"], "With --to: what is written.")
_RETURNS = flags.DEFINE_string("returns", None, "With stablehlo: the output of the task.")
_WHICH = flags.DEFINE_enum("which", "latest", ["latest", "best"], "With export: the checkpoint.")
_EMA = flags.DEFINE_bool("ema", True, "With import and export: use averages, if they exist.")
_AS = flags.DEFINE_string("as", None, "With export: the network whose names the weights get.")
_SIZE = flags.DEFINE_integer("size", None, "Side of images, if not the default.", lower_bound=8)


def main() -> int:
    """Runs the command that the first word names."""
    commands = {
        "list": _list,
        "summary": _summary,
        "count": _count,
        "check": _check,
        "import": _import,
        "export": _export,
    }
    given = command_line.words()
    command = given[0] if given else ""
    if command not in commands:
        raise ConfigError(f"unknown command {command!r}: {nearest(command, commands)}")
    names = [p.kind for p in inspect.signature(commands[command]).parameters.values()]
    few = names.count(inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if len(given) > 1 + few and inspect.Parameter.VAR_POSITIONAL not in names:
        takes = "one name" if few else "no name"
        raise ConfigError(f"{command} takes {takes}, got {' '.join(given[1:])}")
    read = command_line.flags_of(commands[command])
    command_line.refuse_unread(f"zoo {command}", read, also=())
    return commands[command](*given[1:], **command_line.values_for(commands[command]))


def _list() -> int:
    from library.weights import catalogue, records

    measured = records.read()
    head = (
        *("name", "year", "M params", "GFLOPs", "size", "top-1", "top-5", "parity"),
        *("reported by", "other weights", "paper"),
    )
    rows = [head]
    for name, each in sorted(catalogue.CATALOGUE.items()):
        reported = each.reported
        rows.append(
            (
                name,
                str(each.year),
                f"{each.parameters / 1e6:.2f}",
                _gflops(measured.get(name, {}).get("gflops", each.gflops)),
                str(each.transform.size),
                "-" if reported is None else f"{reported.top1:.2f}",
                "-" if reported is None or reported.top5 is None else f"{reported.top5:.2f}",
                _parity(measured.get(name, {})),
                "-" if reported is None else reported.source,
                ", ".join(each.weights) or "-",
                each.paper,
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(head) - 1)]
    for row in rows:
        figures = [cell.rjust(width) for cell, width in zip(row[1:8], widths[1:8], strict=True)]
        words = [cell.ljust(width) for cell, width in zip(row[8:10], widths[8:10], strict=True)]
        print("  ".join([row[0].ljust(widths[0]), *figures, *words, row[10]]))
    return 0


def _parity(found: dict[str, Any]) -> str:
    from library.weights import records

    if "error" not in found:
        return "-"
    return f"{found['error']:.0e}" if records.passed(found) else "unequal"


def _gflops(count: float | None) -> str:
    return "-" if count is None else f"{count:.2f}"


def _summary(name: str = "", *, size) -> int:
    from library.weights import catalogue, costs

    published = catalogue.find(name)
    rows = costs.layers(published, size)
    width = max(len(row.path) for row in rows)
    print(f"{'layer':{width}}  {'output':>18}  {'params':>12}  {'MFLOPs':>10}")
    for row in rows:
        shape = "x".join(map(str, row.shape))
        print(f"{row.path:{width}}  {shape:>18}  {row.params:>12,}  {row.flops / 1e6:>10,.2f}")
    total = sum(row.flops for row in rows)
    print(f"{'all':{width}}  {'':>18}  {published.parameters:>12,}  {total / 1e6:>10,.2f}")
    return 0


def _count(*names: str, size) -> int:
    from library.weights import catalogue, costs, records

    for name in tuple(catalogue.CATALOGUE) if names == ("all",) else names or ("",):
        gflops = costs.flops(catalogue.find(name), size) / 1e9
        print(f"{name}  {gflops:.3f} GFLOPs", flush=True)
        if size is None and name in catalogue.CATALOGUE:
            records.keep(name, gflops=gflops)
    return 0


def _check(*names: str, size) -> int:
    from library.weights import catalogue, parity

    if names == ("all",):
        known = {k: each for k, each in catalogue.CATALOGUE.items() if each.reference}
        names = tuple(k for k, each in known.items() if parity.fits(each))
        left_out = ", ".join(sorted(known.keys() - set(names)))
        print(f"too large for the memory here: {left_out}", flush=True)
    return max([_check_one(name, size) for name in names or ("",)])


def _check_one(name: str, size: int | None) -> int:
    from library.weights import catalogue, costs, parity, records

    found = parity.compare(name, size)
    width = max(map(len, found))
    print(f"{name}\n" + "\n".join(f"  {what:{width}}  {e:.2e}" for what, e in found.items()))
    if size is None and name in catalogue.CATALOGUE:
        flops = costs.flops(catalogue.find(name)) / 1e9
        records.keep(name, gflops=flops, **records.record(found))
    wrong = records.excesses(found)
    for what, allowed in wrong.items():
        print(f"not equal: {what}, {found[what]:.2e} is more than {allowed:.0e}", flush=True)
    return 1 if wrong else 0


def _import(name: str = "", *, weights, download, mirror, workdir, ema, size) -> int:
    from library.weights import addresses, texts

    folder = command_line.directory("workdir", workdir)
    if name in texts.KINDS:
        return _import_texts(name, weights, folder)
    if weights is None and not download and _is_folder(name):
        return _import_run(Path(name).expanduser(), folder)
    if weights is None and not download:
        raise ConfigError(addresses.advice(name))
    if mirror is not None and not download:
        raise ConfigError(f"--mirror={mirror} needs --download")
    if download:
        weights = _download(name, weights, mirror)

    from library.apps import importing

    identity = {"path": f"weights of {name}", "variant": "", "overrides": {}}
    print(importing.import_weights(name, weights, folder, identity, ema=ema, size=size))
    return 0


def _import_texts(name: str, weights: str | None, folder: Path) -> int:
    command_line.refuse_unread(f"zoo import {name}", ["weights", "workdir"], also=())
    if weights is None:
        raise ConfigError(
            f"import {name} needs --weights=FOLDER, a directory in the layout of Hugging Face"
        )

    from library.apps import importing_texts

    identity = {"path": f"weights of {name}", "variant": "", "overrides": {}}
    print(importing_texts.import_texts(name, weights, folder, identity))
    return 0


def _is_folder(name: str) -> bool:
    """Returns whether a name is a folder, or can only be one, and not a network."""
    return "/" in name or (bool(name) and Path(name).expanduser().is_dir())


def _import_run(exported: Path, folder: Path) -> int:
    command_line.refuse_unread("zoo import FOLDER", ["workdir"], also=())
    if not exported.is_dir():
        raise ConfigError(f"there is no folder {exported}: name one that zoo export --to wrote")

    from library.apps import exporting

    print(exporting.import_run(exported, folder))
    return 0


def _download(name: str, weights: str | None, mirror: str | None) -> Path:
    """Fetches the published file to the folder of downloads; returns its path."""
    from library.data import origins, prepared
    from library.weights import addresses

    if weights is not None:
        raise ConfigError(f"--download and --weights={weights} exclude each other: give one")
    origin = addresses.origin(name)
    target = prepared.downloads() / "weights"
    by_hand = prepared.DEFAULT_MANUAL_DIR / "weights"
    return origins.fetch([origin], [by_hand], target, mirror=mirror)[origin.file]


def _export(*, workdir, output, to, format_, returns, which, ema, as_) -> int:
    folder = command_line.directory("workdir", workdir)
    if (output is None) == (to is None):
        raise ConfigError(
            "name what to write: --to=FOLDER for the run, or --output=FILE.safetensors for its "
            "weights under published names"
        )
    if to is not None:
        return _export_to(folder, Path(to).expanduser(), format_, returns, which, ema)
    read = ["workdir", "output", "which", "ema", "as"]
    command_line.refuse_unread("zoo export --output", read, also=())

    from library.apps import importing

    path = Path(output).expanduser()
    print(importing.export_weights(folder, path, network=as_, which=which, ema=ema))
    return 0


def _export_to(folder: Path, to: Path, format_: str, returns, which: str, ema: bool) -> int:
    read = ["workdir", "to", "format", "which"]
    if format_ == "run":
        command_line.refuse_unread("zoo export --to", read, also=())

        from library.apps import exporting

        print(exporting.export_run(folder, to, which=which))
        return 0
    command_line.refuse_unread("--format=stablehlo", [*read, "returns", "ema"], also=())

    from library.apps import stablehlo
    from library.run import session

    trained = session.restore(command_line.recorded(folder), folder, which=which)
    print(stablehlo.export_program(trained, to, output=returns, ema=ema))
    return 0


if __name__ == "__main__":
    command_line.run(main, configurable=False, words=("COMMAND", "NAME..."))
