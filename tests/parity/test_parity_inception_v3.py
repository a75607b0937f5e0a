"""Inception-v3 beside torchvision's, and beside the blocks that measure Frechet distances."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.evaluation.embedding import Embedding
from library.models.image.inception_v3 import Auxiliary, inception_v3
from library.weights import inception_v3 as published
from library.weights.drawn import drawn
from library.weights.mapping import assign
from tests.models.image.test_inception_v3 import GOLDEN, PLACES, golden_image


def patched(inception, torch, network):
    """Turns torchvision's network into that of the FID."""
    functional = torch.nn.functional
    average = functools.partial(
        functional.avg_pool2d, kernel_size=3, stride=1, padding=1, count_include_pad=False
    )
    maximum = functools.partial(functional.max_pool2d, kernel_size=3, stride=1, padding=1)

    def pool_by(pool):
        # The blocks of torchvision pool with F.avg_pool2d of their module, and with nothing else.
        def forward(block, x):
            kept = inception.F.avg_pool2d
            inception.F.avg_pool2d = lambda x, **_: pool(x)
            try:
                return type(block)._forward(block, x)
            finally:
                inception.F.avg_pool2d = kept

        return forward

    for name, module in network.named_children():
        if type(module).__name__ in ("InceptionA", "InceptionC", "InceptionE"):
            pool = pool_by(maximum if name == "Mixed_7c" else average)
            module._forward = functools.partial(pool, module)
    return network


@pytest.fixture(scope="module")
def reference(torch, inception):
    @functools.cache
    def build(variant):
        classes = published.FID_CLASSES if variant == "fid" else 1000
        network = inception.Inception3(
            num_classes=classes, aux_logits=variant == "torchvision", init_weights=False
        )
        network = patched(inception, torch, network) if variant == "fid" else network
        shapes = {name: tuple(x.shape) for name, x in network.state_dict().items()}
        arrays = drawn(shapes)
        network.load_state_dict({name: torch.from_numpy(x) for name, x in arrays.items()})
        return network.eval(), arrays

    return build


def run(torch, network, image):
    """Returns the logits and the features before the head, of images (b, h, w, c)."""
    features = []
    handle = network.avgpool.register_forward_hook(lambda *x: features.append(x[-1]))
    with torch.no_grad():
        logits = network(torch.from_numpy(image.transpose(0, 3, 1, 2).copy()))
    handle.remove()
    return logits.numpy(), features[0].flatten(1).numpy()


def relative(a, b):
    return np.abs(np.asarray(a) - b).max() / np.abs(b).max()


@pytest.mark.parametrize("variant", ["torchvision", "fid"])
def test_logits_and_features(torch, reference, tmp_path, variant):
    network, arrays = reference(variant)
    path = tmp_path / "weights.pth"
    torch.save(network.state_dict(), path)
    model = inception_v3(len(arrays["fc.bias"]), variant, aux=variant == "torchvision")
    variables = published.load(str(path), model)
    image = np.random.default_rng(0).uniform(-1, 1, (2, 299, 299, 3)).astype(np.float32)
    apply = jax.jit(functools.partial(model.apply, mutable=["intermediates"]))
    logits, recorded = apply(variables, image)
    expected, features = run(torch, network, image)
    assert relative(logits, expected) <= 1e-5
    assert relative(recorded["intermediates"]["features"], features) <= 1e-5


def test_logits_of_the_auxiliary_classifier(torch, reference):
    network, arrays = reference("torchvision")
    model = inception_v3(aux=True)
    image = np.random.default_rng(0).uniform(-1, 1, (1, 299, 299, 3)).astype(np.float32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), image)
    variables = assign(arrays, published.RULES, shapes, where="", ignored=[".*tracked"])
    grid = []
    handle = network.Mixed_6e.register_forward_hook(lambda *x: grid.append(x[-1]))
    run(torch, network, image)
    handle.remove()
    with torch.no_grad():
        expected = network.AuxLogits(grid[0]).numpy()
    own = {kind: tree["auxlogits"] for kind, tree in variables.items()}
    x = jnp.asarray(grid[0].numpy().transpose(0, 2, 3, 1))
    got = Auxiliary(1000).apply(own, x, False)
    assert relative(got, expected) <= 1e-5


@pytest.mark.parametrize(("size", "old"), [(32, False), (32, True), (340, False)])
def test_images_in_unit_range_to_features(torch, reference, tmp_path, size, old):
    network, _ = reference("fid")
    path = tmp_path / "weights.pth"
    torch.save(network.state_dict(), path, _use_new_zipfile_serialization=not old)
    image = np.random.default_rng(0).uniform(size=(2, size, size, 3)).astype(np.float32)
    nchw = torch.from_numpy(image.transpose(0, 3, 1, 2).copy())
    resized = torch.nn.functional.interpolate(
        nchw, (299, 299), mode="bilinear", align_corners=False
    )
    _, features = run(torch, network, 2 * resized.numpy().transpose(0, 2, 3, 1) - 1)
    embedding = Embedding.inception(str(path), "features")
    assert relative(jax.jit(embedding.apply)(embedding.variables, image), features) <= 1e-5


@pytest.mark.parametrize("variant", ["torchvision", "fid"])
def test_the_golden_numbers_are_the_references(torch, reference, variant):
    network, _ = reference(variant)
    logits, features = run(torch, network, golden_image())
    assert relative(GOLDEN[variant]["logits"], logits[0, PLACES]) <= 1e-5
    assert relative(GOLDEN[variant]["features"], features[0, PLACES]) <= 1e-5
