"""Host preprocessing against PIL, numpy and what was computed by hand."""

import collections
import io
import math
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from library import config
from library.config import ConfigError
from library.data import preprocessing
from library.data.preprocessing import CorruptExample, geometry
from tests import tiny

ROOT = Path(__file__).resolve().parents[2]
RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def photo():
    """A smooth colour image, (48, 64, 3)."""
    y, x = np.mgrid[:48, :64]
    return np.stack([4 * x, 5 * y, 2 * (x + y)], axis=-1).astype(np.uint8)


def encode(pixels, form="PNG", **options):
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def apply(operation, image, rng=None):
    return operation({"image": image}, rng)["image"]


def resized(pixels, height, width, method="bilinear"):
    return np.asarray(Image.fromarray(pixels).resize((width, height), RESAMPLING[method]))


@pytest.mark.parametrize("form", ["PNG", "BMP"])
def test_decode_of_lossless_files_is_exact(photo, form):
    decoded = apply(preprocessing.decode(), encode(photo, form))
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, photo)


@pytest.mark.parametrize("form", ["JPEG", "WEBP"])
def test_decode_of_lossy_files_is_pils(photo, form):
    file = encode(photo, form, quality=90)
    expected = np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))
    np.testing.assert_array_equal(apply(preprocessing.decode(), file), expected)
    assert np.abs(expected.astype(int) - photo).mean() < 5


def test_grey_becomes_three_equal_channels_and_colour_luma(photo):
    grey = photo[..., 0]
    decoded = apply(preprocessing.decode(), encode(grey))
    np.testing.assert_array_equal(decoded, np.repeat(grey[..., None], 3, axis=2))
    np.testing.assert_array_equal(apply(preprocessing.decode(1), encode(grey))[..., 0], grey)
    luma = apply(preprocessing.decode(channels=1), encode(photo))
    assert luma.shape == (48, 64, 1)
    expected = photo @ np.array([0.299, 0.587, 0.114])
    assert np.abs(luma[..., 0] - expected).max() < 1


def test_transparency_is_shown_on_white():
    pixels = np.zeros((1, 3, 4), np.uint8)
    pixels[0, :, 0] = 200
    pixels[0, :, 3] = [0, 255, 51]
    decoded = apply(preprocessing.decode(), encode(pixels))
    np.testing.assert_array_equal(decoded[0, :2], [[255, 255, 255], [200, 0, 0]])
    np.testing.assert_allclose(decoded[0, 2], [244, 204, 204], atol=1)
    grey = Image.fromarray(np.array([[[0, 0], [0, 255]]], np.uint8), "LA")
    np.testing.assert_array_equal(apply(preprocessing.decode(1), encode(grey))[0, :, 0], [255, 0])


def test_palettes_and_bits_are_converted(photo):
    palette = Image.fromarray(photo).quantize(8)
    expected = np.asarray(palette.convert("RGB"))
    np.testing.assert_array_equal(apply(preprocessing.decode(), encode(palette)), expected)
    clear = Image.new("P", (2, 1))
    clear.putpalette([9, 8, 7, 50, 60, 70])
    clear.putpixel((1, 0), 1)
    decoded = apply(preprocessing.decode(), encode(clear, transparency=0))
    np.testing.assert_array_equal(decoded[0], [[255, 255, 255], [50, 60, 70]])
    bits = Image.fromarray(np.array([[True, False]]))
    np.testing.assert_array_equal(apply(preprocessing.decode(1), encode(bits))[0, :, 0], [255, 0])


def test_sixteen_bits_keep_the_upper_eight():
    values = np.array([[0, 255, 256, 40000, 65535]], np.uint16)
    decoded = apply(preprocessing.decode(1), encode(values))
    np.testing.assert_array_equal(decoded[0, :, 0], [0, 0, 1, 156, 255])


def test_cmyk_is_converted():
    picture = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    decoded = apply(preprocessing.decode(), encode(picture, "JPEG", quality=100))
    assert np.abs(decoded.astype(int) - [255, 0, 0]).max() <= 3


def test_orientation_is_applied_only_when_asked_for():
    file = tiny.turned_photograph()
    stored = apply(preprocessing.decode(channels=1), file)
    assert stored.shape == (2, 4, 1)
    turned = apply(preprocessing.decode(channels=1, exif_orientation=True), file)
    np.testing.assert_array_equal(turned, np.rot90(stored, -1))


@pytest.mark.parametrize("asked", [None, True, False])
@pytest.mark.parametrize("turn", [True, False])
def test_whether_to_turn_is_settled_where_the_recipe_leaves_it_open(asked, turn):
    decode = preprocessing.decode(channels=1, exif_orientation=asked)
    for made in (decode, preprocessing.chain([preprocessing.chain([decode])])):
        settled = pickle.loads(pickle.dumps(preprocessing.turning(made, turn)))
        turned = apply(settled, tiny.turned_photograph()).shape == (4, 2, 1)
        assert turned == (turn if asked is None else asked)
    assert preprocessing.turning(dict, turn) is dict


def test_a_malformed_block_of_exif_turns_nothing():
    whole = tiny.turned_photograph("JPEG")
    place = whole.index(b"Exif") + 6
    broken = whole[:place] + b"\xff" * 12 + whole[place + 12 :]
    operation = preprocessing.decode(channels=1, exif_orientation=True)
    assert apply(operation, whole).shape == (4, 2, 1)
    assert apply(operation, broken).shape == (2, 4, 1)


def test_jpegs_may_be_decoded_smaller():
    y, x = np.mgrid[:400, :640]
    large = np.stack([x * 255 // 640, y * 255 // 400, x * 0], axis=-1).astype(np.uint8)
    file = encode(large, "JPEG", quality=95)
    for least, shape in ((100, (100, 160)), (101, (200, 320)), (400, (400, 640)), (30, (50, 80))):
        assert apply(preprocessing.decode(min_size=least), file).shape == (*shape, 3)
    quarter = apply(preprocessing.decode(min_size=100), file)
    full = apply(preprocessing.decode(), file)
    assert np.abs(quarter - resized(full, 100, 160).astype(int)).max() <= 8
    png = encode(large)
    np.testing.assert_array_equal(apply(preprocessing.decode(min_size=10), png), large)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "BMP"])
@pytest.mark.parametrize("kept", [0.9, 0.5, 0.1])
def test_truncated_images_are_corrupt(form, kept):
    noise = np.random.default_rng(1).integers(0, 256, (48, 64, 3), np.uint8)
    file = encode(noise, form)
    with pytest.raises(CorruptExample, match=r"image of \d+ bytes cannot be decoded"):
        apply(preprocessing.decode(), file[: int(len(file) * kept)])


@pytest.mark.parametrize("file", [b"", b"not an image", b"\xff\xd8\xff", bytes(1000)])
def test_what_is_no_image_is_corrupt(file):
    with pytest.raises(CorruptExample):
        apply(preprocessing.decode(), file)


def test_a_damaged_png_is_corrupt(photo):
    file = bytearray(encode(photo))
    file[60] ^= 255
    with pytest.raises(CorruptExample):
        apply(preprocessing.decode(), bytes(file))


def test_huge_images_are_refused_before_they_are_decoded(photo):
    operation = preprocessing.decode(max_pixels=48 * 64 - 1)
    with pytest.raises(CorruptExample, match="64x48 is over the limit of 3,071 pixels"):
        apply(operation, encode(photo))
    np.testing.assert_array_equal(
        apply(preprocessing.decode(max_pixels=48 * 64), encode(photo)), photo
    )
    bomb = encode(Image.new("1", (20_000, 20_000)))
    assert len(bomb) < 100_000
    with pytest.raises(CorruptExample):
        apply(preprocessing.decode(), bomb)


@pytest.mark.parametrize(
    ("operation", "sides", "made"),
    [
        (preprocessing.resize_short(256), (30_000, 1), "7680000x256, which needs 1,966,080,000"),
        (preprocessing.resize_short(256), (1, 30_000), "256x7680000, which needs 1,966,080,000"),
        (preprocessing.random_resize_short((99, 99)), (1, 10_000), "99x990000, which needs"),
        # PIL resizes the rows first, all of them.
        (preprocessing.resize((4, 10_000)), (1, 9_000), "10000x4, which needs 90,000,000"),
        (
            preprocessing.inception_crop(
                (4, 9_000), area=(1.0, 1.0), ratio=(1e-4, 1.0), attempts=1
            ),
            (1, 10_000),
            "9000x4, which needs 90,000,000",
        ),
    ],
)
def test_no_operation_makes_more_than_is_allowed(monkeypatch, operation, sides, made):
    """That of 30000x1 took 14 GB."""
    calls, file = [], encode(Image.new("1", sides))
    monkeypatch.setattr(Image.Image, "resize", lambda *given: calls.append(given))
    assert len(file) < 200
    for decode in (preprocessing.decode(), preprocessing.decode(channels=1)):
        message = f"would be resized to {made}.* pixels: the limit is 89,478,485"
        for run in (preprocessing.chain([decode, operation]), operation):
            given = file if run is not operation else apply(decode, file)
            with pytest.raises(CorruptExample, match=message):
                apply(run, given, np.random.default_rng(0))
    assert not calls


def test_pil_does_not_warn_of_each_image_that_is_refused():
    # pytest resets what is to be done with warnings.
    code = (
        "import io; from PIL import Image; from library.data import preprocessing\n"
        "file = io.BytesIO(); Image.new('1', (30_000, 3_000)).save(file, 'PNG')\n"
        "try: preprocessing.decode()({'image': file.getvalue()}, None)\n"
        "except preprocessing.CorruptExample as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert "30000x3000 is over the limit of 89,478,485 pixels" in done.stdout
    assert done.stderr == ""


def test_of_several_frames_or_pages_the_first_is_taken(photo):
    pages = [Image.fromarray(photo), Image.fromarray(255 - photo)]
    for form in ("TIFF", "GIF", "WEBP", "PNG"):
        options = {"lossless": True} if form == "WEBP" else {}
        file = encode(pages[0], form, save_all=True, append_images=pages[1:], **options)
        assert getattr(Image.open(io.BytesIO(file)), "n_frames", 1) == 2
        alone = apply(preprocessing.decode(), encode(pages[0], form, **options))
        np.testing.assert_array_equal(apply(preprocessing.decode(), file), alone)


def test_decode_takes_pixels_as_they_are(photo):
    np.testing.assert_array_equal(apply(preprocessing.decode(), photo), photo)
    grey = photo[..., 0]
    for image in (grey, grey[..., None]):
        decoded = apply(preprocessing.decode(channels=3), image)
        np.testing.assert_array_equal(decoded, np.repeat(grey[..., None], 3, axis=2))
    np.testing.assert_array_equal(apply(preprocessing.decode(channels=1), grey)[..., 0], grey)
    for wrong in (photo.astype(np.float32), "text", photo[None]):
        with pytest.raises(ValueError, match="decode got image") as error:
            apply(preprocessing.decode(), wrong)
        assert not isinstance(error.value, CorruptExample)


@pytest.mark.parametrize("method", RESAMPLING)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(20, 30), (100, 90)])
def test_resize_is_pils(photo, method, channels, size):
    image = photo[..., :channels]
    out = apply(preprocessing.resize(size, method), image)
    expected = resized(image[..., 0] if channels == 1 else image, *size, method)
    np.testing.assert_array_equal(out, expected.reshape(*size, channels))


def test_resize_is_antialiased():
    stripes = np.zeros((32, 32, 1), np.uint8)
    stripes[:, ::2] = 255
    assert np.ptp(apply(preprocessing.resize(8), stripes)[2:-2, 2:-2].astype(int)) <= 2


def test_resize_of_an_int_is_square_and_same_size_is_free(photo):
    assert apply(preprocessing.resize(10), photo).shape == (10, 10, 3)
    assert apply(preprocessing.resize((48, 64)), photo) is photo


@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [
        ((48, 64), 24, (24, 32)),
        ((48, 65), 24, (24, 32)),  # 32.5
        ((65, 48), 24, (32, 24)),
        ((333, 500), 256, (256, 384)),  # 384.38
        ((500, 375), 256, (341, 256)),  # 341.33
        ((30, 30), 64, (64, 64)),
        ((24, 100), 24, (24, 100)),
    ],
)
def test_resize_short_rounds_the_longer_side_down(shape, size, expected):
    image = np.zeros((*shape, 1), np.uint8)
    assert apply(preprocessing.resize_short(size), image).shape == (*expected, 1)


def test_resize_short_is_pils(photo):
    out = apply(preprocessing.resize_short(20, method="bicubic"), photo)
    np.testing.assert_array_equal(out, resized(photo, 20, 26, "bicubic"))


@pytest.mark.parametrize(
    ("shape", "size", "corner"),
    [
        ((10, 10), 4, (3, 3)),
        ((11, 11), 4, (4, 4)),  # 3.5 to even
        ((9, 13), 4, (2, 4)),  # 2.5 to even, 4.5 to even
        ((256, 341), 224, (16, 58)),  # 58.5 to even
        ((12, 20), (12, 6), (0, 7)),
    ],
)
def test_center_crop_is_that_of_torchvision(shape, size, corner):
    image = np.arange(math.prod(shape)).reshape(*shape, 1) % 251
    image = image.astype(np.uint8)
    height, width = (size, size) if isinstance(size, int) else size
    top, left = corner
    out = apply(preprocessing.center_crop(size), image)
    np.testing.assert_array_equal(out, image[top : top + height, left : left + width])


def test_random_crops_are_equally_often_at_every_place():
    image = np.arange(6 * 5, dtype=np.uint8).reshape(6, 5, 1)
    generator, corners = np.random.default_rng(0), collections.Counter()
    for _ in range(6_000):
        out = apply(preprocessing.random_crop((4, 4)), image, generator)
        top, left = divmod(int(out[0, 0, 0]), 5)
        np.testing.assert_array_equal(out, image[top : top + 4, left : left + 4])
        corners[top, left] += 1
    # 3 x 2 places, each of 1,000 +- 29 draws.
    assert sorted(corners) == [(top, left) for top in range(3) for left in range(2)]
    assert all(abs(count - 1_000) < 120 for count in corners.values())
    whole = apply(preprocessing.random_crop((6, 5)), image, generator)
    np.testing.assert_array_equal(whole, image)


def test_the_shorter_side_is_drawn_from_a_range_with_its_ends(photo):
    generator, seen = np.random.default_rng(0), collections.Counter()
    operation = preprocessing.random_resize_short((20, 24))
    for _ in range(500):
        out = apply(operation, photo, generator)
        size = min(out.shape[:2])
        np.testing.assert_array_equal(out, apply(preprocessing.resize_short(size), photo))
        seen[size] += 1
    assert sorted(seen) == [20, 21, 22, 23, 24]
    # 100 +- 9 draws of each.
    assert all(abs(count - 100) < 40 for count in seen.values())
    fixed = apply(preprocessing.random_resize_short((20, 20), "bicubic"), photo, generator)
    np.testing.assert_array_equal(fixed, resized(photo, 20, 26, "bicubic"))


@pytest.mark.parametrize(
    ("shape", "fraction", "rows", "columns"),
    [
        ((256, 256), 0.875, (16, 240), (16, 240)),
        ((100, 33), 0.5, (25, 75), (8, 25)),
        ((7, 5), 1.0, (0, 7), (0, 5)),
    ],
)
def test_central_crop_by_hand(shape, fraction, rows, columns, rng):
    image = rng.integers(0, 256, (*shape, 3), np.uint8)
    out = apply(preprocessing.central_crop(fraction), image)
    np.testing.assert_array_equal(out, image[slice(*rows), slice(*columns)])


def boxes(shape, count, **options):
    """Samples the boxes of inception crops of an image of this shape."""
    given = dict(area=(0.08, 1.0), ratio=(3 / 4, 4 / 3), attempts=10) | options
    rng = np.random.default_rng(0)
    return np.array([geometry._sample_box(*shape, rng, **given) for _ in range(count)])


@pytest.mark.parametrize("shape", [(200, 300), (300, 200), (64, 64)])
def test_inception_crops_lie_within_their_bounds(shape):
    top, left, height, width = boxes(shape, 3000).T
    assert top.min() >= 0
    assert left.min() >= 0
    assert (top + height).max() <= shape[0]
    assert (left + width).max() <= shape[1]
    # Sides are rounded to whole pixels, so areas and ratios exceed their bounds by that much.
    area = height * width / math.prod(shape)
    assert area.min() > 0.08 - 0.01
    assert (width / height).min() > 3 / 4 - 0.05
    assert (width / height).max() < 4 / 3 + 0.05


def test_the_ratio_is_width_by_height():
    _, _, height, width = boxes((500, 500), 200, area=(0.1, 0.2), ratio=(2.0, 3.0)).T
    assert (width / height).min() > 1.95
    assert (width / height).max() < 3.05


def test_inception_crops_are_distributed_as_they_should_be():
    shape, count = (1000, 1000), 20_000
    # Parts of at most half the area and of these ratios always fit, so none is rejected.
    top, left, height, width = boxes(shape, count, area=(0.1, 0.5)).T
    area = height * width / 1e6
    log_ratio = np.log(width / height)
    tolerance = 4 / math.sqrt(12 * count)  # four deviations of the mean of a uniform variable
    assert abs((area.mean() - 0.3) / 0.4) < tolerance
    assert abs(area.var() - 0.4**2 / 12) < 0.05 * 0.4**2 / 12
    span = math.log(16 / 9)
    assert abs(log_ratio.mean() / span) < tolerance
    assert abs(log_ratio.var() - span**2 / 12) < 0.05 * span**2 / 12
    assert abs((top / (1000 - height)).mean() - 0.5) < tolerance
    assert abs((left / (1000 - width)).mean() - 0.5) < tolerance
    assert abs(np.corrcoef(area, log_ratio)[0, 1]) < 4 / math.sqrt(count)


@pytest.mark.parametrize(
    ("shape", "box"),
    [
        ((10, 1000), (0, 493, 10, 13)),  # too wide: 10 x round(13.3) from (1000 - 13) // 2
        ((1000, 10), (493, 0, 13, 10)),  # too tall: round(10 / 0.75) x 10
        ((90, 100), (0, 0, 90, 100)),  # within the ratios: whole
    ],
)
def test_parts_that_never_fit_give_way_to_the_centre(shape, box):
    attempts = 0 if shape == (90, 100) else 10
    found = boxes(shape, 5, area=(1.0, 1.0), attempts=attempts)
    assert {tuple(row) for row in found.tolist()} == {box}


def test_every_place_of_a_crop_is_reached():
    # Half the area of 2x1 at ratio 1 is one pixel, in one of two places.
    found = boxes((2, 1), 200, area=(0.5, 0.5), ratio=(1.0, 1.0))
    assert {tuple(row) for row in found.tolist()} == {(0, 0, 1, 1), (1, 0, 1, 1)}


def test_inception_crop_resizes_its_part_alone(photo):
    operation = preprocessing.inception_crop((12, 16), method="bicubic")
    for seed in range(20):
        out = apply(operation, photo, np.random.default_rng(seed))
        rng = np.random.default_rng(seed)
        top, left, height, width = geometry._sample_box(
            48, 64, rng, (0.08, 1.0), (3 / 4, 4 / 3), 10
        )
        part = np.ascontiguousarray(photo[top : top + height, left : left + width])
        np.testing.assert_array_equal(out, resized(part, 12, 16, "bicubic"))


def test_inception_crop_is_a_function_of_the_generator(photo):
    operation = preprocessing.inception_crop(16)
    crops = [apply(operation, photo, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(crops[0], crops[1])
    assert (crops[0] != crops[2]).any()


def test_pad_centres_the_image(photo):
    out = apply(preprocessing.pad((51, 70), fill=7), photo)
    assert out.shape == (51, 70, 3)
    np.testing.assert_array_equal(out[1:49, 3:67], photo)
    assert (out.astype(int).sum() - photo.astype(int).sum()) == 7 * 3 * (51 * 70 - 48 * 64)
    digit = np.ones((28, 28, 1), np.uint8)
    np.testing.assert_array_equal(
        apply(preprocessing.pad(32), digit)[..., 0], np.pad(digit[..., 0], 2)
    )


@pytest.mark.parametrize(
    ("shape", "size", "inner", "corner"),
    [
        ((48, 64), (32, 32), (24, 32), (4, 0)),
        ((64, 48), (32, 32), (32, 24), (0, 4)),
        ((480, 640), (256, 320), (240, 320), (8, 0)),
        ((10, 30), (21, 60), (20, 60), (0, 0)),
        ((1, 400), (8, 8), (1, 8), (3, 0)),
    ],
)
def test_a_letterbox_keeps_the_ratio_of_an_image(rng, shape, size, inner, corner):
    image = np.uint8(rng.integers(0, 256, (*shape, 3)))
    out = apply(preprocessing.letterbox(size, fill=9), image)
    expected = np.full((*size, 3), 9, np.uint8)
    (top, left), (height, width) = corner, inner
    expected[top : top + height, left : left + width] = resized(image, height, width)
    np.testing.assert_array_equal(out, expected)


def test_select_keeps_what_it_names():
    example = {"image": 1, "label": 2, "box": 3}
    assert preprocessing.select(("label", "image"))(example, None) == {"label": 2, "image": 1}
    with pytest.raises(ValueError, match="no 'labl': did you mean 'label'"):
        preprocessing.select(("labl",))(example, None)


def test_features_become_labels_and_targets():
    example = {"label": 3, "coarse_label": 7, "age": 30, "pose": np.array([[1.0, 2], [3, 4]])}
    out = preprocessing.to_label("coarse_label")(example, None)
    assert set(out) == {"label", "age", "pose"}
    assert (out["label"], out["label"].dtype) == (7, np.int32)
    out = preprocessing.to_target("age", mean=20.0, std=5.0)(example, None)
    np.testing.assert_array_equal(out["target"], np.float32([2]))
    assert out["target"].dtype == np.float32
    assert "age" not in out
    out = preprocessing.to_target("pose")(example, None)
    np.testing.assert_array_equal(out["target"], [1, 2, 3, 4])
    with pytest.raises(ValueError, match="a label consists of integers"):
        preprocessing.to_label("pose")(example, None)
    with pytest.raises(ValueError, match="a target consists of numbers"):
        preprocessing.to_target("name")({"name": b"x"}, None)


@pytest.mark.parametrize(
    ("before", "size", "fits"),
    [
        ([preprocessing.resize_short(8)], 8, True),
        ([preprocessing.resize_short(8)], 9, False),
        ([preprocessing.resize_short(8)], (8, 9), True),  # of an image that is wider than high
        ([preprocessing.random_resize_short((8, 12))], 9, False),
        ([preprocessing.resize((8, 10))], (8, 10), True),
        ([preprocessing.resize((8, 10))], (9, 2), False),
        ([preprocessing.resize((8, 10))], (2, 11), False),
        ([preprocessing.inception_crop(8), preprocessing.to_label("kind")], 9, False),
        ([preprocessing.pad(12), preprocessing.random_crop(8)], 9, False),
        ([preprocessing.chain([preprocessing.resize(8)])], 9, False),
        ([preprocessing.resize(8), preprocessing.decode()], 9, True),
        ([preprocessing.resize(8), lambda example, rng: example], 9, True),
        ([], 9, True),
    ],
)
def test_crops_that_no_image_is_large_enough_for(before, size, fits):
    for crop in (preprocessing.center_crop, preprocessing.random_crop):
        if fits:
            preprocessing.chain([*before, crop(size)])
        else:
            with pytest.raises(ConfigError, match=f"{crop.__name__} of .* out of images"):
                preprocessing.chain([*before, crop(size)])


def test_a_list_of_classes_becomes_yes_and_no():
    make = preprocessing.to_labels("real_label", num_classes=4)
    for classes, expected in (([2, 0], [1, 0, 1, 0]), ([], [0] * 4), ([3, 3], [0, 0, 0, 1])):
        example = {"label": np.int32(1), "real_label": np.array(classes, np.int64), "file": b"x"}
        out = make(example, None)
        assert set(out) == {"label", "file"}
        assert out["label"].dtype == np.float32
        np.testing.assert_array_equal(out["label"], expected)
    assert make({"real_label": np.array([])}, None)["label"].sum() == 0
    with pytest.raises(ValueError, match=r"real_label is \[4\]: classes are 0 to 3"):
        make({"real_label": np.array([4])}, None)
    with pytest.raises(ValueError, match="classes are integers"):
        make({"real_label": np.array([0.5])}, None)
    with pytest.raises(ConfigError, match="0 is not an integer of 1 or more"):
        preprocessing.to_labels("real_label", num_classes=0)


def operations():
    return {
        "decode": preprocessing.decode(),
        "resize": preprocessing.resize(10),
        "resize_short": preprocessing.resize_short(10),
        "random_resize_short": preprocessing.random_resize_short((10, 20)),
        "random_crop": preprocessing.random_crop(10),
        "center_crop": preprocessing.center_crop(10),
        "central_crop": preprocessing.central_crop(0.5),
        "inception_crop": preprocessing.inception_crop(10),
        "pad": preprocessing.pad(80),
        "letterbox": preprocessing.letterbox((30, 20)),
    }


@pytest.mark.parametrize("name", operations())
def test_operations_leave_their_argument_and_other_features_alone(photo, name, rng):
    image = encode(photo) if name == "decode" else photo.copy()
    example = {"image": image, "label": 3, "box": [1]}
    out = operations()[name](example, rng)
    assert example == {"image": image, "label": 3, "box": [1]}
    if name != "decode":
        np.testing.assert_array_equal(image, photo)
    assert (out["label"], out["box"]) == (3, [1])
    assert out["image"].dtype == np.uint8


@pytest.mark.parametrize("name", operations())
def test_operations_are_picklable(photo, name):
    operation = operations()[name]
    image = encode(photo) if name == "decode" else photo
    again = pickle.loads(pickle.dumps(operation))
    results = [apply(op, image, np.random.default_rng(3)) for op in (operation, again)]
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("name", [name for name in operations() if name != "decode"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_chain_makes_the_bits_of_its_operations_one_by_one(photo, name, channels):
    decode, operation = preprocessing.decode(channels=channels), operations()[name]
    together = preprocessing.chain([decode, operation, preprocessing.resize(7)])
    expected = apply(operation, apply(decode, encode(photo)), np.random.default_rng(5))
    expected = apply(preprocessing.resize(7), expected)
    got = apply(together, encode(photo), np.random.default_rng(5))
    assert isinstance(got, np.ndarray)
    assert got.shape == (7, 7, channels)
    np.testing.assert_array_equal(got, expected)


def test_a_chain_that_only_decodes_hands_on_pixels(photo):
    decode = preprocessing.decode()
    got = apply(preprocessing.chain([preprocessing.chain([decode])]), encode(photo))
    np.testing.assert_array_equal(got, photo)


def test_chain_applies_in_order(photo):
    decode, short, crop = (
        preprocessing.decode(),
        preprocessing.resize_short(20),
        preprocessing.center_crop(16),
    )
    operation = pickle.loads(pickle.dumps(preprocessing.chain([decode, short, crop])))
    out = operation({"image": encode(photo), "label": 1}, None)
    assert out["label"] == 1
    np.testing.assert_array_equal(out["image"], resized(photo, 20, 26)[2:18, 5:21])
    example = {"image": photo}
    assert preprocessing.chain([])(example, None) is example


def test_operations_on_what_is_not_decoded_say_so(photo, rng):
    for name, operation in operations().items():
        if name != "decode":
            for image, kind in ((b"bytes", "of type bytes"), (photo[..., 0], r"uint8 \(48, 64\)")):
                with pytest.raises(ValueError, match=f"image is {kind}.*decode it first"):
                    apply(operation, image, rng)
    with pytest.raises(ValueError, match="the example has no 'image'"):
        preprocessing.decode()({"label": 1}, rng)


def test_crops_and_pads_that_do_not_fit(photo):
    with pytest.raises(ValueError, match=r"center_crop of 60x60 out of uint8 \(48, 64, 3\)"):
        apply(preprocessing.center_crop(60), photo)
    with pytest.raises(ValueError, match=r"random_crop of 50x50 out of uint8 \(48, 64, 3\)"):
        apply(preprocessing.random_crop(50), photo)
    with pytest.raises(ValueError, match=r"pad to 60x60 of uint8 \(48, 64, 3\)"):
        apply(preprocessing.pad(60), photo)


@pytest.mark.parametrize(
    "spec",
    [
        dict(name="decode", channels=2),
        dict(name="resize"),
        dict(name="resize", size=0),
        dict(name="resize", size=[8, 8, 3]),
        dict(name="resize", size=8, method="area"),
        dict(name="resize", size="8"),
        dict(name="resize_short", size=[8, 8]),
        dict(name="random_resize_short", sizes=[480, 256]),
        dict(name="random_resize_short", sizes=[0, 256]),
        dict(name="random_resize_short", sizes=[256]),
        dict(name="random_crop", size=0),
        dict(name="center_crop", size=-1),
        dict(name="central_crop", fraction=0.0),
        dict(name="central_crop", fraction=1.5),
        dict(name="inception_crop", size=8, area=[0.5, 0.1]),
        dict(name="inception_crop", size=8, area=[0.0, 1.0]),
        dict(name="inception_crop", size=8, area=[0.1, 1.1]),
        dict(name="inception_crop", size=8, ratio=[2.0, 1.0]),
        dict(name="inception_crop", size=8, attempts=0),
        dict(name="pad", size=8, fill=256),
        dict(name="pad", size=10_000),
        dict(name="letterbox", size=8, fill=-1),
        dict(name="resize", size=[2, 45_000_000]),
        dict(name="resize_short", size=9_460),
        dict(name="random_resize_short", sizes=[8, 9_460]),
        dict(name="inception_crop", size=10_000),
        dict(name="to_target", key="age", std=0.0),
        dict(name="inceptioncrop", size=8),
    ],
)
def test_specs_that_are_refused_before_anything_runs(spec):
    with pytest.raises(ConfigError):
        config.build(spec, "library.data.preprocessing", "preprocessing")


def test_specs_are_built_from_plain_values(photo, rng):
    specs = [
        dict(name="decode", channels=3),
        dict(name="inception_crop", size=[8, 6], area=[0.2, 1.0]),
    ]
    built = [config.build(s, "library.data.preprocessing", "preprocessing") for s in specs]
    assert apply(preprocessing.chain(built), encode(photo), rng).shape == (8, 6, 3)


@pytest.mark.parametrize(("size", "seed"), [(1, 0), (1, 1), (7, 0), (7, 1)])
def test_the_smallest_images_can_be_cropped(size, seed):
    image = np.full((1, 1, 3), 9, np.uint8)
    out = apply(preprocessing.inception_crop(size), image, np.random.default_rng(seed))
    assert out.shape == (size, size, 3)
    assert (out == 9).all()
