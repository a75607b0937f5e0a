import jax
import jax.numpy as jnp
import numpy as np

from library import rng


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
