"""The table of data sets, and the real files of those that are at hand."""

from pathlib import Path

import numpy as np
import pytest

from library.data import catalogue, prepared, sources
from library.data.builders import making

KINDS = {"image", "map", "field", "boxes", "points", "tokens", "text", "audio", "series"}
KINDS |= {"label", "target", "id", "array", "clip"}
ENTRIES = {entry.name: entry for entry in catalogue.entries()}
# Made in under a second each.
QUICK = (
    *(
        "bach_chorales",
        "gestures/basic_motions",
        "tabular/iris",
        "tabular/wine",
        "tabular/sunspots",
    ),
    *("molecules/esol", "tu_graphs/mutag", "nab", "orange2lemon64"),
)
SLOW = (
    *("camvid240", "isbi2012_membrane", "bccd", "orl_faces", "sr_photos/set5", "flickr8k_1k"),
    *("omniglot_small", "fsdd", "jsb_chorales/jsb", "glove50", "qm9", "multi30k", "sst2"),
    *("planetoid/cora", "planetoid/citeseer", "tu_graphs/ptc", "tu_graphs/proteins"),
    *("tu_graphs/nci1", "ett/etth1", "ett/etth2", "molecules/tox21", "molecules/sider"),
    *("molecules/clintox", "tabular/adult", "tabular/mammography", "utkface64", "mnist"),
)


def test_the_table_in_the_documentation_is_this_one():
    path = Path(__file__).parents[2] / "docs" / "data.md"
    assert path.read_text(encoding="utf-8") == catalogue.table(), (
        "python -m experiments.prepare --list > docs/data.md"
    )


@pytest.mark.parametrize("name", ENTRIES)
def test_every_set_says_what_it_is(name):
    entry = ENTRIES[name]
    assert all([entry.splits, entry.builder.LICENCE, entry.builder.CITATION, entry.what])
    assert all(count > 0 for count in entry.splits.values())
    alike = [other for other in ENTRIES if other.partition("/")[0] == name.partition("/")[0]]
    makers = [prepared.project_builder(other) for other in alike]
    features = {key for make in makers for key in make(data_dir="/nowhere").info.features}
    assert set(entry.builder.KINDS) <= features
    assert set(entry.builder.KINDS.values()) <= KINDS
    for origin in entry.origin:
        assert origin.checksum is None or origin.checksum.startswith(("sha256:", "md5:"))


@pytest.mark.parametrize(
    "name", [*QUICK, *(pytest.param(name, marks=pytest.mark.full) for name in SLOW)]
)
def test_the_real_files_where_there_are_any(tmp_path, name):
    builder, root = prepared.project_builder(name)(data_dir=tmp_path), prepared.DEFAULT_MANUAL_DIR
    wanted = making.files(builder) or [origin.file for origin in making.origin(builder)]
    if not all((root / builder.FOLDER / file).is_file() for file in wanted):
        pytest.skip(f"{' and '.join(wanted)} not at hand in {root / builder.FOLDER}")
    said = []
    info = sources.prepare(name, data_dir=tmp_path, progress=False, say=said.append)
    assert info.splits == ENTRIES[name].splits
    assert not [line for line in said if "warning" in line]
    for split in info.splits:
        records = sources.open_source(name, split, data_dir=tmp_path).records
        example = records[len(records) - 1]
        labels = example.get("label")
        assert labels is None or not info.label_names or 0 <= labels < len(info.label_names)
        if "edges" in example and "nodes" in example and np.size(example["edges"]):
            assert 0 <= np.min(example["edges"]) <= np.max(example["edges"]) < len(example["nodes"])
