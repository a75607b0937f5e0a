"""Import of published weights as the workdir of a run, and export of a run's weights to a file."""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax.traverse_util import unflatten_dict

from library import config
from library.config import ConfigError
from library.data.builders import imagenet2012
from library.run import checkpoints, data_record, fine_tuning, ownership
from library.run.checkpoints import Checkpoints
from library.run.data_record import DataRecord
from library.run.plan import Plan
from library.run.recipe import make_plan
from library.run.workdir import open_workdir, read_config, read_identity
from library.weights import catalogue, files, loading
from library.weights.mapping import published_as, published_names
from library.weights.published import Published

# The shapes of a state do not depend on the images, and noise needs no files.
_NOISE = "synthetic/{size}x{classes}"


def recipe(published: Published) -> dict[str, Any]:
    """Returns the config that evaluates published weights on ImageNet.

    Images are resized and center-cropped as the weights need. Evaluators may take the splits "v2",
    ImageNet-V2 (Recht et al. 2019, arXiv 1902.10811), and "real", the validation images with ReaL
    labels, see `evaluation.real_labels`.
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
    """Writes published weights as a workdir, which `evaluate`, `generate` and `init_from` take.

    Args:
      name: name of the network in the catalogue, or of the network and its weights, such as
        "resnet50.v2".
      weights: a .pth or .safetensors file, or a directory in the layout of Hugging Face.
      workdir: the workdir to create; it must not contain another run.
      identity: the origin of the config, which config.json keeps.
      ema: whether to take the running averages if the weights are a training checkpoint with
        averages.
      size: side of the images; by default that of the published weights. With another size the
        workdir claims no accuracy.
      say: called with one line that names the weights whose preprocessing and claim the workdir
        gets, and with the lines of `loading.load`.

    Raises:
      ConfigError: the network is unknown, the weights cannot be read or do not fit it (one message
        lists all arrays that do not fit), or the workdir is in use. Nothing is written then.
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
    check_unused(workdir)
    fresh = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), plan.state)
    learnt = {key: tree for key, tree in variables.items() if key != "params"}
    state = fresh.replace(
        params=jax.tree.map(jnp.asarray, variables["params"]),
        variables={**fresh.variables, **jax.tree.map(jnp.asarray, learnt)},
    )
    with ownership.owning(workdir, say):
        check_unused(workdir)
        workdir = open_workdir(workdir, values, {**identity, "network": name.partition(".")[0]})
        data_record.write(workdir, _record(plan))
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
      workdir: workdir of a run whose model is in the catalogue; its classes may differ.
      path: path of the file.
      network: the network whose names the weights get; by default the network under which they were
        imported, or else the network whose spec is most similar to the run's.
      which: the "latest" or the "best" checkpoint.
      ema: whether to take the running averages if the run has them.
      say: called with one line that names the network if several are equally similar, and with one
        line if the running averages are written.

    Raises:
      ConfigError: there is no such checkpoint, or the catalogue or the network has no names for the
        model.
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
        raise ConfigError(f"the run in {workdir} is not a {network}: {error}") from error
    if averaged:
        say("the running averages are written; --noema writes the params themselves")
    names = published_names(rules, variables)
    others = [k for k in others if names != published_names(catalogue.find(k).rules, variables)]
    if others:
        say(f"the names are those of {network}; for others add --as={' or --as='.join(others)}")
    return files.write(path, arrays)


def check_unused(workdir: Path) -> None:
    """Raises ConfigError if a directory contains a run."""
    if (Path(workdir) / "checkpoints").exists():
        raise ConfigError(f"workdir {workdir} already contains a run; name another directory")


def _record(plan: Plan) -> DataRecord:
    """Returns what is known of ImageNet without its images: the features and the classes."""
    features = data_record.features(plan.loader.blank)
    return DataRecord(
        features,
        imagenet2012.wnids(),
        imagenet2012.Builder.SPLITS["train"],
        kinds=dict(plan.loader.source.kinds),
        evaluated=features,
    )


def _resized(published: Published, size: int) -> Published:
    """Returns a network whose transform crops another size, but the same share of the image."""
    usual = published.transform
    resize = round(usual.resize * size / usual.size)
    transform = usual._replace(size=size, resize=resize)
    resized = published._replace(transform=transform, reported=None)
    try:
        resized.shapes(resized.build())
    # Layers raise these errors for images that do not fit.
    except (TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"--size={size}: {reason}; the default is {usual.size}") from error
    return resized


def _most_alike(spec: Mapping[str, Any]) -> list[str]:
    """Returns the networks whose specs are most similar to a model's spec."""
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
    """Returns the name of a model's factory with its module, such as "resnet.resnet18"."""
    name = str(spec.get("name"))
    return name if "." in name else f"{name}.{name}"


def _arguments(spec: Mapping[str, Any]) -> dict[str, str]:
    """Returns a spec's arguments as text, with the defaults of arguments that it leaves out."""
    factory = config.locate(_full(spec), "library.models", "model")
    defaults = {key: p.default for key, p in inspect.signature(factory).parameters.items()}
    return {key: repr(value) for key, value in {**defaults, **spec}.items() if key != "name"}
