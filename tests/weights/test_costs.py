"""What networks cost, against figures by hand and those that are published."""

import pytest

from library.weights import catalogue, costs
from library.weights.published import Published, Transform
from tests import goldens, often


def own(model, size):
    return Published(model, (), "", 0, None, transform=Transform(size=size))


def test_layers_of_a_residual_block_by_hand():
    rows = {row.path: row for row in costs.layers(catalogue.find("resnet18"), 64)}
    conv = rows["stage2_block1/conv1"]
    assert conv.shape == (8, 8, 128)
    assert conv.params == 3 * 3 * 64 * 128
    assert conv.flops == 2 * 8 * 8 * conv.params
    assert rows["stage2_block1/norm1"] == ("stage2_block1/norm1", (8, 8, 128), 2 * 128, 0)
    assert rows["head"] == ("head", (1000,), 513_000, 2 * 512 * 1000)


def test_products_of_attention_are_counted():
    model = dict(name="vit", patch_size=4, width=8, depth=2, num_heads=2, num_classes=5)
    published = own(model, 12)
    rows = {row.path: row for row in costs.layers(published)}
    # Nine patches and the class token attend to each other: two products.
    assert rows["block2/attention"].flops == 2 * 2 * 10 * 10 * 8
    assert rows["block2/attention"].params == 0
    assert costs.flops(published) == sum(row.flops for row in rows.values())


@pytest.mark.parametrize("name", often.but(goldens.LONG, goldens.one_a_family()))
def test_flops_are_the_published_ones(name):
    published = catalogue.find(name)
    if published.gflops is None:
        pytest.skip("no figure is published")
    assert costs.flops(published) / 1e9 == pytest.approx(published.gflops, rel=0.02)
