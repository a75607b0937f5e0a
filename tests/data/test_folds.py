"""Each example is in one fold, classes are spread evenly, and a run sees its folds only."""

import pickle

import numpy as np
import pytest

from library.config import ConfigError
from library.data import folds
from library.data.examples import ArrayRecords
from library.run.recipe import make_plan
from tests import tiny


@pytest.mark.parametrize(("count", "num"), [(10, 10), (23, 5), (50, 3)])
def test_sizes_and_classes_differ_by_one_at_most(count, num):
    labels = np.random.default_rng(0).choice(4, count, p=[0.6, 0.2, 0.15, 0.05])
    found = folds.assigned(count, num, 0, labels)
    whole = np.bincount(found, minlength=num)
    assert whole.sum() == count
    assert np.ptp(whole) <= 1
    for label in np.unique(labels):
        assert np.ptp(np.bincount(found[labels == label], minlength=num)) <= 1
    assert np.ptp(np.bincount(folds.assigned(count, num, 0), minlength=num)) <= 1


def test_folds_follow_from_their_seed():
    labels = np.arange(40) % 3
    found = folds.assigned(40, 4, 7, labels)
    np.testing.assert_array_equal(found, folds.assigned(40, 4, 7, labels))
    assert (found != folds.assigned(40, 4, 8, labels)).any()
    # Data that are sorted by class are shuffled within the class.
    assert (folds.assigned(40, 4, 7, np.sort(labels))[:14] != np.arange(14) % 4).any()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (dict(num=1), r"num=1: valid are 2 or more"),
        (dict(num=3, fold=3), r"fold=3: valid are 0 to 2, one below num"),
        (dict(num=3, seed=-1), r"seed=-1: valid are 0 to"),
        (dict(num=51), r"num=51: the split has only 50 examples"),
        (dict(number=3), r"did you mean 'num'"),
    ],
)
def test_folds_that_cannot_be_are_refused(given, message, monkeypatch):
    tiny.serve(monkeypatch, train=tiny.arrays(50))
    with pytest.raises(ConfigError, match=message):
        make_plan(tiny.config(dataset=dict(folds=given)))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (dict(name="none"), "needs data"),
        (dict(tokenizer=dict(name="character"), context=4), "does not support dataset.tokenizer"),
        (dict(name=None, sources=dict(a=dict(name="tiny"))), "does not support dataset.sources"),
    ],
)
def test_data_without_rows_have_no_folds(other, message):
    with pytest.raises(ConfigError, match=message):
        make_plan(tiny.config(dataset=dict(folds=dict(num=2), **other)))


def test_a_run_is_tested_on_one_fold_and_trains_on_the_others(monkeypatch):
    data = tiny.arrays(50)
    tiny.serve(monkeypatch, train=data)
    seen = np.zeros(50, int)
    for fold in range(3):
        plan = make_plan(tiny.config(dataset=dict(folds=dict(num=3, fold=fold))))
        training, testing = plan.loader, plan.splits("test")
        rows = [each.source.records.rows for each in (training, testing)]
        assert sorted([*rows[0], *rows[1]]) == list(range(50))
        seen[rows[1]] += 1
        assert plan.loader.source.examples_per_epoch == 50 - len(rows[1])
        for loader, chosen in zip((training, testing), rows):
            np.testing.assert_array_equal(loader.load(0, 2)["image"], data["image"][chosen[2]])
            assert loader.source.describe(2) == f"tiny train[{chosen[2]}]"
            again = pickle.loads(pickle.dumps(loader.source.records))
            assert again[2]["label"] == data["label"][chosen[2]]
        with pytest.raises(IndexError):
            training.source.records[len(rows[0])]
        # An evaluation of the split "train" leaves the fold out, too.
        np.testing.assert_array_equal(plan.splits("train").source.records.rows, rows[0])
        assert f"{len(rows[1])} for 'test'" in plan.loader.source.notes[-1]
    np.testing.assert_array_equal(seen, 1)


def test_chosen_records_have_what_the_whole_has():
    chosen = folds.Chosen(ArrayRecords({"label": np.arange(5)}), np.array([3, 1]))
    assert [each["label"] for each in (chosen[0], chosen[1])] == [3, 1]
    assert not any(hasattr(chosen, name) for name in ("labels", "several", "stored", "at"))

    class Held(ArrayRecords):
        labels = np.arange(5) * 10

        def several(self, rows):
            return [self[row] for row in rows]

        def stored(self):
            return ["file"], "train"

    chosen = folds.Chosen(Held({"label": np.arange(5)}), np.array([3, 1]))
    assert chosen.labels.tolist() == [30, 10]
    assert [each["label"] for each in chosen.several([1, 0])] == [1, 3]
    assert chosen.stored() == (["file"], ["train", [3, 1]])
