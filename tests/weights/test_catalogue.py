"""What the table of published networks says of each is true of the model here."""

import math

import jax
import numpy as np
import pytest

from library.config import ConfigError
from library.weights import catalogue, parity
from library.weights.drawn import drawn, zeros
from library.weights.mapping import assign, published_as
from tests import goldens, often


@pytest.mark.parametrize("name", often.but(goldens.LONG, goldens.one_a_family()))
def test_params_are_as_many_as_published_and_each_has_one_name(name):
    published = catalogue.find(name)
    shapes = published.shapes(published.build())
    count = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes["params"]))
    assert count == published.parameters
    names = published_as(zeros(shapes), published.rules)
    counts = [n for n in names if n.endswith("num_batches_tracked")]
    values = sum(math.prod(names[n].shape) for n in names.keys() - set(counts))
    assert values == sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))


@pytest.mark.parametrize("name", ["resnet18"])
def test_a_model_that_was_loaded_is_written_as_it_was_read(name):
    published = catalogue.find(name)
    shapes = published.shapes(published.build())
    arrays = drawn({n: x.shape for n, x in published_as(zeros(shapes), published.rules).items()})
    variables = assign(arrays, published.rules, shapes, where="drawn")
    again = published_as(variables, published.rules)
    for key, array in again.items():
        if not key.endswith("num_batches_tracked"):
            np.testing.assert_array_equal(array, arrays[key])


def test_other_weights_of_a_network():
    usual, second = catalogue.find("resnet50"), catalogue.find("resnet50.v2")
    assert second.transform == usual.transform._replace(resize=232)
    assert second.reported[:2] == (80.858, 95.434)
    assert (second.rules, second.model, second.gflops) == (usual.rules, usual.model, usual.gflops)
    # What is counted and published is of the usual size.
    assert catalogue.find("resnet50.a1_in1k").gflops is None
    with pytest.raises(ConfigError, match="unknown weights 'v3' of resnet50: did you mean 'v2'"):
        catalogue.find("resnet50.v3")
    with pytest.raises(ConfigError, match="unknown weights 'v2' of vgg11"):
        catalogue.find("vgg11.v2")
    with pytest.raises(ConfigError, match="unknown network 'resnet5'"):
        catalogue.find("resnet5.v2")


def test_what_is_assumed_of_weights():
    assert catalogue.described("resnet50.v2") == (
        "weights assumed: resnet50.v2, images resized to 232 (bilinear) and cut to 224; 80.858 % "
        "top-1 and 95.434 % top-5 are claimed (torchvision 0.28, IMAGENET1K_V2). Others: resnet50, "
        "resnet50.a1_in1k"
    )
    assert "squashed to 256 (bilinear) and cut to 227" in catalogue.described("alexnet_2012")
    assert "no accuracy is claimed" in catalogue.described("mixer_s16_224")


@pytest.mark.parametrize("name", catalogue.CATALOGUE)
def test_papers_have_a_year_and_claims_a_network_of_their_own(name):
    published = catalogue.find(name)
    assert 2012 <= published.year <= 2022
    figures = [published.reported, *(each.reported for each in published.weights.values())]
    assert len(set(figures)) == len(figures)


def test_deits_figures_are_of_images_resized_as_its_authors_do():
    assert {
        each.transform[:3] for name, each in catalogue.CATALOGUE.items() if name.startswith("deit")
    } == {(224, int(224 / 0.875), "bicubic")}


def test_an_unknown_network():
    with pytest.raises(ConfigError, match="unknown network 'resnet5': did you mean 'resnet50'"):
        catalogue.find("resnet5")


def test_every_network_is_built_without_random_draws_in_64_bits():
    for name in catalogue.CATALOGUE:
        published = catalogue.find(name)
        with jax.enable_x64(True):
            model = published.build(**parity._without_drops(published))
            model.clone(dtype="float64", param_dtype="float64")
