"""ISBI 2012: 30 slices of a fly's nerve cord, 512x512, with marked membranes.

Cardona et al., "An integrated micro- and macroarchitectural analysis of the Drosophila brain",
2010, and the challenge of ISBI 2012; U-Net was trained on these slices.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from library.data import origins
from library.data.builders import making, packed


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """PNG images (512, 512, 1) and maps (512, 512, 1), 0 membrane and 1 cell; train 24, test 6.

    The challenge's test slices have no labels, so the last six of the thirty are in test.
    """

    name = "isbi2012_membrane"
    VERSION = tfds.core.Version("1.0.0")
    url_infos: ClassVar[dict] = {}  # TFDS would otherwise look for a file of checksums
    FOLDER = "isbi2012_membrane"
    FILES = ("membrane.npz",)
    HOMEPAGE = "https://github.com/zhixuhao/unet"
    LICENCE = "MIT for the repository; the data's is not stated"
    CITATION = "Cardona et al., 2010; ISBI 2012 EM segmentation challenge"
    SPLITS: ClassVar[dict[str, int]] = {"train": 24, "test": 6}
    KINDS: ClassVar[dict[str, str]] = {"map": "map"}
    LABEL_NAMES = ("membrane", "cell")
    ORIGIN = origins.archive("zhixuhao/unet", "b45af4d458437d8281cc218a07fd4380818ece4a")

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(shape=(512, 512, 1), encoding_format="png"),
            "map": tfds.features.Image(shape=(512, 512, 1), encoding_format="png"),
        }
        return making.info(self, features)

    def _split_generators(self, dl_manager):
        arrays = packed.load(self.paths["membrane.npz"], ("images", "labels"))
        pairs = [
            (row, {"image": making.png(image), "map": making.png(np.uint8(label > 0))})
            for row, (image, label) in enumerate(zip(arrays["images"], arrays["labels"]))
        ]
        return {"train": iter(pairs[:24]), "test": iter(pairs[24:])}

    @staticmethod
    def pack(paths: Mapping[str, Path], folder: Path) -> None:
        """Packs the slices in the order of their numbers."""
        ((_, path),) = paths.items()
        held = making.contents(path, (".png",), top=False)
        arrays = {}
        for kind in ("image", "label"):
            names = [f"data/membrane/train/{kind}/{row}.png" for row in range(30)]
            slices = [making.decoded(making.member(path, held, name), "L") for name in names]
            arrays[f"{kind}s"] = np.stack([np.asarray(each) for each in slices])
        np.savez_compressed(folder / "membrane.npz", **arrays)

    _generate_examples = making.examples
