"""Multi30k: 31,014 captions in English, German and French.

Elliott et al., "Multi30K: multilingual English-German image descriptions", 2016, and Elliott et
al., "Findings of the second shared task on multimodal machine translation", 2017.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import tensorflow_datasets as tfds

from library.config import ConfigError
from library.data import origins
from library.data.builders import making

LANGUAGES = ("en", "de", "fr")
_NAMES = {"train": "train", "val": "val", "test": "test_2016_flickr"}
_FILES = {
    "test_2016_flickr.de.gz": (
        22_890,
        "sha256:9204244e408ccb38d2a55cfcd344df15005fc42a07a6e55ca6c52b6ababb8cc8",
    ),
    "test_2016_flickr.en.gz": (
        21_077,
        "sha256:611d361c6334bc7246101d48097c13cf5c4413c5befc793cc629934359d532d9",
    ),
    "test_2016_flickr.fr.gz": (
        22_310,
        "sha256:6d326e188d259fb1d04ac19eae3af956559b3a0b93d7635e56c90987c40c8b90",
    ),
    "train.de.gz": (
        637_044,
        "sha256:726e39b2fa9eb9ffb6dc763fb35a179f80fae06ffc5d28b6ace5faa883de28a6",
    ),
    "train.en.gz": (
        568_929,
        "sha256:d79cfa999dd4c51d2cb42499b6796d5a882c3a8a961923c25a898c90f8bbd56f",
    ),
    "train.fr.gz": (
        604_242,
        "sha256:622e75069e9f4c577425c4f277116ce66e63a2401c0a2312d90073cb12379a3c",
    ),
    "val.de.gz": (
        24_681,
        "sha256:f0cba2f995189cf5770f29a8a9a537a3ad3f51657ad873405082ff6863a5e75a",
    ),
    "val.en.gz": (
        21_650,
        "sha256:14f7d25ddd868909a9213e361768460edcacdd6ab9d1e77b92560dc10c10dc28",
    ),
    "val.fr.gz": (
        23_001,
        "sha256:ca3106f1a72390591d25f6c45cb4cd39dec4cd3f123e099748a3ce5256c160e9",
    ),
}


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """`en`, `de` and `fr`, a sentence each, not tokenized; train 29,000, val 1,014 and test 1,000.

    The test split is that of 2016.
    """

    name = "multi30k"
    VERSION = tfds.core.Version("1.0.0")
    url_infos: ClassVar[dict] = {}  # TFDS would otherwise look for a file of checksums
    FOLDER = "multi30k"
    HOMEPAGE = "https://github.com/multi30k/dataset"
    LICENCE = "not stated; the captions derive from Flickr30k, for research"
    CITATION = "Elliott et al., Multi30K, 2016 and 2017"
    SPLITS: ClassVar[dict[str, int]] = {"train": 29_000, "val": 1_014, "test": 1_000}
    KINDS: ClassVar[dict[str, str]] = {}
    ORIGIN = origins.on_github(
        "multi30k/dataset",
        "a3d2e0d26b56f3846f66a952536ffed4e401d05a",
        {f"data/task1/raw/{file}": known for file, known in _FILES.items()},
    )

    def _info(self) -> tfds.core.DatasetInfo:
        return making.info(self, {language: tfds.features.Text() for language in LANGUAGES})

    def _split_generators(self, dl_manager):
        return {split: self._read(name) for split, name in _NAMES.items()}

    def _read(self, name: str) -> Iterator[tuple[int, dict]]:
        columns = [_lines(self.paths[f"{name}.{language}.gz"]) for language in LANGUAGES]
        if len(set(map(len, columns))) != 1:
            raise ConfigError(
                f"{name}: the files of the languages have {[len(column) for column in columns]} "
                "lines; expected equal numbers"
            )
        for row, sentences in enumerate(zip(*columns)):
            yield row, dict(zip(LANGUAGES, sentences))

    _generate_examples = making.examples


def _lines(path: Path) -> list[str]:
    text = making.unzipped(path).decode("utf-8")
    return [line.strip() for line in text.removesuffix("\n").split("\n")]
