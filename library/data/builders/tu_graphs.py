"""Four sets of graphs, with a class for each graph: MUTAG, PTC, PROTEINS and NCI1.

Morris et al., "TUDataset: a collection of benchmark datasets for learning with graphs", 2020, in
the form and with the ten folds of Xu et al., "How powerful are graph neural networks?", ICLR 2019.
MUTAG's folds are this project's own: stratified, with seed 0.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from library.config import ConfigError
from library.data import origins
from library.data.builders import making, packed

_KEYS = ("num_nodes", "node_label", "edges", "graph_label", "fold")
_GIN = origins.archive("LiuBeauty/GIN_COMETRUE", "8fb89b47171ebae6a18dd955fe29095b33dec018")
_MUTAG = origins.archive("SuperVillian/GBGC", "bc6a710ff57010dfccef68f5e4a294692ccbf242")
# Node labels, graphs in no fold, graphs in each fold.
_SETS = {
    "mutag": (7, 0, (19, 19, 19, 19, 19, 19, 19, 19, 18, 18)),
    "ptc": (19, 4, (34, 34, 34, 34, 34, 34, 34, 34, 34, 34)),
    "proteins": (3, 3, (111, 111, 111, 111, 111, 111, 111, 111, 111, 111)),
    "nci1": (37, 0, (411, 411, 411, 411, 411, 411, 411, 411, 411, 411)),
}
_FOLDS = [f"fold{fold}" for fold in range(10)]


def _variant(name: str, labels: int, rest: int, counts: tuple[int, ...]) -> making.Variant:
    splits = dict(zip(_FOLDS, counts)) | ({"rest": rest} if rest else {})
    origin = _MUTAG if name == "mutag" else _GIN
    details = {"labels": labels}
    return making.Variant(
        name=name, splits=splits, origin=origin, files=(f"{name}.npz",), details=details
    )


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """One graph in each example; the splits are the test folds, fold0 to fold9, and `rest`.

    `nodes` (n, f): the kind of each node, one-hot. `edges` (e, 2): undirected, each once. The
    graphs of `rest` are in no test fold. Train on "fold1+fold2+...+rest" and test on "fold0".
    """

    name = "tu_graphs"
    VERSION = tfds.core.Version("1.0.0")
    url_infos: ClassVar[dict] = {}  # TFDS would otherwise look for a file of checksums
    FOLDER = "tu_graphs"
    HOMEPAGE = "https://chrsmrrs.github.io/datasets"
    LICENCE = "not stated; public benchmarks"
    CITATION = "Morris et al., TUDataset, 2020; Xu et al., How powerful are GNNs, ICLR 2019"
    KINDS: ClassVar[dict[str, str]] = {"nodes": "array", "edges": "array"}
    BUILDER_CONFIGS: ClassVar[list] = [_variant(name, *known) for name, known in _SETS.items()]

    def _info(self) -> tfds.core.DatasetInfo:
        labels = self.builder_config.details["labels"]
        features = {
            "nodes": tfds.features.Tensor(shape=(None, labels), dtype=np.float32),
            "edges": tfds.features.Tensor(shape=(None, 2), dtype=np.int32),
            "label": tfds.features.ClassLabel(num_classes=2),
        }
        return making.info(self, features)

    def _split_generators(self, dl_manager):
        ((_, path),) = self.paths.items()
        arrays = packed.load(path, _KEYS)
        labels = self.builder_config.details["labels"]
        packed.check_labels(path, arrays["node_label"], int(arrays["num_nodes"].sum()), labels)
        packed.check_labels(path, arrays["graph_label"], len(arrays["num_nodes"]), 2)
        numbers = dict(zip([*_FOLDS, "rest"], [*range(10), -1]))
        rows = {split: np.flatnonzero(arrays["fold"] == fold) for split, fold in numbers.items()}
        return {split: _read(arrays, found, labels) for split, found in rows.items() if len(found)}

    def pack(self, paths: Mapping[str, Path], folder: Path) -> None:
        """Packs the graphs of one set and their folds."""
        ((_, path),) = paths.items()
        name = self.builder_config.name.upper()
        held = making.contents(path, (".txt",), top=False)
        text = making.member(path, held, f"dataset/{name}/{name}.txt").decode()
        arrays = making.checked(path, lambda: _parse(text))
        fold = np.full(len(arrays["graph_label"]), -1, np.int8)
        if name == "MUTAG":
            rng, classes = np.random.default_rng(0), arrays["graph_label"]
            order = [rng.permutation(np.flatnonzero(classes == label)) for label in (0, 1)]
            fold[np.concatenate(order)] = np.arange(len(fold)) % 10
        else:
            for number in range(10):
                file = f"dataset/{name}/10fold_idx/test_idx-{number + 1}.txt"
                fold[np.array(making.member(path, held, file).split(), int)] = number
        np.savez_compressed(folder / self.builder_config.files[0], **arrays, fold=fold)

    _generate_examples = making.examples


def _parse(text: str) -> dict[str, np.ndarray]:
    """Reads graphs: a line "nodes class", then for each node "kind degree neighbour ..."."""
    lines = iter(text.splitlines())
    num_nodes, classes, kinds, edges = [], [], [], set()
    for _ in range(int(next(lines))):
        size, of_class = (int(x) for x in next(lines).split())
        start = len(kinds)
        for node in range(start, start + size):
            kind, degree, *others = (int(x) for x in next(lines).split())
            kinds.append(kind)
            edges |= {
                tuple(sorted((node, start + x))) for x in others[:degree] if start + x != node
            }
        num_nodes.append(size)
        classes.append(of_class)
    if not edges:
        raise ConfigError("the file holds no edges")
    return {
        "num_nodes": np.array(num_nodes, np.int32),
        "node_label": _counted(kinds),
        "edges": np.array(sorted(edges), np.int32),
        "graph_label": _counted(classes),
    }


def _counted(labels: list[int]) -> np.ndarray:
    """Replaces labels by their places among the sorted labels, from 0."""
    return np.unique(labels, return_inverse=True)[1].astype(np.uint8)


def _read(
    arrays: Mapping[str, np.ndarray], rows: np.ndarray, labels: int
) -> Iterator[tuple[int, dict]]:
    starts = np.cumsum([0, *arrays["num_nodes"].tolist()])
    bounds = np.searchsorted(arrays["edges"][:, 0], starts)
    for row in rows.tolist():
        kinds = arrays["node_label"][starts[row] : starts[row + 1]]
        yield (
            row,
            {
                "nodes": np.eye(labels, dtype=np.float32)[kinds],
                "edges": arrays["edges"][bounds[row] : bounds[row + 1]] - np.int32(starts[row]),
                "label": int(arrays["graph_label"][row]),
            },
        )
