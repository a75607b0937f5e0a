"""The pages of runs in a real browser: nothing fails, and a narrow window can be read."""

import json
from urllib.parse import unquote, urlparse

import numpy as np
import pytest

from library.reporting import compare, report
from tests.reporting import browser
from tests.reporting.conftest import CONFIG, write_arrays, write_run

DECODED = """Promise.all([...document.images].map(
  image => image.decode().then(() => image.naturalWidth > 0, () => false)))"""
# The sizes of letters, in CSS pixels, of every element that has text of its own.
LETTERS = """[...document.querySelectorAll("main *")].filter(
  e => [...e.childNodes].some(n => n.nodeType == 3 && n.textContent.trim())
).map(e => parseFloat(getComputedStyle(e).fontSize))"""
# How many CSS pixels a pixel of each figure has.
SCALES = """[...document.querySelectorAll("img")].map(
  image => image.getBoundingClientRect().width / image.naturalWidth)"""
# Each link: its address as written, and whether the page has the place that it names.
LINKS = """[...document.querySelectorAll("a")].map(a => [a.getAttribute("href"),
  !a.hash || document.getElementById(decodeURIComponent(a.hash.slice(1))) !== null])"""
WIDTH = "document.documentElement.scrollWidth"
# Letters of the figures are 17.7 pixels high before they are scaled.
SMALLEST_LETTER, LETTER_OF_FIGURES = 9.0, 8.5 * 150 / 72


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    program = browser.find()
    if program is None:
        pytest.skip(f"no Chromium is installed: none of {', '.join(browser.PROGRAMS)}")
    with browser.Browser(program, tmp_path_factory.mktemp("browser")) as running:
        yield running


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The report of a run with every part, texts and a profile included."""
    workdir = write_arrays(write_run(tmp_path_factory.mktemp("runs") / "a run"))
    for step in (20, 40):
        folder = workdir / "samples" / "test_texts"
        folder.mkdir(parents=True, exist_ok=True)
        text = np.array([f"a text of step {step} <b>" + "unbroken" * 40])
        np.savez(folder / f"{step:08d}.npz", values=text)
    trace = workdir / "profile" / "plugins" / "profile" / "one day"
    trace.mkdir(parents=True)
    (trace / "perfetto_trace.json.gz").write_bytes(b"")
    return report.write_report(workdir)


def check(page, path, width):
    """Opens a page; checks that nothing fails in it and that it does not scroll sideways."""
    assert page.open(path, width) == []
    decoded = page.evaluate(DECODED)
    assert decoded
    assert all(decoded)
    links = page.evaluate(LINKS)
    for address, found in links:
        assert found, address
        parts = urlparse(address)
        assert parts.scheme or not parts.path or (path.parent / unquote(parts.path)).is_file()
    assert page.evaluate(WIDTH) <= width
    assert min(page.evaluate(LETTERS)) >= 12
    assert min(page.evaluate(SCALES)) * LETTER_OF_FIGURES >= SMALLEST_LETTER
    return links


@pytest.mark.parametrize("width", [400, 1200])
def test_a_report_opens_and_can_be_read(page, whole, width):
    links = check(page, whole, width)
    assert len(links) == 1


def test_two_hundred_compared_runs_can_be_read(page, tmp_path):
    for i in range(200):
        config = json.loads(json.dumps(CONFIG))
        config["optimizer"] |= {"learning_rate": 0.01 * (i + 1), "weight_decay": i / 7, "warmup": i}
        config["model"] |= {"width": i, "dropout": i / 1000, "depth": i, "kind": f"kind{i}"}
        log = [{"step": 40, "wall_time": 80.0, "train/loss": 1.0, "test/accuracy": i / 1000}]
        write_run(tmp_path / f"sweep_of_many_things_{i:03}", config=config, log=log)
    (tmp_path / "sweep_of_many_things_007" / "report.html").write_text("")
    path = compare.compare(tmp_path)
    assert len(check(page, path, 1200)) == 1
    # No column is behind the right border, and the header stays when the runs scroll.
    boxes = "document.querySelector('.wide')"
    assert page.evaluate(f"{boxes}.scrollWidth <= {boxes}.clientWidth")
    top = "document.querySelector('th').getBoundingClientRect().top"
    assert (
        page.evaluate(f"{boxes}.scrollTop = 2000, {top} - {boxes}.getBoundingClientRect().top") < 2
    )
