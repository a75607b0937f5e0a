"""The failures of adversarial training, on cases made for each of them."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.evaluation import mode_coverage as module
from library.evaluation.context import Context
from library.evaluation.mode_coverage import mean_distance, mode_coverage
from library.task import Task, TrainState

CLASSES = tuple("abcdefghij")
STATE = TrainState(None, None, None, None, None)


def context_of(sample, real, *, probability=None, signal=None, judge=None, warned=None):
    """Makes the context of a task that draws the rows of `sample` and knows how real they are.

    The output "probability" takes what the images' own top left pixels say.
    """
    outputs = {"sample": lambda state, batch, key: jnp.asarray(sample)[batch["index"]]}
    if probability is not None:
        outputs["probability"] = lambda state, batch, key: probability(batch["image"])
    if signal is not None:
        outputs["signal"] = lambda state, batch, key: jnp.full(len(batch["image"]), signal)

    def cut(values, size):
        for start in range(0, len(values["index"]), size):
            part = {name: value[start : start + size] for name, value in values.items()}
            short = size - len(part["index"])
            yield {n: np.concatenate([v, np.zeros_like(v[:1]).repeat(short, 0)]) for n, v in
                   part.items()}  # fmt: skip

    def examples(num):
        place = np.arange(num, dtype=np.uint32)
        label = (place % len(CLASSES)).astype(np.int32)
        return {"index": place, "mask": np.ones(num, np.float32), "label": label}

    def collect(function):
        def run(state, batch):
            batch = jax.tree.map(jnp.asarray, batch)
            return jax.device_get(function(state, batch, jax.random.key(0)))

        return run

    return Context(
        Task(None, None, None, outputs),
        batches=lambda split, size: cut({**examples(len(real)), "image": real}, 16),
        measure=None,
        collect=collect,
        draws=lambda num, size=None: cut(examples(num), 16),
        judge=lambda workdir, output: judge,
        warn=(warned if warned is not None else []).append,
        label_names=CLASSES,
    )


def images(num, seed=0):
    return np.random.default_rng(seed).random((num, 3, 3, 1)).astype(np.float32)


def top_left(image):
    return image[:, 0, 0, 0]


def read_as(of):
    """A judge that reads an image as the class in its top left pixel, with confidence 0.91."""

    def judge(image):
        return jnp.where(jnp.arange(10) == jnp.rint(of(image))[:, None], 0.91, 0.01)

    return judge


def test_distances_are_those_of_all_pairs():
    image, label = images(12), np.array([0, 0, 0, 1, 1, 2, 2, 2, 2, 3, 0, 1])
    pairs = list(itertools.combinations(range(12), 2))
    far = {(i, j): np.linalg.norm(image[i] - image[j]) for i, j in pairs}
    assert mean_distance(image) == pytest.approx(np.mean(list(far.values())), rel=1e-6)
    within = [d for (i, j), d in far.items() if label[i] == label[j]]
    assert mean_distance(image, label) == pytest.approx(np.mean(within), rel=1e-6)
    assert mean_distance(np.repeat(image[:1], 5, axis=0)) == 0
    assert np.isnan(mean_distance(image[:1]))
    assert np.isnan(mean_distance(image[:0]))


@pytest.mark.parametrize(("block", "num"), [(2**24, 1), (40, 4), (1, 12)])
def test_distances_are_made_in_blocks_with_a_pause_before_each(monkeypatch, block, num):
    expected = mean_distance(images(12))
    monkeypatch.setattr(module, "_BLOCK", block)
    pauses = []
    found = mean_distance(images(12), pause=lambda: pauses.append(0))
    assert found == pytest.approx(expected, rel=1e-12)
    assert len(pauses) == num


def test_coverage_by_hand():
    sample = images(100)
    # Fifty of class 0, forty of 1, nine of 2, one of 3: it has its tenth of a tenth.
    sample[:, 0, 0, 0] = np.repeat([0, 1, 2, 3], [50, 40, 9, 1])
    context = context_of(sample, images(60, 1), judge=read_as(top_left))
    found = mode_coverage(context, classifier="judge", num=100, conditional=True)(STATE)
    share = np.array([0.5, 0.4, 0.09, 0.01])
    assert found["classes_covered"] == 4
    assert found["class_entropy"] == pytest.approx(-np.sum(share * np.log(share)))
    np.testing.assert_allclose(found["class_share"], [*share, *np.zeros(6)])
    assert found["confidence"] == pytest.approx(0.91)
    label = np.arange(100) % 10
    assert found["class_accuracy"] == np.mean(label == sample[:, 0, 0, 0])
    expected = mean_distance(sample) / mean_distance(images(60, 1))
    assert found["pairwise_distance"] == pytest.approx(expected)
    real = mean_distance(images(60, 1), np.arange(60) % 10)
    assert found["class_distance"] == pytest.approx(mean_distance(sample, label) / real)
    assert found["collapsed"] == 1


def test_the_judge_sees_samples_as_they_were_before_the_config_normalized():
    sample = images(50)
    sample[:, 0, 0, 0] = np.arange(50) % 10
    context = context_of((sample - 2) / 4, images(50, 1), judge=read_as(top_left))
    context = context._replace(unnormalize=lambda image: image * 4 + 2)
    found = mode_coverage(context, classifier="judge", num=50, conditional=True)(STATE)
    assert (found["classes_covered"], found["class_accuracy"]) == (10, 1)


def test_as_many_real_images_count_as_samples_and_no_padding():
    real = images(100, 1)
    found = mode_coverage(context_of(images(40), real), num=20)(STATE)
    expected = mean_distance(images(40)[:20]) / mean_distance(real[:20])
    assert found["pairwise_distance"] == pytest.approx(expected)
    assert set(found) == {
        "pairwise_distance",
        "collapsed",
        "discriminator_won",
        "generator_stuck",
    }
    assert not any(v for k, v in found.items() if k != "pairwise_distance")


def test_samples_as_various_as_the_data_raise_no_flag():
    warned = []
    sample, real = images(100), images(100, 1)
    sample[:, 0, 0, 0] = np.arange(100) % 10
    real[:, 0, 0, 0] = np.arange(100) % 10
    context = context_of(
        sample,
        real,
        judge=read_as(top_left),
        probability=lambda image: jnp.full(len(image), 0.5),
        signal=1.0,
        warned=warned,
    )
    found = mode_coverage(context, classifier="judge", num=100, conditional=True)(STATE)
    assert found["classes_covered"] == 10
    assert found["class_accuracy"] == 1
    assert found["class_entropy"] == pytest.approx(np.log(10))
    assert found["accuracy_real"] == found["accuracy_fake"] == 0
    assert found["reach"] == pytest.approx(mean_distance(real))
    assert [found[flag] for flag in FLAGS] == [0, 0, 0]
    assert warned == []


FLAGS = ("collapsed", "discriminator_won", "generator_stuck")


def test_one_image_is_a_collapse_and_is_told_once():
    warned = []
    sample = np.repeat(images(1), 50, axis=0)
    context = context_of(sample, images(50, 1), warned=warned)
    evaluate = mode_coverage(context, num=50)
    for _ in range(3):
        assert evaluate(STATE)["collapsed"] == 1
    assert len(warned) == 1
    assert "collapsed: samples differ by 0% of what real images do. Try" in warned[0]
    sample[:] = images(50)
    assert evaluate(STATE)["collapsed"] == 0
    sample[:] = sample[:1]
    assert evaluate(STATE)["collapsed"] == 1
    assert len(warned) == 2


def test_one_image_a_class_is_a_collapse_of_a_conditional_model():
    sample = images(10)[np.arange(50) % 10]
    warned = []
    context = context_of(sample, images(50, 1), warned=warned)
    assert mode_coverage(context, num=50)(STATE)["collapsed"] == 0
    found = mode_coverage(context, num=50, conditional=True)(STATE)
    assert found["class_distance"] == 0
    assert found["collapsed"] == 1
    assert "those of one class by 0%" in warned[0]


def marked(image, mark):
    image[:, 0, 0, 0] = mark
    return image


@pytest.mark.parametrize(
    ("real", "fake", "signal", "expected"),
    [
        (0.999, 0.001, 1.0, [0, 1, 0]),
        (0.999, 0.001, 1e-4, [0, 1, 1]),
        (0.9, 0.1, 1.0, [0, 0, 0]),
        (0.9, 0.1, 1e-4, [0, 0, 1]),
        (0.4, 0.6, 1e-4, [0, 0, 0]),
        (0.999, 0.6, 1.0, [0, 0, 0]),
    ],
)
def test_a_contest_that_is_over(real, fake, signal, expected):
    warned = []
    sample, data = marked(images(50), fake), marked(images(50, 1), real)
    context = context_of(sample, data, probability=top_left, signal=signal, warned=warned)
    found = mode_coverage(context, num=50)(STATE)
    assert [found[flag] for flag in FLAGS] == expected
    assert found["accuracy_fake"] == float(fake < 0.5)
    assert len(warned) == sum(expected)
    assert all("Try" in message for message in warned)
    assert not {"sure_real", "sure_fake"} & set(found)


def test_a_critic_never_wins_but_may_leave_its_generator_stuck():
    context = context_of(images(50), images(50, 1), signal=1e-4)
    found = mode_coverage(context, num=50)(STATE)
    assert [found[flag] for flag in FLAGS] == [0, 0, 1]


def test_zeros_and_nothing_at_all_are_survived():
    context = context_of(np.zeros((20, 3, 3, 1)), np.zeros((20, 3, 3, 1)), signal=0.0)
    assert np.isnan(mode_coverage(context, num=20)(STATE)["pairwise_distance"])


def test_what_cannot_be_measured_is_said():
    context = context_of(images(4), images(4))
    with pytest.raises(ConfigError, match="num=1: valid are 2"):
        mode_coverage(context, num=1)
    with pytest.raises(ConfigError, match="makes no 'sample'"):
        mode_coverage(context._replace(task=Task(None, None, None, {"logits": None})))
    with pytest.raises(ConfigError, match="no classes"):
        mode_coverage(context._replace(label_names=None), conditional=True)
