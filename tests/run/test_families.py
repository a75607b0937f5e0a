"""For every family of systems: devices agree, a resumed run is the run, and so are samples."""

import jax
import numpy as np
import pytest

from library import trees
from library.apps import generation
from library.reporting.runs import read_rows
from library.run import loop, stepping
from library.run.feed import Feed
from library.run.recipe import make_plan
from library.run.session import Trained
from library.summaries import summarize
from tests import families, often, tiny

EIGHT, ONE = jax.devices(), jax.devices()[:1]
# Under pmap a state that is carried from batch to batch would be averaged over the devices, and a
# batch is normalized by its part on each.
PMAPPED = sorted(set(families.FAMILIES) - {"lstm", "gan", "atoms"})


@pytest.fixture(autouse=True)
def data(monkeypatch):
    families.serve(monkeypatch)


# Those that take longest and hold nothing that the others do not.
LONG = (
    *("diffusion", "simclr", "triplet", "mae", "layerwise", "detector", "yolo", "domains"),
    *("restoration", "colourization", "adversarial_restoration", "translator"),
    *("principal_components", "adaline", "race", "imputation", "descent", "nodes", "atoms"),
)
SOME = [pytest.param(x, marks=pytest.mark.full) if x in LONG else x for x in families.FAMILIES]


def losses(plan, count=4):
    """Returns each step's metrics but the flags, one row a step."""
    taken = tiny.take_steps(plan, count)
    rows = [summarize({k: v for k, v in row.items() if k != "nonfinite"}) for row in taken.sums]
    return np.array(
        [np.hstack([np.ravel(row[name]) for name in sorted(row)]) for row in rows]
    ), taken


@pytest.mark.parametrize("family", often.only(["gpt"], SOME))
def test_eight_devices_are_one(family):
    mesh = dict(mesh=dict(data=4, fsdp=2))
    whole, taken = losses(make_plan(families.config(family), devices=ONE))
    split, others = losses(make_plan(families.config(family, parallel=mesh), devices=EIGHT))
    np.testing.assert_allclose(split, whole, rtol=2e-5, atol=1e-6)
    ours, theirs = (jax.device_get(x.carry.state) for x in (taken, others))
    for (path, a), b in zip(trees.flatten(ours).items(), jax.tree.leaves(theirs)):
        np.testing.assert_allclose(b, a, rtol=1e-4, atol=2e-4, err_msg=path)


def test_an_evaluation_that_sums_over_devices_fits_pmap():
    evaluate = dict(test=dict(kind="metrics"), same=dict(kind="verification"))
    values = families.config("triplet", parallel=dict(strategy="pmap"), evaluate=evaluate)
    assert {"test/loss", "same/auroc"} <= make_plan(values, devices=EIGHT).measured


# The tests of most tasks compare the two, too.
@pytest.mark.full
@pytest.mark.parametrize("family", PMAPPED)
def test_pmap_is_jit_without_batch_statistics(family):
    whole, _ = losses(make_plan(families.config(family), devices=ONE))
    spread = families.config(family, parallel=dict(strategy="pmap"))
    split, _ = losses(make_plan(spread, devices=EIGHT))
    np.testing.assert_allclose(split, whole, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("family", often.only(["lstm"], SOME))
def test_a_run_cut_short_ends_with_the_same_bits_and_the_same_samples(
    family, tmp_path, monkeypatch
):
    values = families.config(family, total="6 steps", checkpoint=dict(every="2 steps"))
    plan = make_plan(values, devices=ONE)
    undisturbed = tiny.run(plan, tmp_path / "whole")
    real, taken = loop._Run._at, []

    def dies(self, done, *arguments):
        carry = real(self, done, *arguments)
        taken.append(done)
        if done == 3:
            self.checkpoints.wait()
            raise KeyboardInterrupt
        return carry

    monkeypatch.setattr(loop._Run, "_at", dies)
    with pytest.raises(KeyboardInterrupt):
        tiny.run(plan, tmp_path / "cut")
    monkeypatch.setattr(loop._Run, "_at", real)
    resumed = tiny.run(plan, tmp_path / "cut")
    assert resumed["state_sha256"] == undisturbed["state_sha256"]
    timed = ("wall_time", "train/examples_per_second")
    whole, cut = (
        [{k: v for k, v in row.items() if k not in timed} for row in read_rows(path).rows]
        for path in (tmp_path / "whole/metrics.jsonl", tmp_path / "cut/metrics.jsonl")
    )
    assert cut == whole
    made = {p.relative_to(tmp_path / "whole"): p for p in tmp_path.glob("whole/samples/*/*.npz")}
    kinds = {evaluator["kind"] for evaluator in plan.recipe.evaluate.values()}
    assert bool(made) == bool(kinds - {"metrics", "forecasts"})
    for name, path in made.items():
        with np.load(path) as ours, np.load(tmp_path / "cut" / name) as theirs:
            np.testing.assert_array_equal(ours["values"], theirs["values"])


def made(family, devices, seed=0, label=None, **changes):
    plan = make_plan(families.config(family, **changes), devices=devices)
    feed = Feed(plan)
    state = families.stirred(jax.device_get(stepping.initial_carry(plan, feed).state))
    request = generation.Request(num=5, seed=seed)
    trained = Trained(plan, feed, 0, plan.strategy.init(lambda x: x, state))
    if "generate" in plan.task.outputs:
        return generation.texts(trained, request, length=8)
    return generation.images(trained, request, label=label)


CONDITIONAL = dict(
    model=dict(name="vae.dense", hidden=(8,), latent_dim=2, conditional=True),
    task=dict(name="variational", binarize=True),
)


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        pytest.param("autoencoder", {}, marks=pytest.mark.full),
        pytest.param("vae", {}, marks=pytest.mark.full),
        pytest.param("vae", dict(CONDITIONAL, label="c"), marks=pytest.mark.full),
        pytest.param("gan", {}, marks=pytest.mark.full),
        pytest.param("diffusion", {}, marks=pytest.mark.full),
        pytest.param("gpt", {}, marks=pytest.mark.full),
        pytest.param("lstm", {}, marks=pytest.mark.full),
    ],
    ids=["autoencoder", "vae", "vae of a class", "gan", "diffusion", "gpt", "lstm"],
)
def test_a_seed_makes_the_same_on_one_and_eight_devices(family, changes):
    ours, theirs = made(family, ONE, **changes), made(family, EIGHT, **changes)
    others = made(family, ONE, seed=1, **changes)
    if isinstance(ours, list):
        assert theirs == ours != others
        return
    assert len(ours) == 5
    # Rounding to 8 bits may fall either way.
    np.testing.assert_allclose(theirs.astype(int), ours.astype(int), atol=1)
    assert np.mean(others != ours) > 0.1
    if "label" in changes:
        assert not np.array_equal(made(family, ONE, **changes | dict(label="0")), ours)


@pytest.mark.parametrize("family", ["gpt", "lstm"])
def test_an_epoch_of_text_passes_its_tokens_once(family, tmp_path):
    values = families.config(family, total="1 epoch", evaluate={}, log_every="100%")
    plan = make_plan(values, devices=ONE)
    # 400 characters are 49 windows of 8 end to end, shuffled from any place or read in order.
    assert plan.total_steps == 49 // 16
    if family == "gpt":
        tiny.run(plan, tmp_path)
        (row,) = read_rows(tmp_path / "metrics.jsonl").rows
        assert row["train/epoch"] == round(3 * 16 / 49, 4)
