"""SST-2: 9,613 sentences of film reviews, negative or positive.

Socher et al., "Recursive deep models for semantic compositionality over a sentiment treebank",
EMNLP 2013: whole sentences, without the neutral ones.
"""

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import tensorflow_datasets as tfds

from library.config import ConfigError
from library.data import origins
from library.data.builders import making, plain_text

_NAMES = {"train": "train", "validation": "dev", "test": "test"}


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """`text` in lower case, tokens separated by blanks; train 6,920, validation 872, test 1,821."""

    name = "sst2"
    VERSION = tfds.core.Version("1.0.0")
    url_infos: ClassVar[dict] = {}  # TFDS would otherwise look for a file of checksums
    FOLDER = "text"
    FILES = ("sst2_train.tsv.gz", "sst2_dev.tsv.gz", "sst2_test.tsv.gz")
    HOMEPAGE = "https://nlp.stanford.edu/sentiment/"
    LICENCE = "not stated"
    CITATION = "Socher et al., Recursive deep models for semantic compositionality, EMNLP 2013"
    SPLITS: ClassVar[dict[str, int]] = {"train": 6_920, "validation": 872, "test": 1_821}
    KINDS: ClassVar[dict[str, str]] = {}
    ORIGIN = origins.on_github(
        "clairett/pytorch-sentiment-classification",
        "457ffd83de90a9d6d472d8ffc31bbffe40a8b236",
        {
            "data/SST2/train.tsv": (
                720_259,
                "sha256:ec192f833a64da08f475488a77b0d0b47db47acd0f458bd18433fc793b569920",
            ),
            "data/SST2/dev.tsv": (
                92_057,
                "sha256:eddea6b39e601dd4e7a672b53cc40fdf6019fa80522f351206c24340ca5d9359",
            ),
            "data/SST2/test.tsv": (
                188_749,
                "sha256:831169c7e2e429d6026e1bdbb542f33b636e3e596caad9602ebc953c205928b7",
            ),
        },
    )
    pack = staticmethod(
        functools.partial(
            plain_text.pack,
            names={f"{name}.tsv": f"sst2_{name}.tsv.gz" for name in _NAMES.values()},
            encoding="utf-8",
        )
    )

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "text": tfds.features.Text(),
            "label": tfds.features.ClassLabel(names=["negative", "positive"]),
        }
        return making.info(self, features)

    def _split_generators(self, dl_manager):
        return {split: _read(self.paths, f"sst2_{x}.tsv.gz") for split, x in _NAMES.items()}

    _generate_examples = making.examples


def _read(paths: Mapping[str, Path], file: str) -> Iterator[tuple[int, dict]]:
    lines = making.unzipped(paths[file]).decode("utf-8").splitlines()
    for row, line in enumerate(lines):
        text, tab, label = line.rpartition("\t")
        if not tab or label not in ("0", "1"):
            raise ConfigError(f"{paths[file]}, line {row + 1}: expected 'sentence TAB 0 or 1'")
        yield row, {"text": text, "label": int(label)}
