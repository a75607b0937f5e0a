"""NAB: 48 series of measurements, real and artificial, with marked anomalies.

Lavin and Ahmad, "Evaluating real-time anomaly detection algorithms: the Numenta anomaly benchmark",
ICMLA 2015. The tweets are left out.
"""

import csv
import io
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from library.data import origins
from library.data.builders import making, packed

_KEYS = ("values", "anomaly_window", "unix_time", "offsets", "names")


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """`series` (t, 1) and `anomaly` (t,), which is 1 within a marked window; train 48.

    There is one split only: the benchmark trains on the first part of each series.
    """

    name = "nab"
    VERSION = tfds.core.Version("1.0.0")
    url_infos: ClassVar[dict] = {}  # TFDS would otherwise look for a file of checksums
    FOLDER = "nab"
    FILES = ("nab.npz",)
    HOMEPAGE = "https://github.com/numenta/NAB"
    LICENCE = "similar to MIT, Numenta 2014-2024, as the repository states"
    CITATION = "Lavin and Ahmad, The Numenta anomaly benchmark, ICMLA 2015"
    SPLITS: ClassVar[dict[str, int]] = {"train": 48}
    KINDS: ClassVar[dict[str, str]] = {"series": "series", "anomaly": "array"}
    ORIGIN = origins.archive("numenta/NAB", "ea702d75cc2258d9d7dd35ca8e5e2539d71f3140")

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "series": tfds.features.Tensor(shape=(None, 1), dtype=np.float32),
            "anomaly": tfds.features.Tensor(shape=(None,), dtype=np.int32),
            "id": tfds.features.Text(),
        }
        return making.info(self, features)

    def _split_generators(self, dl_manager):
        arrays = packed.load(self.paths["nab.npz"], _KEYS)
        offsets, found = arrays["offsets"], []
        for row, name in enumerate(arrays["names"].tolist()):
            part = slice(offsets[row], offsets[row + 1])
            series = arrays["values"][part, None]
            anomaly = arrays["anomaly_window"][part].astype(np.int32)
            found.append((row, {"series": series, "anomaly": anomaly, "id": name}))
        return {"train": iter(found)}

    @staticmethod
    def pack(paths: Mapping[str, Path], folder: Path) -> None:
        """Packs the series, sorted by name, with marks of the points in the official windows."""
        ((_, path),) = paths.items()
        held = making.contents(path, (".csv", "labels/combined_windows.json"), top=False)
        windows = json.loads(making.member(path, held, "labels/combined_windows.json"))
        names = sorted(name for name in windows if not name.startswith("realTweets/"))
        series = [_read(making.member(path, held, f"data/{name}"), windows[name]) for name in names]
        values, times, marks = (np.concatenate(each) for each in zip(*series))
        np.savez_compressed(
            folder / "nab.npz",
            values=values,
            anomaly_window=marks,
            unix_time=times,
            offsets=np.cumsum([0, *(len(each[0]) for each in series)], dtype=np.int64),
            names=np.array(names),
        )

    _generate_examples = making.examples


def _seconds(time: str) -> float:
    return datetime.fromisoformat(time).replace(tzinfo=UTC).timestamp()


def _read(data: bytes, windows: list[list[str]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns values, times in seconds as if they were UTC, and marks, (t,) each."""
    rows = list(csv.reader(io.StringIO(data.decode("utf-8"))))[1:]
    times = np.array([_seconds(time) for time, _ in rows])
    marks = np.zeros(len(rows), bool)
    for first, last in windows:
        marks |= (times >= _seconds(first)) & (times <= _seconds(last))
    values = np.array([float(value) for _, value in rows], np.float32)
    return values, times.astype(np.int64), marks
