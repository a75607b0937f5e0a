"""What is made by one run, seen by the features of another: a classifier that has been trained."""

import jax
import numpy as np
import pytest

from library.config import ConfigError
from library.evaluation.frechet import frechet_classifier_distance
from library.evaluation.precision_recall import precision_recall
from library.reporting.runs import read_rows
from library.run import stepping
from library.run.feed import Feed
from library.run.recipe import make_plan
from library.run.workdir import open_workdir
from tests import families, tiny

DISTANCE = "frechet_classifier_distance"
ALL = ("precision", "recall", "density", "coverage", DISTANCE, "num", "num_real")


@pytest.fixture(autouse=True)
def data(monkeypatch):
    families.serve(monkeypatch)


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    """The workdir of a classifier that sees normalized images, trained for a step."""
    with pytest.MonkeyPatch.context() as patch:
        families.serve(patch)
        values = tiny.config(total="1 step", model=dict(name="mlp.mlp", hidden=(5,)))
        workdir = tmp_path_factory.mktemp("runs") / "judge"
        tiny.run(make_plan(values, devices=jax.devices()[:1]), open_workdir(workdir, values, {}))
    return str(workdir)


def evaluators(judge, **options):
    both = {
        "fcd": dict(kind="frechet.frechet_classifier_distance"),
        "likeness": dict(kind="precision_recall"),
    }
    shared = dict(classifier=judge, num=16, every="1 step", **options)
    return {name: {**spec, **shared} for name, spec in both.items()}


def test_a_run_is_compared_with_its_data_by_the_features_of_another(judge, tmp_path):
    values = families.config(
        "vae", total="2 steps", ema=dict(decay=0.5), evaluate=evaluators(judge, ema="only")
    )
    tiny.run(make_plan(values, devices=jax.devices()[:1]), tmp_path)
    rows = read_rows(tmp_path / "metrics.jsonl").rows
    assert [row["step"] for row in rows] == [1, 2]
    for row in rows:
        assert {name for name in row if name.startswith("likeness")} == {
            f"likeness_ema/{name}" for name in ALL
        }
        assert (row["fcd_ema/num"], row["fcd_ema/num_real"]) == (16, 21)
        # Summed batch by batch here, from all features at once there.
        distance = row[f"fcd_ema/{DISTANCE}"]
        assert row[f"likeness_ema/{DISTANCE}"] == pytest.approx(distance, rel=1e-6)
        assert distance > 1e-3
        assert all(0 <= row[f"likeness_ema/{name}"] <= 1 for name in ("precision", "recall"))
    assert rows[0][f"fcd_ema/{DISTANCE}"] != rows[1][f"fcd_ema/{DISTANCE}"]


@pytest.mark.parametrize("normalize", [None, dict(mean=[0.4], std=[0.25])], ids=["plain", "scaled"])
def test_the_data_are_like_themselves_whatever_the_config_normalizes_by(judge, normalize):
    data = tiny.arrays(21, seed=1, size=families.SIZE)["image"]
    plan = make_plan(families.config("vae", normalize=normalize), devices=jax.devices()[:1])
    feed = Feed(plan)

    def sample(state, batch, key):
        image = jax.numpy.asarray(data)[batch["row"]].astype(np.float32) / 255
        return feed.context().normalize(image)

    context = feed.context()._replace(task=plan.task._replace(outputs={"sample": sample}))
    state = stepping.initial_carry(plan, feed).state
    options = dict(classifier=judge, num=21, batch_size=8)
    assert frechet_classifier_distance(context, **options)(state)[DISTANCE] < 1e-6
    found = precision_recall(context, **options)(state)
    assert found[DISTANCE] < 1e-6
    assert [found[name] for name in ("precision", "recall", "coverage")] == [1, 1, 1]
    assert found["density"] >= 6 / 5


def test_a_judge_of_averages_needs_averages(judge):
    with pytest.raises(ConfigError, match=r"evaluate.fcd, ema='only': the run has no running"):
        make_plan(families.config("vae", evaluate=evaluators(judge, ema="only")))
    with pytest.raises(ConfigError, match=r"evaluate.fcd, ema 'onyl'.*did you mean 'only'"):
        make_plan(families.config("vae", evaluate=evaluators(judge, ema="onyl")))


def test_too_few_images_are_found_before_the_run_starts(judge):
    few = evaluators(judge)
    few["likeness"]["density_neighbours"] = 30
    with pytest.raises(ConfigError, match=r"density_neighbours=30 of the 16 images.*1 to 15"):
        make_plan(families.config("vae", evaluate=few))
