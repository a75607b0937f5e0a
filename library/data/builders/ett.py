"""ETT: hourly load and oil temperature of two electricity transformers over two years.

Zhou et al., "Informer: beyond efficient transformer for long sequence time-series forecasting",
AAAI 2021.
"""

from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from library.data import origins
from library.data.builders import making, tables

COLUMNS = ("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT")
_MONTH = 30 * 24
_ROWS = {"train": (0, 12), "val": (12, 16), "test": (16, 20)}


def _variant(station: str, size: int, sha256: str) -> making.Variant:
    return making.Variant(
        name=station.lower(),
        splits=dict.fromkeys(_ROWS, 1),
        origin=origins.on_github(
            "zhouhaoyi/ETDataset",
            "1d16c8f4f943005d613b5bc962e9eeb06058cf07",
            {f"ETT-small/{station}.csv": (size, f"sha256:{sha256}")},
        ),
        files=(f"{station}.csv.gz",),
    )


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """One series in each split: `series` (hours, 7); train 8,640, val 2,880 and test 2,880 hours.

    The last column is the oil temperature. The splits are twelve, four and four months of thirty
    days, as in the paper.
    """

    name = "ett"
    VERSION = tfds.core.Version("1.0.0")
    url_infos: ClassVar[dict] = {}  # TFDS would otherwise look for a file of checksums
    FOLDER = "ett"
    HOMEPAGE = "https://github.com/zhouhaoyi/ETDataset"
    LICENCE = "CC BY-ND 4.0"
    CITATION = "Zhou et al., Informer, AAAI 2021"
    KINDS: ClassVar[dict[str, str]] = {"series": "series"}
    BUILDER_CONFIGS: ClassVar[list] = [
        _variant(
            "ETTh1",
            2_589_657,
            "f18de3ad269cef59bb07b5438d79bb3042d3be49bdeecf01c1cd6d29695ee066",
        ),
        _variant(
            "ETTh2",
            2_417_960,
            "a3dc2c597b9218c7ce1cd55eb77b283fd459a1d09d753063f944967dd6b9218b",
        ),
    ]
    pack = staticmethod(tables.pack)

    def _info(self) -> tfds.core.DatasetInfo:
        series = tfds.features.Tensor(shape=(None, len(COLUMNS)), dtype=np.float32)
        return making.info(self, {"series": series})

    def _split_generators(self, dl_manager):
        ((_, path),) = self.paths.items()
        rows = tables.read(path, header=True)
        series = tables.numbers(path, [row[1:] for row in rows])
        return {
            split: iter([(0, {"series": series[first * _MONTH : last * _MONTH]})])
            for split, (first, last) in _ROWS.items()
        }

    _generate_examples = making.examples
