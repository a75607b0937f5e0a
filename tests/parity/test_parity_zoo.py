"""Every network of the catalogue that another library has, beside it, with the same weights."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from library.weights import catalogue, parity

ROOT = Path(__file__).parents[2]
# Larger images take gigabytes and minutes; `experiments.zoo check` compares at the usual size.
LARGEST_SIDE = 320
# Of the memory: another worker compares at the same time, and the largest take minutes.
SHARE = 0.3
REFERENCES = [name for name, each in catalogue.CATALOGUE.items() if each.reference]


def test_what_a_comparison_takes_decides_where_it_is_made(monkeypatch):
    published = catalogue.find("bit_r50x3")
    gigabytes = dict(SC_PAGE_SIZE=2**12, SC_PHYS_PAGES=24 * 2**18)
    monkeypatch.setattr(parity.os, "sysconf", gigabytes.get)
    assert parity.fits(published)
    assert not parity.fits(published, share=SHARE)
    assert not parity.fits(catalogue.find("bit_r152x4"))


@pytest.mark.full
@pytest.mark.parametrize("name", REFERENCES)
def test_logits_stages_gradients_and_statistics(timm, name):
    """By the program, in a process of its own: XLA compiles there as it does for users."""
    published = catalogue.find(name)
    if not parity.fits(published, share=SHARE):
        pytest.skip(f"too large for the memory here; by itself: experiments.zoo check {name}")
    side = 256 if published.transform.size > LARGEST_SIDE else published.transform.size
    command = [sys.executable, "-m", "experiments.zoo", "check", name, f"--size={side}"]
    usual = {key: value for key, value in os.environ.items() if key != "XLA_FLAGS"}
    ended = subprocess.run(command, cwd=ROOT, env=usual, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
