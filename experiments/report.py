"""Reports: of one run, of several, and the table of results.

python -m experiments.report --workdir=DIR     draws its figures and report.html again
python -m experiments.report --root=RUNS       compares the runs below a folder
python -m experiments.report --record=NAME --system="ResNet-20" --workdir=DIR[,DIR...]
                                               keeps finished runs in results/NAME.json
python -m experiments.report --results         writes RESULTS.md and the README's table
"""

from pathlib import Path

from absl import flags

from experiments import command_line

_ROOT = Path(__file__).resolve().parents[1]
_WORKDIR = flags.DEFINE_list("workdir", [], "A run; with --record, one run a seed.")
_RUNS = flags.DEFINE_string("root", None, "Folder of runs to compare.")
_RECORD = flags.DEFINE_string("record", None, "Name of the record to make of finished runs.")
_SYSTEM = flags.DEFINE_string("system", None, "With --record: the system, as the table shows it.")
_NOTE = flags.DEFINE_string("note", "", "With --record: what a reader of the number has to know.")
_METRIC = flags.DEFINE_string("metric", None, "With --record: what the row shows, if no claim.")
_RESULTS = flags.DEFINE_bool("results", False, "Generate RESULTS.md from results/*.json.")


def main() -> int:
    """Writes the report asked for and says where it lies."""
    from library.config import ConfigError
    from library.reporting import compare, gallery, report, results

    if _RECORD.value:
        if not _SYSTEM.value or not _WORKDIR.value:
            raise ConfigError("--record=NAME needs --system=... and --workdir=...")
        made = results.record(
            _WORKDIR.value,
            name=_RECORD.value,
            system=_SYSTEM.value,
            metric=_METRIC.value,
            note=_NOTE.value,
        )
        print(results.save_record(made, _ROOT / "results"))
        for path in gallery.keep(Path(_WORKDIR.value[0]), _RECORD.value, _ROOT / "results"):
            print(path)
    elif _RESULTS.value:
        for path in results.write_results(
            _ROOT / "results", _ROOT / "RESULTS.md", _ROOT / "README.md"
        ):
            print(path)
    elif _RUNS.value:
        print(compare.compare(Path(_RUNS.value).expanduser()))
    elif _WORKDIR.value:
        for workdir in _WORKDIR.value:
            print(report.write_report(Path(workdir).expanduser()))
    else:
        raise ConfigError("say what to report: --workdir=DIR, --root=RUNS, --record or --results")
    return 0


if __name__ == "__main__":
    command_line.run(main, configurable=False)
