"""Published weights become the workdir of a run, and a run's weights a file for other projects."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax.traverse_util import unflatten_dict

from library.config import ConfigError
from library.training import checkpoints, fine_tuning
from library.training.checkpoints import Checkpoints
from library.training.recipe import make_plan
from library.training.workdir import open_workdir, read_config
from library.weights import catalogue, files, loading
from library.weights.mapping import published_as
from library.weights.published import Published

# A state is of the same shape whatever the images show, and noise needs no files.
_NOISE = "synthetic/{size}x{classes}"


def recipe(published: Published) -> dict[str, Any]:
    """Returns the config by which published weights are evaluated on ImageNet.

    Images are prepared as the weights had them: the shorter side resized, the middle cut out.
    Evaluators may take the splits "v2", ImageNet-V2 (Recht et al. 2019, arXiv 1902.10811), and
    "real", the validation images with ReaL labels, see `evaluation.real_labels`.
    """
    transform, reported = published.transform, published.reported
    steps = [
        dict(name="decode"),
        dict(name="resize_short", size=transform.resize, method=transform.interpolation),
        dict(name="center_crop", size=transform.size),
    ]
    values = dict(
        dataset=dict(name="imagenet2012", train="train", test="validation", batch_size=64),
        preprocess=steps,
        normalize=dict(mean=list(transform.mean), std=list(transform.std)),
        model=dict(published.model, num_classes=1000),
        task=dict(name="classification"),
        optimizer=dict(name="sgd", learning_rate=0.0),
        total="1 steps",
        evaluate=dict(test=dict(kind="metrics", every="100%")),
        splits=dict(
            v2=dict(dataset="imagenet_v2", split="test"),
            real=dict(
                dataset="imagenet2012_real",
                split="validation",
                preprocess=[*steps, dict(name="to_labels", key="real_label", num_classes=1000)],
            ),
        ),
        seed=0,
    )
    if reported is not None:
        claim = dict(metric="test/accuracy", value=reported.top1 / 100, source=reported.source)
        values["reported"] = claim
    return values


def import_weights(
    name: str,
    weights: str | Path,
    workdir: Path,
    identity: Mapping[str, Any],
    *,
    ema: bool = True,
    say: Callable[[str], None] = print,
) -> Path:
    """Makes a workdir, which `evaluate`, `generate` and `init_from` take, of published weights.

    Args:
      name: of the network, in the catalogue.
      weights: a .pth or .safetensors file, or a directory as Hugging Face has them.
      workdir: to be made; it must not hold another run.
      identity: where the config came from, kept in config.json.
      ema: of a training's checkpoint, take the running averages where it has them.
      say: called with one line on what the weights were wrapped in, if in anything.

    Raises:
      ConfigError: an unknown network, weights that cannot be read or do not fit it, all leaves
        that do not fit in one message, or a workdir in use. Nothing is written then.
    """
    published = catalogue.find(name)
    values = recipe(published)
    variables = loading.load(published, published.build(), weights, ema=ema, say=say)
    noise = _NOISE.format(size=published.transform.size, classes=1000)
    plan = make_plan(
        {**values, "dataset": dict(name=noise, train="train[:8]", test="test[:8]", batch_size=8)}
        | dict(preprocess=[], evaluate={}, reported=None),
        devices=jax.devices()[:1],
    )
    _check_unused(workdir)
    workdir = open_workdir(workdir, values, identity)
    fresh = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), plan.state)
    learnt = {key: tree for key, tree in variables.items() if key != "params"}
    state = fresh.replace(
        params=jax.tree.map(jnp.asarray, variables["params"]),
        variables={**fresh.variables, **jax.tree.map(jnp.asarray, learnt)},
    )
    saved = Checkpoints(workdir)
    saved.save(0, {"state": state}, {"weights": str(weights)}, best=False)
    saved.close()
    return workdir


def export_weights(workdir: Path, path: Path, *, which: str = "latest", ema: bool = True) -> Path:
    """Writes the weights of a run to a .safetensors file, under their published names.

    Args:
      workdir: of a run whose model is in the catalogue; its classes may be others.
      path: the file.
      which: the "latest" or the "best" checkpoint.
      ema: the running averages, where the run kept them.

    Raises:
      ConfigError: no such checkpoint, or a model that the catalogue does not have.
    """
    name = read_config(workdir)["model"].get("name")
    known = {each.model["name"]: each for each in catalogue.CATALOGUE.values()}
    if name not in known:
        raise ConfigError(f"the catalogue has no published names for the model {name!r}")
    _, leaves = checkpoints.load(workdir, which=which)
    averaged = ema and any(path.startswith("state/ema/") for path in leaves)
    variables = unflatten_dict(fine_tuning.model_leaves(leaves, ema=averaged), sep="/")
    return files.write(path, published_as(variables, known[name].rules))


def _check_unused(workdir: Path) -> None:
    if (Path(workdir) / "checkpoints").exists():
        raise ConfigError(f"workdir {workdir} holds a run already; name another directory")
