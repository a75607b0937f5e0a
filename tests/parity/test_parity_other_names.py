"""Other projects' names of the same networks, beside those projects' own networks."""

import importlib

import jax
import numpy as np
import pytest

from library.weights import catalogue, convnext, loading, parity, swin
from library.weights.drawn import drawn, zeros
from library.weights.mapping import published_as

# The network here, timm's, and the side of the image.
TIMM = {
    "convnext_tiny": ("convnext_tiny", 64),
    "efficientnet_b0": ("efficientnet_b0", 64),
    "efficientnet_b4": ("efficientnet_b4", 64),
    "mobilenet_v2": ("mobilenetv2_100", 64),
    "resnet50": ("resnet50", 64),
    "swin_t": ("swin_tiny_patch4_window7_224", 224),
}
# The authors' table, and the module of timm that turns their names into its own.
AUTHORS = {
    "convnext_tiny": (convnext.FACEBOOK_RULES, "convnext", "convnext_tiny"),
    "swin_t": (swin.MICROSOFT_RULES, "swin_transformer", "swin_tiny_patch4_window7_224"),
}


@pytest.mark.parametrize("name", TIMM)
def test_weights_under_timms_names_compute_timms_network(torch, timm, tmp_path, name):
    published, (theirs, side) = catalogue.find(name), TIMM[name]
    network, _ = parity.reference(published._replace(reference=f"timm/{theirs}", options={}))
    path = tmp_path / "weights.pth"
    torch.save(network.state_dict(), path)
    model = published.build()
    variables = loading.load(published, model, path)
    image = np.random.default_rng(0).standard_normal((1, side, side, 3)).astype(np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(image.transpose(0, 3, 1, 2).copy())).numpy()
        double = network.double()(torch.from_numpy(np.float64(image).transpose(0, 3, 1, 2).copy()))
    noise = parity.relative(expected, double.numpy())
    got = jax.jit(model.apply)(variables, image)
    assert parity.relative(got, expected) <= max(1e-5, 3 * noise)


@pytest.mark.parametrize("name", AUTHORS)
def test_authors_names_are_those_that_timm_reads(torch, timm, name):
    rules, module, theirs = AUTHORS[name]
    published = catalogue.find(name)
    assert rules in published.others
    shapes = published.shapes(published.build())
    arrays = drawn({n: x.shape for n, x in published_as(zeros(shapes), rules).items()})
    state = {n: torch.from_numpy(x) for n, x in arrays.items()}
    network = timm.create_model(theirs)
    read = importlib.import_module(f"timm.models.{module}").checkpoint_filter_fn
    network.load_state_dict(read(state, network), strict=True)
    # Each array is where timm's own table has it.
    variables = loading.assign(arrays, rules, shapes, where="authors")
    again = published_as(variables, published.others[0])
    for key, x in network.state_dict().items():
        np.testing.assert_array_equal(again[key], x.numpy(), err_msg=key)
