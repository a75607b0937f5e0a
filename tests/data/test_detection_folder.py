"""A folder of one's own images with boxes, in each of three formats, and what is wrong with one."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from library.config import ConfigError, build
from library.data import sources

HEIGHT, WIDTH = 20, 40
CLASSES = ("cat", "dog")
# Rows and columns of pixels, from and to, of the objects of each image, and their classes.
OBJECTS = {
    "a": [((2, 4, 10, 24), 1), ((0, 0, 20, 40), 0)],
    "b": [],
    "c": [((5, 8, 15, 20), 0)],
}


def picture():
    file = io.BytesIO()
    Image.new("L", (WIDTH, HEIGHT)).save(file, "PNG")
    return file.getvalue()


def put(root, path, content):
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        (root / path).write_bytes(content)
    else:
        (root / path).write_text(content)


def yolo_text(objects):
    lines = []
    for (top, left, bottom, right), kind in objects:
        center = (left + right) / 2 / WIDTH, (top + bottom) / 2 / HEIGHT
        lines.append(
            f"{kind} {center[0]} {center[1]} {(right - left) / WIDTH} {(bottom - top) / HEIGHT}"
        )
    return "\n".join(lines)


def voc_xml(objects, names=CLASSES):
    each = "".join(
        f"<object><name>{names[kind]}</name><difficult>{kind}</difficult><bndbox>"
        f"<xmin>{left + 1}</xmin><ymin>{top + 1}</ymin><xmax>{right}</xmax><ymax>{bottom}</ymax>"
        "</bndbox></object>"
        for (top, left, bottom, right), kind in objects
    )
    size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>1</depth></size>"
    return f"<annotation>{size}{each}</annotation>"


def coco_json(names=OBJECTS):
    annotations = [
        dict(image_id=i, category_id=7 + 2 * kind, bbox=[x, y, right - x, bottom - y], iscrowd=0)
        for i, name in enumerate(names)
        for (y, x, bottom, right), kind in OBJECTS[name]
    ]
    return dict(
        images=[
            dict(id=i, file_name=f"{name}.png", height=HEIGHT, width=WIDTH)
            for i, name in enumerate(names)
        ],
        annotations=[dict(each, id=i) for i, each in enumerate(annotations)],
        categories=[dict(id=9, name="dog"), dict(id=7, name="cat")],
    )


def yolo(root, split=""):
    put(root, "classes.txt", "cat\ndog\n")
    for name, objects in OBJECTS.items():
        put(root, f"{split}images/{name}.png", picture())
        put(root, f"{split}labels/{name}.txt", yolo_text(objects))


def voc(root, split=""):
    for name, objects in OBJECTS.items():
        put(root, f"{split}JPEGImages/{name}.png", picture())
        put(root, f"{split}Annotations/{name}.xml", voc_xml(objects))


def coco(root, split=""):
    for name in OBJECTS:
        put(root, f"{split}{name}.png", picture())
    put(root, f"{split}_annotations.coco.json", json.dumps(coco_json()))


WRITERS = {"YOLO": yolo, "VOC": voc, "COCO": coco}


def opened(root, split="train"):
    return sources.open_source("detection_folder", split, data_dir=str(root))


def examples(source):
    """Returns the examples by the name of their image."""
    return {
        source.describe(row).rpartition("/")[2][0]: source.records[row]
        for row in range(len(source.records))
    }


@pytest.mark.parametrize("kind", WRITERS)
def test_each_format_gives_the_same_boxes(tmp_path, kind):
    WRITERS[kind](tmp_path)
    source = opened(tmp_path)
    assert source.label_names == CLASSES
    assert source.notes == (f"{tmp_path} has labels in the format of {kind}",)
    found = examples(source)
    assert set(found) == set(OBJECTS)
    for name, objects in OBJECTS.items():
        boxes = np.float32([box for box, _ in objects]).reshape(-1, 4)
        shares = boxes / np.float32([HEIGHT, WIDTH] * 2)
        np.testing.assert_allclose(found[name]["boxes"], shares, atol=1e-6)
        assert found[name]["boxes"].dtype == np.float32
        assert found[name]["boxes_label"].tolist() == [k for _, k in objects]
        assert found[name]["image"] == picture()
        marks = found[name].get("boxes_difficult")
        assert (marks is None) == (kind != "VOC")
        assert marks is None or marks.tolist() == [k for _, k in objects]
    assert source.kinds["boxes"] == "boxes"
    assert source.fingerprint() == opened(tmp_path).fingerprint()


@pytest.mark.parametrize("kind", WRITERS)
def test_splits_are_folders(tmp_path, kind):
    for split in ("train", "valid"):
        WRITERS[kind](tmp_path, f"{split}/")
    if kind == "YOLO":
        put(tmp_path, "classes.txt", "cat\ndog\n")
        for split in ("train", "valid"):
            (tmp_path / split / "classes.txt").unlink(missing_ok=True)
    assert len(opened(tmp_path, "valid").records) == 3
    assert len(opened(tmp_path, "train+valid").records) == 6
    info = sources.info("detection_folder", data_dir=str(tmp_path))
    assert (info.splits, info.label_names) == ({"train": 3, "valid": 3}, CLASSES)


def test_other_layouts(tmp_path):
    # images/SPLIT beside labels/SPLIT and data.yaml.
    one = tmp_path / "one"
    put(one, "data.yaml", "names: {0: cat, 1: dog}\nnc: 2\n")
    for name, objects in OBJECTS.items():
        put(one, f"images/val/{name}.png", picture())
        put(one, f"labels/val/{name}.txt", yolo_text(objects))
    assert examples(opened(one, "val"))["a"]["boxes_label"].tolist() == [1, 0]
    # The lists of a VOC devkit.
    two = tmp_path / "two"
    voc(two)
    put(two, "ImageSets/Main/train.txt", "a\nb\n")
    put(two, "ImageSets/Main/test.txt", "c\n")
    assert set(examples(opened(two, "train"))) == {"a", "b"}
    assert set(examples(opened(two, "test"))) == {"c"}
    # Annotations of COCO beside the folders of its images.
    three = tmp_path / "three"
    for name in OBJECTS:
        put(three, f"train2017/{name}.png", picture())
    put(three, "annotations/instances_train2017.json", json.dumps(coco_json()))
    put(three, "annotations/captions_train2017.json", "{}")
    assert len(examples(opened(three))["a"]["boxes"]) == 2


def test_an_image_without_a_label_file_has_no_objects_and_a_note(tmp_path):
    yolo(tmp_path)
    put(tmp_path, "images/d.png", picture())
    source = opened(tmp_path)
    assert examples(source)["d"]["boxes"].shape == (0, 4)
    assert source.notes[1].startswith("1 images of train have no label file")


def test_notes_tell_what_a_file_of_coco_leaves_out(tmp_path):
    coco(tmp_path)
    put(tmp_path, "d.png", picture())
    table = coco_json()
    table["annotations"][0]["iscrowd"] = 1
    # As two of the training images of 2017 have it.
    table["annotations"][2]["bbox"][3] = 0.0
    put(tmp_path, "_annotations.coco.json", json.dumps(table))
    source = opened(tmp_path)
    found = examples(source)
    assert len(found["a"]["boxes"]) == 1
    assert len(found["c"]["boxes"]) == 0
    path = tmp_path / "_annotations.coco.json"
    assert source.notes[1:] == (
        f"1 images are not in {path}: d.png, ...",
        f"1 objects of {path} are crowds, which are left out",
        f"1 objects of {path} have no height or width, and are left out",
    )


def test_a_note_tells_of_images_that_are_in_no_split(tmp_path):
    voc(tmp_path)
    put(tmp_path, "ImageSets/Main/train.txt", "a\n")
    put(tmp_path, "ImageSets/Main/val.txt", "c\n")
    source = opened(tmp_path)
    assert len(source.records) == 1
    assert source.notes[1] == "1 images are in no split, and left out: JPEGImages/b.png, ..."


def test_lists_and_notes_beside_the_labels_are_no_labels(tmp_path):
    yolo(tmp_path)
    for name in ("test.txt", "valid.txt", "trainval.txt", "notes.json"):
        put(tmp_path, name, "{}")
    assert set(examples(opened(tmp_path))) == set(OBJECTS)


def test_slices_are_disjoint_and_complete(tmp_path):
    yolo(tmp_path)
    first, rest = (examples(opened(tmp_path, f"train[{s}]")) for s in (":2", "2:"))
    assert not set(first) & set(rest)
    assert set(first) | set(rest) == set(OBJECTS)


BAD = {
    "0 0.5 0.5 0.5": r"labels/c.txt, line 1: '0 0.5 0.5 0.5' is not a class and four numbers",
    "2 0.5 0.5 0.5 0.5": r"c.txt, line 1: class 2 is not in the list: valid are 0 to 1",
    "0 0.9 0.5 0.5 0.5": r"line 1: the box from y 0.25 to 0.75 and x 0.65 to 1.15 is outside",
    "0 0.5 0.5 -0.5 0.5": r"line 1: the box .* x 0.75 to 0.25 is inverted or empty",
    "0 0.5 nan 0.5 0.5": "inverted or empty",
}


@pytest.mark.parametrize("text", BAD)
def test_a_wrong_line_of_yolo_is_named(tmp_path, text):
    yolo(tmp_path)
    put(tmp_path, "labels/c.txt", text)
    with pytest.raises(ConfigError, match=BAD[text]):
        opened(tmp_path)


def test_a_label_without_an_image_is_named(tmp_path):
    voc(tmp_path)
    put(tmp_path, "Annotations/d.xml", voc_xml([]))
    with pytest.raises(ConfigError, match=r"Annotations/d.xml has no image of its name"):
        opened(tmp_path)


def test_what_is_wrong_with_a_file_of_voc(tmp_path):
    voc(tmp_path)
    put(tmp_path, "classes.txt", "cat\n")
    with pytest.raises(ConfigError, match=r"a.xml, object 1: class 'dog' is not in the list"):
        opened(tmp_path)
    put(tmp_path, "classes.txt", "cat\ndog\n")
    put(tmp_path, "Annotations/b.xml", voc_xml([((2, 30, 10, 50), 0)]))
    with pytest.raises(ConfigError, match=r"b.xml, object 1: the box .* x 30 to 50 is outside"):
        opened(tmp_path)
    marked = voc_xml([((2, 4, 10, 20), 0)])
    put(tmp_path, "Annotations/b.xml", marked.replace("<difficult>0", "<difficult>no"))
    with pytest.raises(ConfigError, match=r"b.xml, object 1: difficult is 'no': valid are 0 and 1"):
        opened(tmp_path)
    put(tmp_path, "Annotations/b.xml", "<annotation>")
    with pytest.raises(ConfigError, match=r"b.xml is not XML"):
        opened(tmp_path)


def test_what_is_wrong_with_a_file_of_coco(tmp_path):
    coco(tmp_path)
    table = coco_json()
    table["annotations"][0]["category_id"] = 8
    put(tmp_path, "_annotations.coco.json", json.dumps(table))
    with pytest.raises(ConfigError, match=r"annotation 0: there is no category 8"):
        opened(tmp_path)
    table = coco_json()
    table["annotations"][1]["bbox"] = [0, 0, -3, 4]
    put(tmp_path, "_annotations.coco.json", json.dumps(table))
    with pytest.raises(ConfigError, match=r"annotation 1: the box .* is inverted"):
        opened(tmp_path)
    table = coco_json()
    table["images"][0]["file_name"] = "z.png"
    put(tmp_path, "_annotations.coco.json", json.dumps(table))
    with pytest.raises(ConfigError, match=r"names 'z.png': .* has no image of it"):
        opened(tmp_path)
    put(tmp_path, "_annotations.coco.json", json.dumps([1]))
    with pytest.raises(ConfigError, match=r"coco.json is not a file of COCO"):
        opened(tmp_path)


def test_what_is_wrong_with_a_folder(tmp_path):
    with pytest.raises(ConfigError, match="no such directory"):
        opened(tmp_path / "none")
    put(tmp_path, "a.png", picture())
    with pytest.raises(ConfigError, match="has no labels: valid are"):
        opened(tmp_path)
    put(tmp_path, "a.txt", "")
    with pytest.raises(ConfigError, match=r"names no classes: add classes.txt"):
        opened(tmp_path)
    put(tmp_path, "classes.txt", "cat\ncat\n")
    with pytest.raises(ConfigError, match=r"classes.txt names the class 'cat' twice"):
        opened(tmp_path)
    put(tmp_path, "data.yaml", "names: cat\n")
    with pytest.raises(ConfigError, match=r"data.yaml has no list 'names' of the classes"):
        opened(tmp_path)
    (tmp_path / "data.yaml").unlink()
    put(tmp_path, "a.xml", voc_xml([]))
    with pytest.raises(ConfigError, match=r"labels of several formats \(VOC, YOLO\)"):
        opened(tmp_path)
    with pytest.raises(ConfigError, match="takes no classes or seed"):
        sources.open_source("detection_folder", "train", data_dir=str(tmp_path), classes=["a"])


def test_difficult_objects_are_dropped():
    kinds = dict(image="image", boxes="boxes", boxes_label="label", boxes_difficult="array")
    spec = dict(name="drop_difficult")
    drop = build(spec, "library.data.preprocessing", "operation", kinds=kinds)
    boxes = np.arange(12, dtype=np.float32).reshape(3, 4)
    marks = np.int32([0, 1, 0])
    found = drop(dict(boxes=boxes, boxes_label=np.int32([5, 6, 7]), boxes_difficult=marks), None)
    np.testing.assert_array_equal(found["boxes"], boxes[[0, 2]])
    assert (found["boxes_label"].tolist(), found["boxes_difficult"].tolist()) == ([5, 7], [0, 0])
    assert drop(dict(image=1), None) == dict(image=1)
    with pytest.raises(ConfigError, match="unknown feature of drop_difficult 'boxes_difficult'"):
        build(spec, "library.data.preprocessing", "operation", kinds=dict(image="image"))


def test_objects_of_some_classes_are_kept_and_numbered_anew():
    kinds = dict(image="image", boxes="boxes", boxes_label="label", boxes_mask="array")
    spec = dict(name="keep_classes", classes=[2, 0])
    keep = build(spec, "library.data.preprocessing", "operation", kinds=kinds)
    boxes = np.arange(16, dtype=np.float32).reshape(4, 4)
    example = dict(boxes=boxes, boxes_label=np.int32([0, 1, 2, 0]), other=np.int32([7]))
    found = keep(example, None)
    np.testing.assert_array_equal(found["boxes"], boxes[[0, 2, 3]])
    assert found["boxes_label"].tolist() == [1, 0, 1]
    assert found["other"].tolist() == [7]
    assert keep(dict(image=1), None) == dict(image=1)
    for arguments, message in (
        (dict(classes=[]), r"classes=\[\]: name one class or more"),
        (dict(classes=[1], key="box"), "unknown feature of keep_classes 'box': did you mean"),
    ):
        with pytest.raises(ConfigError, match=message):
            build({**spec, **arguments}, "library.data.preprocessing", "operation", kinds=kinds)
