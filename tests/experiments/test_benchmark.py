import itertools

import jax
import pytest

from experiments.measurements import families, timing
from experiments.measurements.timing import Budget


def test_things_are_measured_in_turn_and_compared_within_a_round():
    order, speed = [], itertools.count(1)

    def measure(name, seconds):
        # The machine slows down all the time: only a round's own ratio means something.
        order.append(name)
        return seconds * 2.0 ** ((next(speed) - 1) // 2)

    found = timing.pairs(Budget(10, 3), lambda: measure("a", 3.0), lambda: measure("b", 4.0))
    assert order == ["a", "b"] * 3
    assert found == {"ms": 6_000, "against ms": 8_000, "ratio": 0.75}


def test_a_step_is_called_once_to_warm_up():
    calls = []
    seconds = timing.seconds_each(lambda: calls.append(1), Budget(10, 1))
    assert len(calls) == 11
    assert seconds >= 0


@pytest.mark.parametrize(("steps", "few"), [(200, 5), (10, 2)])
def test_large_steps_are_taken_less_often(steps, few):
    assert Budget(steps, 3).for_large_steps() == Budget(few, 3)


def test_every_sampler_that_is_measured_makes_samples():
    values = families.command_line.load_config("configs/mnist/diffusion.py:cpu")[0]
    for name, sampler in families.SAMPLERS.items():
        step = families._sampling_step(values, sampler)
        assert jax.eval_shape(step).shape == (16, 28, 28, 1), name
