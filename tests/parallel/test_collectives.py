"""What compiled programs send, against what their shardings make them send."""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from library.parallel.collectives import Collective, collectives
from library.parallel.mesh import make_mesh


def text(f, mesh, *specs):
    """Compiles a function for arrays of (shape, spec)."""
    arguments = [
        jax.ShapeDtypeStruct(shape, jnp.float32, sharding=NamedSharding(mesh, PartitionSpec(*spec)))
        for shape, spec in specs
    ]
    return jax.jit(f).lower(*arguments).compile().as_text()


def test_a_product_split_along_its_sum_is_summed_in_every_turn_of_a_loop():
    mesh = make_mesh(dict(data=4, tensor=2))

    def f(x, w):
        turned = jax.lax.scan(lambda c, _: (jnp.tanh(c @ w) @ w.T, None), x, None, length=5)
        return turned[0].sum()

    found = collectives(text(f, mesh, ((64, 16), ("data",)), ((16, 32), (None, "tensor"))))
    # A device holds (16, 16) of the carry; the sum at the end is one number of four devices.
    assert found == [
        Collective("all-reduce", 2, 5, 5 * 16 * 16 * 4),
        Collective("all-reduce", 4, 1, 4),
    ]
    assert found[0].sent == 5 * 16 * 16 * 4
    assert found[1].sent == 2 * 3 / 4 * 4


def test_what_is_split_is_gathered_where_it_is_needed_whole():
    mesh = make_mesh(dict(fsdp=8))

    def f(x, w):
        whole = jax.lax.with_sharding_constraint(w, NamedSharding(mesh, PartitionSpec()))
        return jnp.sin(whole) @ x

    found = collectives(text(f, mesh, ((32, 8), ()), ((64, 32), ("fsdp",))))
    assert found == [Collective("all-gather", 8, 1, 64 * 32 * 4)]
    assert found[0].sent == 7 / 8 * 64 * 32 * 4


def test_alone_nothing_is_sent():
    mesh = make_mesh({}, jax.devices()[:1])
    assert collectives(text(lambda x: x.sum(), mesh, ((8, 8), ("data",)))) == []


HLO = """HloModule m, num_partitions=8

%add (a: f32[], b: f32[]) -> f32[] {
  ROOT %s = f32[] add(%a, %b)
}

ENTRY %main (p: bf16[4,8]) -> bf16[4,8] {
  %p = bf16[4,8]{1,0} parameter(0)
  %g = (bf16[4,8]{1,0}, bf16[32,8]{1,0}) all-gather-start(%p), replica_groups=[1,8]<=[8]
  %h = bf16[32,8]{1,0} all-gather-done(%g)
  %r = bf16[2,8]{1,0} reduce-scatter(%h), replica_groups={{0,1},{2,3}}, to_apply=%add
  %c = bf16[4,8]{1,0} collective-permute(%p), source_target_pairs={{0,1},{1,0}}
  %t = (f32[2]{0}, s32[3]{0}) all-reduce(%p, %p), replica_groups={}, to_apply=%add
  ROOT %a = bf16[4,8]{1,0} all-to-all(%p), replica_groups=mesh['x'=4,'y'=2] {'x':(1)2,'y'}
}
"""


@pytest.mark.parametrize(
    "expected",
    [
        Collective("all-gather", 8, 1, 32 * 8 * 2),
        Collective("reduce-scatter", 2, 1, 4 * 8 * 2),
        Collective("collective-permute", 2, 1, 4 * 8 * 2),
        Collective("all-reduce", 8, 1, 20),
        Collective("all-to-all", 4, 1, 4 * 8 * 2),
    ],
)
def test_every_form_is_read(expected):
    assert expected in collectives(HLO)


def test_asynchronous_parts_count_once():
    assert sum(each.count for each in collectives(HLO)) == 5
