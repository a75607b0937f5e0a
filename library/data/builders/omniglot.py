"""Omniglot: 32,460 drawings, twenty of each of 1,623 characters from fifty alphabets.

Lake, Salakhutdinov and Tenenbaum, "Human-level concept learning through probabilistic program
induction", Science 2015. Labels, order and version are those of TFDS.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from library.data import origins
from library.data.builders import making

_FILES = {
    "train": "images_background.zip",
    "test": "images_evaluation.zip",
    "small1": "images_background_small1.zip",
    "small2": "images_background_small2.zip",
}


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """PNG images (105, 105), black on white; train 19,280, test 13,180, small1 2,720, small2 3,120.

    `alphabet` is the number of the alphabet, and `alphabet_char_id` that of the character in it.
    """

    name = "omniglot"
    VERSION = tfds.core.Version("3.0.0")
    url_infos: ClassVar[dict] = {}  # TFDS would otherwise look for a file of checksums
    FOLDER = "omniglot"
    HOMEPAGE = "https://github.com/brendenlake/omniglot"
    LICENCE = "MIT"
    CITATION = "Lake et al., Human-level concept learning, Science 2015"
    SPLITS: ClassVar[dict[str, int]] = {
        "train": 19_280,
        "test": 13_180,
        "small1": 2_720,
        "small2": 3_120,
    }
    KINDS: ClassVar[dict[str, str]] = {"alphabet": "label", "alphabet_char_id": "label"}
    ORIGIN = origins.below(
        "https://github.com/brendenlake/omniglot/raw/master/python",
        {
            "images_background.zip": (
                9_464_212,
                "sha256:ad41ab679c8b5d90b271ef46be6987cc81211774a695c29dcc5367b2b26ee640",
            ),
            "images_evaluation.zip": (
                6_462_886,
                "sha256:1f61a8f3366785b057fc117d9228e78a16e3d976c8953b2a10fcc74cf0609cee",
            ),
            "images_background_small1.zip": (
                1_319_022,
                "sha256:f38eb80f801274ac2b4dff5b24289016bfaba4a7d5bb50deebf27104ad6cb8a4",
            ),
            "images_background_small2.zip": (
                1_580_917,
                "sha256:3ccaa407515a8778e5d0861875af38b17e418f301ad5bb3b5a6b65d901a41c7f",
            ),
        },
    )

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(shape=(105, 105, 3), encoding_format="png"),
            "alphabet": tfds.features.ClassLabel(num_classes=50),
            "alphabet_char_id": tfds.features.Scalar(np.int64),
            "label": tfds.features.ClassLabel(num_classes=1623),
        }
        return making.info(self, features)

    def _split_generators(self, dl_manager):
        listed = {split: list(_read(self.paths[file])) for split, file in _FILES.items()}
        known = [x for examples in listed.values() for _, x in examples]
        characters = {x["label"]: f"{x['alphabet']}_{x['alphabet_char_id']}" for x in known}
        alphabets = sorted({x["alphabet"] for x in known})
        numbers = {alphabet: number for number, alphabet in enumerate(alphabets)}
        if len(alphabets) == 50 and len(characters) == 1623:
            self.info.features["alphabet"].names = alphabets
            self.info.features["label"].names = [characters[key] for key in sorted(characters)]
        for example in known:
            example["alphabet"] = numbers[example["alphabet"]]
        return {split: iter(examples) for split, examples in listed.items()}

    _generate_examples = making.examples


def _read(path: Path) -> Iterator[tuple[str, dict]]:
    for name, data in making.members(path, (".png",)):
        *_, alphabet, character, file = PurePosixPath(name).parts
        place = int(character.removeprefix("character")) - 1
        yield (
            f"{alphabet}_{place}_{file}",
            {
                "image": making.encoded(data),
                "alphabet": alphabet,
                "alphabet_char_id": place,
                "label": int(file.partition("_")[0]) - 1,
            },
        )
