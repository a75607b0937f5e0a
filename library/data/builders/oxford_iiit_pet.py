"""Oxford's pets: 7,349 photographs of cats and dogs of 37 breeds, with the outline of each.

Parkhi, Vedaldi, Zisserman and Jawahar, "Cats and dogs", CVPR 2012. Labels and order are those of
TFDS. The files are the official ones; some are damaged or have another format than their names say.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import ClassVar

import tensorflow_datasets as tfds

from library.config import ConfigError
from library.data import origins
from library.data.builders import making

CLASSES = (
    *("Abyssinian", "american_bulldog", "american_pit_bull_terrier", "basset_hound"),
    *("beagle", "Bengal", "Birman", "Bombay", "boxer", "British_Shorthair", "chihuahua"),
    *("Egyptian_Mau", "english_cocker_spaniel", "english_setter", "german_shorthaired"),
    *("great_pyrenees", "havanese", "japanese_chin", "keeshond", "leonberger"),
    *("Maine_Coon", "miniature_pinscher", "newfoundland", "Persian", "pomeranian", "pug"),
    *("Ragdoll", "Russian_Blue", "saint_bernard", "samoyed", "scottish_terrier"),
    *("shiba_inu", "Siamese", "Sphynx", "staffordshire_bull_terrier", "wheaten_terrier"),
    *("yorkshire_terrier",),
)
_LISTS = {"train": "trainval", "test": "test"}


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Images with their original bytes; train 3,680 and test 3,669.

    `map` is 1 on the animal, 2 on the background and 3 on the edge of the animal, as in the files.
    `species` is 0 for cats and 1 for dogs.
    """

    name = "oxford_iiit_pet"
    VERSION = tfds.core.Version("1.0.0")
    url_infos: ClassVar[dict] = {}  # TFDS would otherwise look for a file of checksums
    FOLDER = "oxford_iiit_pet"
    HOMEPAGE = "https://www.robots.ox.ac.uk/~vgg/data/pets/"
    LICENCE = "CC BY-SA 4.0 (not checked)"
    CITATION = "Parkhi et al., Cats and dogs, CVPR 2012"
    SPLITS: ClassVar[dict[str, int]] = {"train": 3_680, "test": 3_669}
    KINDS: ClassVar[dict[str, str]] = {"map": "map", "species": "label"}
    ORIGIN = origins.below(
        "https://thor.robots.ox.ac.uk/~vgg/data/pets",
        {
            "images.tar.gz": (
                791_918_971,
                "sha256:67195c5e1c01f1ab5f9b6a5d22b8c27a580d896ece458917e61d459337fa318d",
            ),
            "annotations.tar.gz": (
                19_173_078,
                "sha256:52425fb6de5c424942b7626b428656fcbd798db970a937df61750c0f1d358e91",
            ),
        },
    )

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(encoding_format="jpeg"),
            "label": tfds.features.ClassLabel(names=CLASSES),
            "species": tfds.features.ClassLabel(names=["Cat", "Dog"]),
            "map": tfds.features.Image(shape=(None, None, 1), encoding_format="png"),
            "file_name": tfds.features.Text(),
        }
        return making.info(self, features)

    def _split_generators(self, dl_manager):
        return {
            split: _read(self.paths["images.tar.gz"], self.paths["annotations.tar.gz"], listed)
            for split, listed in _LISTS.items()
        }

    _generate_examples = making.examples


def _read(images: Path, annotations: Path, listed: str) -> Iterator[tuple[str, dict]]:
    held = making.contents(annotations, (f"/{listed}.txt", ".png"), top=False)
    lines = making.member(annotations, held, f"{listed}.txt").decode().splitlines()
    missing = {line.split()[0]: line.split()[1:3] for line in lines if line.strip()}
    for name, data in making.members(images, (".jpg",)):
        stem = PurePosixPath(name).stem
        if stem not in missing:
            continue
        label, species = (int(number) - 1 for number in missing.pop(stem))
        outline = making.member(annotations, held, f"trimaps/{stem}.png")
        yield (
            f"{stem}.jpg",
            {
                "image": making.encoded(data),
                "label": label,
                "species": species,
                "map": making.encoded(outline),
                "file_name": f"{stem}.jpg",
            },
        )
    if missing:
        raise ConfigError(f"{images} lacks {len(missing):,} images, such as {next(iter(missing))}")
