"""The worst, median and best examples of a split, against their scores sorted by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.evaluation.cases import cases
from library.evaluation.context import Context
from library.reporting import saved_samples
from library.run import artifacts
from library.task import Task, TrainState

STATE = TrainState(jnp.zeros((), jnp.int32), {}, {}, (), None)
# By row. The example of row 3 has no score, and that of row 5 was skipped.
SCORES = np.float32([0.5, 0.1, 0.9, np.nan, 0.3, 7.0, 0.7, 0.2])
SKIPPED = 5


def batches(split, batch_size):
    size = batch_size or 3
    for start in range(0, 8 if split == "test" else 0, size):
        rows = np.arange(start, start + size)
        real = (rows < 8) & (rows != SKIPPED)
        rows = np.where(rows < 8, rows, 0)
        yield {"row": jnp.asarray(rows), "mask": jnp.asarray(real, jnp.float32)}


def error(state, batch, key):
    return jnp.asarray(SCORES)[batch["row"]]


def overlay(state, batch, key):
    """Returns rows of two images, all of whose pixels are the example's row."""
    row = batch["row"].astype(jnp.uint8)[:, None, None, None, None]
    return jnp.broadcast_to(row, (len(row), 2, 4, 5, 3))


def context(**outputs):
    def collect(function):
        def collected(state, batch):
            return jax.device_get(jax.jit(function)(state, batch, jax.random.key(0)))

        return collected

    outputs = {"error": error, "overlay": overlay, **outputs}
    return Context(Task(None, None, None, outputs), batches, None, collect)


@pytest.mark.parametrize("batch_size", [None, 8])
def test_worst_median_and_best_with_captions(batch_size):
    found = cases(context(), num=1, batch_size=batch_size)(STATE)
    # In order they are 0.1 (row 1), 0.2 (7), 0.3 (4), 0.5 (0), 0.7 (6) and 0.9 (2).
    assert {k: found[k] for k in ("worst", "median", "best")} == pytest.approx(
        {"worst": 0.9, "median": 0.3, "best": 0.1}
    )
    assert found["overlay"].shape == (3, 2, 4, 5, 3)
    np.testing.assert_array_equal(found["overlay"][:, 1, 2, 3, 0], [2, 4, 1])
    assert found["overlay_captions"].tolist() == [
        "worst: error 0.9, test[2]",
        "median: error 0.3, test[4]",
        "best: error 0.1, test[1]",
    ]


def test_a_score_may_be_the_better_the_greater_it_is_and_none_is_shown_twice():
    outputs = {"mean_iou": lambda *given: 1 - error(*given)}
    found = cases(context(**outputs), score="mean_iou", mode="max", num=3)(STATE)
    assert found["worst"] == pytest.approx(0.1)
    np.testing.assert_array_equal(found["overlay"][:, 0, 0, 0, 0], [2, 6, 0, 7, 4, 1])
    labels = [caption.partition(":")[0] for caption in found["overlay_captions"]]
    # Of the three in the middle the worst ones have taken one.
    assert labels == ["worst"] * 3 + ["median"] * 2 + ["best"]
    assert found["overlay_captions"][0] == "worst: mean iou 0.1, test[2]"


def test_refused():
    with pytest.raises(ConfigError, match="score='eror': the task has no such output, did you mea"):
        cases(context(), score="eror")
    with pytest.raises(ConfigError, match="num=0: valid are 1 or more"):
        cases(context(), num=0)
    with pytest.raises(ConfigError, match=r"score='overlay' is \(3, 2, 4, 5, 3\), expected a num"):
        cases(context(), score="overlay")(STATE)
    with pytest.raises(ConfigError, match=r"output='error' is not an image: its shape is \(3,\)"):
        cases(context(), output="error")(STATE)
    with pytest.raises(ValueError, match="split 'empty' has no examples"):
        cases(context(), split="empty")(STATE)
    # A rehearsal has no real examples.
    blank = context()._replace(
        batches=lambda split, size: [{**b, "mask": 0 * b["mask"]} for b in batches("test", size)]
    )
    assert set(cases(blank)(STATE)) == {"worst", "median", "best"}


def test_the_captions_reach_the_report(tmp_path):
    found = cases(context(), num=1)(STATE)
    arrays = {f"cases/{k}": v for k, v in found.items() if np.ndim(v)}
    for step in (4, 8):
        assert not artifacts.keep_samples(arrays, step, tmp_path, print)
    (kept,) = saved_samples.find(tmp_path)
    assert kept.name == "cases_overlay"
    figure, said = saved_samples.newest(kept)
    assert said == "cases_overlay, step 8 (the truth, what is found)"
    assert [text.get_text() for text in figure.axes[0].texts] == kept.captions()
    assert kept.captions()[0] == "worst: error 0.9, test[2]"
    assert len(figure.axes[0].images) == 3
    assert saved_samples.over_training(kept) is None
    # Images that are no rows stand side by side.
    single = {"a/b": found["overlay"][:, 0], "a/b_captions": found["overlay_captions"]}
    artifacts.keep_samples(single, 1, tmp_path / "single", print)
    figure, _ = saved_samples.newest(*saved_samples.find(tmp_path / "single"))
    assert len({image.get_extent()[0] for image in figure.axes[0].images}) == 3
