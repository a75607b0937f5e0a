import math

import pytest

from library.reporting import notation


@pytest.mark.parametrize(
    ("key", "value", "written"),
    [
        ("test/accuracy", 0.93024, "93.02%"),
        ("test_ema/top5_accuracy", 1.0, "100.00%"),
        ("test/error", 0.0875, "8.75%"),
        ("test/expected_calibration_error", 0.0123, "1.23%"),
        ("test/mean_squared_error", 0.0875, "0.0875"),
        ("test/denoised_error", 5.25, "5.25"),
        ("test/loss", 1.469712, "1.4697"),
        ("test/fid", 3.17, "3.17"),
        ("test/perplexity", 1234567.0, "1,234,567"),
        ("test/accuracy", math.nan, "nan"),
        ("test/accuracy", None, "-"),
    ],
)
def test_shares_are_written_in_percent_and_all_else_as_it_is(key, value, written):
    assert notation.shown(key, value) == written


def test_a_spread_is_written_in_the_metrics_unit():
    assert notation.shown("test/accuracy", 0.93024, 0.0015) == "93.02 ± 0.15%"
    assert notation.shown("test/bits_per_dim", 2.921, 0.01) == "2.921 ± 0.01"


@pytest.mark.parametrize(
    ("key", "gap", "written", "miss"),
    [
        ("test/accuracy", -0.0035, "-0.35", True),
        ("test/accuracy", 0.0035, "+0.35", False),
        ("test/accuracy", -0.00001, "+0.00", False),
        ("test/error", 0.0035, "+0.35", True),
        ("test/error", -0.0035, "-0.35", False),
        ("test/fid", 0.079, "+0.079", True),
        ("test/fid", None, "-", False),
    ],
)
def test_a_gap_has_its_sign_and_a_miss_is_on_the_worse_side(key, gap, written, miss):
    assert notation.shown_gap(key, gap) == written
    assert notation.is_miss(key, gap) is miss


def test_best_follows_the_metrics_direction_and_skips_what_is_not_finite():
    assert notation.best_of("test/accuracy", [0.1, math.nan, 0.3, 0.2]) == 0.3
    assert notation.best_of("test/loss", [math.inf, 0.5, 0.7]) == 0.5
    assert math.isnan(notation.best_of("test/loss", [math.nan]))
    # Of a metric that no one knows there is no best, unless the config says which way is better.
    assert math.isnan(notation.best_of("test/kl", [1.0, 2.0]))
    assert notation.best_of("test/kl", [1.0, 2.0], "min") == 1.0


@pytest.mark.parametrize(
    ("mode", "keys"),
    {
        "min": (
            *("test/loss", "discriminator_loss", "test/error", "test/top5_error", "x/nll"),
            *("x/fid", "x/bits_per_dim", "x/mse", "x/perplexity", "x/calibration_error"),
            "x/negative_log_likelihood",
        ),
        "max": (
            *("test/accuracy", "test_ema/top5", "anomaly/auroc", "x/recall", "x/inception_score"),
            *("x/classes_covered", "x/density", "x/log_likelihood", "x/mean_average_precision"),
        ),
        None: (
            *("test/kl", "train/gradient_norm", "train/learning_rate", "test/sparsity", "x/num"),
            *("coverage/pairwise_distance", "coverage_ema/class_entropy"),
        ),
    }.items(),
)
def test_what_is_better_follows_from_the_metric(mode, keys):
    assert {key: notation.direction(key) for key in keys} == dict.fromkeys(keys, mode)
    assert {key: notation.is_judged(key) for key in keys} == dict.fromkeys(keys, mode is not None)


@pytest.mark.parametrize(("mode", "kept"), [("min", [4.0, 3.0, 1.0]), ("max", [4.0, 5.0])])
def test_values_that_are_better_than_all_before(mode, kept):
    best, found = None, []
    for value in (math.nan, 4.0, math.inf, 3.0, -math.inf, 3.0, 5.0, 1.0):
        if notation.is_better(value, best, mode):
            best = value
            found.append(value)
    assert found == kept


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0.25, "250 ms"),
        (42.13, "42.1 s"),
        (59.96, "1 min 00 s"),
        (754.2, "12 min 34 s"),
        (3600.0 * 3 + 720, "3 h 12 min"),
        (86400.0 * 2 + 3600 * 4, "2 d 04 h"),
        (None, "-"),
    ],
)
def test_durations(seconds, written):
    assert notation.duration(seconds) == written


@pytest.mark.parametrize(
    ("description", "written"),
    [
        ({"platform": "cpu", "kind": "AMD EPYC", "count": 1, "cores": 2}, "2 x CPU core"),
        ({"platform": "cpu", "kind": "cpu", "count": 8}, "CPU"),
        ({"platform": "gpu", "kind": "NVIDIA H200", "count": 1}, "1 x NVIDIA H200"),
        ({"platform": "tpu", "kind": "TPU v4", "count": 8}, "8 x TPU v4"),
        ({}, "-"),
    ],
)
def test_devices_are_short(description, written):
    assert notation.device(description) == written


def test_labels_stay_on_one_line_without_control_characters():
    assert notation.printable("a\nb\x00c\t d") == "a b\N{REPLACEMENT CHARACTER}c d"
    assert notation.printable("golden retriever", 8) == "golden …"
