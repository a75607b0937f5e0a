"""Examples with access by row: of a TFDS data source, of arrays in memory, of no or unopened data.

They have `len(records)` and `records[row] -> {feature: value}`, as `Source.records` wants. Those of
folders, text files and noise are in the files of these.
"""

import dataclasses
import operator
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from library.config import ConfigError
from library.data import splits, tfds_features
from library.data.preprocessing import CorruptExample


@dataclasses.dataclass(frozen=True)
class TfdsRecords:
    """The examples of a TFDS data source, with the feature names of a batch.

    Attributes:
      source: the TFDS data source.
      renamed: the name in a batch by the name in TFDS, if they differ; a nested feature is
        "feature/inner".
      remedy: what the user can do about a damaged example, for messages.
    """

    source: Any
    renamed: Mapping[str, str]
    remedy: str = ""

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, row: int) -> dict:
        row = _checked(row, len(self))
        try:
            found = self.source[row]
        except RuntimeError as error:  # ArrayRecord raises it if a checksum is wrong
            raise CorruptExample(f"the example is damaged ({error}): {self.remedy}") from error
        return self._named(found)

    def several(self, rows: Sequence[int]) -> list[dict]:
        """Returns the examples at some rows, read in one call.

        Raises:
          CorruptExample: one of them or more are damaged; it is unknown which.
        """
        try:
            found = self.source.__getitems__([_checked(row, len(self)) for row in rows])
        except RuntimeError as error:  # as above
            raise CorruptExample(f"an example is damaged ({error}): {self.remedy}") from error
        return [self._named(each) for each in found]

    def stored(self) -> tuple[list[str], Any] | None:
        """Returns what the examples follow from: paths of files, and plain values.

        None stands for a dataset that is not in a directory of this machine.
        """
        folder = str(self.source.dataset_info.data_dir)
        if "://" in folder:
            return None
        files = sorted(str(path) for path in Path(folder).iterdir() if path.is_file())
        return files, [str(self.source.split), dict(self.renamed)]

    def _named(self, found: Mapping[str, Any]) -> dict:
        example = {
            self.renamed.get(key, key): value
            for key, value in tfds_features.flat(found).items()
            if key not in tfds_features.NAMES_OF_EXAMPLES
        }
        label = np.asarray(example.get("label"))
        if label.ndim == 0 and label.dtype.kind in "biu":
            example["label"] = np.int32(label.item())
        return example


@dataclasses.dataclass(frozen=True)
class ArrayRecords:
    """The examples of arrays in memory, `{feature: (n, ...)}`."""

    arrays: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def __getitem__(self, row: int) -> dict:
        row = _checked(row, len(self))
        return {key: values[row] for key, values in self.arrays.items()}


@dataclasses.dataclass(frozen=True)
class NoRecords:
    """Empty examples, `count` of them, for systems that make their own data."""

    count: int = 2**32 - 1

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, row: int) -> dict:
        _checked(row, self.count)
        return {}


@dataclasses.dataclass(frozen=True)
class UnopenedRecords:
    """The examples of a split that a program does not open; `split` names it in messages."""

    split: str

    def __len__(self) -> int:
        self._refuse()

    def __getitem__(self, row: int) -> dict:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise ConfigError(
            f"the split {self.split!r} is not open: this plan was made with trains=False, for a "
            "program that does not train"
        )


def describe_tfds(name: str, parts: tuple[splits.Part, ...], source: Any, row: int) -> str:
    """Names an example of a TFDS data source: "cifar10 train[17] (airplane_s_000004.png)"."""
    try:
        example = source[row]
    except RuntimeError:
        # A damaged example has no readable name, only its row.
        return splits.describe(name, parts, row)
    names = [example[key] for key in tfds_features.NAMES_OF_EXAMPLES if key in example]
    texts = [x.decode(errors="replace") if isinstance(x, bytes) else str(x) for x in names]
    return splits.describe(name, parts, row) + (f" ({', '.join(texts)})" if texts else "")


def _checked(row: int, size: int) -> int:
    row = operator.index(row)
    if not 0 <= row < size:
        raise IndexError(f"row {row} of {size}")
    return row
