"""Cora and Citeseer: papers that cite each other, by subject, with Planetoid's public splits.

Sen et al., "Collective classification in network data", AI Magazine 2008; Yang, Cohen and
Salakhutdinov, "Revisiting semi-supervised learning with graph embeddings", ICML 2016.
"""

import collections
import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import scipy.sparse
import tensorflow_datasets as tfds

from library.config import ConfigError
from library.data import origins
from library.data.builders import making, packed

_CLASSES = {"cora": 7, "citeseer": 6}
_WORDS = {"cora": 1_433, "citeseer": 3_703}
_FILES = {
    "cora": {
        "x": (
            22_119,
            "sha256:23cfa55d91c6f624233f5eb7b6e3f141f1bd2b2ae39608a63cf5d084bb27baab",
        ),
        "tx": (
            148_025,
            "sha256:b9afbaa4a400df991f6f02ef677e1e44da55ffc04801fd02f9e673987829226a",
        ),
        "allx": (
            257_305,
            "sha256:9419ba2f26f5c35243db64aba110e0f35a04851609e0dc5433450676ca6b8543",
        ),
        "y": (
            4_054,
            "sha256:94465c14eb53e04ca262198dcbb2521ee8af60fb3f3d546cd6ca24a511b0e7d1",
        ),
        "ty": (
            28_135,
            "sha256:41f5ac76596a1699cc33f53084a2419e92961c42bb75f36fc38e616d348532ad",
        ),
        "ally": (
            47_959,
            "sha256:2b998f5cc7fedc86e7f97ca2498f47a1ffc1462c29e2d578b23bf3f62b6e7d71",
        ),
        "graph": (
            59_847,
            "sha256:58f13302f39dde8852dad6fe6d15b89b077b6d7f837626bce671ef80344b383d",
        ),
        "test.index": (
            5_000,
            "sha256:297ce89af2b51a6a194181c7dbe1796c6a1cf9cd9349a88383b1b1e227867875",
        ),
    },
    "citeseer": {
        "x": (
            31_087,
            "sha256:d20de19150741e555de0ed037195630fc194114ebc7fd72ced62810148aa22f6",
        ),
        "tx": (
            260_321,
            "sha256:539a8906a2da97628d212f2fdd668c109a8b3f0d36574b59e5d3fd5b5303da21",
        ),
        "allx": (
            595_021,
            "sha256:2ac30345d95c9ec933a817ee0bdd6a5f077f8c184a20e696910192d534414668",
        ),
        "y": (
            3_014,
            "sha256:8ba87e515d8e3ee3cf52f6d2c5b86aa73f11ecad825a808455209ec26cd54924",
        ),
        "ty": (
            24_135,
            "sha256:55e5bd1ba1e733a04598753ad1a8d57957f4b8f89e74519f41f4f4938767e4ce",
        ),
        "ally": (
            55_623,
            "sha256:f704b2d986dde6c2669934de1f3ae5696a6cf9455c0f6b2646a2d135ea0a1c95",
        ),
        "graph": (
            61_987,
            "sha256:d79a4ef9d3e7169aee8946145f6b7306e35bc79bffad26346cfb94e10e9912a7",
        ),
        "test.index": (
            5_000,
            "sha256:2af990671580b6b2df5d158d1038f8292e30c9cd821b5453f399659b25b723d4",
        ),
    },
}
_CSR = ("feat_indptr", "feat_indices", "feat_data", "feat_shape")
_PARTS = {"train_mask": "train_idx", "val_mask": "val_idx", "test_mask": "test_idx"}


def _variant(name: str, files: Mapping[str, tuple[int, str]]) -> making.Variant:
    return making.Variant(
        name=name,
        splits={"train": 1},
        origin=origins.on_github(
            "tkipf/gcn",
            "39a4089fe72ad9f055ed6fdb9746abdcfebc4d81",
            {f"gcn/data/ind.{name}.{part}": known for part, known in files.items()},
        ),
        files=(f"{name}.npz",),
        details={"classes": _CLASSES[name], "words": _WORDS[name]},
    )


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """One graph, the single example of the split train.

    `nodes` (n, f): 0 or 1 for each word. `edges` (e, 2): undirected, each once, without loops.
    `node_label` (n,): -1 if it is unknown. `train_mask`, `val_mask` and `test_mask` (n,): 1 for the
    nodes of a split. Cora has 2,708 nodes, 1,433 words and 140 training nodes; Citeseer has 3,327,
    3,703 and 120.
    """

    name = "planetoid"
    VERSION = tfds.core.Version("1.0.0")
    url_infos: ClassVar[dict] = {}  # TFDS would otherwise look for a file of checksums
    FOLDER = "planetoid"
    HOMEPAGE = "https://github.com/kimiyoung/planetoid"
    LICENCE = "MIT for the repository of the files"
    CITATION = "Sen et al., 2008; Yang et al., Revisiting semi-supervised learning, ICML 2016"
    KINDS: ClassVar[dict[str, str]] = {
        key: "array" for key in ("nodes", "edges", "node_label", *_PARTS)
    }
    BUILDER_CONFIGS: ClassVar[list] = [_variant(name, files) for name, files in _FILES.items()]

    def _info(self) -> tfds.core.DatasetInfo:
        words = self.builder_config.details["words"]
        marks = {key: tfds.features.Tensor(shape=(None,), dtype=np.int32) for key in _PARTS}
        features = {
            "nodes": tfds.features.Tensor(shape=(None, words), dtype=np.float32),
            "edges": tfds.features.Tensor(shape=(None, 2), dtype=np.int32),
            "node_label": tfds.features.Tensor(shape=(None,), dtype=np.int32),
            **marks,
        }
        return making.info(self, features)

    def _split_generators(self, dl_manager):
        ((_, path),) = self.paths.items()
        arrays = packed.load(path, (*_CSR, "edges", "labels", *_PARTS.values()))
        data, indices, indptr = (arrays[f"feat_{key}"] for key in ("data", "indices", "indptr"))
        nodes = scipy.sparse.csr_matrix((data, indices, indptr), shape=arrays["feat_shape"])
        labels = arrays["labels"].astype(np.int32)
        if labels.max() >= self.builder_config.details["classes"] or len(labels) != nodes.shape[0]:
            raise ConfigError(f"{path}: {len(labels)} labels up to {labels.max()}")
        masks = {key: np.zeros(len(labels), np.int32) for key in _PARTS}
        for key, rows in _PARTS.items():
            masks[key][arrays[rows]] = 1
        dense = np.asarray(nodes.todense(), np.float32)
        example = {"nodes": dense, "edges": arrays["edges"], "node_label": labels, **masks}
        return {"train": iter([(0, example)])}

    def pack(self, paths: Mapping[str, Path], folder: Path) -> None:
        """Packs the rows in the order of the nodes; in the files, test nodes are shuffled."""
        name = self.builder_config.name
        read = {part: _load(paths[f"ind.{name}.{part}"]) for part in ("y", "ty", "ally", "graph")}
        words = {part: _load(paths[f"ind.{name}.{part}"]) for part in ("tx", "allx")}
        test = np.loadtxt(paths[f"ind.{name}.test.index"], dtype=np.int64)
        count = max(test) + 1
        nodes = scipy.sparse.lil_matrix((count, words["allx"].shape[1]), dtype=np.float32)
        onehot = np.zeros((count, read["ally"].shape[1]))
        first = words["allx"].shape[0]
        nodes[:first], nodes[test] = words["allx"], words["tx"]
        onehot[:first], onehot[test] = read["ally"], read["ty"]
        csr = nodes.tocsr()
        csr.sort_indices()
        known = len(read["y"])
        np.savez_compressed(
            folder / f"{name}.npz",
            feat_indptr=csr.indptr.astype(np.int32),
            feat_indices=csr.indices.astype(np.int16),
            feat_data=csr.data,
            feat_shape=np.array(csr.shape, np.int64),
            edges=_edges(read["graph"]),
            labels=np.where(onehot.any(axis=1), onehot.argmax(axis=1), -1).astype(np.int16),
            train_idx=np.arange(known),
            val_idx=np.arange(known, known + 500),
            test_idx=np.sort(test),
        )

    _generate_examples = making.examples


class _Arrays(pickle.Unpickler):
    """An unpickler of arrays, sparse matrices and dicts of lists; other objects are an error."""

    def find_class(self, module: str, name: str) -> Any:
        known = {
            ("collections", "defaultdict"): collections.defaultdict,
            ("__builtin__", "list"): list,
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
        }
        if (module, name) in known:
            return known[module, name]
        if name == "_reconstruct" and module.startswith("numpy"):
            return np.zeros(0).__reduce__()[0]
        if name == "csr_matrix" and module.startswith("scipy.sparse"):
            return scipy.sparse.csr_matrix
        raise ConfigError(f"the file asks for {module}.{name}, which its data do not need")


def _load(path: Path) -> Any:
    data = io.BytesIO(path.read_bytes())
    return making.checked(path, lambda: _Arrays(data, encoding="latin1").load())


def _edges(graph: Mapping[int, list[int]]) -> np.ndarray:
    pairs = {(min(a, b), max(a, b)) for a, others in graph.items() for b in others if a != b}
    return np.array(sorted(pairs), np.int32)
