"""`train` with a flag that trains nothing, and with a model of one's own that fails."""

import pytest

from library.models.image import cnn

SMALL = ("--config.model.widths=[4]", "--config.dataset.batch_size=8")
OWN = """
import flax.linen as nn


class Own(nn.Module):
    @nn.compact
    def __call__(self, image, train=False):
        return image @ missing


def small(num_classes: int = 10):
    return Own()
"""


@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    """An empty working directory, which stays empty."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    yield
    assert list((tmp_path / "here").iterdir()) == []


@pytest.mark.parametrize(
    ("given", "refused", "by"),
    [
        (["--debug", "--dry_run"], "debug", "dry_run"),
        (["--print_config", "--debug"], "debug", "print_config"),
        (["--print_config", "--profile=1:2"], "profile", "print_config"),
        (["--debug", "--workdir=a"], "workdir", "debug"),
    ],
)
def test_flags_that_contradict_each_other_are_refused(program, given, refused, by):
    ended = program("train", *given)
    assert (ended.code, ended.out) == (2, "")
    assert (
        ended.err == f"error: --{refused} is not read with --{by}, which reads --config, --{by}\n"
    )


def test_a_dry_run_prints_the_cost(program):
    ended = program("train", "--dry_run", *SMALL)
    assert (ended.code, ended.err) == (0, "")
    for name in ("all params", "params, on each of 8", "optimizer state, on", "batch, on", "FLOP"):
        assert name in ended.out


@pytest.mark.full
def test_a_step_is_shown_without_jit(program):
    ended = program("train", "--debug", *SMALL)
    assert (ended.code, ended.err) == (0, "")
    assert "uint8[8,8,8,1]" in ended.out
    assert " -> float32[8,10]" in ended.out
    assert ended.out.endswith("the step is finite\n")


def test_a_model_of_ones_own_that_fails(program, monkeypatch, tmp_path, capsys):
    path = tmp_path / "mine.py"
    path.write_text(OWN)
    held = {"__name__": cnn.__name__}
    exec(compile(OWN, str(path), "exec"), held)
    monkeypatch.setattr(cnn, "small", held["small"])
    with pytest.raises(NameError, match="name 'missing' is not defined"):
        program("train", "--config.model={'name': 'cnn.small'}")
    err = capsys.readouterr().err
    assert err.startswith(f"at hand in {path}, line 8, __call__:\n")
    assert "  image: float32[64,8,8,1]\n" in err
