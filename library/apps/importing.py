"""Published weights become the workdir of a run, and a run's weights a file for other projects."""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax.traverse_util import unflatten_dict

from library import config
from library.config import ConfigError
from library.run import checkpoints, data_record, fine_tuning, ownership
from library.run.checkpoints import Checkpoints
from library.run.data_record import DataRecord
from library.run.recipe import make_plan
from library.run.workdir import open_workdir, read_config, read_identity
from library.weights import catalogue, files, loading
from library.weights.mapping import published_as, published_names
from library.weights.published import Published

# A state is of the same shape whatever the images show, and noise needs no files.
_NOISE = "synthetic/{size}x{classes}"


def recipe(published: Published) -> dict[str, Any]:
    """Returns the config by which published weights are evaluated on ImageNet.

    Images are prepared as the weights had them: resized, and the middle cut out.
    Evaluators may take the splits "v2", ImageNet-V2 (Recht et al. 2019, arXiv 1902.10811), and
    "real", the validation images with ReaL labels, see `evaluation.real_labels`.
    """
    transform, reported = published.transform, published.reported
    values = dict(
        dataset=dict(name="imagenet2012", train="train", test="validation", batch_size=64),
        preprocess=transform.steps(),
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
                then=[dict(name="to_labels", key="real_label", num_classes=1000)],
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
    size: int | None = None,
    say: Callable[[str], None] = print,
) -> Path:
    """Makes a workdir, which `evaluate`, `generate` and `init_from` take, of published weights.

    Args:
      name: of the network, in the catalogue, or of it and its weights, "resnet50.v2".
      weights: a .pth or .safetensors file, or a directory as Hugging Face has them.
      workdir: to be made; it must not hold another run.
      identity: where the config came from, kept in config.json.
      ema: of a training's checkpoint, take the running averages where it has them.
      size: side of the images, if not the usual; nothing is claimed of the weights then.
      say: called with one line on the weights that are assumed, whose preprocessing and claim the
        workdir gets, and with those of `loading.load`.

    Raises:
      ConfigError: an unknown network, weights that cannot be read or do not fit it, all leaves
        that do not fit in one message, or a workdir in use. Nothing is written then.
    """
    published = catalogue.find(name)
    say(catalogue.described(name))
    if size is not None:
        published = _resized(published, size)
        resize = published.transform.resize
        say(f"images are resized to {resize} and cut to {size} instead; no accuracy is claimed")
    values = recipe(published)
    variables = loading.load(published, published.build(), weights, ema=ema, say=say)
    noise = _NOISE.format(size=published.transform.size, classes=1000)
    plan = make_plan(
        {**values, "dataset": dict(name=noise, train="train[:8]", test="test[:8]", batch_size=8)}
        | dict(preprocess=[], evaluate={}, reported=None),
        devices=jax.devices()[:1],
    )
    _check_unused(workdir)
    fresh = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), plan.state)
    learnt = {key: tree for key, tree in variables.items() if key != "params"}
    state = fresh.replace(
        params=jax.tree.map(jnp.asarray, variables["params"]),
        variables={**fresh.variables, **jax.tree.map(jnp.asarray, learnt)},
    )
    with ownership.owning(workdir, say):
        _check_unused(workdir)
        workdir = open_workdir(workdir, values, {**identity, "network": name.partition(".")[0]})
        # Of the data that the weights were trained on, only what examples look like is known.
        data_record.write(workdir, DataRecord(data_record.features(plan.loader.blank)))
        saved = Checkpoints(workdir)
        saved.save(0, {"state": state}, {"weights": str(weights)}, best=False)
        saved.close()
    return workdir


def export_weights(
    workdir: Path,
    path: Path,
    *,
    network: str | None = None,
    which: str = "latest",
    ema: bool = True,
    say: Callable[[str], None] = print,
) -> Path:
    """Writes the weights of a run to a .safetensors file, under published names.

    Args:
      workdir: of a run whose model is in the catalogue; its classes may be others.
      path: the file.
      network: whose names they get; by default those that the run's weights were imported under,
        or else those of the network whose spec is most like the run's.
      which: the "latest" or the "best" checkpoint.
      ema: the running averages, where the run kept them.
      say: called with one line on whose names were taken, where several networks are as like, and
        with one if the running averages were.

    Raises:
      ConfigError: no such checkpoint, or a model that the catalogue, or the network, has no names
        for.
    """
    spec = read_config(workdir)["model"]
    network = network or read_identity(workdir).get("network")
    network, *others = [network] if network else _most_alike(spec)
    rules = catalogue.find(network).rules
    _, leaves = checkpoints.load(workdir, which=which)
    averaged = ema and any(path.startswith("state/ema/") for path in leaves)
    variables = unflatten_dict(fine_tuning.model_leaves(leaves, ema=averaged), sep="/")
    try:
        arrays = published_as(variables, rules)
    except ValueError as error:
        raise ConfigError(f"the run in {workdir} is no {network}: {error}") from error
    if averaged:
        say("the running averages are written; --noema writes the params themselves")
    names = published_names(rules, variables)
    others = [k for k in others if names != published_names(catalogue.find(k).rules, variables)]
    if others:
        say(f"the names are those of {network}; others by --as={', --as='.join(others)}")
    return files.write(path, arrays)


def _resized(published: Published, size: int) -> Published:
    """Returns a network with a transform to another size, of the same share of the image."""
    usual = published.transform
    resize = round(usual.resize * size / usual.size)
    transform = usual._replace(size=size, resize=resize)
    resized = published._replace(transform=transform, reported=None)
    try:
        resized.shapes(resized.build())
    # What a layer raises of images that do not suit it.
    except (TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"--size={size}: {reason}; the usual is {usual.size}") from error
    return resized


def _most_alike(spec: Mapping[str, Any]) -> list[str]:
    """Returns the networks whose specs are most like a model's."""
    known = catalogue.CATALOGUE.items()
    same = {k: each for k, each in known if _full(each.model) == _full(spec)}
    if not same:
        raise ConfigError(
            f"the catalogue has no published names for the model {spec.get('name')!r}"
        )
    wanted = _arguments(spec).items()
    alike = {k: len(wanted & _arguments(each.model).items()) for k, each in same.items()}
    return [k for k, count in alike.items() if count == max(alike.values())]


def _full(spec: Mapping[str, Any]) -> str:
    """Returns the name of a model's factory with its module, "resnet.resnet18"."""
    name = str(spec.get("name"))
    return name if "." in name else f"{name}.{name}"


def _arguments(spec: Mapping[str, Any]) -> dict[str, str]:
    """Returns a spec's arguments, and the defaults of those that it leaves out, as text."""
    factory = config.locate(_full(spec), "library.models", "model")
    defaults = {key: p.default for key, p in inspect.signature(factory).parameters.items()}
    return {key: repr(value) for key, value in {**defaults, **spec}.items() if key != "name"}


def _check_unused(workdir: Path) -> None:
    if (Path(workdir) / "checkpoints").exists():
        raise ConfigError(f"workdir {workdir} holds a run already; name another directory")
