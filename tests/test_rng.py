import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library import rng
from library.data import pipeline, sources


def bits(keys):
    return np.asarray(jax.random.key_data(keys))


def test_an_example_has_one_key_whatever_its_batch():
    key = rng.at_step(rng.root(3), 7)
    index = jnp.arange(24, dtype=jnp.uint32)
    whole = bits(rng.per_example(key, index))
    halves = [bits(rng.per_example(key, part)) for part in (index[:12], index[12:])]
    np.testing.assert_array_equal(np.concatenate(halves), whole)
    order = np.random.default_rng(0).permutation(24)
    np.testing.assert_array_equal(bits(rng.per_example(key, index[order])), whole[order])
    assert len({row.tobytes() for row in whole}) == 24


def test_an_example_has_one_key_on_any_number_of_devices():
    key, index = rng.root(3), jnp.arange(16, dtype=jnp.uint32)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    layout = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    draw = jax.jit(lambda i: jax.vmap(jax.random.uniform)(rng.per_example(key, i)))
    np.testing.assert_array_equal(draw(jax.device_put(index, layout)), draw(index))


def test_seeds_steps_and_purposes_differ():
    names = ("init", "params", "augment", "dropout", "shuffle", "evaluate")
    keys = [rng.root(seed) for seed in range(4)]
    keys += [rng.purpose(rng.root(0), name) for name in names]
    keys += [rng.at_step(rng.root(0), step) for step in range(4)]
    keys += [rng.at_step(rng.purpose(rng.root(0), name), 1) for name in names]
    assert len({bits(key).tobytes() for key in keys}) == len(keys)


def test_a_step_may_be_traced():
    key = rng.root(0)
    traced = jax.jit(rng.at_step)(key, jnp.int32(5))
    np.testing.assert_array_equal(bits(traced), bits(rng.at_step(key, 5)))


def test_positions_reach_to_the_end_of_uint32():
    last = jnp.uint32([2**31 - 1, 2**31, 2**32 - 1])
    assert len(np.unique(bits(rng.per_example(rng.root(0), last)), axis=0)) == 3


def test_keys_are_written_down():
    # A change here changes every run's numbers.
    key = rng.at_step(rng.purpose(rng.root(1), "augment"), 2)
    got = bits(rng.per_example(key, jnp.uint32([0, 5])))
    np.testing.assert_array_equal(got, [[4127109918, 4048464043], [3452531186, 1519574399]])


# What the host draws.

LARGEST = (0, 1, 2**31, 2**32 - 1, 2**32, 2**32 + 1, 2**40, 2**64 - 1)


def stream(*of):
    return rng.host_generator(*of).integers(0, 2**64, 4, dtype=np.uint64).tobytes()


def test_no_two_uses_of_the_host_share_a_stream():
    uses = [
        (seed, purpose, counter)
        for seed in (0, 1, 2**16, 2**32 - 1)
        for purpose in rng.HOST
        for counter in LARGEST
    ]
    uses += [(0, "noise", first, second) for first in LARGEST for second in LARGEST if second]
    assert len({stream(*use) for use in uses}) == len(uses)


def test_the_order_of_an_epoch_is_what_it_has_always_been():
    # Else resumed runs would see other examples than those they have left.
    for seed, epoch in ((0, 0), (3, 7), (2**32 - 1, 2**32 + 1)):
        plain = np.random.Generator(np.random.Philox(key=[seed, epoch])).permutation(50)
        np.testing.assert_array_equal(pipeline.permutation(seed, epoch, 50), plain)


def test_an_examples_preprocessing_is_drawn_apart_from_the_order_of_an_epoch():
    drawn = []

    def preprocess(example, generator):
        drawn.append(generator.permutation(50))
        return example

    source = sources.from_arrays({"image": np.zeros((1, 1, 1, 1), np.uint8)})
    pipeline.Loader(source, preprocess, 5, "stop", {}).load(9, 0)
    assert not np.array_equal(drawn[0], pipeline.permutation(5, 9, 50))


@pytest.mark.parametrize(
    "of",
    [(-1, "noise", 0), (2**32, "noise", 0), (0, "noise", 2**64), (0, "crop", 0), (0, "noise")],
)
def test_what_the_host_cannot_draw_is_an_error(of):
    with pytest.raises(ValueError, match="valid are"):
        rng.host_generator(*of)


# Fixed arrays that are a part of what they are in, whatever a run's seed.
FIXED = (
    *("models/image/cnn.py", "weights/drawn.py", "weights/parity.py"),
    *("apps/tiles.py", "object_detection/anchors.py", "data/point_sets.py"),
    *(f"data/builders/{name}.py" for name in ("creatures", "digits", "qm9", "tu_graphs")),
    *(f"data/builders/{name}.py" for name in ("fsdd_mixtures", "fsdd_strings", "mnist_strings")),
    "data/builders/fsdd_conversations.py",
    *(f"data/builders/{name}.py" for name in ("moving_digits", "overlapping_digits")),
    *(f"data/builders/{name}.py" for name in ("lidar_rooms", "prices", "stick_figures")),
)


def test_the_host_draws_in_one_place():
    folder = Path(rng.__file__).parent
    drawing = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*.py")
        if re.search(r"default_rng|Philox|RandomState|random\.seed|PCG64", path.read_text())
    }
    assert drawing == {"rng.py", *FIXED}
