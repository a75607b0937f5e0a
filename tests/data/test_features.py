"""Kinds of features on the host: how they are decoded, moved, padded and refused."""

import functools
import io
import pickle

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from library import config, maps
from library.config import ConfigError
from library.data import features, pipeline, prepared, preprocessing, sources
from library.data.preprocessing import CorruptExample, UnfitExample

KINDS = dict(
    image="image", depth="field", classes="map", boxes="boxes", boxes_label="label", eyes="points"
)


def build(name, kinds=KINDS, **arguments):
    spec = dict(name=name, **arguments)
    return config.build(spec, "library.data.preprocessing", "preprocessing", kinds=kinds)


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def scene():
    """A scene of 12x16 pixels: every pixel of the map knows its number, and the others follow."""
    number = np.arange(12 * 16, dtype=np.uint8).reshape(12, 16)
    return {
        "image": np.repeat(number[..., None], 3, axis=2),
        "classes": number,
        "depth": number.astype(np.float32),
        # In pixels: rows 2 to 6 and columns 4 to 12; and the lower right corner.
        "boxes": np.array([[2 / 12, 4 / 16, 6 / 12, 12 / 16], [9 / 12, 12 / 16, 1, 1]], np.float32),
        "boxes_label": np.array([5, 6]),
        "eyes": np.array([[3 / 12, 4 / 16], [11 / 12, 15 / 16]], np.float32),
    }


@pytest.mark.parametrize("name", features.PLACE)
def test_names_that_batches_need_are_refused(name):
    with pytest.raises(ConfigError, match=f"cannot be called '{name}'"):
        sources.from_arrays({"image": np.zeros((2, 1, 1, 1), np.uint8), name: np.zeros(2)})
    source = sources.from_arrays({"image": np.zeros((2, 1, 1, 1), np.uint8)})

    def names(example, rng):
        return {**example, name: np.zeros(3)}

    with pytest.raises(UnfitExample, match=f"feature '{name}'"):
        pipeline.make_loader(source, names, seed=0)


def test_a_kind_that_there_is_not_is_refused():
    with pytest.raises(ConfigError, match="unknown kind 'boxs' of 'cars': did you mean 'boxes'"):
        sources.from_arrays({"cars": np.zeros((2, 1, 4))}, kinds={"cars": "boxs"})


class Scenes(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Stands for a builder with a map, and objects as TFDS nests them."""

    VERSION = tfds.core.Version("1.0.0")
    url_infos = {}
    KINDS = {"classes": "map"}

    def _info(self):
        objects = {
            "bbox": tfds.features.BBoxFeature(),
            "label": tfds.features.ClassLabel(names=["cat", "dog"]),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
                    "classes": tfds.features.Image(shape=(None, None, 1), encoding_format="png"),
                    "objects": tfds.features.Sequence(objects),
                    "id": tfds.features.Text(),
                }
            ),
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for row in range(2):
            boxes = [tfds.features.BBox(0.25, 0.5, 0.75, 1.0)] * (row + 1)
            number = np.arange(6, dtype=np.uint8).reshape(2, 3)
            yield (
                row,
                {
                    "image": io.BytesIO(png(np.zeros((2, 3, 3), np.uint8))),
                    "classes": io.BytesIO(png(number)),
                    "objects": [{"bbox": box, "label": 1} for box in boxes],
                    "id": str(row),
                },
            )


def test_a_builder_says_what_the_types_of_tfds_do_not(tmp_path, monkeypatch):
    Scenes(data_dir=tmp_path).download_and_prepare(file_format="array_record")
    monkeypatch.setattr(prepared, "project_builder", lambda name: Scenes)
    source = sources.open_source("scenes", "train", data_dir=str(tmp_path))
    kinds = dict(image="image", classes="map", boxes="boxes", boxes_label="label", id="id")
    assert source.kinds == kinds
    assert source.label_names == ("cat", "dog")
    chain = preprocessing.chain(
        [build("decode", source.kinds), build("pad_objects", source.kinds, num=3)]
    )
    loader = pipeline.make_loader(source, chain, seed=0)
    mask = loader.blank.keys()
    assert set(mask) == {"image", "classes", "boxes", "boxes_label", "boxes_mask"}
    examples = [loader.load(i, i) for i in range(2)]
    assert sorted(x["boxes_mask"].sum() for x in examples) == [1, 2]
    for example in examples:
        np.testing.assert_array_equal(example["classes"], np.arange(6).reshape(2, 3))
        np.testing.assert_array_equal(example["boxes"][0], [0.25, 0.5, 0.75, 1.0])
        assert example["boxes_label"].tolist() == example["boxes_mask"].tolist()


def test_a_map_is_decoded_as_its_numbers_are_stored():
    wide = np.array([[7, 300], [0, 65535]], np.uint16)
    palette = Image.fromarray(np.array([[0, 3], [7, 255]], np.uint8), "P")
    palette.putpalette(range(256))
    file = io.BytesIO()
    palette.save(file, "PNG")
    decode = build("decode", dict(image="image", a="map", b="map", c="field"))
    example = {"image": png(np.zeros((2, 2), np.uint8)), "a": png(wide), "b": file.getvalue()}
    found = decode({**example, "c": png(wide)}, None)
    assert found["image"].shape == (2, 2, 3)
    np.testing.assert_array_equal(found["a"], wide)
    np.testing.assert_array_equal(found["b"], [[0, 3], [7, 255]])
    assert found["c"].dtype == np.float32
    np.testing.assert_array_equal(found["c"], wide)
    with pytest.raises(CorruptExample, match="a map has one integer per pixel"):
        decode({"a": png(np.zeros((2, 2, 3), np.uint8))}, None)


@pytest.mark.parametrize(
    "spec", [dict(name="center_crop", size=[8, 8]), dict(name="random_crop", size=[8, 8])]
)
def test_a_crop_moves_all_that_has_a_place(scene, spec):
    cut = build(**spec)(scene, np.random.default_rng(3))
    top, left = divmod(int(cut["classes"][0, 0]), 16)
    np.testing.assert_array_equal(cut["classes"], scene["classes"][top : top + 8, left : left + 8])
    for name in ("image", "depth"):
        values = cut[name][..., 0] if name == "image" else cut[name]
        np.testing.assert_array_equal(values, cut["classes"])
    corners = np.array([[2, 4, 6, 12], [9, 12, 12, 16]]) - [top, left, top, left]
    clipped = np.clip(corners / 8, 0, 1)
    stays = (clipped[:, 2:] > clipped[:, :2]).all(axis=1)
    np.testing.assert_allclose(cut["boxes"], clipped[stays], atol=1e-6)
    assert cut["boxes_label"].tolist() == np.array([5, 6])[stays].tolist()
    eyes = (np.array([[3, 4], [11, 15]]) - [top, left]) / 8
    np.testing.assert_allclose(
        cut["eyes"], eyes[((eyes >= 0) & (eyes <= 1)).all(axis=1)], atol=1e-6
    )


def test_what_is_padded_already_is_masked_where_it_is_gone(scene):
    padded = build("pad_objects", num=3, only=["boxes"])(scene, None)
    cut = build("center_crop", size=6)(padded, None)  # rows 3 to 9, columns 5 to 11
    assert cut["boxes"].shape == (3, 4)
    assert cut["boxes_mask"].tolist() == [1, 0, 0]
    assert cut["boxes_label"].tolist() == [5, 6, 0]


def test_padding_an_image_moves_what_lies_in_it(scene):
    padded = build("pad", size=[16, 20], fill=9)(scene, None)  # 2 pixels on each side
    assert (padded["image"][:2] == 9).all()
    assert (padded["classes"][:2] == maps.UNKNOWN).all()
    assert (padded["depth"][:2] == 0).all()
    np.testing.assert_array_equal(padded["classes"][2:14, 2:18], scene["classes"])
    expected = (np.array([[2, 4, 6, 12], [9, 12, 12, 16]]) + 2) / [16, 20, 16, 20]
    np.testing.assert_allclose(padded["boxes"], expected, atol=1e-6)


def test_a_letterbox_moves_what_lies_in_an_image(scene):
    boxed = build("letterbox", size=[10, 8])(scene, None)  # 6x8 pixels below 2 rows
    assert (boxed["image"][[0, 1, 8, 9]] == 114).all()
    assert (boxed["classes"][[0, 1, 8, 9]] == maps.UNKNOWN).all()
    np.testing.assert_array_equal(boxed["classes"][2:8], scene["classes"][1::2, 1::2])
    expected = np.array([[3, 2, 5, 6], [6.5, 6, 8, 8]]) / [10, 8, 10, 8]
    np.testing.assert_allclose(boxed["boxes"], expected, atol=1e-6)


def test_resizing_takes_the_nearest_pixel_of_a_map_and_leaves_fractions(scene):
    half = build("resize", size=[6, 8])(scene, None)
    np.testing.assert_array_equal(half["classes"], scene["classes"][1::2, 1::2])
    twice = build("resize", size=[24, 32])(scene, None)
    np.testing.assert_array_equal(twice["classes"], scene["classes"].repeat(2, 0).repeat(2, 1))
    for found in (half, twice):
        assert found["depth"].shape == found["classes"].shape
        np.testing.assert_array_equal(found["boxes"], scene["boxes"])
        picture = Image.fromarray(scene["image"]).resize(found["image"].shape[1::-1], 2)
        np.testing.assert_array_equal(found["image"], np.asarray(picture))


def test_what_is_cut_together_has_one_size(scene):
    small = {**scene, "classes": scene["classes"][:6]}
    with pytest.raises(ValueError, match=r"classes is uint8 .* but the image is 12x16"):
        build("center_crop", size=4)(small, None)


def test_operations_of_ones_own_see_arrays():
    seen = []

    def look(example, rng):
        seen.append(type(example["image"]))
        return example

    kinds = dict(image="image", second="image")
    example = dict.fromkeys(kinds, png(np.arange(192, dtype=np.uint8).reshape(8, 8, 3)))
    steps = [build("decode", kinds), look, build("center_crop", kinds, size=4)]
    found = preprocessing.chain(steps)(example, None)
    assert seen == [np.ndarray]
    assert found["second"].shape == (4, 4, 3)
    np.testing.assert_array_equal(found["image"], found["second"])

    def ask(example, rng):
        return look(example, rng)

    ask.takes_pictures = True
    preprocessing.chain([steps[0], ask])(example, None)
    assert issubclass(seen[1], Image.Image)


def test_an_operation_says_what_kind_it_makes():
    def heights(example, rng):
        return {**example, "height": np.zeros((2, 2), np.float32)}

    making = features.making(functools.partial(heights), height="field")
    chained = pickle.loads(pickle.dumps(preprocessing.chain([build("resize", size=4)])))
    assert features.after(chained, {}) == {}
    chained = preprocessing.turning(preprocessing.chain([making]), True)
    source = sources.from_arrays({"image": np.zeros((2, 1, 1, 1), np.uint8)})
    assert pipeline.make_loader(source, chained, seed=0).kinds == dict(
        image="image", height="field"
    )


def test_more_objects_than_there_is_room_for_are_refused(scene):
    with pytest.raises(ValueError, match="2 boxes, but pad_objects has num=1"):
        build("pad_objects", num=1)(scene, None)
    dropped = build("pad_objects", num=1, drop=True)(scene, None)
    assert dropped["boxes_label"].tolist() == [5]
    with pytest.raises(ConfigError, match="pad_objects pads boxes, points, but the examples have"):
        build("pad_objects", dict(image="image"), num=1)
    with pytest.raises(ConfigError, match="did you mean 'boxes'"):
        build("pad_objects", num=1, only=["box"])


def test_a_mask_that_is_there_stays_in_force(scene):
    outside = build("center_crop", size=6)(
        build("pad_objects", num=3, only=["boxes"])(scene, None), None
    )
    assert outside["boxes_mask"].tolist() == [1, 0, 0]
    for num in (1, 2, 5):
        again = build("pad_objects", num=num, only=["boxes"])(outside, None)
        assert again["boxes_mask"].tolist() == [1] + [0] * (num - 1)
        assert again["boxes_label"].tolist() == [5] + [0] * (num - 1)
        np.testing.assert_array_equal(again["boxes"][0], outside["boxes"][0])
    second = build("pad_objects", num=2)({**scene, "boxes_mask": np.array([0, 1])}, None)
    assert (second["boxes_label"].tolist(), second["boxes_mask"].tolist()) == ([6, 0], [1, 0])
    with pytest.raises(ValueError, match=r"boxes_mask is float32 \(3,\), expected \(2,\)"):
        build("pad_objects", num=3)({**scene, "boxes_mask": np.ones(3)}, None)


def test_objects_whose_name_begins_as_that_of_others_are_their_own(scene):
    own = dict(boxes_small="boxes", boxes_small_label="label", boxes_heat="field")
    small = {
        "boxes_small": np.array([[0, 0, 1 / 12, 1 / 16], [4 / 12, 6 / 16, 0.5, 0.5], [0, 0, 1, 1]]),
        "boxes_small_label": np.array([7, 8, 9]),
        "boxes_heat": scene["depth"],
    }
    for kinds in ({**KINDS, **own}, {**own, **KINDS}):
        cut = build("center_crop", kinds, size=6)({**scene, **small}, None)
        assert cut["boxes_label"].tolist() == [5]
        assert cut["boxes_small_label"].tolist() == [8, 9]
        assert cut["boxes_heat"].shape == (6, 6)
        padded = build("pad_objects", kinds, num=4, only=["boxes"])({**scene, **small}, None)
        assert padded["boxes_label"].tolist() == [5, 6, 0, 0]
        assert all(padded[name] is value for name, value in small.items())
        both = build("pad_objects", kinds, num=4)({**scene, **small}, None)
        assert both["boxes_mask"].tolist() == [1, 1, 0, 0]
        assert both["boxes_small_mask"].tolist() == [1, 1, 1, 0]


@pytest.mark.parametrize(
    "spec", [dict(name="center_crop", size=6), dict(name="pad_objects", num=3)]
)
def test_what_objects_have_is_there_for_each(scene, spec):
    with pytest.raises(ValueError, match=r"boxes_label is int64 \(1,\), expected one .* of 2 obj"):
        build(**spec)({**scene, "boxes_label": np.array([5])}, None)


def test_series_are_padded_and_cut_at_one_place():
    kinds = dict(audio="audio", pitch="series")
    example = dict(audio=np.arange(1, 7, dtype=np.float32), pitch=np.arange(12).reshape(6, 2))
    longer = build("pad_series", kinds, length=8)(example, None)
    assert longer["audio"].tolist() == [1, 2, 3, 4, 5, 6, 0, 0]
    assert longer["pitch_mask"].tolist() == [1] * 6 + [0, 0]
    with pytest.raises(ValueError, match="audio has 6 steps, but pad_series has length=4"):
        build("pad_series", kinds, length=4)(example, None)
    cut = build("pad_series", kinds, length=4, crop="random")(example, np.random.default_rng(0))
    start = int(cut["audio"][0]) - 1
    assert cut["audio"].tolist() == example["audio"][start : start + 4].tolist()
    np.testing.assert_array_equal(cut["pitch"], example["pitch"][start : start + 4])
    again = build("pad_series", kinds, length=10)(longer, None)
    assert again["audio_mask"].tolist() == again["pitch_mask"].tolist() == [1] * 6 + [0] * 4
    first = build("pad_series", kinds, length=7, crop="start")(longer, None)
    assert first["audio_mask"].tolist() == [1] * 6 + [0]


def test_what_is_no_number_is_left_out_or_refused():
    arrays = {"image": np.zeros((2, 1, 1, 1), np.uint8), "name": np.array(["a", "b"])}
    source = sources.from_arrays(arrays, kinds={"name": "id"})
    assert set(pipeline.make_loader(source, preprocessing.chain([]), seed=0).blank) == {"image"}
    source = sources.from_arrays(arrays, kinds={"name": "text"})
    with pytest.raises(UnfitExample, match="name is text"):
        pipeline.make_loader(source, preprocessing.chain([]), seed=0)
    source = sources.from_arrays({"image": np.array([png(np.zeros((1, 1), np.uint8))] * 2)})
    with pytest.raises(UnfitExample, match="'decode' is missing"):
        pipeline.make_loader(source, preprocessing.chain([]), seed=0)


def test_objects_that_vary_in_number_want_to_be_padded():
    boxes = np.empty(2, object)
    boxes[:] = [np.zeros((1, 4)), np.zeros((2, 4))]
    source = sources.from_arrays({"boxes": boxes})
    loader = pipeline.make_loader(source, preprocessing.chain([]), seed=0)
    with pytest.raises(UnfitExample, match="pad_objects is missing"):
        loader.load(1, 1)
