"""Prepares a dataset once: `python -m experiments.prepare --dataset=NAME`.

The program downloads the files of a dataset from their origin to `downloads/NAME` in --data_dir,
unless they are in --manual_dir. Run the same command again to continue an interrupted download.
docs/data.md lists the datasets. With --mirror=URL the program downloads each file from URL/FILE in
place of its own address.
"""

from absl import flags

from experiments import command_line

_DATASET = flags.DEFINE_string("dataset", None, "A builder of this project, or a name of TFDS.")
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Where to write; by default $TFDS_DATA_DIR or ~/tensorflow_datasets."
)
_MANUAL_DIR = flags.DEFINE_string(
    "manual_dir", None, "Folder of your own files; by default $COMPENDIUM_DATA or ./data."
)
_MIRROR = flags.DEFINE_string("mirror", None, "A base address to download from: MIRROR/FILE.")
_LIST = flags.DEFINE_bool("list", False, "Print the table of datasets in docs/data.md.")


def main() -> int:
    """Prepares the dataset, and prints its splits and their sizes."""
    from library.config import ConfigError
    from library.data import catalogue, sources

    if _LIST.value:
        print(catalogue.table(), end="")
        return 0
    if _DATASET.value is None:
        raise ConfigError("--dataset is missing: name a dataset, such as --dataset=mnist_npz")
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
