"""A network here beside the same in PyTorch, with the same random weights.

PyTorch, torchvision and timm are imported when they are needed, and by nothing else here.
"""

import importlib.util
import inspect
import os
import re
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from library.config import ConfigError
from library.weights import catalogue
from library.weights.drawn import drawn
from library.weights.mapping import assign, published_as
from library.weights.published import Published

BATCH = 2
# Of memory, a param: in float64, with gradients and in two libraries; the 217 million of bit_r50x3
# took 17 GB with all that lies between.
_BYTES = 80


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


def fits(published: Published, share: float = 1.0) -> bool:
    """Tells whether a share of this machine's memory is enough for the comparison of a network."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return _BYTES * published.parameters <= share * memory


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
    if ours.shape != theirs.shape:
        raise ConfigError(f"an array here is {ours.shape}, its reference {theirs.shape}")
    return float(np.abs(ours - theirs).max() / max(np.abs(theirs).max(), 1e-30))


def _without_drops(published: Published) -> dict[str, float]:
    """Returns the arguments of the factory that turn off what is dropped at random."""
    module, _, name = published.model["name"].rpartition(".")
    module = importlib.import_module(f"library.models.{module or name}")
    known = inspect.signature(getattr(module, name)).parameters
    return {k: 0.0 for k in ("dropout", "drop_path") if k in known}


def _channels_last(x) -> np.ndarray:
    """Returns a tensor (b, c, h, w) as (b, h, w, c), others as they are."""
    x = x.detach().numpy()
    return np.moveaxis(x, 1, -1) if x.ndim == 4 else x


def compare(name: str, size: int | None = None) -> dict[str, float]:
    """Compares a network of the catalogue with its reference.

    Args:
      name: of the network.
      size: side of the images, by default the usual one.

    Returns:
      Relative errors, max |a - b| / max |b|: of the "logits" and of each stage, in float32 and,
      but for a head that computes in float32, "in float64"; in float64, too, of the gradients by
      the image and by three kernels ("d ..."), and of the logits and the running statistics of a
      step of training.
      "noise" is the worst error of the reference's own logits and stages in float32 beside those
      in float64.

    Raises:
      ConfigError: there is no such network, no reference, or its library is not installed, or the
        weights do not fit.
    """
    published = catalogue.find(name)
    if published.reference is None:
        raise ConfigError(f"no library has {name!r}: there is nothing to compare it with")
    for library in ("torch", published.reference.split("/")[0]):
        if importlib.util.find_spec(library) is None:
            raise ConfigError(f"{library} is not installed, see requirements-parity.txt")
    import torch

    side = size or published.transform.size
    network, arrays = reference(published)
    model = published.build(**_without_drops(published))
    shapes, ignored = published.shapes(model, side), published.ignored
    variables = assign(arrays, published.rules, shapes, ignored=ignored, where=published.reference)
    image = np.random.default_rng(0).standard_normal((BATCH, side, side, 3)).astype(np.float32)
    nchw = torch.from_numpy(np.moveaxis(image, -1, 1).copy())
    single = outputs(published, network, nchw)
    double = outputs(published, network.double(), nchw.double())
    errors = _forward(model, variables, image, single)
    # In float32 one relu that rounding switches makes another gradient.
    with jax.enable_x64(True):
        precise = model.clone(dtype=jnp.float64, param_dtype=jnp.float64)
        wide = jax.tree.map(np.float64, variables)
        exact = _forward(precise, wide, np.float64(image), double)
        errors |= {f"{what} in float64": error for what, error in exact.items()}
        both = (published, precise, wide, network, np.float64(image), nchw.double())
        errors |= _gradients(*both) | _statistics(*both)
    return errors | {"noise": max(relative(single[name], double[name]) for name in single)}


def logits_of(made: Any):
    """Returns the logits among what a network of PyTorch's returns."""
    return made if hasattr(made, "shape") else made[0]


def outputs(published: Published, network: Any, nchw: Any) -> dict[str, np.ndarray]:
    """Returns a reference's "logits" of images (b, c, h, w), and its stages by their names here."""
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
        # Some have channels last there already, as Swin; a cube of features may be either.
        moved = np.moveaxis(theirs, 1, -1) if theirs.ndim == 4 else theirs
        ways = [x for x in (theirs, moved) if x.shape == ours.shape]
        errors[name] = min((relative(ours, way) for way in ways), default=float("inf"))
    return errors


def _gradients(published, model, variables, network, image, nchw) -> dict[str, float]:
    import torch

    leaf = nchw.clone().requires_grad_()
    weight = np.random.default_rng(1).standard_normal(1000)
    made = logits_of(network(leaf))
    (made @ torch.from_numpy(weight)[: made.shape[-1]]).sum().backward()

    def loss(params, image):
        logits = model.apply({**variables, "params": params}, image)
        return (logits @ weight[: logits.shape[-1]]).sum()

    to_params, to_image = jax.jit(jax.grad(loss, (0, 1)))(variables["params"], image)
    errors = {"d image": relative(to_image, _channels_last(leaf.grad))}
    ours = published_as({"params": to_params}, published.rules)
    named = {k: p for k, p in network.named_parameters() if p.ndim > 1 and p.grad is not None}
    kernels = [k for k in named if k in ours]
    for key in (kernels[0], kernels[len(kernels) // 2], kernels[-1]):
        errors[f"d {key}"] = relative(ours[key], named[key].grad.numpy())
    network.zero_grad()
    return errors


def _statistics(published, model, variables, network, image, nchw) -> dict[str, float]:
    """Compares the running statistics after a step of training, each of them, and its logits."""
    if "batch_stats" not in variables:
        return {}
    moments, expected = _moments(network, nchw)
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
    """Returns what a step of training averages into the running statistics, and its logits.

    PyTorch averages the variance of n - 1: here it is that of the population, which its layers are
    asked for by hooks. By the name of the statistics, it is beside its share in the average.
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
