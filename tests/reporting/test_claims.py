"""Which overrides make a run another than the recipe whose claim it carries."""

import pytest

from library.reporting import claims

OPERATIONAL = (
    *("seed", "log_every", "wandb", "wandb.name", "compile_cache", "checkpoint.every"),
    *("dataset.data_dir", "dataset.workers", "dataset.cache", "parallel.mesh.fsdp"),
    *("splits.other.data_dir", "init_from.workdir", "task.teacher", "evaluate.test.every"),
    *("evaluate.judged.classifier", "evaluate.judged.weights", "evaluate.judged.every"),
    *("evaluate.other.batch_size", "evaluate.other"),
)


@pytest.mark.parametrize("key", OPERATIONAL)
@pytest.mark.parametrize("metric", ["test/accuracy", "test_ema/accuracy"])
def test_how_and_where_a_recipe_is_run_leaves_its_claim(key, metric):
    assert claims.changes([key], metric) == ()


@pytest.mark.parametrize(
    "key",
    [
        *("dataset.name", "dataset.train", "dataset.batch_size", "total", "model.widths", "model"),
        *("optimizer.learning_rate", "augment.0.padding", "parallel.strategy", "dataset"),
        *("evaluate", "evaluate.test", "evaluate.test.split", "ema.decay", "seeds"),
        *("ema.every", "optimizer.schedule.every", "optimizer.lookahead.every", "task.every"),
        *("task.classifier", "task.classifier.label_smoothing"),
    ],
)
@pytest.mark.parametrize("metric", ["test/accuracy", "test_ema/accuracy"])
def test_what_a_result_depends_on_voids_the_claim(key, metric):
    assert claims.changes([*OPERATIONAL, key], metric) == (key,)


def test_a_claim_of_ones_own_stands():
    assert claims.changes(["total", "reported.value"], "test/accuracy") == ()
    assert claims.changes(["total", "reported"], "test/accuracy") == ()


def test_a_result_loses_its_gap_and_says_why():
    result = {"metric": "test/accuracy", "value": 0.5, "reported": 0.9, "source": "x", "gap": -0.4}
    assert claims.judged(result, ["seed"]) == result
    changed = {**result, "gap": None, "changed": ["total"]}
    assert claims.judged(result, ["seed", "total"]) == changed
    assert claims.judged(None, ["total"]) is None
