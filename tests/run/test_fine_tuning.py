"""Starting from another run: which leaves are taken, which stay fresh, and that it is said."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from rich.console import Console

from library import trees
from library.apps import exporting
from library.config import ConfigError
from library.data import sources
from library.parallel.mesh import make_mesh
from library.run import checkpoints, class_axes, fine_tuning
from library.run.checkpoints import CheckpointError, Checkpoints
from library.run.class_axes import Classes
from library.run.recipe import make_plan
from library.task import TrainState
from library.weights.resampling import Resampling
from tests import families, often, saved, tiny


def make_state(seed, classes=3, dtype=jnp.float32, ema=True, step=0):
    """Returns a state as training has it: a layer, its statistics, a head, moments, averages."""
    random = np.random.default_rng(seed)

    def noise(*shape, dtype=jnp.float32):
        return jnp.asarray(random.normal(size=shape), dtype)

    params = {
        "conv": {"kernel": noise(2, 8, dtype=dtype)},
        "head": {"kernel": noise(8, classes, dtype=dtype), "bias": noise(classes, dtype=dtype)},
    }
    variables = {"batch_stats": {"norm": {"mean": noise(8), "var": noise(8)}}}
    averages = {
        "params": jax.tree.map(lambda x: noise(*x.shape), params),
        "batch_stats": jax.tree.map(lambda x: noise(*x.shape), variables["batch_stats"]),
    }
    moments = jax.tree.map(lambda x: noise(*x.shape), params)
    return TrainState(jnp.int32(step), params, variables, moments, averages if ema else None)


def saved_in(workdir, state, step=40, best=False):
    opened = Checkpoints(workdir)
    opened.save(step, {"state": state, "totals": {}}, {}, best=best)
    opened.close()
    return workdir


def initialise(state, **spec):
    """Returns the state that a run starts from, and the lines it shows."""
    file = io.StringIO()
    console = Console(file=file, soft_wrap=True)
    started = fine_tuning.initialise({k: str_of(v) for k, v in spec.items()}, state, console)
    return started, file.getvalue()


def str_of(value):
    return value if isinstance(value, (bool, list, str)) else str(value)


def assert_equal(got, expected):
    assert trees.digest(got) == trees.digest(expected)


def test_params_and_statistics_are_taken_but_no_step_and_no_moments(tmp_path):
    theirs, fresh = make_state(1, step=40), make_state(2)
    started, shown = initialise(fresh, workdir=saved_in(tmp_path, theirs))
    assert_equal(started.params, theirs.params)
    assert_equal(started.variables, theirs.variables)
    assert_equal(started.step, fresh.step)
    assert_equal(started.opt_state, fresh.opt_state)
    # The averages start anew, from what the run starts from.
    assert_equal(started.ema["params"], theirs.params)
    assert_equal(started.ema["batch_stats"], theirs.variables["batch_stats"])
    assert "5 of 5 leaves" in shown
    assert "fresh" not in shown


def test_averages_do_not_share_memory_with_params(tmp_path):
    started, _ = initialise(make_state(2), workdir=saved_in(tmp_path, make_state(1)))
    # Both are donated to the first step.
    kernel = jax.jit(lambda state: state, donate_argnums=0)(started).ema["params"]["conv"]["kernel"]
    np.testing.assert_array_equal(kernel, make_state(1).params["conv"]["kernel"])


def test_a_head_for_other_labels_stays_fresh_and_is_listed(tmp_path):
    theirs, fresh = make_state(1, classes=10), make_state(2, classes=3)
    started, shown = initialise(fresh, workdir=saved_in(tmp_path, theirs))
    assert_equal(started.params["head"], fresh.params["head"])
    assert_equal(started.params["conv"], theirs.params["conv"])
    assert "3 of 5 leaves" in shown
    assert "fresh    params/head/kernel (8, 3), (8, 10) there" in shown
    assert "fresh    params/head/bias (3,), (10,) there" in shown


AXES = {"params/head/kernel": 1, "params/head/bias": 0}


def started_with(tmp_path, there, here, axes=AXES, **spec):
    """Returns the other run's state, the new one and what it starts from, and the lines."""
    theirs, fresh, file = make_state(1, classes=len(there)), make_state(2), io.StringIO()
    spec = {"workdir": str(saved_in(tmp_path, theirs)), **spec}
    classes, console = Classes(there, here, lambda: axes), Console(file=file, soft_wrap=True)
    made = fine_tuning.initialise(spec, fresh, console, classes=classes)
    return theirs, fresh, made, file.getvalue()


def test_a_head_of_the_same_classes_is_kept(tmp_path):
    for number, names in enumerate((("a", "b", "c"), None)):
        given = (tmp_path / str(number), ("a", "b", "c"), names)
        theirs, _, made, shown = started_with(*given)
        assert_equal(made.params, theirs.params)
        assert "5 of 5 leaves" in shown


def test_a_head_of_as_many_other_classes_stays_fresh_and_is_listed(tmp_path):
    theirs, fresh, made, shown = started_with(tmp_path, ("a", "b", "c"), ("a", "d", "c"))
    assert_equal(made.params["head"], fresh.params["head"])
    assert_equal(made.params["conv"], theirs.params["conv"])
    assert_equal(made.ema["params"]["head"], fresh.params["head"])
    assert "3 of 5 leaves" in shown
    line = "params/head/kernel (8, 3): its classes have other names there, 'b' and not 'd'"
    assert f"  fresh    {line}; init_from.classes='numbers' takes it" in shown


def test_a_head_of_the_same_classes_in_another_order_is_reordered(tmp_path):
    theirs, _, made, shown = started_with(tmp_path, ("a", "b", "c"), ("c", "a", "b"))
    there, head = theirs.params["head"], made.params["head"]
    np.testing.assert_array_equal(head["kernel"], there["kernel"][:, [2, 0, 1]])
    np.testing.assert_array_equal(head["bias"], there["bias"][jnp.array([2, 0, 1])])
    np.testing.assert_array_equal(made.ema["params"]["head"]["bias"], head["bias"])
    assert "5 of 5 leaves" in shown
    assert "  taken    params/head/bias reordered by the names of its classes" in shown


def test_a_head_that_cannot_be_reordered_stays_fresh(tmp_path):
    axes = {"params/head/kernel": None, "params/head/bias": None}
    _, fresh, made, shown = started_with(tmp_path, ("a", "b", "c"), ("c", "a", "b"), axes)
    assert_equal(made.params["head"], fresh.params["head"])
    assert "params/head/bias (3,): its classes have another order there" in shown


def test_a_model_whose_params_of_the_classes_are_unknown_is_noted(tmp_path):
    theirs, _, made, shown = started_with(tmp_path, ("a", "b", "c"), ("a", "d", "c"), {})
    assert_equal(made.params, theirs.params)
    assert "note: the classes have other names there; no param of them is known" in shown


# As many hidden units as classes are no classes.
HIDDEN = tiny.config(model=dict(name="mlp.mlp", hidden=(4,)))
# A cell of the detector has five other numbers.
FOUND = {
    "classifier": (HIDDEN, AXES),
    "detector": (families.config("detector"), dict.fromkeys(AXES)),
    "gpt": (families.config("gpt"), {}),
}


@pytest.mark.parametrize("kind", often.first(2, FOUND))
def test_params_of_the_classes_are_found(kind, monkeypatch):
    families.serve(monkeypatch)
    plan = make_plan(FOUND[kind][0], devices=jax.devices()[:1])
    assert class_axes.axes(plan) == FOUND[kind][1]


@pytest.mark.full
def test_params_of_the_classes_are_found_in_every_player(monkeypatch):
    families.serve(monkeypatch)
    players = class_axes.axes(make_plan(families.config("gan"), devices=jax.devices()[:1]))
    assert players["params/discriminator/classes/embedding"] == 0
    assert {path.split("/")[1] for path in players} == {"generator", "discriminator"}
    assert set(players.values()) == {0}


def test_a_run_starts_from_a_run_and_from_its_export_by_the_names_of_classes(tmp_path, monkeypatch):
    tiny.serve(monkeypatch, train=tiny.arrays(20), test=tiny.arrays(20))
    saved.run(tiny.config(ema=dict(decay=0.9)), tmp_path / "run")
    exporting.export_run(tmp_path / "run", tmp_path / "exported")
    other = sources.from_arrays(tiny.arrays(20), label_names=("d", "b", "a", "c"), name="tiny")
    tiny.serve(monkeypatch, train=other, test=other)
    made = []
    for folder in ("run", "exported"):
        spec = dict(workdir=str(tmp_path / folder), ema=True)
        plan = make_plan(tiny.config(init_from=spec), devices=jax.devices()[:1])
        fine_tuning.check(spec, plan)
        fresh, file = saved.noise(plan.state, seed=1), io.StringIO()
        fresh = jax.tree.map(jnp.asarray, fresh)
        made.append(fine_tuning.started(plan, fresh, Console(file=file, soft_wrap=True)))
        assert "params/head/bias reordered by the names of its classes" in file.getvalue()
        assert "fresh" not in file.getvalue()
    assert_equal(made[0].params, made[1].params)
    _, leaves = checkpoints.load(tmp_path / "run")
    kernel = leaves["state/ema/params/head/kernel"]
    np.testing.assert_array_equal(made[0].params["head"]["kernel"], kernel[:, [3, 1, 0, 2]])
    numbers = {**spec, "classes": "numbers"}
    plan = make_plan(tiny.config(init_from=numbers), devices=jax.devices()[:1])
    kept = fine_tuning.started(plan, fresh, Console(quiet=True))
    np.testing.assert_array_equal(kept.params["head"]["kernel"], kernel)
    with pytest.raises(ConfigError, match="holds the latest checkpoint of its run, not the best"):
        fine_tuning.check({**spec, "which": "best"}, plan)


def test_leaves_that_only_one_of_them_has(tmp_path):
    theirs, fresh = make_state(1), make_state(2)
    theirs.params["neck"] = {"kernel": jnp.ones(3)}
    fresh.params["extra"] = {"bias": jnp.ones(4)}
    started, shown = initialise(fresh.replace(ema=None), workdir=saved_in(tmp_path, theirs))
    assert_equal(started.params["extra"], fresh.params["extra"])
    assert started.ema is None
    assert "fresh    params/extra/bias (4,)" in shown
    assert "skipped  params/neck/kernel" in shown


def test_patterns_name_what_to_make_anew(tmp_path):
    theirs, fresh = make_state(1), make_state(2)
    workdir = saved_in(tmp_path, theirs)
    started, shown = initialise(fresh, workdir=workdir, fresh=["^params/head/", "bias$"])
    assert_equal(started.params["head"], fresh.params["head"])
    assert_equal(started.params["conv"], theirs.params["conv"])
    assert "fresh    params/head/kernel (8, 3)" in shown
    with pytest.raises(ConfigError, match=r"'haed' matches no parameter.*params/head/kernel"):
        initialise(fresh, workdir=workdir, fresh=["haed"])


def test_the_running_averages_of_the_other_run(tmp_path):
    theirs, fresh = make_state(1), make_state(2)
    started, _ = initialise(fresh, workdir=saved_in(tmp_path / "a", theirs), ema=True)
    assert_equal(started.params, theirs.ema["params"])
    assert_equal(started.variables["batch_stats"], theirs.ema["batch_stats"])
    workdir = saved_in(tmp_path / "b", make_state(1, ema=False))
    with pytest.raises(ConfigError, match="that run has no running averages"):
        initialise(fresh, workdir=workdir, ema=True)


def test_params_take_the_precision_of_the_run_and_averages_stay_wide(tmp_path):
    theirs, fresh = make_state(1), make_state(2, dtype=jnp.bfloat16)
    started, _ = initialise(fresh, workdir=saved_in(tmp_path, theirs))
    rounded = jax.tree.map(lambda x: x.astype(jnp.bfloat16), theirs.params)
    assert_equal(started.params, rounded)
    wide = jax.tree.map(lambda x: x.astype(jnp.float32), rounded)
    assert_equal(started.ema["params"], wide)


def test_the_best_checkpoint_may_be_the_one(tmp_path):
    saved_in(tmp_path, make_state(1), step=10, best=True)
    saved_in(tmp_path, make_state(3), step=20)
    started, _ = initialise(make_state(2), workdir=tmp_path, which="best")
    assert_equal(started.params, make_state(1).params)
    started, _ = initialise(make_state(2), workdir=tmp_path)
    assert_equal(started.params, make_state(3).params)


def test_leaves_lie_where_the_fresh_ones_lay(tmp_path):
    place = NamedSharding(make_mesh({"fsdp": 8}), PartitionSpec(None, "fsdp"))
    fresh = make_state(2)
    fresh.params["conv"]["kernel"] = jax.device_put(fresh.params["conv"]["kernel"], place)
    fresh.ema["params"]["conv"]["kernel"] = jax.device_put(
        fresh.ema["params"]["conv"]["kernel"], place
    )
    started, _ = initialise(fresh, workdir=saved_in(tmp_path, make_state(1)))
    assert started.params["conv"]["kernel"].sharding == place
    assert started.ema["params"]["conv"]["kernel"].sharding == place
    np.testing.assert_array_equal(
        started.params["conv"]["kernel"], make_state(1).params["conv"]["kernel"]
    )


def with_positions(state, count, tokens=("cls",), width=8, scope=None):
    """Adds learned positions to a state's params, and params of tokens before them."""
    embedding = jnp.arange(count * width, dtype=jnp.float32).reshape(1, count, width)
    leaves = {"positions": {"embedding": embedding}}
    leaves |= {name: jnp.ones((1, 1, width)) for name in tokens}
    params = {**state.params, **({scope: leaves} if scope else leaves)}
    return state.replace(params=params, ema=None)


def test_positions_of_another_number_of_patches_are_resampled_and_shown(tmp_path):
    theirs = with_positions(make_state(1), 10)
    workdir = saved_in(tmp_path, theirs)
    started, shown = initialise(with_positions(make_state(2), 17), workdir=workdir)
    embedding = theirs.params["positions"]["embedding"]
    expected = Resampling(1, (3, 3), (4, 4), True).apply(np.asarray(embedding))
    np.testing.assert_array_equal(started.params["positions"]["embedding"], expected)
    assert (
        "params/positions/embedding resampled from a grid of 3x3 to 4x4, 1 before it kept" in shown
    )
    assert "fresh" not in shown


def test_grids_that_are_no_squares(tmp_path):
    theirs = with_positions(make_state(1), 8, tokens=(), scope="encoder")
    workdir = saved_in(tmp_path, theirs)
    fresh = with_positions(make_state(2), 24, tokens=())
    console = Console(file=io.StringIO())
    spec = dict(workdir=str(workdir), prefix="encoder", grid=[2, 4])
    grids = lambda: {"positions/embedding": (3, 8)}  # noqa: E731
    started = fine_tuning.initialise(spec, fresh, console, grids)
    embedding = np.asarray(theirs.params["encoder"]["positions"]["embedding"])
    expected = Resampling(0, (2, 4), (3, 8), True).apply(embedding)
    np.testing.assert_array_equal(started.params["positions"]["embedding"], expected)
    # The same number of patches may be another grid.
    fresh = with_positions(make_state(2), 8, tokens=())
    started = fine_tuning.initialise(spec, fresh, console, lambda: {"positions/embedding": (4, 2)})
    expected = Resampling(0, (2, 4), (4, 2), True).apply(embedding)
    np.testing.assert_array_equal(started.params["positions"]["embedding"], expected)


def test_positions_that_cannot_be_resampled_are_refused_by_name(tmp_path):
    workdir = saved_in(tmp_path, with_positions(make_state(1), 13))
    fresh = with_positions(make_state(2), 17)
    match = r"params/positions/embedding \(1, 13, 8\) for \(1, 17, 8\): 12 patches are not a square"
    with pytest.raises(ConfigError, match=match):
        initialise(fresh, workdir=workdir)
    distilled = with_positions(make_state(2), 14, tokens=("cls", "distillation"))
    with pytest.raises(ConfigError, match=r"1 of its positions belong to no patch, but 2"):
        initialise(distilled, workdir=workdir)
    started, shown = initialise(fresh, workdir=workdir, fresh=["positions/embedding"])
    assert_equal(started.params["positions"], fresh.params["positions"])
    assert "fresh    params/positions/embedding (1, 17, 8)" in shown


def test_a_run_is_refused_before_it_writes(tmp_path, monkeypatch):
    tiny.serve(monkeypatch, train=tiny.arrays(20))
    workdir = saved_in(tmp_path / "before", with_positions(make_state(1), 13))
    spec = dict(workdir=str(workdir))
    plan = tiny.plan_on(1, model=tiny.VIT, init_from=spec)
    message = r"params/positions/embedding \(1, 13, 8\) .* not a square"
    with pytest.raises(ConfigError, match=message):
        fine_tuning.check(spec, plan)
    fine_tuning.check({**spec, "grid": [4, 3]}, plan)


def test_a_models_own_grid_is_traced(monkeypatch):
    arrays = tiny.arrays(20)
    arrays["image"] = np.tile(arrays["image"], (1, 1, 3, 1))
    tiny.serve(monkeypatch, train=arrays)
    plan = tiny.plan_on(1, model=tiny.VIT)
    assert fine_tuning.patch_grids(plan) == {"positions/embedding": (2, 6)}


def test_what_else_is_taken_or_left_is_shown(tmp_path):
    theirs, fresh = make_state(1), make_state(2)
    workdir = saved_in(tmp_path / "a", theirs)
    assert "the params; init_from.ema=True takes" in initialise(fresh, workdir=workdir)[1]
    assert "taken    the running averages" in initialise(fresh, workdir=workdir, ema=True)[1]
    _, shown = initialise(make_state(2, dtype=jnp.bfloat16), workdir=workdir)
    assert "taken    3 leaves of float32 made bfloat16" in shown
    counts = {"steps": {"seen": jnp.arange(3)}}
    counted = theirs.replace(variables={**theirs.variables, **counts})
    real = {"steps": {"seen": jnp.zeros(3)}}
    workdir = saved_in(tmp_path / "b", counted)
    _, shown = initialise(fresh.replace(variables={**fresh.variables, **real}), workdir=workdir)
    assert "fresh    steps/seen (3,), (3,) int32 there" in shown
    inner = with_positions(make_state(1), 10, scope="encoder")
    workdir = saved_in(tmp_path / "c", inner)
    fresh = with_positions(make_state(2), 10)
    _, shown = initialise(fresh.replace(variables={}), workdir=workdir, prefix="encoder")
    assert "skipped  5 leaves outside of encoder" in shown


def test_errors(tmp_path):
    with pytest.raises(ConfigError, match="holds no latest checkpoint"):
        fine_tuning.check({"workdir": str(tmp_path / "nowhere")})
    other = make_state(1)
    other = other.replace(params={"w": jnp.ones(2)}, variables={}, ema=None)
    workdir = saved_in(tmp_path / "other", other)
    fine_tuning.check({"workdir": str(workdir)})
    with pytest.raises(ConfigError, match="none of the model's 5 leaves"):
        initialise(make_state(2), workdir=workdir)
    with pytest.raises(ConfigError, match="holds no best checkpoint"):
        initialise(make_state(2), workdir=workdir, which="best")
    with pytest.raises(ConfigError, match="takes no 'wich': did you mean 'which'"):
        initialise(make_state(2), workdir=workdir, wich="best")
    file = next(p for p in (workdir / "checkpoints/latest/40").rglob("*") if p.is_file())
    file.write_bytes(b"")
    with pytest.raises(CheckpointError, match="does not match its checksum"):
        initialise(make_state(2), workdir=workdir)


def test_a_prefix_takes_the_leaves_below_a_submodule():
    leaves = {
        "params/encoder/conv/kernel": 1,
        "params/head/encoder/kernel": 2,
        "batch_stats/encoder/norm/mean": 3,
    }
    found = fine_tuning._below("encoder", leaves)
    assert found == {"params/conv/kernel": 1, "batch_stats/norm/mean": 3}
    assert fine_tuning._below("", leaves) == leaves
    with pytest.raises(ConfigError, match="did you mean 'encoder'"):
        fine_tuning._below("encodr", leaves)
