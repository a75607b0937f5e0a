"""A fall at the end, schedules one after the other, and the schedule of a run that gets longer."""

import jax
import numpy as np
import pytest

from library.config import ConfigError, duration
from library.optim.continuation import Length, continued
from library.optim.learning_rate import make_schedule
from library.optim.optimizers import make_optimizers

COSINE, CONSTANT = dict(name="cosine"), dict(name="constant")


def length(total):
    def steps(text):
        return duration(text, batch_size=10, num_examples=100, total=total)

    return Length(total, steps)


def rates(spec, total, count=None):
    made = make_schedule(spec, peak=1.0, total_steps=total, steps=length(total).steps)
    return np.asarray(jax.vmap(made)(np.arange(count or total + 1)))


# The schedules.


@pytest.mark.parametrize("shape", ["linear", "sqrt"])
def test_a_cooldown_falls_over_its_last_steps(shape):
    spec = dict(name="cooldown", over="2 epochs", shape=shape, warmup="4 steps", final=0.1)
    share = np.arange(21) / 20
    fall = 1 - 0.9 * (share if shape == "linear" else np.sqrt(share))
    found = rates(spec, 100)
    np.testing.assert_array_equal(found[:4], np.float32([0, 0.25, 0.5, 0.75]))
    np.testing.assert_array_equal(found[4:81], 1)
    np.testing.assert_allclose(found[80:], fall, 1e-6)


def test_a_linear_cooldown_is_a_constant_rate_with_one():
    ours = rates(dict(name="cooldown", over="25%"), 40)
    np.testing.assert_allclose(ours, rates(dict(name="constant", cooldown="25%"), 40), 1e-6)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (dict(over="5 epochs"), "over='5 epochs' is 50 steps: valid are 1 to 36, the steps of the"),
        (dict(over="0 steps"), "over='0 steps' is 0 steps: at least one"),
        (dict(over="5 steps", cooldown="5 steps"), "falls by itself: leave out cooldown, set over"),
        (dict(over="5 steps", shape="root"), "shape='root': did you mean 'sqrt'"),
        ({}, "needs 'over'"),
    ],
)
def test_a_cooldown_that_does_not_fit(spec, said):
    with pytest.raises(ConfigError, match=said):
        rates(dict(name="cooldown", warmup="4 steps", **spec), 40)


def test_the_parts_of_a_sequence_are_runs_of_their_own():
    # The first is cut, the second is as long as it is, the third has a warmup of half of it.
    parts = [
        dict(name="cosine", until="8 steps", total="12 steps"),
        dict(name="linear", until="50%"),
        dict(name="polynomial", power=2.0, warmup="50%"),
    ]
    found = rates(dict(name="sequence", parts=parts), 40, 45)
    np.testing.assert_array_equal(found[:8], rates(COSINE, 12)[:8])
    np.testing.assert_array_equal(found[8:20], rates(dict(name="linear"), 12)[:12])
    last = rates(dict(name="polynomial", power=2.0, warmup="10 steps"), 20)
    np.testing.assert_array_equal(found[20:40], last[:20])
    np.testing.assert_array_equal(found[40:], last[20])


@pytest.mark.parametrize(
    ("parts", "ends"),
    [
        ([], "[]"),
        ([CONSTANT, CONSTANT], "[40, 40]"),
        ([{**CONSTANT, "until": "40 steps"}, CONSTANT], "[40, 40]"),
        ([{**CONSTANT, "until": "5 steps"}, {**CONSTANT, "until": "3 steps"}, CONSTANT], "[5, 3, "),
        ([{**CONSTANT, "until": "40 steps"}], "[40]"),
    ],
)
def test_parts_that_are_no_sequence(parts, ends):
    with pytest.raises(ConfigError) as caught:
        rates(dict(name="sequence", parts=parts), 40)
    assert f"has parts that end at the steps {ends}" in str(caught.value)


def test_a_player_with_several_updates_a_step_follows_the_same_sequence():
    parts = [dict(name="linear", until="4 steps"), dict(name="linear", warmup="50%")]
    schedule = dict(name="sequence", parts=parts)
    specs = {
        name: dict(name="sgd", learning_rate=1.0, updates=count, schedule=schedule)
        for name, count in (("once", 1), ("thrice", 3))
    }
    made = make_optimizers(specs, total_steps=12, steps=length(12).steps, batch_size=9)
    ours, theirs = ([float(made[name].learning_rate(step)) for step in range(13)] for name in specs)
    np.testing.assert_allclose(ours, theirs, 1e-6)


# The longer run.


@pytest.mark.parametrize(
    ("before", "asked"),
    [
        (CONSTANT, CONSTANT),
        (dict(name="constant", warmup="1 epoch"), dict(name="constant", warmup="1 epoch")),
        (CONSTANT, dict(name="cooldown", over="30 steps", shape="sqrt")),
        (CONSTANT, dict(name="constant", cooldown="50%")),
        (dict(name="step", boundaries=["2 epochs"]),) * 2,
        (dict(name="rsqrt", timescale="9 steps", warmup="9 steps"),) * 2,
    ],
)
def test_a_schedule_with_the_same_rates_so_far_stays(before, asked):
    assert continued(before, asked, length(30), length(60), 30) == (asked, True, "")


def test_a_cooldown_that_has_not_begun_moves_to_the_new_end():
    spec = dict(name="cooldown", over="10 steps")
    assert continued(spec, spec, length(30), length(60), 20) == (spec, True, "")
    assert not continued(spec, spec, length(30), length(60), 22).exact


def test_percentages_of_the_shorter_run_become_its_steps():
    spec = dict(name="step", boundaries=["50%", "75 %"], warmup="10%", factor=0.5)
    found = continued(spec, spec, length(40), length(80), 40)
    fixed = dict(name="step", boundaries=["20 steps", "30 steps"], warmup="4 steps", factor=0.5)
    assert found == (fixed, True, "its percentages stay those of 40 steps")


def test_a_schedule_of_the_total_starts_again():
    found = continued(COSINE, COSINE, length(12), length(30), 8)
    assert (found.exact, found.said) == (False, "'cosine' starts again after step 8, for 22 steps")
    whole = rates(found.schedule, 30)
    np.testing.assert_array_equal(whole[:8], rates(COSINE, 12)[:8])
    np.testing.assert_array_equal(whole[8:], rates(COSINE, 22))


@pytest.mark.parametrize("own", [True, False], ids=["as the run has it", "as the file has it"])
def test_a_run_that_gets_longer_twice_has_three_parts(own):
    first = continued(COSINE, COSINE, length(12), length(20), 12).schedule
    found = continued(first, first if own else COSINE, length(20), length(50), 20)
    assert found.schedule["parts"] == [
        dict(name="cosine", until="12 steps", total="12 steps"),
        dict(name="cosine", until="20 steps", total="8 steps"),
        COSINE,
    ]
    np.testing.assert_array_equal(rates(found.schedule, 50)[:20], rates(first, 20)[:20])
    # It goes back to a checkpoint of its first part.
    nested = continued(first, COSINE, length(20), length(50), 9).schedule
    np.testing.assert_array_equal(rates(nested, 50)[:9], rates(COSINE, 12)[:9])
    np.testing.assert_array_equal(rates(nested, 50)[9:], rates(COSINE, 41))


def test_the_schedule_of_a_player_is_in_steps_of_the_run():
    ours = continued(COSINE, COSINE, length(12), length(30), 8, updates=3)
    assert ours == continued(COSINE, COSINE, length(12), length(30), 8)
    spec = dict(name="constant", warmup="25%")
    fixed = dict(name="constant", warmup="3 steps")
    assert continued(spec, spec, length(12), length(30), 8, updates=3).schedule == fixed


def test_a_schedule_that_does_not_fit_into_the_rest():
    spec = dict(name="cooldown", over="20 steps")
    said = r"after step 40 the schedule starts again, for 10 steps: .*over='20 steps' is 20 steps"
    with pytest.raises(ConfigError, match=said):
        continued(CONSTANT, spec, length(40), length(50), 40)
