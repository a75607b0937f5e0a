"""What a run made while it learned, in its report: images, rows of them, texts, both players."""

import io

import numpy as np
import pytest
from PIL import Image

from library.reporting import curve_figures, figures, mosaic, runs, saved_samples
from library.reporting.report import write_report

STEPS = (10, 20, 30, 40)
PLAYERS = ("discriminator", "generator")


def keep(run, name, values, steps=STEPS):
    """Leaves in a workdir what an evaluator made, `values(step)` at each of the steps."""
    folder = run / "samples" / name
    folder.mkdir(parents=True)
    for step in steps:
        np.savez(folder / f"{step:08d}.npz", values=values(step))


def rows_of(num, columns):
    """Returns rows of plain images (num, columns, 4, 4, 1), each column of a shade of its own."""
    shades = np.arange(columns, dtype=np.uint8)[None, :, None, None, None]
    return np.broadcast_to(shades, (num, columns, 4, 4, 1)).copy()


def tiles(figure):
    """Returns the shade of each image that a mosaic shows, (rows, columns)."""
    picture = np.asarray(figure.axes[0].images[0].get_array())
    side = 4 + mosaic.GAP
    return np.round(255 * picture[1::side, 1::side]).astype(int)


@pytest.fixture
def drawn(monkeypatch):
    """The figures of a report by the names of their files."""
    found = {}
    save = figures.save
    monkeypatch.setattr(
        figures, "save", lambda figure, path: save(found.setdefault(path.stem, figure), path)
    )
    return found


def test_all_columns_of_a_wide_plane_are_drawn(tmp_path):
    keep(tmp_path, "plane_manifold", lambda step: rows_of(20, 20), steps=(10,))
    (found,) = saved_samples.find(tmp_path)
    figure, said = saved_samples.newest(found)
    np.testing.assert_array_equal(tiles(figure), np.tile(np.arange(20), (20, 1)))
    assert said == "plane_manifold, step 10"


def test_what_is_left_out_of_a_picture_is_said(tmp_path):
    keep(tmp_path, "a_path", lambda step: rows_of(70, 40), steps=(10,))
    keep(tmp_path, "b_sample", lambda step: np.zeros((65, 4, 4, 1), np.uint8), steps=(10,))
    paths, images = map(saved_samples.newest, saved_samples.find(tmp_path))
    assert tiles(paths[0]).shape == (64, 32)
    assert paths[1] == "a_path, step 10, the first 64 of 70 rows, the first 32 of 40 columns"
    assert tiles(images[0]).shape == (8, 8)
    assert images[1] == "b_sample, step 10, the first 64 of 65 images"


def test_rows_of_known_outputs_say_what_their_images_are(tmp_path):
    keep(tmp_path, "a_overlay", lambda step: rows_of(4, 3), steps=(10,))
    keep(tmp_path, "b_overlay", lambda step: rows_of(4, 5), steps=(10,))
    said = [saved_samples.newest(found)[1] for found in saved_samples.find(tmp_path)]
    assert said == [
        "a_overlay, step 10 (the image, the truth, what is found)",
        "b_overlay, step 10",
    ]


@pytest.mark.parametrize(
    ("name", "shade"), [("a_path", 16), ("a_masked_reconstruct", 16), ("a_interpolate", 8)]
)
def test_a_row_is_shown_over_training_by_what_it_comes_to_or_by_its_middle(tmp_path, name, shade):
    keep(tmp_path, name, lambda step: rows_of(3, 17) + np.uint8(step))
    (found,) = saved_samples.find(tmp_path)
    expected = np.tile(np.array(STEPS)[:, None] + shade, (1, 3))
    np.testing.assert_array_equal(tiles(saved_samples.over_training(found)), expected)


def test_a_plane_is_shown_over_training_from_its_first_row_to_its_last(tmp_path):
    def plane(step):
        return rows_of(20, 20).swapaxes(0, 1)

    keep(tmp_path, "plane_manifold", plane, steps=(10, 20))
    (found,) = saved_samples.find(tmp_path)
    expected = [0, 3, 5, 8, 11, 14, 16, 19]
    np.testing.assert_array_equal(tiles(saved_samples.over_training(found)), [expected, expected])


def test_texts_are_shown_over_training_by_how_the_first_begins(tmp_path, make_run):
    lines = [f"line {i}" for i in range(9)]

    def texts(step):
        return np.array(["\n".join([f"<{step}>", *lines]), "another"])

    run = make_run(tmp_path / "a")
    keep(run, "samples_text", texts, steps=range(1, 22))
    (found,) = saved_samples.find(run)
    shown = saved_samples.over_training(found)
    assert [step for step, _ in shown] == [1, 4, 7, 10, 12, 15, 18, 21]
    assert shown[1][1] == "\n".join(["<4>", *lines[:5]]) + " …"
    page = write_report(run).read_text()
    assert page.count("&lt;12&gt;") == 1
    # The last text is there whole, too.
    assert page.count("&lt;21&gt;") == 2
    assert page.count("line 8") == 1
    assert "another" in page


def test_short_texts_are_not_cut_and_long_lines_are(tmp_path):
    keep(tmp_path, "a_text", lambda step: np.array(["ab\nc" if step < 20 else "x" * 999]), (10, 20))
    (found,) = saved_samples.find(tmp_path)
    assert saved_samples.over_training(found) == [(10, "ab\nc"), (20, "x" * 400 + " …")]


def test_a_single_step_has_no_strip(tmp_path):
    keep(tmp_path, "a_text", lambda step: np.array(["a"]), steps=(10,))
    keep(tmp_path, "b_sample", lambda step: np.zeros((2, 4, 4, 1), np.uint8), steps=(10,))
    assert list(map(saved_samples.over_training, saved_samples.find(tmp_path))) == [None, None]


def adversarial_log():
    """Returns rows as two players and their evaluator log them: 21 metrics, three of them flags."""
    own = ("gradient_norm", "learning_rate", "loss")
    train = {f"train/{player}_{name}": 0.5 for player in PLAYERS for name in own}
    shares = ("accuracy_fake", "accuracy_real", "fake", "real")
    train |= {f"train/discriminator_{name}": 0.5 for name in shares}
    names = ("classes_covered", "class_entropy", "confidence", "accuracy_real", "accuracy_fake")
    names += ("pairwise_distance", "reach")
    flags = dict(collapsed=0.0, discriminator_won=1.0, generator_stuck=0.0)
    measured = {**dict.fromkeys(names, 0.7), **flags}
    log = []
    for step in STEPS:
        log.append({"step": step, "wall_time": float(step), **train})
        for evaluator in ("coverage", "coverage_ema"):
            log[-1] |= {f"{evaluator}/{name}": value for name, value in measured.items()}
    return log


def test_the_report_of_a_generative_run_has_its_strip_and_both_losses(
    make_run, tmp_path, values, drawn
):
    config, summary = values
    config["reported"] = dict(metric="coverage_ema/classes_covered", value=10.0, source="someone")
    summary |= {"metrics": {}, "best": {}, "result": None}
    log = adversarial_log()
    run = make_run(tmp_path / "a", config=config, summary=summary, log=log)
    keep(run, "drawn_sample", lambda step: np.full((8, 4, 4, 1), step, np.uint8))
    keep(run, "plane_plane", lambda step: np.full((1, 4, 4, 3), step, np.uint8))
    page = write_report(run).read_text()
    assert "plane_plane over training, a frame for each evaluation" in page
    assert (run / "figures/made_plane_plane_film.png").read_bytes().count(b"fcTL") == 4
    assert "drawn_sample over training: the same samples, one row per step" in page
    expected = np.tile(np.array(STEPS)[:, None], (1, 8))
    np.testing.assert_array_equal(tiles(drawn["made_drawn_sample_steps"]), expected)
    panels = [axes for axes in drawn["learning_curves"].axes if axes.get_visible()]
    titles = [axes.get_title(loc="left") for axes in panels]
    assert titles[:3] == ["discriminator loss", "generator loss", "classes covered"]
    measured = ("class entropy", "confidence", "accuracy real", "accuracy fake")
    assert sorted(titles[3:9]) == sorted((*measured, "pairwise distance", "reach"))
    assert len(titles) == curve_figures.MAX_PANELS
    for loss, axes in zip(("discriminator_loss", "generator_loss"), panels):
        (line,) = axes.get_lines()
        np.testing.assert_array_equal(line.get_xdata(), STEPS)
        assert f"train/{loss}" in page
    order = [
        metric for metric, _ in curve_figures.metric_panels(runs.curves(log), "coverage/reach")
    ]
    assert order[-3:] == ["collapsed", "discriminator_won", "generator_stuck"]


def test_a_share_that_is_always_one_is_no_flag():
    steps = np.arange(3.0)
    curves = {"test/accuracy": (steps, np.ones(3)), "test/collapsed": (steps, np.ones(3))}
    curves |= {"train/speed": (steps, steps), "train/loss": (steps, np.zeros(3))}
    order = [metric for metric, _ in curve_figures.metric_panels(curves)]
    assert order == ["loss", "accuracy", "speed", "collapsed"]


def test_a_single_picture_over_training_is_a_film(tmp_path):
    keep(tmp_path, "a_plane", lambda step: np.full((1, 4, 5, 3), step, np.uint8))
    keep(tmp_path, "b_twice", lambda step: np.full((1, 4, 5, 3), step, np.uint8), steps=(1, 2))
    keep(tmp_path, "c_several", lambda step: np.full((2, 4, 5, 3), step, np.uint8))
    plane, *others = saved_samples.find(tmp_path)
    assert [saved_samples.film(found) for found in others] == [None, None]
    with Image.open(io.BytesIO(saved_samples.film(plane))) as moving:
        assert (moving.n_frames, moving.size) == (4, (380, 304))
        for place, step in enumerate(STEPS):
            moving.seek(place)
            np.testing.assert_array_equal(np.unique(np.asarray(moving)), step)
