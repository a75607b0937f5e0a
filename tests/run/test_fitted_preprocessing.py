"""Preprocessing that is fitted to the training split, once, and read from the run from then on."""

import dataclasses
import json

import numpy as np
import pytest

from library import config
from library.config import ConfigError
from library.data import sources
from library.data.examples import ArrayRecords
from library.data.preprocessing import fitting
from library.run import data_record
from library.run.recipe import make_plan
from tests import tiny
from tests.kept import cache_in

RANDOM = np.random.default_rng(0)
SKEWED = RANDOM.normal(size=(60, 3)) @ np.array([[2, 1, 0], [0, 3, 0], [0, 0, 0.0]]) + [5, 0, 7]
STANDARD = dict(name="standardize", key="code")
CONFIG = dict(
    preprocess=[STANDARD], model=tiny.PERCEPTRON, task=dict(name="classification", inputs=["code"])
)


def arrays(count, shift=0.0):
    code = np.float32(SKEWED[:count] + shift)
    return {"code": code, "label": np.arange(count, dtype=np.int32) % 4}


@pytest.fixture(autouse=True)
def served(monkeypatch):
    fits = []
    real = fitting.Standardizing.fit

    def fit(self, examples):
        fits.append(self.key)
        return real(self, examples)

    monkeypatch.setattr(fitting.Standardizing, "fit", fit)
    tiny.serve(monkeypatch, train=arrays(60), test=arrays(20), moved=arrays(60, shift=100))
    return fits


def build(**spec):
    return config.build(spec, "library.data.preprocessing", "preprocessing")


def examples(key="code"):
    return [{key: np.float32(x)} for x in SKEWED]


def applied(made, values=SKEWED):
    return np.stack([made({"code": np.float32(x)}, None)["code"] for x in values])


def test_components_are_standardized():
    made = build(**STANDARD)
    found = applied(made.fitted(json.loads(json.dumps(made.fit(examples())))))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[:, :2].mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(found[:, :2].std(0), 1, rtol=1e-5)
    # What does not vary keeps its scale.
    np.testing.assert_allclose(found[:, 2], 0, atol=1e-5)


def test_missing_values_count_for_no_statistics():
    made = build(**STANDARD, missing=True)
    holes = np.array(SKEWED, np.float32)
    holes[3, 0] = holes[5:, 1] = np.nan
    values = made.fit([{"code": x} for x in holes])
    for column in range(2):
        known = holes[~np.isnan(holes[:, column]), column].astype(float)
        assert values["mean"][column] == pytest.approx(known.mean())
        assert values["std"][column] == pytest.approx(known.std())
    found = applied(made.fitted(values), holes)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(holes))


@pytest.mark.parametrize("kind", ["pca", "zca"])
def test_whitened_components_do_not_covary(kind):
    made = build(name="whiten", key="code", kind=kind, epsilon=0.0)
    vectors = [{"code": x[:2]} for x in np.float32(SKEWED)]
    values = json.loads(json.dumps(made.fit(vectors)))
    found = applied(made.fitted(values), SKEWED[:, :2])
    np.testing.assert_allclose(np.cov(found.T, bias=True), np.eye(2), atol=1e-4)
    matrix = np.array(values["matrix"])
    assert np.allclose(matrix, matrix.T) == (kind == "zca")


def test_a_run_fits_once_and_keeps_what_it_fitted(served, tmp_path):
    plan = make_plan(tiny.config(**CONFIG))
    assert served == ["code"]
    assert abs(plan.loader.load(0, 0)["code"][0]) < 4
    data_record.write(tmp_path, plan.splits.found())
    recorded = data_record.read(tmp_path)
    assert recorded == plan.splits.found()._replace(workdir=str(tmp_path))
    again = make_plan(tiny.config(**CONFIG), recorded=recorded)
    assert served == ["code"]
    for row in range(3):
        ours, theirs = (each.loader.load(0, row)["code"] for each in (again, plan))
        np.testing.assert_array_equal(ours, theirs)
    # Evaluations are standardized by the training split, whatever their own moments are.
    moved = again.splits("moved").load(0, 0)["code"] - again.splits("train").load(0, 0)["code"]
    deviation = json.loads(json.dumps(recorded.preprocess))
    (values,) = deviation.values()
    np.testing.assert_allclose(moved, 100 / np.array(values["std"]), rtol=1e-4)
    # A program that does not train knows them without the training split.
    apart = make_plan(tiny.config(**CONFIG), recorded=recorded, trains=False)
    assert not apart.loader.source.is_open
    ours, theirs = (each.splits("moved").load(0, 0)["code"] for each in (apart, plan))
    np.testing.assert_array_equal(ours, theirs)


def test_what_comes_before_is_done_before_it_is_fitted(served):
    spec = dict(name="to_target", key="code", mean=50.0)
    chosen = dict(name="select", keys=["target"])
    steps = [spec, dict(name="standardize", key="target"), chosen]
    task = dict(name="regression", inputs=["target"])
    plan = make_plan(tiny.config(**{**CONFIG, "preprocess": steps, "task": task}))
    (values,) = plan.splits.found().preprocess.values()
    np.testing.assert_allclose(values["mean"], SKEWED.mean(0) - 50, rtol=1e-5)


def test_what_is_fitted_nowhere_or_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match="is fitted to the training split"):
        make_plan(tiny.config(**{**CONFIG, "preprocess": dict(train=[], test=[STANDARD])}))
    with pytest.raises(ConfigError, match="512 is the limit"):
        build(name="whiten", key="code").fit([{"code": np.zeros(600)}])
    made = build(**STANDARD)
    fitted = made.fitted(made.fit(examples()))
    with pytest.raises(
        ValueError, match="code has 2 components, but its preprocessing was fitted to 3"
    ):
        fitted({"code": np.zeros(2)}, None)


def test_what_is_fitted_to_values_that_are_not_finite_is_refused(monkeypatch):
    damaged = arrays(60)
    damaged["code"][7, 1] = np.nan
    tiny.serve(monkeypatch, train=damaged, test=arrays(20))
    with pytest.raises(ConfigError, match="the fit has numbers that are not finite: look for NaN"):
        make_plan(tiny.config(**CONFIG))


@dataclasses.dataclass(frozen=True)
class Stored(ArrayRecords):
    """Arrays that follow from a file."""

    path: str

    def stored(self):
        return [self.path], "train"


def test_later_starts_do_not_fit_again(served, tmp_path, monkeypatch, capsys):
    cache = cache_in(tmp_path, monkeypatch)
    (tmp_path / "data").write_bytes(b"the data")
    found = sources.from_arrays(arrays(60), label_names=tiny.CLASSES)
    found = found._replace(records=Stored(arrays(60), str(tmp_path / "data")))
    tiny.serve(monkeypatch, train=found, test=arrays(20))
    plans = [make_plan(tiny.config(**CONFIG)) for _ in range(2)]
    assert served == ["code"]
    kept = [plan.splits.found().preprocess for plan in plans]
    assert kept[0] == kept[1]
    (path,) = (cache / "fitted").iterdir()
    path.write_text(path.read_text().replace("1", "2"))
    assert make_plan(tiny.config(**CONFIG)).splits.found().preprocess == kept[0]
    assert len(served) == 2
    assert f"{path} is damaged (its checksum is wrong)" in capsys.readouterr().err
    # What a run has kept comes before the cache.
    ((key, values),) = kept[0].items()
    own = plans[0].splits.found()._replace(preprocess={key: {**values, "mean": [1.0, 2.0, 3.0]}})
    again = make_plan(tiny.config(**CONFIG), recorded=own)
    assert again.splits.found().preprocess == own.preprocess
    assert len(served) == 2
    (tmp_path / "data").write_bytes(b"other data")
    make_plan(tiny.config(**CONFIG))
    assert len(served) == 3
    before = [dict(name="select", keys=["code", "label"]), STANDARD]
    make_plan(tiny.config(**{**CONFIG, "preprocess": before}))
    assert len(served) == 4
