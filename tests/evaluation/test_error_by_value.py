import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.evaluation.context import Context
from library.evaluation.error_by_value import error_by_value
from library.reporting import error_figure
from library.task import Task, TrainState

STATE = TrainState(jnp.int32(0), {}, {}, (), None)
# The last example is padding.
VALUES = np.float32([1, 2, 2, 10, 11, 30, 99])[:, None]
ERRORS = np.float32([3, 1, 2, 4, 8, 6, 1000])
MASK = np.float32([1, 1, 1, 1, 1, 1, 0])


def make_context(outputs=("error",)):
    def batches(split, batch_size):
        for rows in (slice(0, 4), slice(4, 7)):
            yield {
                "error": jnp.asarray(ERRORS[rows]),
                "target": jnp.asarray(VALUES[rows]),
                "mask": jnp.asarray(MASK[rows]),
            }

    def collect(function):
        return lambda state, batch: jax.device_get(function(state, batch, jax.random.key(0)))

    made = {name: lambda state, batch, key: batch["error"] for name in outputs}
    return Context(Task(None, None, None, made), batches, collect, collect)


def test_errors_by_hand_without_padding():
    found = error_by_value(make_context(), edges=(0.0, 2.0, 10.0, 20.0, 25.0, 30.0))(STATE)
    assert found["mean_error"] == 4
    assert found["median_error"] == 3.5
    assert found["percentile_90_error"] == 7
    table = [[0, 2, 10, 20, 25], [2, 10, 20, 25, 30], [1, 2, 2, 0, 1], [3, 1.5, 6, 0, 6]]
    np.testing.assert_array_equal(found["error_by_value"], table)


def test_bins_of_equal_width_hold_every_example():
    found = error_by_value(make_context(), bins=3)(STATE)["error_by_value"]
    assert found[2].sum() == 6
    assert found[0, 0] == 1
    assert found[1, -1] == 30
    assert (found[2] * found[3]).sum() == ERRORS[:-1].sum()


def test_the_figure_is_drawn_for_this_array_alone():
    values = error_by_value(make_context(), bins=3)(STATE)["error_by_value"]
    assert error_figure.is_error_by_value("age/error_by_value", values)
    assert not error_figure.is_error_by_value("age/confusion", values)
    assert not error_figure.is_error_by_value("age/error_by_value", 0 * values)
    figure = error_figure.error_by_value(values)
    bars = [patch.get_height() for patch in figure.axes[0].patches]
    np.testing.assert_allclose(bars, values[3][values[2] > 0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(edges=(1.0,)), "edges=.*two or more increasing"),
        (dict(edges=(1.0, 1.0)), "edges="),
        (dict(bins=0), "bins=0: valid are 1"),
        (dict(component=-1), "component=-1: valid are 0"),
    ],
)
def test_requests_that_do_not_fit(arguments, message):
    with pytest.raises(ConfigError, match=message):
        error_by_value(make_context(), **arguments)


def test_a_task_without_errors_and_a_value_that_is_not_there():
    with pytest.raises(ConfigError, match="no output 'error': did you mean 'errors'"):
        error_by_value(make_context(("errors",)))
    with pytest.raises(ConfigError, match="did you mean 'target'"):
        error_by_value(make_context(), value="targets")(STATE)
    with pytest.raises(ValueError, match="has 1 values"):
        error_by_value(make_context(), component=1)(STATE)
