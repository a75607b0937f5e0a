import html.parser
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from library.config import ConfigError
from library.reporting import class_figures, curve_figures, image_figures, page
from library.reporting.report import write_report

_VOID = {"meta", "img", "wbr", "br", "link"}


class Checker(html.parser.HTMLParser):
    """Checks that elements nest, and collects what a page says and refers to."""

    def __init__(self, path):
        super().__init__()
        self.open, self.tags, self.references, self.words = [], [], [], []
        self.attributes = set()
        self.feed(path.read_text())
        self.close()
        assert self.open == []
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.references += [value for name, value in attrs if name in ("src", "href")]
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.words.append(data)


def test_a_finished_run_is_reported_whole(run):
    found = Checker(write_report(run))
    for expected in (
        "resnet18 on cifar10",
        "configs/cifar/resnet.py:resnet18 · finished · 40 steps in 12 min 34 s",
        "Reported 93.02% Ours 92.67% Gap -0.35 points",
        "Source of the reported value: Someone, README",
        "Best during the run: 92.81%",
        "python -m experiments.train --config=configs/cifar/resnet.py:resnet18",
        "test/accuracy 92.67% 92.81%",
        "Warnings step warning 1,020 accuracy < 95%: try longer",
        "Confusion, test set, 28 examples",
        "4 of the 4 stored samples that are right.",
        "2 of the 2 stored samples that are wrong, the most confident first.",
        "812 examples per second",
        "train 11 min 40 s",
        "2 x CPU core (AMD EPYC)",
        "python 3.11.2, jax 0.10.2",
        "0123456789abcdef",
        "11,173,962",
        "f00d" * 16,
        "workers: 4 ← overridden",
        "log_every: 10 steps ← overridden",
        "nesterov: true",
        "test/entropy one value, float32 1.25",
    ):
        assert expected in found.text
    assert found.text.count("← overridden") == 2
    headings = ("Calibration", "Augmentation", "Also evaluated", "Environment", "Config")
    assert all(heading in found.text for heading in headings)


def test_the_page_and_its_figures_stand_alone(run):
    path = write_report(run)
    found = Checker(path)
    names = {p.stem for p in (run / "figures").glob("*.png")}
    assert names == {
        *("learning_curves", "throughput", "test_confusion", "test_class_accuracy"),
        *("test_calibration", "test_samples", "test_spectrum", "augmentation"),
        *("predictions_right", "predictions_wrong"),
    }
    assert found.tags.count("img") == len(names)
    assert all(r.startswith("data:image/png;base64,") for r in found.references)
    assert "script" not in found.tags
    assert "url(" not in path.read_text()
    assert "@import" not in path.read_text()
    assert not list(run.glob(".*")) + list((run / "figures").glob(".*"))


def test_shares_of_classes_have_the_names_of_the_dataset(make_run, tmp_path, monkeypatch):
    run = make_run(tmp_path / "maps")
    each = np.array([0.2, np.nan, 0.6])
    arrays = {"test/per_class_iou": each, "test/confusion": np.eye(3, dtype=int)}
    arrays["precision/class_map50"] = each
    np.savez(run / "evaluation.npz", **arrays)
    (run / "data.json").write_text(json.dumps({"label_names": ["sky", "road", "car"]}))
    given = {}
    for name in ("confusion_matrix", "class_shares"):
        real = getattr(class_figures, name)

        def draw(values, names, *rest, name=name, real=real):
            given.setdefault(name, (values, names, *rest))
            return real(values, names, *rest)

        monkeypatch.setattr(class_figures, name, draw)
    found = Checker(write_report(run))
    for key in ("test/per_class_iou", "precision/class_map50"):
        assert f"{key}: by class, the worst first." in found.text
    assert set(given) == {"confusion_matrix", "class_shares"}
    assert all(each[1] == ["sky", "road", "car"] for each in given.values())
    assert (run / "figures/test_per_class_iou.png").is_file()


def test_a_run_that_has_just_begun_has_a_report(make_run, tmp_path):
    found = Checker(write_report(make_run(tmp_path / "new", log=[], summary=None)))
    assert "unfinished · 0 steps" in found.text
    assert "No metric has been logged yet." not in found.text
    assert "Ours so far -" in found.text
    assert "Reported 93.02%" in found.text
    assert found.tags.count("img") == 0


def test_an_unfinished_run_shows_its_values_so_far_and_its_torn_line(make_run, tmp_path):
    run = make_run(tmp_path / "a", summary=None)
    with (run / "metrics.jsonl").open("a") as log:
        log.write('{"step": 5')
    found = Checker(write_report(run))
    assert "Ours so far 92.00% Gap -1.02 points" in found.text
    assert "metrics.jsonl: line 5 is no row and is left out" in found.text
    assert "test_ema/accuracy 93.00% 93.00%" in found.text


def test_a_claim_of_another_recipe_is_shown_without_a_gap(make_run, tmp_path, values):
    config, summary = values
    config["_config"]["overrides"] |= {"augment[0].padding": 4, "total": "2 epochs"}
    found = Checker(write_report(make_run(tmp_path / "a", config=config, summary=summary)))
    assert "Reported 93.02% Ours 92.67% Metric" in found.text
    said = "Reported of the unchanged recipe: this run sets augment.0.padding, total"
    assert said in found.text
    assert "Gap" not in found.text
    assert "padding: 4 ← overridden" in found.text


def test_a_result_that_is_not_finite_is_no_gap(make_run, tmp_path, values):
    config, summary = values
    summary["result"] |= {"value": None, "gap": None}
    summary["metrics"]["test/accuracy"] = None
    log = [{"step": 40, "wall_time": 1.0, "test/accuracy": None}]
    run = make_run(tmp_path / "a", config=config, summary=summary, log=log)
    assert "Ours nan Gap - Metric" in Checker(write_report(run)).text


def test_without_a_claim_there_is_no_gap(make_run, tmp_path, values):
    config, summary = values
    config.pop("reported")
    summary["result"] = None
    found = Checker(write_report(make_run(tmp_path / "a", config=config, summary=summary)))
    assert "Ours 92.67%" in found.text
    assert "Gap" not in found.text
    assert "Reported" not in found.text


def test_what_was_left_out_is_counted(make_run, tmp_path, values):
    config, summary = values
    summary["skipped"] = {"steps": 3, "examples": 7}
    found = Checker(write_report(make_run(tmp_path / "a", config=config, summary=summary)))
    steps = "Left out 3 of 40 steps were not finite."
    assert f"{steps} 7 examples of training were skipped. Learning" in found.text
    run = make_run(tmp_path / "b", config=config, summary=summary)
    held = {"test": {"examples": 1_920, "skipped": 1, "reasons": {"a/b.png": "it is empty"}}}
    (run / "skipped.json").write_text(json.dumps(held))
    found = Checker(write_report(run))
    said = "1 of 1,920 examples of test were skipped. split example why test a/b.png it is empty"
    assert f"{steps} {said} Learning" in found.text
    summary["skipped"] = {"steps": 0, "examples": 0}
    found = Checker(write_report(make_run(tmp_path / "c", config=config, summary=summary)))
    assert "Left out" not in found.text


def test_the_length_of_a_run_is_explained(make_run, tmp_path, values):
    config, summary = values
    config["_config"]["prolonged"] = [{"said": "prolonged after step 20 to 60 steps"}]
    early = dict(metric="test/accuracy", patience="1 epoch", min_delta=0.01, best=0.9)
    summary["stopped_early"] = {**early, "best_step": 20, "step": 40, "total": 60}
    found = Checker(write_report(make_run(tmp_path / "a", config=config, summary=summary)))
    assert "Note: prolonged after step 20 to 60 steps" in found.text
    said = (
        "Note: stopped early after step 40 of 60: test/accuracy has not improved by more than 0.01 "
        "since step 20 (90.00%), and the patience is 1 epoch"
    )
    assert said in found.text


def test_a_rate_says_how_much_of_it_was_waiting(make_run, tmp_path, values):
    config, summary = values
    summary["waiting_for_data"] = 0.97
    found = Checker(write_report(make_run(tmp_path / "a", config=config, summary=summary)))
    said = "812 examples per second over the run, 97% of the time waiting for data."
    assert said in found.text


def test_a_figure_that_fails_costs_the_report_no_other(run, monkeypatch):
    def fails(*arguments):
        raise RuntimeError("latex could not be found\nand more")

    monkeypatch.setattr(curve_figures, "learning_curves", fails)
    monkeypatch.setattr(image_figures, "mosaic", fails)
    with pytest.warns(UserWarning, match="learning_curves could not be drawn: latex could not be"):
        found = Checker(write_report(run))
    assert "learning_curves could not be drawn: latex could not be found" in found.text
    assert "and more" not in found.text
    names = {p.stem for p in (run / "figures").glob("*.png")}
    assert {"throughput", "test_confusion"} < names
    assert found.tags.count("img") == len(names)


def test_what_comes_from_outside_is_escaped(make_run, make_arrays, tmp_path, values):
    config, summary = values
    evil = '"><script>alert(1)</script><img src="http://evil.example/x" onerror=alert(1)>'
    config["model"]["name"] = evil
    config["reported"]["source"] = f"https://example.org/paper {evil}"
    config[evil] = {evil: evil}
    config["_config"]["overrides"][f"{evil}.{evil}"] = evil
    summary |= {"command": evil, "commit": evil, "versions": {evil: evil}, "status": evil}
    summary["phases"] = {evil: 1.0}
    log = [{"step": 1, f"test/{evil}": 0.5, "test/accuracy": 0.1}]
    run = make_run(tmp_path / "a", config=config, summary=summary, log=log)
    make_arrays(run, names=(evil, "$x$", "b"))
    np.savez(run / "evaluation.npz", **{"test/evil <b>": np.float32(1)})
    found = Checker(write_report(run))
    assert "script" not in found.tags
    assert "onerror" not in found.attributes
    assert all(r.startswith("data:image/png;base64,") for r in found.references)
    assert found.text.count("<script>alert(1)</script>") >= 8
    assert "https://example.org/paper" in found.text


def test_figures_that_are_there_already_are_shown_too(run):
    (run / "figures").mkdir()
    buffer = io.BytesIO()
    Image.new("RGB", (30, 20), "red").save(buffer, format="PNG")
    (run / "figures" / "filters.png").write_bytes(buffer.getvalue())
    (run / "figures" / "half.png").write_bytes(buffer.getvalue()[:40])
    path = write_report(run)
    found = Checker(path)
    assert "filters.png" in found.text
    assert "half.png is not a complete PNG file." in found.text
    assert 'width="30" alt="filters.png"' in path.read_text()


def test_predictions_of_other_tasks_are_shown_as_images(make_run, tmp_path):
    run = make_run(tmp_path / "a")
    images = np.zeros((3, 8, 8, 1), np.uint8)
    np.savez(run / "predictions.npz", image=images, label=np.zeros((3, 8, 8)))
    np.savez(run / "augmented.npz", image=images)
    found = Checker(write_report(run))
    assert "Samples." in found.text
    assert "Augmentation" not in found.text


def test_writing_again_replaces_the_report(run):
    path = write_report(run)
    before = path.read_bytes()
    path.write_text("stale")
    assert write_report(run).read_bytes() == before


def test_a_folder_that_is_no_workdir_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"has no config\.json"):
        write_report(tmp_path)
    assert not list(tmp_path.iterdir())


def test_dark_screens_and_paper_have_their_styles(run):
    style = re.search(r"<style>(.*?)</style>", write_report(run).read_text(), re.DOTALL)[1]
    assert "@media screen and (prefers-color-scheme: dark)" in style
    assert "@media print" in style


def test_elements_escape_content_and_attributes():
    assert page.tag("p", "a < b", title='"x"') == '<p title="&quot;x&quot;">a &lt; b</p>'
    assert page.tag("p", page.tag("b", "&")) == "<p><b>&amp;</b></p>"
    assert page.section("Empty", "", page.Html("")) == ""
    assert json.dumps(page.text(3)) == '"3"'
