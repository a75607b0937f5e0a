"""Omniglot's two small background sets: 242 characters of eight alphabets, twenty drawings each.

Lake, Salakhutdinov and Tenenbaum, "Human-level concept learning through probabilistic program
induction", Science 2015. Drawings in both sets occur once.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from library.data import origins
from library.data.builders import making, packed

_COMMIT = "057f034baf2ecb8530bc5710e5a23584d2a519cc"
_PIXELS = 105 * 105
_ZIPS = ("images_background_small1.zip", "images_background_small2.zip")


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """PNG images (105, 105, 1), ink 255 on 0; drawings 1..15 in train (3,630), the rest in test.

    The split by drawers is this project's own. `oneshot_train` and `oneshot_test` (400 each) are
    the official twenty runs: `run` is 0..19, and `answer` is the place 0..19 of the training item
    with the same character as a test item.
    """

    name = "omniglot_small"
    VERSION = tfds.core.Version("1.0.0")
    url_infos: ClassVar[dict] = {}  # TFDS would otherwise look for a file of checksums
    FOLDER = "omniglot_small"
    FILES = ("omniglot.npz", "oneshot_runs.npz")
    HOMEPAGE = "https://github.com/brendenlake/omniglot"
    LICENCE = "MIT"
    CITATION = "Lake et al., Human-level concept learning, Science 2015"
    SPLITS: ClassVar[dict[str, int]] = {
        "train": 3_630,
        "test": 1_210,
        "oneshot_train": 400,
        "oneshot_test": 400,
    }
    KINDS: ClassVar[dict[str, str]] = {"alphabet": "label", "run": "label", "answer": "label"}
    ORIGIN = origins.on_github(
        "brendenlake/omniglot",
        _COMMIT,
        {
            "python/images_background_small1.zip": (
                1_319_022,
                "sha256:f38eb80f801274ac2b4dff5b24289016bfaba4a7d5bb50deebf27104ad6cb8a4",
            ),
            "python/images_background_small2.zip": (
                1_580_917,
                "sha256:3ccaa407515a8778e5d0861875af38b17e418f301ad5bb3b5a6b65d901a41c7f",
            ),
            "python/one-shot-classification/all_runs.zip": (
                352_787,
                "sha256:437c1eeab0af8484112e1b4cc0f3d541ec727f7c47b9b202da738af9dfd6c325",
            ),
        },
    )

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(shape=(105, 105, 1), encoding_format="png"),
            "label": tfds.features.Scalar(np.int32),
            "alphabet": tfds.features.Scalar(np.int32),
            "run": tfds.features.Scalar(np.int32),
            "answer": tfds.features.Scalar(np.int32),
        }
        return making.info(self, features)

    def _split_generators(self, dl_manager):
        arrays = packed.load(
            self.paths["omniglot.npz"], ("bits", "character", "alphabet", "drawer")
        )
        runs = packed.load(self.paths["oneshot_runs.npz"], ("train_bits", "test_bits", "answer"))
        early = arrays["drawer"] <= 15
        order = np.tile(np.arange(20), (20, 1))
        return {
            "train": _drawings(arrays, np.flatnonzero(early)),
            "test": _drawings(arrays, np.flatnonzero(~early)),
            "oneshot_train": _runs(runs["train_bits"], order),
            "oneshot_test": _runs(runs["test_bits"], runs["answer"]),
        }

    @staticmethod
    def pack(paths: Mapping[str, Path], folder: Path) -> None:
        """Packs the ink of the drawings and of the one-shot runs."""
        np.savez_compressed(folder / "omniglot.npz", **_pack_drawings(paths))
        held = making.contents(paths["all_runs.zip"], (".png", ".txt"))
        bits = {
            kind: np.array(
                [
                    [_ink(held[f"run{run:02d}/{kind}{i:02d}.png"]) for i in range(1, 21)]
                    for run in range(1, 21)
                ]
            )
            for kind in ("training/class", "test/item")
        }
        answer = np.zeros((20, 20), np.uint8)
        for run in range(20):
            for line in held[f"run{run + 1:02d}/class_labels.txt"].decode().split("\n"):
                if line.strip():
                    item, shown = (int(PurePosixPath(x).stem[-2:]) - 1 for x in line.split())
                    answer[run, item] = shown
        np.savez_compressed(
            folder / "oneshot_runs.npz",
            train_bits=bits["training/class"],
            test_bits=bits["test/item"],
            answer=answer,
        )

    _generate_examples = making.examples


def _ink(data: bytes) -> np.ndarray:
    return np.packbits(np.asarray(making.decoded(data, "L")) == 0)


def _pack_drawings(paths: Mapping[str, Path]) -> dict[str, np.ndarray]:
    """Returns the drawings by set, alphabet, character and drawer, without repetitions."""
    drawings = {}
    for file in _ZIPS:
        for name, data in sorted(making.contents(paths[file], (".png",), top=False).items()):
            alphabet, character, image = PurePosixPath(name).parts
            drawer = int(PurePosixPath(image).stem.partition("_")[2])
            drawings.setdefault((alphabet, character, drawer), _ink(data))
    alphabets = list(dict.fromkeys(alphabet for alphabet, *_ in drawings))
    characters = list(dict.fromkeys(key[:2] for key in drawings))
    return {
        "bits": np.array(list(drawings.values())),
        "alphabet": np.array([alphabets.index(key[0]) for key in drawings], np.uint8),
        "character": np.array([characters.index(key[:2]) for key in drawings], np.uint16),
        "drawer": np.array([key[2] for key in drawings], np.uint8),
        "alphabets": np.array(alphabets),
    }


def _image(bits: np.ndarray) -> np.ndarray:
    return np.unpackbits(bits)[:_PIXELS].reshape(105, 105) * np.uint8(255)


def _drawings(arrays: Mapping[str, np.ndarray], rows: np.ndarray) -> Iterator[tuple[int, dict]]:
    for row in rows.tolist():
        yield (
            row,
            {
                "image": making.png(_image(arrays["bits"][row])),
                "label": int(arrays["character"][row]),
                "alphabet": int(arrays["alphabet"][row]),
                "run": -1,
                "answer": -1,
            },
        )


def _runs(bits: np.ndarray, answer: np.ndarray) -> Iterator[tuple[int, dict]]:
    for run, item in np.ndindex(20, 20):
        yield (
            20 * run + item,
            {
                "image": making.png(_image(bits[run, item])),
                "label": -1,
                "alphabet": -1,
                "run": run,
                "answer": int(answer[run, item]),
            },
        )
