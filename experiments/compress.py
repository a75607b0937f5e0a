"""Makes a trained classifier smaller and measures the loss of accuracy.

    python -m experiments.compress --workdir=DIR
    python -m experiments.compress --workdir=DIR --method=prune --sparsity=0.8,0.9 --scope=layer
    python -m experiments.compress --workdir=DIR --method=low_rank --rank=4,8,16 --scheme=spatial
    python -m experiments.compress --workdir=DIR --method=int8 --kept=head

`prune` sets the smallest weights to zero. `low_rank` splits a kernel into two by its largest
singular values. `int8` stores weights as 8-bit integers; a second network multiplies them by inputs
that are 8-bit integers, too. The program trains nothing. The tasks `pruning` and `low_rank` train
small networks, and `--beside=DIR,DIR` shows their runs in the same table.

It writes accuracy by bytes and FLOPs to `DIR/compressed/`: compressed.json, a figure and a page.
`--config.KEY=VALUE` changes a value of the run's config; docs/config.md lists every key.
"""

import shlex
import sys
from pathlib import Path

from absl import flags

from experiments import command_line
from library.config import ConfigError

_WORKDIR = flags.DEFINE_string("workdir", None, "Directory of the run.")
_WHICH = flags.DEFINE_enum("which", "latest", ["latest", "best"], "The checkpoint to use.")
_EMA = flags.DEFINE_bool("ema", True, "Use the running averages, if the run kept them.")
_METHOD = flags.DEFINE_list("method", ["prune", "low_rank", "int8"], "Methods, one or more.")
_SPARSITY = flags.DEFINE_list("sparsity", None, "For prune: shares of zeros.")
_SCOPE = flags.DEFINE_string("scope", None, "For prune: global, or layer by layer.")
_RANK = flags.DEFINE_list("rank", None, "For low_rank: ranks, or shares of the full rank.")
_ENERGY = flags.DEFINE_list("energy", None, "For low_rank: shares of squared singular values.")
_SCHEME = flags.DEFINE_string("scheme", None, "For low_rank: convolutions by channel or spatial.")
_KEPT = flags.DEFINE_list("kept", [], "Patterns of kernels that do not change.")
_BESIDE = flags.DEFINE_list("beside", [], "Workdirs of other runs to show in the table.")
_SPLIT = flags.DEFINE_string("split", "test", "Split to measure accuracy on.")
_OUTPUT = flags.DEFINE_string("output", None, "Directory of the results; by default compressed.")


def main() -> int:
    """Restores the run, and compresses its classifier."""
    folder = command_line.directory("workdir", _WORKDIR.value)

    from library.apps import compressing, compressing_figure
    from library.run import environment
    from library.run.workdir import write_json

    _check_flags(compressing)
    asked = _asked(compressing)
    trained = _restored(folder)
    others = [
        (Path(name).expanduser(), _restored(Path(name).expanduser())) for name in _BESIDE.value
    ]
    how = dict(split=_SPLIT.value, ema=_EMA.value)
    rows = compressing.sweep(trained, asked, **how)
    rows += [compressing.as_trained(run, path.resolve().name, **how) for path, run in others]
    described = compressing.record(
        rows,
        run=folder.resolve().name,
        step=trained.step,
        split=_SPLIT.value,
        command=" ".join(["python -m experiments.compress", *map(shlex.quote, sys.argv[1:])]),
        **environment.describe(),
    )
    print("\n".join(compressing_figure.lines(described["rows"])))
    output = Path(_OUTPUT.value).expanduser() if _OUTPUT.value else folder / "compressed"
    output.mkdir(parents=True, exist_ok=True)
    write_json(output / "compressed.json", described)
    title = f"{folder.resolve().name}, step {trained.step:,}, compressed"
    note = f"Accuracy on the split {_SPLIT.value}."
    print(compressing_figure.write(output, title, described["rows"], [note]))
    return 0


def _check_flags(compressing) -> None:
    """Refuses flags that no method reads."""
    if not _METHOD.value:
        raise ConfigError("--method is empty: valid are prune, low_rank, int8")
    read = [name for method in _METHOD.value for name in compressing.settings(method)]
    also = ("workdir", "which", "ema", "method", "beside", "split", "output")
    command_line.refuse_unread(f"--method={','.join(_METHOD.value)}", read, also)
    if _RANK.value is not None and _ENERGY.value is not None:
        raise ConfigError("--rank and --energy exclude each other: give one")


def _asked(compressing):
    given = {
        "sparsity": None if _SPARSITY.value is None else _shares("sparsity", _SPARSITY.value),
        "energy": None if _ENERGY.value is None else _shares("energy", _ENERGY.value),
        "rank": None if _RANK.value is None else tuple(map(compressing.parse_rank, _RANK.value)),
        "scope": _SCOPE.value,
        "scheme": _SCHEME.value,
    }
    given = {name: value for name, value in given.items() if value is not None}
    return compressing.Asked(methods=tuple(_METHOD.value), kept=tuple(_KEPT.value), **given)


def _shares(flag: str, texts: list[str]) -> tuple[float, ...]:
    try:
        return tuple(map(float, texts))
    except ValueError:
        shown = ",".join(texts)
        raise ConfigError(f"--{flag}={shown}: write numbers, such as 0.5,0.9") from None


def _restored(folder: Path):
    from library.apps import classifier
    from library.run import session

    values = command_line.recorded(folder)
    return session.restore(values, folder, which=_WHICH.value, check=classifier.check)


if __name__ == "__main__":
    command_line.run(main)
