"""GoogLeNet's auxiliary classifiers beside torchvision's."""

import copy

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.models.image.googlenet import Auxiliary, googlenet
from library.weights.catalogue import find
from library.weights.drawn import drawn
from library.weights.mapping import assign


@pytest.fixture(scope="module")
def network(torch, torchvision):
    """torchvision's with auxiliary classifiers, weights drawn; and its weights."""
    options = dict(aux_logits=True, transform_input=False, init_weights=False)
    made = torchvision.models.get_model("googlenet", weights=None, **options)
    shapes = {k: tuple(x.shape) for k, x in made.state_dict().items()}
    arrays = drawn(shapes)
    made.load_state_dict({k: torch.from_numpy(np.asarray(x)) for k, x in arrays.items()})
    return made.eval(), arrays


@pytest.fixture(scope="module")
def variables(network):
    _, arrays = network
    model = googlenet(aux=True)
    image = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    shapes = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, True), image)
    # Nothing is ignored but PyTorch's counts: each array of the classifiers has its place.
    return assign(arrays, find("googlenet").rules, shapes, where="drawn")


def relative(a, b):
    return np.abs(np.asarray(a) - b).max() / np.abs(b).max()


@pytest.mark.parametrize(("name", "channels"), [("aux1", 512), ("aux2", 528)])
@pytest.mark.parametrize("side", [14, 7])
def test_logits_of_a_classifier(torch, network, variables, name, channels, side):
    made, _ = network
    grid = np.random.default_rng(0).uniform(0, 2, (2, side, side, channels)).astype(np.float32)
    with torch.no_grad():
        expected = getattr(made, name)(torch.from_numpy(grid.transpose(0, 3, 1, 2).copy())).numpy()
    own = {kind: tree[name] for kind, tree in variables.items()}
    assert (
        relative(Auxiliary(1000, False, 0.7).apply(own, jnp.asarray(grid), False), expected) <= 1e-5
    )


def test_logits_in_a_step_of_training(torch, network, variables):
    made, _ = network
    image = np.random.default_rng(0).uniform(-1, 1, (2, 96, 96, 3))
    # Training changes its running statistics.
    made = copy.deepcopy(made).double()
    for module in made.modules():
        module.training = not type(module).__name__.startswith("Dropout")
    with torch.no_grad():
        expected = made(torch.from_numpy(image.transpose(0, 3, 1, 2).copy()))
    # In float32 the variances of few numbers would multiply what rounding does.
    with jax.enable_x64(True):
        model = googlenet(aux=True, dropout=0.0, aux_dropout=0.0)
        model = model.clone(dtype="float64", param_dtype="float64")
        mutable = ["intermediates", "batch_stats"]
        apply = jax.jit(lambda v, x: model.apply(v, x, True, mutable=mutable))
        logits, moved = apply(jax.tree.map(np.float64, variables), image)
    recorded = moved["intermediates"]
    assert relative(logits, expected.logits.numpy()) <= 1e-5
    assert relative(recorded["aux1_logits"], expected.aux_logits1.numpy()) <= 1e-5
    assert relative(recorded["aux2_logits"], expected.aux_logits2.numpy()) <= 1e-5
