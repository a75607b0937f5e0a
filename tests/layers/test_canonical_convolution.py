"""Convolutions on CPU: their order in the program, and that they are JAX's own."""

import operator
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.interpreters import mlir
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from library.layers import canonical_convolution

ORDERS = {1: ("NWC", "WIO", "NWC"), 2: ("NHWC", "HWIO", "NHWC"), 3: ("NDHWC", "DHWIO", "NDHWC")}
CANONICAL = {f"[b, {s}, f]x[{s}, i, o]->[b, {s}, f]" for s in ("0", "0, 1", "0, 1, 2")}
# Images, kernel, and what the convolution is asked for beside them.
CASES = {
    "plain": ((2, 5, 4, 3), (3, 3, 3, 2), {}),
    "one pixel": ((2, 3, 4, 3), (1, 1, 3, 2), dict(window_strides=(2, 1))),
    "strided": ((2, 6, 5, 3), (3, 2, 3, 4), dict(window_strides=(2, 3), padding="SAME")),
    "padded": ((2, 5, 4, 3), (3, 3, 3, 2), dict(padding=((2, 0), (1, 3)))),
    "dilated": ((2, 7, 6, 2), (3, 2, 2, 3), dict(rhs_dilation=(2, 3), padding="SAME")),
    "transposed": ((2, 3, 4, 2), (4, 4, 2, 3), dict(lhs_dilation=(2, 2), padding=((2, 2),) * 2)),
    "groups": ((2, 5, 4, 6), (3, 2, 2, 6), dict(feature_group_count=3, window_strides=(2, 1))),
    "groups of pixels": ((2, 3, 4, 4), (1, 1, 2, 4), dict(feature_group_count=2)),
    "depthwise": ((2, 4, 4, 3), (3, 3, 1, 3), dict(feature_group_count=3)),
    "series": ((2, 9, 3), (3, 3, 2), dict(window_strides=(2,), rhs_dilation=(2,))),
    "volume": ((2, 4, 3, 4, 2), (2, 3, 2, 2, 2), dict(window_strides=(2, 1, 1), padding="SAME")),
    "other order": (
        (2, 3, 5, 4),
        (2, 3, 3, 3),
        dict(dimension_numbers=("NCHW", "OIHW", "NHWC"), padding="SAME"),
    ),
}


def made(case, dtype="float32"):
    """Returns a convolution, images and kernel: small whole numbers, of which sums are exact."""
    images, kernel, options = CASES[case]
    order = ORDERS[len(images) - 2]
    options = dict(
        window_strides=(1,) * (len(images) - 2), padding="VALID", dimension_numbers=order
    ) | {**options}
    draw = np.random.default_rng(0)
    arrays = [jnp.asarray(draw.integers(-2, 3, shape), dtype) for shape in (images, kernel)]
    return lambda x, k: jax.lax.conv_general_dilated(x, k, **options), *arrays


def derivatives(convolution):
    """Returns a function of images and kernel: value, both gradients, and those of one's square."""

    def run(x, k):
        y, back = jax.vjp(convolution, x, k)
        _, along = jax.jvp(convolution, (x, k), (x, 2 * k))
        second = jax.grad(lambda x, k: jnp.sum(jax.grad(_energy, (0, 1))(x, k)[1] * k), (0, 1))
        return y, back(y), along, second(x, k)

    def _energy(x, k):
        return jnp.sum(jnp.square(convolution(x, k)))

    return run


def as_jax_has_it(monkeypatch):
    entry = mlir._platform_specific_lowerings["cpu"]
    rule = entry[jax.lax.conv_general_dilated_p]
    usual = type(rule)(canonical_convolution._JAX_RULE, rule.inline)
    monkeypatch.setitem(entry, jax.lax.conv_general_dilated_p, usual)


def assert_same(ours, theirs):
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


@pytest.mark.parametrize("case", CASES)
def test_every_convolution_within_a_loop_is_in_the_order_that_is_fast(case):
    convolution, x, k = made(case)

    def body(carry, _):
        return carry, derivatives(convolution)(*carry)

    program = jax.jit(lambda x, k: jax.lax.scan(body, (x, k), length=2)).lower(x, k).as_text()
    orders = re.findall(r"stablehlo\.convolution.* dim_numbers = (\S.*?), window", program)
    assert len(orders) >= 3
    assert set(orders) <= CANONICAL


@pytest.mark.parametrize("case", CASES)
def test_values_and_derivatives_are_those_of_jax(case, monkeypatch):
    convolution, x, k = made(case)
    ours = jax.jit(derivatives(convolution))(x, k)
    as_jax_has_it(monkeypatch)
    assert_same(ours, jax.jit(derivatives(convolution))(x, k))


def test_of_half_precision(monkeypatch):
    convolution, x, k = made("strided", "bfloat16")
    ours = jax.jit(derivatives(convolution))(x, k)
    assert ours[0].dtype == jnp.bfloat16
    as_jax_has_it(monkeypatch)
    assert_same(ours, jax.jit(derivatives(convolution))(x, k))


@pytest.mark.parametrize("axes", [(0, None), (None, 0), (0, 0)])
def test_batched_convolutions_are_those_of_each(axes):
    convolution, x, k = made("strided")
    several = [jnp.stack([a, -2 * a, a + 1]) if axis == 0 else a for a, axis in zip((x, k), axes)]
    run = jax.checkpoint(derivatives(convolution))
    together = jax.jit(jax.vmap(run, axes))(*several)
    one = jax.jit(run)
    for i in range(3):
        each = (a[i] if axis == 0 else a for a, axis in zip(several, axes))
        assert_same(jax.tree.map(operator.itemgetter(i), together), one(*each))


@pytest.mark.parametrize("case", ["strided", "groups"])
def test_spread_over_devices(case):
    convolution, x, k = made(case)
    x = jnp.concatenate([x, x + 1])
    expected = jax.jit(derivatives(convolution))(x, k)
    mesh = Mesh(np.array(jax.devices()).reshape(4, 2), ("data", "tensor"))
    spread = [
        jax.device_put(x, NamedSharding(mesh, PartitionSpec("data"))),
        jax.device_put(k, NamedSharding(mesh, PartitionSpec(None, None, None, "tensor"))),
    ]
    assert_same(jax.jit(derivatives(convolution))(*spread), expected)
    sums = jax.pmap(
        lambda x, k: jax.lax.psum(derivatives(convolution)(x, k)[1][1], "i"),
        "i",
        in_axes=(0, None),
        devices=jax.devices()[:4],
    )
    assert_same(sums(x[:, None], k)[0], expected[1][1])


# Imports each network as the first module of the project, in one process that forgets the others.
ALONE = """
import importlib, sys
import flax.linen, jax
from jax.interpreters import mlir

rules, convolution = mlir._platform_specific_lowerings["cpu"], jax.lax.conv_general_dilated_p
usual = rules[convolution]
for name in sys.argv[1:]:
    for held in [held for held in sys.modules if held.partition(".")[0] == "library"]:
        del sys.modules[held]
    rules[convolution] = usual
    importlib.import_module(name)
    ours = getattr(sys.modules.get("library.layers.canonical_convolution"), "_lower", None)
    print(name, rules[convolution].rule is ours)
"""


@pytest.mark.full
def test_all_networks_that_convolve_have_it_in_force():
    convolves = re.compile(r"nn\.Conv|conv_general_dilated|conv_transpose")
    files = sorted(Path("library/models").rglob("*.py"))
    found = [file for file in files if convolves.search(file.read_text())]
    names = [".".join(file.with_suffix("").parts) for file in found]
    assert len(names) > 20
    command = [sys.executable, "-c", ALONE, *names]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == [f"{name} True" for name in names]
