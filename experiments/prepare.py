"""Prepares a data set once: `python -m experiments.prepare --dataset=NAME`.

What a set is made from is downloaded from its origin to `downloads/NAME` in --data_dir, unless it
lies in --manual_dir already. An interrupted download goes on with the same command. docs/data.md
lists the sets. --mirror=URL asks URL/FILE in place of every file's own address.
"""

from absl import flags

from experiments import command_line

_DATASET = flags.DEFINE_string("dataset", None, "A builder of this project, or a name of TFDS.")
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Where to write; by default $TFDS_DATA_DIR or ~/tensorflow_datasets."
)
_MANUAL_DIR = flags.DEFINE_string(
    "manual_dir", None, "Where files brought by hand lie; by default $COMPENDIUM_DATA or ./data."
)
_MIRROR = flags.DEFINE_string("mirror", None, "A base address to download from: MIRROR/FILE.")
_LIST = flags.DEFINE_bool("list", False, "Print the table of this project's sets, docs/data.md.")


def main() -> int:
    """Prepares the data set and says what it holds."""
    from library.config import ConfigError
    from library.data import catalogue, sources

    if _LIST.value:
        print(catalogue.table(), end="")
        return 0
    if _DATASET.value is None:
        raise ConfigError("--dataset=NAME says what to prepare, such as --dataset=mnist_npz")
    info = sources.prepare(
        _DATASET.value,
        data_dir=_DATA_DIR.value,
        manual_dir=_MANUAL_DIR.value,
        mirror=_MIRROR.value,
    )
    for split, size in info.splits.items():
        print(f"  {split}: {size:,} examples")
    return 0


if __name__ == "__main__":
    command_line.run(main, configurable=False)
