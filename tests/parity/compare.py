"""A network here beside the same in PyTorch, with the same random weights.

    python -m tests.parity.compare resnet50 [--size=64] [--golden]

prints the relative errors, max |a - b| / max |b|: of the logits, of the stages, of the gradient by
the image and by three kernels, and of what batch normalization makes in training of its running
statistics. "noise" is the error of PyTorch's own float32 logits against its float64 ones. With
--golden it prints what tests/weights/goldens.json holds of the network.
"""

import argparse
import importlib
import inspect
import json
import re
import sys
from typing import Any

import jax
import numpy as np

from library.weights import catalogue
from library.weights.mapping import assign, published_as
from library.weights.published import Published
from tests import goldens
from tests.published import drawn

BATCH = 2


def torchvision():
    """Imports torchvision, also a build whose compiled operators do not load."""
    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")
    while True:
        try:
            return importlib.import_module("torchvision")
        except RuntimeError as error:
            missing = re.search(r"operator torchvision::(\w+) does not exist", str(error))
            if missing is None:
                raise
            library.define(f"{missing[1]}(Tensor x) -> Tensor")
            for name in [name for name in sys.modules if name.startswith("torchvision")]:
                del sys.modules[name]


def reference(published: Published):
    """Returns the network in PyTorch, weights drawn, in eval mode; and its weights."""
    import torch

    library, name = published.reference.split("/")
    options = dict(published.options)
    if library == "torchvision":
        network = torchvision().models.get_model(name, weights=None, **options)
    else:
        torchvision()
        network = importlib.import_module("timm").create_model(name, pretrained=False, **options)
    state = network.state_dict()
    shapes = {k: tuple(x.shape) for k, x in state.items() if x.is_floating_point()}
    arrays = {k: x.numpy() for k, x in state.items()} | drawn(shapes)
    network.load_state_dict({k: torch.from_numpy(np.asarray(x)) for k, x in arrays.items()})
    return network.eval(), arrays


def relative(ours, theirs) -> float:
    """Returns max |a - b| / max |b|."""
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    return float(np.abs(ours - theirs).max() / max(np.abs(theirs).max(), 1e-30))


def without_drops(published: Published) -> dict[str, float]:
    """Returns the arguments of the factory that turn off what is dropped at random."""
    module, _, name = published.model["name"].rpartition(".")
    module = importlib.import_module(f"library.models.{module or name}")
    known = inspect.signature(getattr(module, name)).parameters
    return {k: 0.0 for k in ("dropout", "drop_path") if k in known}


def channels_last(x) -> np.ndarray:
    """Returns a tensor (b, c, h, w) as (b, h, w, c), others as they are."""
    x = x.detach().numpy()
    return np.moveaxis(x, 1, -1) if x.ndim == 4 else x


def compare(name: str, size: int | None = None) -> dict[str, float]:
    """Returns the relative errors of a network."""
    import torch

    published = catalogue.find(name)
    size = size or published.transform.size
    network, arrays = reference(published)
    model = published.build(**without_drops(published))
    shapes = published.shapes(model, size)
    variables = assign(
        arrays, published.rules, shapes, ignored=published.ignored, where=published.reference
    )
    exported = published_as(variables, published.rules)
    for key, array in exported.items():
        if not key.endswith("num_batches_tracked"):
            np.testing.assert_array_equal(array, arrays[key], err_msg=key)
    count = sum(x.size for x in jax.tree.leaves(variables["params"]))
    assert count == published.parameters, f"{count:,} params here"
    generator = np.random.default_rng(0)
    image = generator.standard_normal((BATCH, size, size, 3)).astype(np.float32)
    nchw = torch.from_numpy(np.moveaxis(image, -1, 1).copy())
    errors = _forward(published, model, variables, network, image, nchw)
    errors |= _gradients(published, model, variables, network, image, nchw)
    errors |= _statistics(published, model, variables, network, image, nchw)
    with torch.no_grad():
        single = _logits(network(nchw)).numpy()
        network.double()
        errors["noise"] = relative(single, _logits(network(nchw.double())).numpy())
    return errors


def _logits(made: Any):
    return made if hasattr(made, "shape") else made[0]


def _forward(published, model, variables, network, image, nchw) -> dict[str, float]:
    import torch

    seen: dict[str, Any] = {}
    modules = dict(network.named_modules())
    handles = [
        modules[name].register_forward_hook(lambda _, __, y, i=i: seen.update({f"stage{i}": y}))
        for i, name in enumerate(published.stages, 1)
    ]
    with torch.no_grad():
        expected = _logits(network(nchw)).numpy()
    for handle in handles:
        handle.remove()
    logits, recorded = jax.jit(lambda v, x: model.apply(v, x, mutable=["intermediates"]))(
        variables, image
    )
    errors = {"logits": relative(logits, expected)}
    for name, theirs in seen.items():
        ours, theirs = recorded["intermediates"][name], _logits(theirs)
        # What is channels last there already, as in Swin, has our shape.
        same = tuple(theirs.shape) == tuple(ours.shape)
        errors[name] = relative(ours, theirs.numpy() if same else channels_last(theirs))
    return errors


def _gradients(published, model, variables, network, image, nchw) -> dict[str, float]:
    import torch

    leaf = nchw.clone().requires_grad_()
    weight = np.random.default_rng(1).standard_normal(1000).astype(np.float32)
    made = _logits(network(leaf))
    (made @ torch.from_numpy(weight)[: made.shape[-1]]).sum().backward()

    def loss(params, image):
        logits = model.apply({**variables, "params": params}, image)
        return (logits @ weight[: logits.shape[-1]]).sum()

    to_params, to_image = jax.jit(jax.grad(loss, (0, 1)))(variables["params"], image)
    errors = {"d image": relative(to_image, channels_last(leaf.grad))}
    ours = published_as({"params": to_params}, published.rules)
    named = {k: p for k, p in network.named_parameters() if p.ndim > 1 and p.grad is not None}
    kernels = [k for k in named if k in ours]
    for key in (kernels[0], kernels[len(kernels) // 2], kernels[-1]):
        errors[f"d {key}"] = relative(ours[key], named[key].grad.numpy())
    network.zero_grad()
    return errors


def _statistics(published, model, variables, network, image, nchw) -> dict[str, float]:
    """Compares the running statistics after a step of training, and its logits.

    PyTorch averages the variance of n - 1: what is compared is that of the population, which its
    layers are asked for by hooks.
    """
    import torch

    if "batch_stats" not in variables:
        return {}
    moments: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def note(name):
        def hook(_, inputs):
            x = inputs[0].detach()
            axes = [i for i in range(x.ndim) if i != 1]
            moments[name] = (x.mean(axes).numpy(), x.var(axes, unbiased=False).numpy())

        return hook

    handles = []
    for name, module in network.named_modules():
        module.training = not type(module).__name__.startswith(("Dropout", "DropPath", "Stoch"))
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            handles.append(module.register_forward_pre_hook(note(name)))
    with torch.no_grad():
        expected = _logits(network(nchw)).numpy()
    for handle in handles:
        handle.remove()
    network.eval()
    apply = jax.jit(lambda v, x: model.apply(v, x, train=True, mutable=["batch_stats"]))
    logits, moved = apply(variables, image)
    before, after = (
        published_as({"batch_stats": each["batch_stats"]}, published.rules)
        for each in (variables, moved)
    )
    keep = _momentum(before, after, moments)
    worst = 0.0
    for name, (mean, variance) in moments.items():
        for kind, batch in (("running_mean", mean), ("running_var", variance)):
            key = f"{name}.{kind}"
            if key in after:
                expected_now = keep * before[key] + (1 - keep) * batch
                worst = max(worst, relative(after[key], expected_now))
    return {"train logits": relative(logits, expected), "statistics": worst}


def _momentum(before, after, moments) -> float:
    name, (mean, _) = next((n, m) for n, m in moments.items() if f"{n}.running_mean" in after)
    old, new = before[f"{name}.running_mean"], after[f"{name}.running_mean"]
    i = np.argmax(np.abs(old - mean))
    return round(float((new[i] - mean[i]) / (old[i] - mean[i])), 4)


def golden(name: str) -> dict[str, list[float]]:
    """Returns what the reference makes of the image of the goldens."""
    import torch

    published = catalogue.find(name)
    network, _ = reference(published)
    size = goldens.SIZES.get(name, goldens.SIZE)
    nchw = torch.from_numpy(np.moveaxis(goldens.image(size), -1, 1).copy())
    with torch.no_grad():
        logits = _logits(network(nchw)).numpy()[0]
    return {"logits": [float(f"{x:.7g}") for x in logits[:: goldens.EVERY]]}


def main() -> None:
    """Prints a comparison."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("--size", type=int)
    parser.add_argument("--golden", action="store_true")
    arguments = parser.parse_args()
    if arguments.golden:
        print(json.dumps({arguments.name: golden(arguments.name)}))
        return
    for what, error in compare(arguments.name, arguments.size).items():
        print(
            f"{what:50s} {error:.2e}{'' if what == 'noise' or error <= 1e-5 else '  <- TOO MUCH'}"
        )


if __name__ == "__main__":
    main()
