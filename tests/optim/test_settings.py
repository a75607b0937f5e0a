"""A spec that is not understood, or does not fit the params, is an error in one line."""

import jax
import pytest

from library.config import ConfigError
from library.optim.optimizers import check_patterns, make_optimizer
from tests.optim.updates import BATCH, TOTAL, parameters, steps

SGD = dict(name="sgd", learning_rate=0.1)
LAYERS = dict(rate=0.5, pattern=r"block(\d+)", stem=["embed"])


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({**SGD, "name": "adamv"}, "unknown optimizer 'adamv': did you mean 'adam"),
        ({**SGD, "name": "lbfgs"}, "unknown optimizer 'lbfgs'"),
        (dict(learning_rate=0.1), "unknown optimizer None"),
        ("sgd", "write dict"),
        (dict(name="sgd"), "needs 'learning_rate'"),
        ({**SGD, "momentun": 0.9}, "takes no 'momentun': did you mean 'momentum'"),
        ({**SGD, "weigth_decay": 0.9}, "takes no 'weigth_decay': did you mean 'weight_decay'"),
        ({**SGD, "b1": 0.9}, "optimizer 'sgd' takes no 'b1'"),
        ({**SGD, "mask": True}, "takes no 'mask'"),
        ({**SGD, "momentum": "0.9"}, "momentum='0.9' is of type str, expected float or None"),
        ({**SGD, "nesterov": 1}, "nesterov=1 is of type int, expected bool"),
        ({**SGD, "accumulator_dtype": "bfloat"}, "accumulator_dtype='bfloat': did you mean 'bfl"),
        ({**SGD, "learning_rate": -0.1}, "learning_rate=-0.1"),
        ({**SGD, "weight_decay": float("nan")}, "weight_decay=nan"),
        ({**SGD, "base_batch": 0}, "base_batch=0"),
        ({**SGD, "decayed": "kernel"}, "decayed='kernel': did you mean 'kernels'"),
        ({**SGD, "frozen": ["("]}, r"'\(' is not a regular expression"),
        ({**SGD, "clip": dict(global_norm=1.0, value=1.0)}, "exactly one of"),
        ({**SGD, "clip": {}}, "exactly one of"),
        ({**SGD, "clip": dict(norm=1.0)}, "clip takes no 'norm': did you mean 'global_norm'"),
        ({**SGD, "layer_decay": dict(rate=0.5)}, "layer_decay needs 'pattern'"),
        (
            {**SGD, "schedule": dict(name="cosin")},
            "unknown schedule 'cosin': did you mean 'cosine'",
        ),
        (
            {**SGD, "schedule": dict(name="cosine", warmpu="5 steps")},
            "schedule 'cosine' takes no 'warmpu': did you mean 'warmup'",
        ),
        (
            {**SGD, "schedule": dict(name="cosine", total=3)},
            r"takes no 'total': .*\(valid: final, warmup, warmup_from, cooldown\)",
        ),
        ({**SGD, "schedule": dict(name="cosine", warmup="5")}, "'5' is not a duration"),
        ({**SGD, "schedule": dict(name="cosine", warmup_from=0.1)}, "set warmup, too"),
        (
            {**SGD, "schedule": dict(name="step", boundaries=["9 steps", "3 steps"])},
            r"are the steps \[9, 3\]: they are not sorted",
        ),
        (
            {**SGD, "schedule": dict(name="piecewise", boundaries=["9 steps"], fractions=[1.0])},
            "has 1 boundaries and 1 fractions: 2 are needed",
        ),
        (
            {**SGD, "schedule": dict(name="one_cycle", peak="20%", warmup="5 steps")},
            "leave out warmup",
        ),
        ({**SGD, "schedule": dict(name="rsqrt", timescale="0 steps")}, "at least one"),
        ({**SGD, "name": "novograd", "weight_decay": 0.1}, "write decayed='all'"),
        (
            dict(name="adamw", learning_rate=0.1, weight_decay=0.1, decay_rates=[["head", 0.5]]),
            "has no coupled weight decay",
        ),
        ({**SGD, "decay_rates": [["head", 0.5]]}, "has no coupled weight decay"),
        ({**SGD, "decay_rates": [["head", -1.0]]}, "decay_rates 'head'=-1.0"),
        ({**SGD, "frozen_from": [["head", "3"]]}, "'3' is not a duration"),
        ({**SGD, "lookahead": dict(every=0)}, "every is 1 or more"),
        ({**SGD, "lookahead": dict(dekay=0.5)}, "takes no 'dekay': did you mean 'decay'"),
    ],
)
def test_what_is_not_understood_is_an_error(spec, message):
    with pytest.raises(ConfigError, match=message):
        make_optimizer(spec, total_steps=TOTAL, steps=steps, batch_size=BATCH)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (dict(frozen=["embed/kernal"]), "frozen: 'embed/kernal' matches no .*'embed/kernel'"),
        (dict(rates=[("heads", 2.0)]), "rates: 'heads' matches no parameter"),
        (
            dict(decay_rates=[("heads", 2.0)], weight_decay=0.1),
            "decay_rates: 'heads' matches no parameter",
        ),
        (dict(frozen_from=[("heads", "1%")]), "frozen_from: 'heads' matches no parameter"),
        (dict(weight_decay=0.1, decayed=["weights"]), "decayed: 'weights' matches no parameter"),
        (dict(clip=dict(value=1.0, exclude=["fc"])), "clip, exclude: 'fc' matches no parameter"),
        (dict(layer_decay={**LAYERS, "pattern": r"layer(\d+)"}), "pattern: .* matches no"),
        (dict(layer_decay={**LAYERS, "pattern": "block"}), "captures no layer numbers"),
        (dict(layer_decay={**LAYERS, "stem": ["patches"]}), "stem: 'patches' matches no"),
        (dict(frozen=["."]), "nothing is left to train"),
    ],
)
def test_patterns_are_checked_against_abstract_parameters(rules, message):
    params = jax.eval_shape(parameters)
    check_patterns({**SGD, "weight_decay": 0.1}, {"dense": {"kernel": 0, "bias": 0}})
    check_patterns({**SGD, "frozen": ["head/bias"], "layer_decay": LAYERS}, params)
    with pytest.raises(ConfigError, match=message):
        check_patterns({**SGD, **rules}, params)
