"""Compares a network here with the same network in PyTorch, with the same random weights.

Only this file imports PyTorch, torchvision and timm, and only when it needs them.
"""

import importlib.util
import inspect
import os
import re
import sys
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from library.config import ConfigError, locate
from library.weights import catalogue
from library.weights.drawn import drawn
from library.weights.mapping import assign, published_as, published_names
from library.weights.published import Published

BATCH = 2
# The largest sides of images for a backward pass in float64: of most networks, and of those whose
# params and gradients alone fill most of the memory.
TRAINED_SIDE, TRAINED_SIDE_OF_THE_LARGEST = 320, 128
_LARGEST = 400e6
# Bytes of memory per param: the param and its gradient in float64, and activations. The 388 million
# of bit_r101x3 fit into 22 GB, the 937 million of bit_r152x4 into 23 GB and 20 GB of swap.
_BYTES = 50


def torchvision():
    """Imports torchvision, even if its compiled operators do not load."""
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


def fits(published: Published, share: float = 1.0) -> bool:
    """Returns whether a share of this machine's memory is enough to compare a network."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return _BYTES * published.parameters <= share * memory


def reference(published: Published):
    """Returns the network in PyTorch with random weights, in eval mode, and the weights."""
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
    if ours.shape != theirs.shape:
        raise ConfigError(f"an array has shape {ours.shape}, but its reference {theirs.shape}")
    return float(np.abs(ours - theirs).max() / max(np.abs(theirs).max(), 1e-30))


def _without_drops(published: Published) -> dict[str, float]:
    """Returns the arguments of the factory that turn off dropout and stochastic depth."""
    known = inspect.signature(locate(published.model["name"], "library.models", "model")).parameters
    return {k: 0.0 for k in ("dropout", "drop_path") if k in known}


def _channels_last(x) -> np.ndarray:
    """Returns a tensor (b, c, h, w) as (b, h, w, c), and other tensors unchanged."""
    x = x.detach().numpy()
    return np.moveaxis(x, 1, -1) if x.ndim == 4 else x


def compare(name: str, size: int | None = None) -> dict[str, float]:
    """Compares a network of the catalogue with its reference.

    Args:
      name: the name of the network.
      size: side of the images; by default the network's default size. Gradients and statistics use
        squares cut from the images, see TRAINED_SIDE.

    Returns:
      Relative errors, max |a - b| / max |b|, by name: the "logits" and each stage, in float32 and
      "in float64" (except a head that computes in float32); in float64 the gradients with respect
      to the image and to three kernels ("d ..."), and the logits ("train logits") and the running
      statistics ("statistics") of a training step. "noise" is the largest error between the
      reference's own logits and stages in float32 and in float64.

    Raises:
      ConfigError: there is no such network or no reference, its library is not installed, or the
        weights do not fit.
    """
    published = catalogue.find(name)
    if published.reference is None:
        raise ConfigError(f"no library has {name!r}, so there is no network to compare it with")
    for library in ("torch", published.reference.split("/")[0]):
        if importlib.util.find_spec(library) is None:
            raise ConfigError(f"{library} is not installed, see requirements-parity.txt")
    side = size or published.transform.size
    image = np.random.default_rng(0).standard_normal((BATCH, side, side, 3)).astype(np.float32)
    model = published.build(**_without_drops(published))
    shapes, ignored = published.shapes(model, side), published.ignored
    # The largest networks do not fit into memory together with their references.
    theirs, arrays = _theirs(published, shapes, image)
    variables = assign(arrays, published.rules, shapes, ignored=ignored, where=published.reference)
    del arrays
    errors = _forward(model, variables, image, theirs.single)
    # In float32 rounding may switch a relu, which changes the gradient.
    with jax.enable_x64(True):
        precise = model.clone(dtype="float64", param_dtype="float64")
        variables = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), variables)
        exact = _forward(precise, variables, np.float64(image), theirs.double)
        errors |= {f"{what} in float64": error for what, error in exact.items()}
        both = (published, precise, variables, _trained_on(published, np.float64(image)))
        errors |= _gradients(*both, theirs.gradients)
        if "batch_stats" in variables:
            errors |= _statistics(*both, theirs.moments, theirs.train_logits)
    noises = (relative(theirs.single[each], theirs.double[each]) for each in theirs.single)
    return errors | {"noise": max(noises)}


class _Theirs(NamedTuple):
    """The results of the reference on the images.

    Attributes:
      single: logits and stages in float32, see `outputs`.
      double: the same in float64.
      gradients: gradients with respect to the "image" and to three kernels, by name, in float64.
      moments: the statistics that a training step averages, see `_moments`.
      train_logits: the logits of that step.
    """

    single: dict[str, np.ndarray]
    double: dict[str, np.ndarray]
    gradients: dict[str, np.ndarray]
    moments: dict[str, tuple[np.ndarray, float]]
    train_logits: np.ndarray


def _theirs(published: Published, shapes: Any, image: np.ndarray) -> tuple[_Theirs, Any]:
    """Returns the results of the reference on images (b, h, w, c), and its weights."""
    network, arrays = reference(published)
    single = outputs(published, network, _channels_first(image))
    double = outputs(published, network.double(), _channels_first(np.float64(image)))
    trained = _channels_first(_trained_on(published, np.float64(image)))
    names = published_names(published.rules, {"params": shapes["params"]})
    gradients = _their_gradients(network, names, trained)
    return _Theirs(single, double, gradients, *_moments(network, trained)), arrays


def _trained_on(published: Published, image: np.ndarray) -> np.ndarray:
    side = TRAINED_SIDE_OF_THE_LARGEST if published.parameters > _LARGEST else TRAINED_SIDE
    return image[:, :side, :side]


def _channels_first(image: np.ndarray):
    """Returns images (b, h, w, c) as a tensor (b, c, h, w)."""
    import torch

    return torch.from_numpy(np.moveaxis(image, -1, 1).copy())


def logits_of(made: Any):
    """Returns the logits among the outputs of a network of PyTorch."""
    return made if hasattr(made, "shape") else made[0]


def outputs(published: Published, network: Any, nchw: Any) -> dict[str, np.ndarray]:
    """Returns a reference's "logits" for images (b, c, h, w), and its stages by name."""
    import torch

    seen: dict[str, Any] = {}
    modules = dict(network.named_modules())

    def note(stage):
        return lambda _, __, y: seen.update({stage: logits_of(y).numpy()})

    handles = [
        modules[name].register_forward_hook(note(f"stage{i}"))
        for i, name in enumerate(published.stages, 1)
    ]
    with torch.no_grad():
        seen["logits"] = logits_of(network(nchw)).numpy()
    for handle in handles:
        handle.remove()
    return seen


def _forward(model, variables, image, expected: dict[str, Any]) -> dict[str, float]:
    seen = dict(expected)
    logits, recorded = jax.jit(lambda v, x: model.apply(v, x, mutable=["intermediates"]))(
        variables, image
    )
    errors = {"logits": relative(logits, seen.pop("logits"))}
    for name, theirs in seen.items():
        ours = recorded["intermediates"][name]
        # Some references have channels last, such as Swin; equal sizes leave both ways possible.
        moved = np.moveaxis(theirs, 1, -1) if theirs.ndim == 4 else theirs
        ways = [x for x in (theirs, moved) if x.shape == ours.shape]
        errors[name] = min((relative(ours, way) for way in ways), default=float("inf"))
    return errors


def _weight(logits: Any) -> np.ndarray:
    """Returns the weights of the logits in the sum whose gradients are compared."""
    return np.random.default_rng(1).standard_normal(1000)[: logits.shape[-1]]


def _their_gradients(network, names: frozenset[str], nchw) -> dict[str, np.ndarray]:
    """Returns a reference's gradients with respect to the "image" and to three kernels."""
    import torch

    leaf = nchw.clone().requires_grad_()
    made = logits_of(network(leaf))
    (made @ torch.from_numpy(_weight(made))).sum().backward()
    named = {k: p for k, p in network.named_parameters() if p.ndim > 1 and p.grad is not None}
    kernels = [k for k in named if k in names]
    gradients = {"image": _channels_last(leaf.grad)}
    for key in (kernels[0], kernels[len(kernels) // 2], kernels[-1]):
        gradients[key] = named[key].grad.numpy().copy()
    network.zero_grad()
    return gradients


def _gradients(published, model, variables, image, expected: dict[str, Any]) -> dict[str, float]:
    def loss(params, image):
        logits = model.apply({**variables, "params": params}, image)
        return (logits @ _weight(logits)).sum()

    to_params, to_image = jax.jit(jax.grad(loss, (0, 1)))(variables["params"], image)
    ours = published_as({"params": to_params}, published.rules) | {"image": to_image}
    return {f"d {key}": relative(ours[key], theirs) for key, theirs in expected.items()}


def _statistics(
    published, model, variables, image, moments: dict[str, Any], expected: np.ndarray
) -> dict[str, float]:
    """Compares each running statistic after a training step, and the logits of the step."""
    apply = jax.jit(lambda v, x: model.apply(v, x, train=True, mutable=["batch_stats"]))
    logits, moved = apply(variables, image)
    before, after = (
        published_as({"batch_stats": each["batch_stats"]}, published.rules)
        for each in (variables, moved)
    )
    kept = {key for key in after if not key.endswith("num_batches_tracked")}
    if kept != moments.keys():
        alone = ", ".join(sorted(kept ^ moments.keys()))
        raise ConfigError(f"only one of the two networks has the statistics {alone}")
    errors = [
        relative(after[key], (1 - momentum) * before[key] + momentum * batch)
        for key, (batch, momentum) in moments.items()
    ]
    return {"train logits": relative(logits, expected), "statistics": float(np.max(errors))}


def _moments(network, nchw) -> tuple[dict[str, tuple[np.ndarray, float]], np.ndarray]:
    """Returns the statistics that a training step averages, and the logits of the step.

    PyTorch averages the variance over n - 1, so hooks on its layers compute the variance over n.
    Each statistic has its published name, and comes with its weight in the running average.
    """
    import torch

    moments: dict[str, tuple[np.ndarray, float]] = {}

    def note(name):
        def hook(module, inputs):
            x = inputs[0].detach()
            axes = [i for i in range(x.ndim) if i != 1]
            variance = x.var(axes, unbiased=False).numpy()
            moments[f"{name}.running_mean"] = x.mean(axes).numpy(), module.momentum
            moments[f"{name}.running_var"] = variance, module.momentum

        return hook

    handles = []
    for name, module in network.named_modules():
        module.training = not type(module).__name__.startswith(("Dropout", "DropPath", "Stoch"))
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            handles.append(module.register_forward_pre_hook(note(name)))
    with torch.no_grad():
        logits = logits_of(network(nchw)).numpy()
    for handle in handles:
        handle.remove()
    network.eval()
    return moments, logits
