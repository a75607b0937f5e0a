"""Writes reports of one run or of several runs, and the table of results.

python -m experiments.report --workdir=DIR     draws its figures and report.html again
python -m experiments.report --root=RUNS       compares the runs below a folder
python -m experiments.report --record=NAME --system="ResNet-20" --workdir=DIR[,DIR...]
                                               keeps finished runs in results/NAME.json
python -m experiments.report --results         writes RESULTS.md and the README's table
"""

from pathlib import Path

from absl import flags

from experiments import command_line
from library.config import ConfigError

_ROOT = Path(__file__).resolve().parents[1]
_WORKDIR = flags.DEFINE_list(
    "workdir", [], "A run; with --record, one run for each seed, or the root of a sweep."
)
_RUNS = flags.DEFINE_string("root", None, "Folder of runs to compare.")
_RECORD = flags.DEFINE_string("record", None, "Name of the record of finished runs.")
_SYSTEM = flags.DEFINE_string("system", None, "With --record: the system, as the table shows it.")
_NOTE = flags.DEFINE_string("note", "", "With --record: a note for readers of the number.")
_METRIC = flags.DEFINE_string("metric", None, "With --record: the metric of a run without a claim.")
_RESULTS = flags.DEFINE_bool("results", False, "Generate RESULTS.md from results/*.json.")


def main() -> int:
    """Writes the requested report and prints its path."""
    asked = {"record": _record, "results": _results, "root": _compare, "workdir": _draw}
    flag = next((name for name in asked if flags.FLAGS[name].value), None)
    if flag is None:
        raise ConfigError("say what to report: --workdir=DIR, --root=RUNS, --record or --results")
    report = asked[flag]
    command_line.refuse_unread(f"--{flag}", command_line.flags_of(report), also=())
    report(**command_line.values_for(report))
    return 0


def _record(*, record, system, workdir, metric, note) -> None:
    from library.reporting import gallery, results, sweeps

    if not system or not workdir:
        raise ConfigError("--record=NAME needs --system=... and --workdir=...")
    made = results.record(workdir, name=record, system=system, metric=metric, note=note)
    print(results.save_record(made, _ROOT / "results"))
    for path in gallery.keep(sweeps.workdirs(Path(workdir[0]))[0], record, _ROOT / "results"):
        print(path)


def _results(*, results) -> None:
    from library.reporting import results as table

    for path in table.write_results(_ROOT / "results", _ROOT / "RESULTS.md", _ROOT / "README.md"):
        print(path)


def _compare(*, root) -> None:
    from library.reporting import compare

    print(compare.compare(Path(root).expanduser()))


def _draw(*, workdir) -> None:
    from library.reporting import report

    for folder in workdir:
        print(report.write_report(Path(folder).expanduser()))


if __name__ == "__main__":
    command_line.run(main, configurable=False)
