import io

import numpy as np
import pytest
from PIL import Image

from library.apps.explain import drawing
from library.reporting import figures

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (3, 8, 6, 1), np.uint8)


def opened(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def test_strength_goes_from_white_to_dark():
    values = np.linspace(0, 1, 12).reshape(1, 3, 4) * [[[5.0]], [[0.01]]]
    drawn = drawing.strength(values)
    assert drawn.shape == (2, 3, 4, 3)
    # Each image has its own scale.
    np.testing.assert_array_equal(drawn[0], drawn[1])
    np.testing.assert_array_equal(drawn[0, 0, 0], 255)
    assert (np.diff(drawn[0].astype(int).sum(-1).ravel()) < 0).all()
    np.testing.assert_array_equal(drawing.strength(np.zeros((1, 2, 2))), 255)


def test_signs_are_red_and_blue():
    drawn = drawing.signed(np.array([[[-3.0, 0.0, 3.0]]]))[0, 0].astype(int)
    assert drawn[0, 2] > drawn[0, 0]
    assert abs(drawn[1] - 255).max() <= 1
    assert drawn[2, 0] > drawn[2, 2]


def test_a_change_is_drawn_about_grey():
    values = np.array([-0.5, 0.0, 0.25]).reshape(1, 1, 3, 1)
    np.testing.assert_array_equal(drawing.around_grey(values, 0.5).ravel(), [0, 128, 191])
    drawn = drawing.around_grey(values).ravel()
    assert (drawn[0], drawn[1]) == (0, 128)


def test_where_there_is_nothing_the_image_shows():
    values = np.zeros((3, 8, 6))
    values[:, 0, 0] = 1
    drawn = drawing.laid_over(IMAGES, values)
    grey = np.uint8(0.35 * 255 + 0.65 * IMAGES + 0.5)
    expected = np.broadcast_to(grey, drawn.shape)
    np.testing.assert_array_equal(drawn[:, 1:], expected[:, 1:])
    assert (drawn[:, 0, 0, 0] > drawn[:, 0, 0, 2]).all()


def test_a_table_is_pixel_for_pixel():
    columns = {"a": IMAGES, "b\nc": np.repeat(IMAGES, 3, axis=-1)[::-1]}
    picture = opened(figures.png(drawing.table(columns, [["x", "$y"], [], ["z"]])))
    scale, edge = round(116 / 8), 4
    tall, wide = 8 * scale + 2 * edge, 6 * scale + 2 * edge
    whole = picture[-3 * tall :, -2 * wide :]
    for row in range(3):
        for column, shown in enumerate((IMAGES, IMAGES[::-1])):
            tile = whole[row * tall : (row + 1) * tall, column * wide : (column + 1) * wide]
            inside = tile[edge:-edge, edge:-edge][scale // 2 :: scale, scale // 2 :: scale]
            np.testing.assert_array_equal(inside, np.repeat(shown[row], 3, axis=-1))


def test_tiles_are_enlarged():
    picture = opened(drawing.tiles(IMAGES, columns=3))
    scale = round(64 / 8)
    assert picture.shape == (8 * scale + 8, 3 * (6 * scale + 8), 3)


@pytest.mark.parametrize("size", [(6, 8), (3, 2), (7, 5)])
def test_resized_by_blocks(size):
    images = np.arange(4, dtype=np.uint8).reshape(1, 1, 2, 2, 1)
    found = drawing.resized(images, size)
    rows, columns = (np.arange(n) * 2 // n for n in size)
    np.testing.assert_array_equal(found[0, 0, ..., 0], 2 * rows[:, None] + columns)


def test_classes_in_the_plane():
    layouts = {"one": RANDOM.normal(size=(30, 2)), "two": RANDOM.normal(size=(30, 2))}
    label = RANDOM.integers(0, 3, 30)
    for names in (["a", "b", "$c"], list(map(str, range(30)))):
        figure = drawing.scatter(layouts, label, names)
        panels = figure.axes
        assert [axes.get_title(loc="left") for axes in panels] == ["one", "two"]
        points = [np.asarray(c.get_offsets()) for c in panels[0].collections]
        assert sum(map(len, points)) == 30
        np.testing.assert_allclose(points[1], layouts["one"][label == 1])
        assert len(panels[0].texts) == (3 if len(names) == 3 else 0)


def test_a_page_holds_its_pictures(tmp_path):
    png = drawing.tiles(IMAGES)
    picture = drawing.Picture("filters", "The <filters>", ["What & why"], png)
    path = drawing.write(tmp_path / "new", "page", "A run", [picture], ["9 of 10"])
    assert path == tmp_path / "new" / "page.html"
    assert (tmp_path / "new" / "filters.png").read_bytes() == png
    text = path.read_text()
    for part in ("The &lt;filters&gt;", "What &amp; why", "9 of 10", "data:image/png;base64,"):
        assert part in text
