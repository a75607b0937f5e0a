"""Every family takes the same steps on every mesh, and holds and sends what the mesh says."""

import jax
import numpy as np
import pytest

from library.apps import planning
from library.config import ConfigError
from library.parallel.sharding import bytes_per_device
from library.run.recipe import make_plan
from tests import families, often, tiny

STEPS = 20
MESHES = [(8, 1, 1), (1, 8, 1), (4, 2, 1), (2, 2, 2), (1, 1, 8)]
# Eight of all that an axis can split.
WIDE = dict(width=16, depth=1, num_heads=8)
SYSTEMS = {
    "resnet": dict(
        model=dict(name="resnet.resnet20"),
        # At a larger rate it knows the few images by heart in twenty steps, and on the way there a
        # relu that rounding switches changes all that follows.
        optimizer=dict(name="sgd", learning_rate=0.0005, momentum=0.9),
    ),
    "vit": dict(
        model=dict(name="vit", patch_size=4, hidden=32, **WIDE),
        optimizer=dict(name="sgd", learning_rate=0.02, momentum=0.9),
    ),
    "gpt": dict(
        dataset=families.TEXT,
        model=dict(name="gpt", context=8, **WIDE),
        task=dict(name="language"),
    ),
    "mae": dict(
        model=dict(
            name="mae", decoder_width=16, decoder_depth=1, decoder_heads=8, patch_size=4, **WIDE
        ),
        task=dict(name="mae", mask_ratio=0.5),
    ),
    **{name: families.FAMILIES[name] for name in ("vae", "gan", "diffusion", "simclr")},
}


@pytest.fixture(scope="module", autouse=True)
def data():
    with pytest.MonkeyPatch.context() as patch:
        families.serve(patch)
        yield


@pytest.fixture(scope="module")
def alone():
    """The steps of each system on one device."""
    found = {}

    def steps(name):
        if name not in found:
            found[name] = tiny.take_steps(plan(name, 1), STEPS)
        return found[name]

    return steps


def plan(name, devices, **parallel):
    changes = {"optimizer": families.SGD, "normalize": None, **SYSTEMS[name], "evaluate": {}}
    values = tiny.config(**changes, parallel=parallel)
    return make_plan(values, devices=jax.devices()[:devices])


def on_mesh(name, shape):
    axes = dict(zip(("data", "fsdp", "tensor"), shape))
    return plan(name, 8, mesh=axes, rules="transformer")


@pytest.mark.full
@pytest.mark.parametrize("shape", MESHES)
@pytest.mark.parametrize("name", SYSTEMS)
def test_losses_equal_those_of_one_device(alone, name, shape):
    expected = alone(name)
    got = tiny.take_steps(on_mesh(name, shape), STEPS)
    assert sorted(got.sums[0]) == sorted(expected.sums[0])
    for key in got.sums[0]:
        if key.endswith("loss"):
            ours, theirs = (
                [float(row[key][0]) / float(row[key][1]) for row in steps.sums]
                for steps in (got, expected)
            )
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, err_msg=key)
    assert got.update._cache_size() == 1


@pytest.mark.parametrize(
    ("shape", "least", "most"),
    often.first(1, [((8, 1, 1), 1.0, 1.0), ((1, 8, 1), 1 / 8, 1 / 6), ((2, 2, 2), 1 / 4, 0.4)]),
)
def test_a_device_holds_its_part_of_params_and_moments(shape, least, most):
    state = tiny.take_steps(on_mesh("gpt", shape), 0).carry.state
    for tree in (state.params, state.opt_state):
        total = sum(x.nbytes for x in jax.tree.leaves(tree))
        held = max(bytes_per_device(tree).values())
        assert least <= held / total <= most


def test_tensor_splits_heads_and_hidden_units():
    params = tiny.take_steps(on_mesh("gpt", (1, 1, 8)), 0).carry.state.params
    shapes = {
        "/".join(str(part.key) for part in path): leaf.sharding.shard_shape(leaf.shape)
        for path, leaf in jax.tree_util.tree_leaves_with_path(params)
    }
    assert {s for path, s in shapes.items() if path.endswith("query/kernel")} == {(16, 1, 2)}
    assert {s for path, s in shapes.items() if path.endswith("out/kernel")} == {(1, 2, 16)}
    assert {s for path, s in shapes.items() if path.endswith("fc1/kernel")} == {(16, 8)}
    assert {s for path, s in shapes.items() if path.endswith("fc2/kernel")} == {(8, 16)}


def test_data_parallel_sends_the_gradients_once():
    found = planning.cost(on_mesh("gpt", (8, 1, 1)))
    assert {each.kind for each in found.collectives} == {"all-reduce"}
    sent = sum(each.bytes for each in found.collectives)
    assert 4 * found.parameters <= sent <= 4 * found.parameters + 1000


def test_megatron_sends_activations_and_no_params():
    found = planning.cost(on_mesh("gpt", (1, 1, 8)))
    activations = 16 * 8 * 16 * 4
    sums = sum(each.bytes for each in found.collectives if each.kind == "all-reduce")
    # Two forward and two backward, of (batch, context, width), and what is small.
    assert sums >= 4 * activations
    assert sum(each.bytes for each in found.collectives) < 8 * activations


SPLIT = dict(mesh=dict(tensor=8), rules="transformer", activations=dict(sequence="tensor"))


@pytest.mark.full
def test_splitting_the_sequence_changes_no_loss(alone):
    got = tiny.take_steps(plan("gpt", 8, **SPLIT), STEPS)
    np.testing.assert_allclose(
        [float(row["loss"][0]) for row in got.sums],
        [float(row["loss"][0]) for row in alone("gpt").sums],
        rtol=1e-5,
    )


@pytest.mark.full
def test_splitting_the_sequence_divides_what_a_step_keeps(monkeypatch):
    long = dict(families.TEXT, context=64)
    deep = dict(name="gpt", context=64, width=64, depth=4, num_heads=8)
    monkeypatch.setitem(SYSTEMS, "gpt", dict(SYSTEMS["gpt"], dataset=long, model=deep))
    whole, split = (
        planning.cost(plan("gpt", 8, **(SPLIT | dict(activations=axes))))
        for axes in ({}, SPLIT["activations"])
    )
    assert whole.state_bytes == split.state_bytes
    assert split.peak_bytes - split.state_bytes < 0.7 * (whole.peak_bytes - whole.state_bytes)
    assert any(each.kind == "all-gather" for each in split.collectives)


@pytest.mark.parametrize(
    ("name", "activations", "message"),
    [
        ("vit", dict(sequence="tensor"), r"a sequence of 5 cannot be split over 8 .*nearest: 8"),
        ("gpt", dict(sequences="tensor"), "did you mean 'sequence'"),
        ("gpt", dict(sequence="fsdp"), "axis of sequence 'fsdp'.*tensor"),
        ("gpt", dict(sequence="tensor", width="tensor"), "cannot split two dimensions"),
    ],
)
def test_activations_that_cannot_be_split(name, activations, message):
    with pytest.raises(ConfigError, match=message):
        plan(name, 8, **(SPLIT | dict(activations=activations)))
