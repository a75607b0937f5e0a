"""Builders of published data sets, on stand-ins of the official formats."""

import functools
import gzip
import http.server
import io
import itertools
import threading

import numpy as np
import pytest
import scipy.io
import tensorflow_datasets as tfds
from PIL import Image

from library.config import ConfigError
from library.data import prepared, sources
from library.data.builders import bccd, imagenet2012, isbi2012_membrane, making, tinyimagenet20
from tests.data import published
from tests.data.published import decoded, encode, pixels


@pytest.fixture(autouse=True)
def unchecked(monkeypatch):
    """Takes stand-ins for the published files."""
    origin = making.origin
    strip = dict(size=None, checksum=None)
    monkeypatch.setattr(making, "origin", lambda b: tuple(o._replace(**strip) for o in origin(b)))


def prepare(name, tmp_path, say=lambda line: None):
    options = dict(progress=False, say=say)
    return sources.prepare(name, data_dir=tmp_path, manual_dir=tmp_path / "manual", **options)


def read(name, split, tmp_path):
    source = sources.open_source(name, split, data_dir=tmp_path)
    return [source.records[row] for row in range(len(source.records))]


def in_order(split, keys):
    """Returns the order in which TFDS keeps examples of these keys."""
    hasher = tfds.core.hashing.Hasher(split)
    return sorted(keys, key=hasher.hash_key)


def mnist(folder):
    expected = {}
    for split, prefix, count in (("train", "train", 3), ("test", "t10k", 2)):
        images, labels = pixels(count, 28, 28), np.arange(count, dtype=np.uint8)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{prefix}-images-idx3-ubyte.gz").write_bytes(published.idx(images))
        (folder / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(published.idx(labels))
        expected[split] = {row: (images[row], labels[row]) for row in range(count)}
    return expected


def emnist(folder):
    members, expected = {}, {}
    for split in ("train", "test"):
        images, labels = pixels(2, 28, 28), np.array([1, 26], np.uint8)
        members[f"gzip/emnist-letters-{split}-images-idx3-ubyte.gz"] = published.idx(images)
        members[f"gzip/emnist-letters-{split}-labels-idx1-ubyte.gz"] = published.idx(labels)
        expected[split] = {row: (images[row], labels[row]) for row in range(2)}
    published.write_zip(folder / "gzip.zip", members)
    return expected


def cifar10(folder):
    return cifar(folder / "cifar-10-binary.tar.gz", "cifar-10-batches-bin", 1)


def cifar(path, top, num_labels):
    members, expected, rows = {}, {"train": {}, "test": {}}, itertools.count()
    if num_labels == 2:
        members[f"{top}/coarse_label_names.txt"] = b"\n".join(b"c%d" % i for i in range(20))
        members[f"{top}/fine_label_names.txt"] = b"\n".join(b"f%d" % i for i in range(100))
        batches = [("train", "train.bin"), ("test", "test.bin")]
    else:
        batches = [("train", f"data_batch_{i}.bin") for i in range(1, 6)]
        batches.append(("test", "test_batch.bin"))
    for split, file in batches:
        image, label = pixels(32, 32, 3), next(rows)
        labels = bytes([label])[-1:] if num_labels == 1 else bytes([19, label])
        members[f"{top}/{file}"] = labels + image.transpose(2, 0, 1).tobytes()
        expected[split][len(expected[split])] = (image, label)
    published.write_tar(path, members)
    return expected


def cifar100(folder):
    return cifar(folder / "cifar-100-binary.tar.gz", "cifar-100-binary", 2)


def svhn_cropped(folder):
    expected = {}
    folder.mkdir(parents=True)
    for split in ("train", "test", "extra"):
        images, labels = pixels(32, 32, 3, 2), np.array([[10], [3]], np.uint8)
        scipy.io.savemat(folder / f"{split}_32x32.mat", {"X": images, "y": labels})
        expected[split] = {0: (images[..., 0], 0), 1: (images[..., 1], 3)}
    return expected


def stl10(folder):
    members, expected = {}, {}
    for split, file in (("train", "train"), ("test", "test"), ("unlabelled", "unlabeled")):
        image = pixels(96, 96, 3)
        members[f"stl10_binary/{file}_X.bin"] = image.transpose(2, 1, 0).tobytes()
        if split != "unlabelled":
            members[f"stl10_binary/{file}_y.bin"] = bytes([7])
        expected[split] = {0: (image, -1 if split == "unlabelled" else 6)}
    published.write_tar(folder / "stl10_binary.tar.gz", members)
    return expected


def imagenette(folder):
    members, expected = {}, {"train": {}, "validation": {}}
    for split, place in (("train", "train"), ("validation", "val")):
        for label, wnid in enumerate(("n01440764", "n02102040")):
            image = encode(pixels(9, 8, 3), "JPEG")
            members[f"imagenette2-160/{place}/{wnid}/{wnid}_{split}.JPEG"] = image
            expected[split][f"{wnid}_{split}.JPEG"] = (decoded(image), label)
    published.write_tar(folder / "imagenette2-160.tgz", members)
    return expected


def omniglot(folder):
    expected, files = {}, ("background", "evaluation", "background_small1", "background_small2")
    for number, (split, file) in enumerate(zip(("train", "test", "small1", "small2"), files)):
        image = pixels(105, 105, 3)
        top = f"images_{file}/Latin/character01"
        members = {f"{top}/{number + 5:04d}_01.png": encode(image), f"{top}/": b""}
        published.write_zip(folder / f"images_{file}.zip", members)
        expected[split] = {f"Latin_0_{number + 5:04d}_01.png": (image, number + 4)}
    return expected


def oxford_flowers102(folder):
    images = {f"image_{n:05d}.jpg": encode(pixels(9, 8, 3), "JPEG") for n in range(1, 5)}
    members = {f"jpg/{name}": data for name, data in images.items()}
    published.write_tar(folder / "102flowers.tgz", members)
    labels = np.array([[102, 1, 7, 5]])
    scipy.io.savemat(folder / "imagelabels.mat", {"labels": labels})
    numbers = {"trnid": [[1, 3]], "valid": [[4]], "tstid": [[2]]}
    scipy.io.savemat(folder / "setid.mat", {key: np.array(x) for key, x in numbers.items()})
    keys = {"train": "trnid", "validation": "valid", "test": "tstid"}
    return {
        split: {
            f"image_{n:05d}.jpg": (decoded(images[f"image_{n:05d}.jpg"]), labels[0, n - 1] - 1)
            for n in numbers[key][0]
        }
        for split, key in keys.items()
    }


FORMATS = {
    "mnist": mnist,
    "fashion_mnist": mnist,
    "kmnist": mnist,
    "emnist/letters": emnist,
    "cifar10": cifar10,
    "cifar100": cifar100,
    "svhn_cropped": svhn_cropped,
    "stl10": stl10,
    "imagenette/160px-v2": imagenette,
    "omniglot": omniglot,
    "oxford_flowers102": oxford_flowers102,
}


@pytest.mark.parametrize("name", FORMATS)
def test_images_and_labels_come_in_the_order_of_tfds(tmp_path, name):
    expected = FORMATS[name](tmp_path / "manual")
    info = prepare(name, tmp_path)
    assert info.splits == {split: len(rows) for split, rows in expected.items()}
    for split, rows in expected.items():
        examples = read_unchecked(name, split, tmp_path)
        for example, key in zip(examples, in_order(split, rows), strict=True):
            np.testing.assert_array_equal(decoded(example["image"]), rows[key][0])
            assert example["label"] == rows[key][1]


def read_unchecked(name, split, tmp_path):
    if split == "unlabelled":
        builder = making_of(name)(data_dir=tmp_path)
        skip = {"image": tfds.decode.SkipDecoding()}
        return list(builder.as_data_source(split, decoders=skip))
    return read(name, split, tmp_path)


def making_of(name):
    return prepared.project_builder(name)


@pytest.mark.parametrize("name", FORMATS)
def test_features_and_version_are_those_of_tfds(name):
    """So what either has prepared, the other reads."""
    ours, theirs = making_of(name)(), tfds.builder_cls(name.partition("/")[0])
    config = name.partition("/")[2]
    theirs = theirs(config=config) if config else theirs()
    assert set(ours.info.features) == set(theirs.info.features)
    assert str(ours.version) == str(theirs.version)
    assert ours.data_path.parts[-2:] == theirs.data_path.parts[-2:]


def test_boxes_of_voc_are_fractions(tmp_path):
    annotation = (
        "<annotation><size><width>40</width><height>20</height></size>"
        "<object><name>dog</name><difficult>1</difficult><bndbox><xmin>10</xmin><ymin>5</ymin>"
        "<xmax>30</xmax><ymax>20</ymax></bndbox></object></annotation>"
    )
    image = encode(pixels(20, 40, 3), "JPEG")
    members = {
        "VOCdevkit/VOC2012/Annotations/2008_1.xml": annotation.encode(),
        "VOCdevkit/VOC2012/Annotations/2008_2.xml": annotation.replace("dog", "person").encode(),
        "VOCdevkit/VOC2012/ImageSets/Main/train.txt": b"2008_1\n",
        "VOCdevkit/VOC2012/ImageSets/Main/val.txt": b"2008_2\n",
        "VOCdevkit/VOC2012/JPEGImages/2008_1.jpg": image,
        "VOCdevkit/VOC2012/JPEGImages/2008_2.jpg": image,
    }
    published.write_tar(tmp_path / "manual" / "VOCtrainval_11-May-2012.tar", members, "w")
    assert prepare("voc/2012", tmp_path).splits == {"train": 1, "validation": 1}
    (example,) = read("voc/2012", "train", tmp_path)
    assert example["image"] == image
    np.testing.assert_array_equal(
        example["boxes"], np.float32([[5 / 20, 10 / 40, 20 / 20, 30 / 40]])
    )
    assert list(example["boxes_label"]) == [11]
    assert example["boxes_difficult"].tolist() == [1]
    # Both years together train, and the images of 2007 test.
    members["VOCdevkit/VOC2012/ImageSets/Main/trainval.txt"] = b"2008_1\n2008_2\n"
    published.write_tar(tmp_path / "manual" / "VOCtrainval_11-May-2012.tar", members, "w")
    for file, split in (("VOCtrainval_06-Nov-2007", "trainval"), ("VOCtest_06-Nov-2007", "test")):
        older = {
            "VOCdevkit/VOC2007/Annotations/1.xml": annotation.encode(),
            f"VOCdevkit/VOC2007/ImageSets/Main/{split}.txt": b"1\n",
            "VOCdevkit/VOC2007/JPEGImages/1.jpg": image,
        }
        published.write_tar(tmp_path / "manual" / f"{file}.tar", older, "w")
    assert prepare("voc/0712", tmp_path).splits == {"train": 3, "test": 1}


def test_pets_come_with_their_outlines(tmp_path):
    folder, outline = tmp_path / "manual", np.full((9, 8), 2, np.uint8)
    images = {
        f"images/{name}.jpg": encode(pixels(9, 8, 3), "JPEG") for name in ("Abyssinian_1", "pug_7")
    }
    published.write_tar(folder / "images.tar.gz", images)
    annotations = {
        "annotations/trainval.txt": b"pug_7 26 2 19\n",
        "annotations/test.txt": b"Abyssinian_1 1 1 1\n",
        "annotations/trimaps/pug_7.png": encode(outline),
        "annotations/trimaps/Abyssinian_1.png": encode(outline),
        "annotations/trimaps/._pug_7.png": b"",
    }
    published.write_tar(folder / "annotations.tar.gz", annotations)
    info = prepare("oxford_iiit_pet", tmp_path)
    (example,) = read("oxford_iiit_pet", "train", tmp_path)
    assert info.label_names[example["label"]] == "pug"
    assert example["species"] == 1
    assert example["image"] == images["images/pug_7.jpg"]
    np.testing.assert_array_equal(decoded(example["map"]), outline)


def tiny_imagenet(tmp_path, wnids):
    """Writes one training and one validation photograph of each class; returns them by name."""
    images, top = {}, "tiny-imagenet-200"
    members = {f"{top}/wnids.txt": "\n".join(reversed(wnids)).encode()}
    lines = []
    for wnid in wnids:
        images[f"{wnid}_0.JPEG"] = encode(pixels(64, 64, 3), "JPEG")
        images[f"val_{wnid}.JPEG"] = encode(pixels(64, 64, 3), "JPEG")
        members[f"{top}/train/{wnid}/images/{wnid}_0.JPEG"] = images[f"{wnid}_0.JPEG"]
        members[f"{top}/train/{wnid}/{wnid}_boxes.txt"] = f"{wnid}_0.JPEG\t0\t10\t63\t58\n".encode()
        members[f"{top}/val/images/val_{wnid}.JPEG"] = images[f"val_{wnid}.JPEG"]
        lines.append(f"val_{wnid}.JPEG\t{wnid}\t1\t2\t3\t4\n")
    members[f"{top}/val/val_annotations.txt"] = "".join(lines).encode()
    published.write_zip(tmp_path / "manual" / "tiny-imagenet-200.zip", members)
    return images


def test_tiny_imagenet_and_what_is_cut_from_it_come_from_one_archive(tmp_path, monkeypatch):
    twenty = list(tinyimagenet20.CLASSES)
    images = tiny_imagenet(tmp_path, [*twenty, "n07747607", "n07749582"])
    monkeypatch.setattr(prepared, "DEFAULT_MANUAL_DIR", tmp_path / "nowhere")
    assert prepare("tinyimagenet20", tmp_path).splits == {"train": 20, "val": 20}
    for example in read("tinyimagenet20", "train", tmp_path):
        assert example["image"] == images[f"{twenty[example['label']]}_0.JPEG"]
        np.testing.assert_array_equal(example["box"], np.float32([10, 0, 59, 64]) / 64)
    prepare("orange2lemon64", tmp_path)
    (lemon,) = read("orange2lemon64", "testB", tmp_path)
    assert lemon["image"] == images["val_n07749582.JPEG"]


def test_slices_of_membranes_are_packed_in_the_order_of_their_numbers(tmp_path):
    """Archives list 10 before 2; an image here has its number as its grey, its map every second."""
    members = {}
    for row in sorted(range(30), key=str):
        grey = np.full((512, 512), row, np.uint8)
        label = np.full((512, 512), 255 * (row % 2), np.uint8)
        members[f"unet/data/membrane/train/image/{row}.png"] = encode(grey)
        members[f"unet/data/membrane/train/label/{row}.png"] = encode(label)
    members["unet/data/membrane/test/0.png"] = encode(grey)
    (origin,) = isbi2012_membrane.Builder.ORIGIN
    published.write_tar(tmp_path / "manual" / origin.file, members)
    assert prepare("isbi2012_membrane", tmp_path).splits == {"train": 24, "test": 6}
    for split, rows in (("train", range(24)), ("test", range(24, 30))):
        examples = read("isbi2012_membrane", split, tmp_path)
        for example, row in zip(examples, in_order(split, rows), strict=True):
            assert (decoded(example["image"]) == row).all()
            assert (decoded(example["map"]) == row % 2).all()
    assert (tmp_path / "downloads" / "isbi2012_membrane" / "membrane.npz").is_file()


def test_photographs_of_blood_are_packed_with_their_boxes(tmp_path):
    image, members = encode(np.zeros((480, 640, 3), np.uint8), "JPEG"), {}
    # The second cell of the second photograph has no width.
    cells = {"one": [("WBC", 160, 120, 320, 480)], "two": [("RBC", 0, 0, 640, 240)]}
    cells["two"] += [("RBC", 8, 8, 8, 9), ("Platelets", 480, 360, 640, 480)]
    cells["six"] = [("RBC", 320, 240, 640, 480)]
    for split, name in zip(("train", "val", "test"), cells):
        members[f"top/BCCD/ImageSets/Main/{split}.txt"] = f"{name}\n".encode()
        members[f"top/BCCD/JPEGImages/{name}.jpg"] = image + name.encode()
        objects = "".join(
            f"<object><name>{kind}</name><bndbox><xmin>{xmin}</xmin><ymin>{ymin}</ymin>"
            f"<xmax>{xmax}</xmax><ymax>{ymax}</ymax></bndbox></object>"
            for kind, xmin, ymin, xmax, ymax in cells[name]
        )
        members[f"top/BCCD/Annotations/{name}.xml"] = f"<a>{objects}</a>".encode()
    (origin,) = bccd.Builder.ORIGIN
    published.write_tar(tmp_path / "manual" / origin.file, members)
    assert prepare("bccd", tmp_path).splits == {"train": 1, "val": 1, "test": 1}
    expected = {
        "train": ("one", [1], [[0.25, 0.25, 1, 0.5]]),
        "val": ("two", [0, 2], [[0, 0, 0.5, 1], [0.75, 0.75, 1, 1]]),
        "test": ("six", [0], [[0.5, 0.5, 1, 1]]),
    }
    for split, (name, labels, boxes) in expected.items():
        (example,) = read("bccd", split, tmp_path)
        assert example["image"] == image + name.encode()
        assert list(example["boxes_label"]) == labels
        np.testing.assert_array_equal(example["boxes"], np.float32(boxes))


def test_a_mirror_serves_what_is_not_here(tmp_path):
    expected = mnist(tmp_path / "served")
    handler = functools.partial(Quiet, directory=tmp_path / "served")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            options = dict(data_dir=tmp_path, manual_dir=tmp_path / "nothing", progress=False)
            mirror, said = f"http://127.0.0.1:{server.server_port}", []
            info = sources.prepare("kmnist", **options, mirror=mirror, say=said.append)
        finally:
            server.shutdown()
            thread.join()
    assert info.splits == {split: len(rows) for split, rows in expected.items()}
    assert len(list((tmp_path / "downloads" / "kmnist").iterdir())) == 4
    assert said[0].startswith("downloading t10k-images-idx3-ubyte.gz")
    assert f"from {mirror}/t10k-images-idx3-ubyte.gz to" in said[0]


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def test_tfds_own_sets_take_no_mirror(tmp_path):
    with pytest.raises(ConfigError, match="'coil100' is a TFDS dataset, and --mirror works"):
        sources.prepare("coil100", data_dir=tmp_path, mirror="http://127.0.0.1:1")


def test_what_tfds_has_prepared_in_a_version_of_its_own_is_read(tmp_path):
    """Its pets have other features than ours."""

    class Theirs(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        name, VERSION, url_infos = "oxford_iiit_pet", tfds.core.Version("4.0.0"), {}

        def _info(self):
            features = {"image": tfds.features.Image(encoding_format="jpeg")}
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features)
            )

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            yield 0, {"image": io.BytesIO(encode(pixels(9, 8, 3), "JPEG"))}

    Theirs(data_dir=tmp_path).download_and_prepare(file_format="array_record")
    assert set(read("oxford_iiit_pet", "train", tmp_path)[0]) == {"image"}


def test_sets_whose_builder_in_tfds_needs_more_are_not_looked_for_there(tmp_path):
    """TFDS's QM9 imports pandas."""
    for folder in (tmp_path, tmp_path / "with"):
        with pytest.raises(ConfigError, match=r"(?s)'qm9' is not prepared in .*--dataset=qm9"):
            sources.open_source("qm9", "train", data_dir=folder)
        (tmp_path / "with" / "qm9").mkdir(parents=True, exist_ok=True)


def test_a_damaged_archive_is_named(tmp_path):
    cifar10(tmp_path / "manual")
    path = tmp_path / "manual" / "cifar-10-binary.tar.gz"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ConfigError, match=r"cifar-10-binary.tar.gz"):
        prepare("cifar10", tmp_path)
    assert not list((tmp_path / "cifar10").glob("*"))


@pytest.mark.parametrize("contents", [b"", b"smiles,measured\nC,\xff\n"])
def test_contents_that_are_not_as_expected_are_named(tmp_path, contents):
    name = "esol_delaney.csv.gz"
    (tmp_path / "manual").mkdir()
    (tmp_path / "manual" / name).write_bytes(gzip.compress(contents))
    with pytest.raises(ConfigError, match=rf"{name} is damaged or has another format"):
        prepare("molecules/esol", tmp_path)
    assert not list(tmp_path.glob("molecules/esol/*"))


def test_unlike_counts_are_said(tmp_path):
    stl10(tmp_path / "manual")
    said = []
    options = dict(data_dir=tmp_path, manual_dir=tmp_path / "manual", progress=False)
    sources.prepare("stl10", **options, say=said.append)
    assert said[-1].startswith("warning: the published stl10 has {'train': 5000")


def test_an_unknown_variant_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"unknown variant 'leters' of emnist.*letters"):
        prepare("emnist/leters", tmp_path)


WNIDS = ("n01440764", "n01443537", "n15075141")


@pytest.fixture
def imagenet(tmp_path, monkeypatch):
    """Writes both tars of a tiny ImageNet; returns the files by split and name."""
    folder = tmp_path / "manual" / "imagenet2012"
    train = {
        wnid: {f"{wnid}_{i}.JPEG": encode(pixels(8, 9, 3), "JPEG") for i in range(3)}
        for wnid in WNIDS
    }
    cmyk = io.BytesIO()
    Image.new("CMYK", (8, 8), (10, 20, 30, 40)).save(cmyk, "JPEG")
    train[WNIDS[0]][f"{WNIDS[0]}_0.JPEG"] = cmyk.getvalue()
    inner = {f"{wnid}.tar": published.tar(images) for wnid, images in train.items()}
    published.write_tar(folder / imagenet2012.TRAIN, inner, "w")
    names = [f"ILSVRC2012_val_{i:08d}.JPEG" for i in (3, 1, 2)]
    val = {name: encode(pixels(8, 9, 3), "JPEG") for name in names}
    published.write_tar(folder / imagenet2012.VALIDATION, val, "w")
    (tmp_path / "labels.txt").write_text("n01443537\nn15075141\nn01440764\n")
    path = tfds.core.tfds_path

    def stand_in(file):
        held = file.endswith("validation_labels.txt")
        return str(tmp_path / "labels.txt") if held else path(file)

    monkeypatch.setattr(tfds.core, "tfds_path", stand_in)
    monkeypatch.setattr(imagenet2012, "SHARDS", {"train": 4, "validation": 2})
    return {"train": {k: v for images in train.values() for k, v in images.items()}, "val": val}


def check_imagenet(tmp_path, imagenet):
    wnids = making_of("imagenet2012")().info.features["label"].names
    examples = read("imagenet2012", "train", tmp_path)
    for example, name in zip(examples, in_order("train", imagenet["train"]), strict=True):
        assert example["image"] == imagenet["train"][name]
        assert wnids[example["label"]] == name.partition("_")[0]
    labels = dict(zip(sorted(imagenet["val"]), ("n01443537", "n15075141", "n01440764")))
    examples = read("imagenet2012", "validation", tmp_path)
    for example, name in zip(examples, in_order("validation", imagenet["val"]), strict=True):
        assert example["image"] == imagenet["val"][name]
        assert wnids[example["label"]] == labels[name]


def test_imagenet_comes_from_its_tars(tmp_path, imagenet):
    assert prepare("imagenet2012", tmp_path).splits == {"train": 9, "validation": 3}
    check_imagenet(tmp_path, imagenet)
    names = sorted(path.name for path in (tmp_path / "imagenet2012" / "5.1.0").iterdir())
    assert names[0] == "dataset_info.json"
    assert "imagenet2012-train.array_record-00003-of-00004" in names
    assert not any("index" in name or "partial" in name for name in names)


def test_imagenet_goes_on_with_the_shard_that_is_missing(tmp_path, imagenet, monkeypatch):
    examples, calls = imagenet2012._examples, itertools.count()

    def interrupted(*arguments):
        if next(calls) == 2:
            raise KeyboardInterrupt
        return examples(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(imagenet2012, "_examples", interrupted)
        with pytest.raises(KeyboardInterrupt):
            prepare("imagenet2012", tmp_path)
    unfinished = tmp_path / "imagenet2012" / "5.1.0.unfinished"
    shards = {path: path.stat().st_mtime_ns for path in unfinished.glob("*-of-*")}
    assert len(shards) == 2
    again = []
    monkeypatch.setattr(imagenet2012, "_examples", lambda *a: again.append(a) or examples(*a))
    prepare("imagenet2012", tmp_path)
    assert len(again) == 4
    check_imagenet(tmp_path, imagenet)


def write_devkit(folder, numbers):
    synsets = np.array(
        [(1, "n15075141"), (2, "n01440764"), (3, "n01443537")],
        dtype=[("ILSVRC2012_ID", "O"), ("WNID", "O")],
    )
    meta = io.BytesIO()
    scipy.io.savemat(meta, {"synsets": synsets})
    truth = "".join(f"{number}\n" for number in numbers).encode()
    top = "ILSVRC2012_devkit_t12/data"
    members = {f"{top}/ILSVRC2012_validation_ground_truth.txt": truth}
    published.write_tar(
        folder / imagenet2012.DEVKIT, members | {f"{top}/meta.mat": meta.getvalue()}
    )


def test_imagenets_labels_are_compared_with_the_devkits(tmp_path, imagenet):
    folder = tmp_path / "manual" / "imagenet2012"
    write_devkit(folder, (3, 2, 2))
    with pytest.raises(ConfigError, match="validation image 2 is n01440764, not n15075141"):
        prepare("imagenet2012", tmp_path)
    write_devkit(folder, (3, 1, 2))
    said = []
    prepare("imagenet2012", tmp_path, said.append)
    check_imagenet(tmp_path, imagenet)
    assert not [line for line in said if "devkit" in line]


def test_imagenets_labels_that_nothing_checks_are_said(tmp_path, imagenet):
    said = []
    prepare("imagenet2012", tmp_path, said.append)
    where = tmp_path / "manual" / "imagenet2012"
    (line,) = [line for line in said if "devkit" in line]
    assert line.startswith(f"warning: {imagenet2012.DEVKIT} is not in {where}: the validation")
    assert line.endswith("not compared with the official ones")


def test_imagenet_asks_for_the_files_that_only_a_person_gets(tmp_path):
    with pytest.raises(ConfigError, match=r"manual_dir=<the directory of ILSVRC2012_img_train.tar"):
        sources.open_source("imagenet2012", "train", data_dir=tmp_path)
    with pytest.raises(
        ConfigError, match=r"no address is known; download it by hand to .*imagenet2012"
    ):
        prepare("imagenet2012", tmp_path)
