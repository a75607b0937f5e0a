import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from library import config
from library.models.image import swin
from tests import often


def tiny(**changes):
    options = dict(num_classes=5, width=8, depths=(2, 2), num_heads=2, window=3) | changes
    return swin.SwinTransformer(**options)


def shapes_of(model, *image):
    """Returns the shapes of the variables and of what is recorded."""
    variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros(image))
    _, recorded = jax.eval_shape(
        lambda v, x: model.apply(v, x, mutable=["intermediates"]), variables, jnp.zeros(image)
    )
    return variables, recorded["intermediates"]


@pytest.mark.full
@pytest.mark.parametrize(
    ("name", "width", "count"),
    often.first(
        1, [("swin_t", 96, 28_288_354), ("swin_s", 96, 49_606_258), ("swin_b", 128, 87_768_224)]
    ),
)
def test_params_and_stages_of_table_7(name, width, count):
    model = config.build(dict(name=f"swin.{name}"), "library.models", "model")
    variables, recorded = shapes_of(model, 2, 224, 224, 3)
    assert sum(math.prod(p.shape) for p in jax.tree.leaves(variables["params"])) == count
    stages = [recorded[f"stage{i}"].shape for i in range(1, 5)]
    sides = (56, 28, 14, 7)
    assert stages == [(2, side, side, width * 2**i) for i, side in enumerate(sides)]
    assert recorded["features"].shape == (2, 8 * width)
    table = variables["params"]["stage4_block2"]["attention"]["relative_bias"]
    assert table.shape == (13**2, width // 4)


def test_odd_sides_are_rounded_up():
    _, recorded = shapes_of(tiny(), 1, 37, 53, 3)
    assert recorded["stage1"].shape == (1, 9, 13, 8)
    assert recorded["stage2"].shape == (1, 5, 7, 16)


def test_merging_concatenates_four_tokens_column_by_column():
    x = jax.random.normal(jax.random.key(0), (1, 3, 4, 2))
    layer = swin.Merging()
    variables = layer.init(jax.random.key(1), x)
    four = np.float64([x[0, 2, 0], [0, 0], x[0, 2, 1], [0, 0]]).ravel()
    four = (four - four.mean()) / np.sqrt(four.var() + 1e-5)
    expected = four @ variables["params"]["reduction"]["kernel"]
    y = layer.apply(variables, x)
    assert y.shape == (1, 2, 2, 4)
    np.testing.assert_allclose(y[0, 1, 0], expected, atol=1e-6)


@pytest.mark.full
def test_every_second_block_lets_information_across_windows():
    image = jax.random.normal(jax.random.key(0), (1, 24, 24, 3))
    # The window of the token at (2, 2) ends with it; the shifted one goes on to (3, 3).
    other = image.at[:, 12:16, 12:16].add(1)
    rng = np.random.default_rng(0)
    for depth, reaches in ((1, False), (2, True)):
        model = tiny(depths=(depth,))
        variables, _ = shapes_of(model, *image.shape)
        variables = jax.tree.map(lambda p: jnp.float32(rng.normal(0, 0.5, p.shape)), variables)
        apply = jax.jit(lambda v, x, model=model: model.apply(v, x, mutable=["intermediates"])[1])
        first, second = (apply(variables, x)["intermediates"]["stage1"] for x in (image, other))
        assert bool((first[0, 2, 2] != second[0, 2, 2]).any()) == reaches
        assert (first[0, 3, 3] != second[0, 3, 3]).any()


def test_remat_recomputes_blocks_and_keeps_their_names():
    image = jnp.zeros((2, 24, 24, 3))
    shapes = {}
    for remat in (False, True):
        model = tiny(dropout=0.1, drop_path=0.5, remat=remat)
        variables = jax.eval_shape(model.init, jax.random.key(0), image)

        def loss(variables, model=model):
            rngs = {"dropout": jax.random.key(1)}
            return model.apply(variables, image, True, rngs=rngs).sum()

        assert str(jax.make_jaxpr(jax.grad(loss))(variables)).count("remat2[") == (
            4 if remat else 0
        )
        shapes[remat] = jax.tree.map(lambda leaf: leaf.shape, variables)
    assert shapes[True] == shapes[False]


def test_types_and_names():
    model = tiny(dtype=jnp.bfloat16, param_dtype=jnp.bfloat16)
    variables, recorded = shapes_of(model, 1, 24, 24, 3)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("bfloat16")}
    assert {leaf.dtype for leaf in jax.tree.leaves(recorded)} == {jnp.dtype("bfloat16")}
    logits = jax.eval_shape(model.apply, variables, jnp.zeros((1, 24, 24, 3)))
    assert logits.dtype == jnp.float32
    for path in flatten_dict(variables):
        assert all(part == part.lower() for part in path), path


def test_the_papers_rates_of_stochastic_depth():
    assert [make().drop_path for make in (swin.swin_t, swin.swin_s, swin.swin_b)] == [0.2, 0.3, 0.5]


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (dict(window=0), "window=0"),
        (dict(drop_path=1.0), "drop_path=1.0"),
        (dict(dtype="float31"), "did you mean 'float32'"),
    ],
)
def test_a_misunderstood_argument_builds_nothing(argument, message):
    with pytest.raises(config.ConfigError, match=message):
        swin.swin_t(**argument)


def test_any_size():
    model = swin.swin(width=64, depths=(1, 2))
    assert (model.width, model.depths, model.num_heads) == (64, (1, 2), 2)
    with pytest.raises(config.ConfigError, match="width=70 is no multiple of 32; nearest: 64"):
        swin.swin(width=70)
    with pytest.raises(config.ConfigError, match=r"depths=\(2, 0\)"):
        swin.swin(depths=(2, 0))
