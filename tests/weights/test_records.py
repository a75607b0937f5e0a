"""What was measured of the networks, and what counts as equal."""

import json
import math

import jax
import pytest

from library.weights import catalogue, records

FOUND = {
    "logits": 2e-6,
    "stage1": 2e-5,
    "stage1 in float64": 1e-6,
    "d image": 9e-6,
    "d conv1.weight": 1e-7,
    "train logits": 1e-6,
    "statistics": 1e-14,
    "noise": 1e-5,
}


@pytest.mark.parametrize("name", records.read())
def test_every_network_that_was_compared_is_equal(name):
    found, published = records.read()[name], catalogue.find(name)
    assert published.gflops is None or found["gflops"] == pytest.approx(published.gflops, rel=0.02)
    if published.reference is None:
        assert found.keys() == {"gflops"}
    elif "error" in found:
        assert records.passed(found)
        assert 0 < found["error"] <= found["worst"]


def test_noise_excuses_float32_alone():
    assert records.excesses(FOUND) == {}
    assert records.excesses({**FOUND, "noise": 3e-6}) == {"stage1": 1e-5}
    assert records.excesses({**FOUND, "noise": 5e-6, "d image": 1.2e-5}) == {
        "stage1": pytest.approx(1.5e-5),
        "d image": 1e-5,
    }
    assert records.excesses({**FOUND, "stage1 in float64": 2e-5}) == {"stage1 in float64": 1e-5}
    assert records.excesses({**FOUND, "statistics": math.nan}) == {"statistics": 1e-5}


def test_a_record_tells_what_it_was_compared_with():
    found = records.record(FOUND)
    assert found.pop("versions")["jax"] == jax.__version__
    assert found == dict(error=2e-6, worst=2e-5, allowed=3e-5, exact=9e-6, noise=1e-5, equal=True)
    assert records.passed(found)
    for wrong in ({"worst": 4e-5}, {"exact": 2e-5}, {"equal": False}, {"worst": math.nan}):
        assert not records.passed({**found, **wrong}), wrong
    assert not records.record({**FOUND, "train logits": 2e-5})["equal"]


def test_what_is_kept(monkeypatch, tmp_path):
    monkeypatch.setattr(records, "FILE", tmp_path / "zoo" / "parity.json")
    assert records.read() == {}
    records.keep("vgg11", gflops=15.217612)
    records.keep("alexnet", gflops=1.43, **records.record(FOUND))
    assert list(records.read()) == ["alexnet", "vgg11"]
    assert records.read()["vgg11"] == {"gflops": 15.22}
    # A count leaves what was compared, another comparison replaces it.
    records.keep("alexnet", gflops=2.5)
    assert records.read()["alexnet"]["error"] == 2e-6
    records.keep("alexnet", gflops=2.5, error=1.0, worst=1.0, noise=0.0)
    assert json.loads(records.FILE.read_text())["alexnet"] == {
        "error": 1.0,
        "worst": 1.0,
        "noise": 0.0,
        "gflops": 2.5,
    }
