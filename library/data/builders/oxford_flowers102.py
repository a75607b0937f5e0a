"""Oxford's 102 flowers: 8,189 photographs.

Nilsback and Zisserman, "Automated flower classification over a large number of classes", ICVGIP
2008. Labels, order and version are those of TFDS.
"""

import io
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import ClassVar

import scipy.io
import tensorflow_datasets as tfds

from library.config import ConfigError
from library.data import origins
from library.data.builders import making

CLASSES = (
    *("pink primrose", "hard-leaved pocket orchid", "canterbury bells", "sweet pea"),
    *("english marigold", "tiger lily", "moon orchid", "bird of paradise", "monkshood"),
    *("globe thistle", "snapdragon", "colt's foot", "king protea", "spear thistle"),
    *("yellow iris", "globe-flower", "purple coneflower", "peruvian lily"),
    *("balloon flower", "giant white arum lily", "fire lily", "pincushion flower"),
    *("fritillary", "red ginger", "grape hyacinth", "corn poppy"),
    *("prince of wales feathers", "stemless gentian", "artichoke", "sweet william"),
    *("carnation", "garden phlox", "love in the mist", "mexican aster"),
    *("alpine sea holly", "ruby-lipped cattleya", "cape flower", "great masterwort"),
    *("siam tulip", "lenten rose", "barbeton daisy", "daffodil", "sword lily"),
    *("poinsettia", "bolero deep blue", "wallflower", "marigold", "buttercup"),
    *("oxeye daisy", "common dandelion", "petunia", "wild pansy", "primula", "sunflower"),
    *("pelargonium", "bishop of llandaff", "gaura", "geranium", "orange dahlia"),
    *("pink-yellow dahlia?", "cautleya spicata", "japanese anemone", "black-eyed susan"),
    *("silverbush", "californian poppy", "osteospermum", "spring crocus", "bearded iris"),
    *("windflower", "tree poppy", "gazania", "azalea", "water lily", "rose"),
    *("thorn apple", "morning glory", "passion flower", "lotus", "toad lily"),
    *("anthurium", "frangipani", "clematis", "hibiscus", "columbine", "desert-rose"),
    *("tree mallow", "magnolia", "cyclamen", "watercress", "canna lily", "hippeastrum"),
    *("bee balm", "ball moss", "foxglove", "bougainvillea", "camellia", "mallow"),
    *("mexican petunia", "bromelia", "blanket flower", "trumpet creeper"),
    *("blackberry lily",),
)
_KEYS = {"train": "trnid", "test": "tstid", "validation": "valid"}


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """JPEG images with their original bytes; train 1,020, validation 1,020 and test 6,149."""

    name = "oxford_flowers102"
    VERSION = tfds.core.Version("2.1.1")
    url_infos: ClassVar[dict] = {}  # TFDS would otherwise look for a file of checksums
    FOLDER = "oxford_flowers102"
    HOMEPAGE = "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/"
    LICENCE = "not stated"
    CITATION = "Nilsback and Zisserman, Automated flower classification, ICVGIP 2008"
    SPLITS: ClassVar[dict[str, int]] = {"train": 1_020, "test": 6_149, "validation": 1_020}
    KINDS: ClassVar[dict[str, str]] = {}
    ORIGIN = origins.below(
        "https://www.robots.ox.ac.uk/~vgg/data/flowers/102",
        {
            "102flowers.tgz": (
                344_862_509,
                "sha256:2d01ecc807db462958cfe3d92f57a8c252b4abd240eb955770201e45f783b246",
            ),
            "imagelabels.mat": (
                502,
                "sha256:4903e94206bac23bf772aadf06451916df56b58fc483a62db32a97b82656651d",
            ),
            "setid.mat": (
                14_989,
                "sha256:46b8678f91fd95d3c8f4feab80d271a6c834a1dd896fe29fd3e6ad9ce5c8dccd",
            ),
        },
    )

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(encoding_format="jpeg"),
            "label": tfds.features.ClassLabel(names=CLASSES),
            "file_name": tfds.features.Text(),
        }
        return making.info(self, features)

    def _split_generators(self, dl_manager):
        labels = _numbers(self.paths["imagelabels.mat"], "labels")
        path = self.paths["setid.mat"]
        return {
            split: _read(self.paths["102flowers.tgz"], labels, _numbers(path, key))
            for split, key in _KEYS.items()
        }

    _generate_examples = making.examples


def _numbers(path: Path, key: str) -> list[int]:
    data = io.BytesIO(path.read_bytes())
    return making.checked(path, lambda: scipy.io.loadmat(data)[key].reshape(-1).tolist())


def _read(path: Path, labels: list[int], numbers: list[int]) -> Iterator[tuple[str, dict]]:
    label_of: Mapping[str, int] = {f"image_{n:05d}.jpg": labels[n - 1] - 1 for n in numbers}
    missing = dict(label_of)
    for name, data in making.members(path, (".jpg",)):
        file = PurePosixPath(name).name
        if file in label_of:
            del missing[file]
            yield (
                file,
                {
                    "image": making.encoded(data),
                    "label": label_of[file],
                    "file_name": file,
                },
            )
    if missing:
        raise ConfigError(
            f"{path} lacks {len(missing):,} photographs, such as {next(iter(missing))}"
        )
