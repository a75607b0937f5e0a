"""Fashion-MNIST: 70,000 grey images of clothes, 28x28, ten classes.

Xiao, Rasul and Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine learning
algorithms", 2017, arXiv:1708.07747. Labels, order and version are those of TFDS.
"""

from typing import ClassVar

import tensorflow_datasets as tfds

from library.data import origins
from library.data.builders import idx, making

CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """PNG images (28, 28, 1), lossless; train 60,000 and test 10,000."""

    name = "fashion_mnist"
    VERSION = tfds.core.Version("3.0.1")
    url_infos: ClassVar[dict] = {}  # TFDS would otherwise look for a file of checksums
    FOLDER = "fashion_mnist"
    HOMEPAGE = "https://github.com/zalandoresearch/fashion-mnist"
    LICENCE = "MIT"
    CITATION = "Xiao et al., Fashion-MNIST, 2017, arXiv:1708.07747"
    SPLITS: ClassVar[dict[str, int]] = {"train": 60_000, "test": 10_000}
    KINDS: ClassVar[dict[str, str]] = {}
    ORIGIN = origins.below(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
        {
            "t10k-images-idx3-ubyte.gz": (
                4422102,
                "sha256:346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            ),
            "t10k-labels-idx1-ubyte.gz": (
                5148,
                "sha256:67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            ),
            "train-images-idx3-ubyte.gz": (
                26421880,
                "sha256:3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            ),
            "train-labels-idx1-ubyte.gz": (
                29515,
                "sha256:a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            ),
        },
    )

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(shape=(28, 28, 1), encoding_format="png"),
            "label": tfds.features.ClassLabel(names=CLASSES),
        }
        return making.info(self, features)

    def _split_generators(self, dl_manager):
        return idx.splits(self.paths, 10)

    _generate_examples = making.examples
