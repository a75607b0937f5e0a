"""Prolonging: a run goes on beyond its total, from its last step, with its state and data order.

Data order and randomness follow the step. So the run has the bits of one that had the longer total
from the start, unless one of its steps would have been another one then. `_following` finds what
follows the total, and `library.optim.continuation` decides how learning rates continue. config.json
keeps the earlier totals as `prolonged`, see `Longer`.
"""

import functools
import inspect
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import optax

from library import config
from library.config import ConfigError
from library.files import read_json
from library.optim import optimizers
from library.optim.continuation import Length, continued
from library.run import checkpoints, data_record, learning, recipe, workdir
from library.run.sections import Recipe


class Longer(NamedTuple):
    """How a start continues the run of a workdir.

    Attributes:
      values: the config of the start.
      history: the earlier totals of the run, oldest first, as plain values: `total` and `steps`,
        the earlier total; `at`, the step after which the run became longer; `exact`, whether it has
        the bits of a run that was longer from the start; `told`, what does not stay as it was;
        `said`, a sentence for the user; `asked`, the schedules asked for, by key; `overrides`, the
        overrides of the config that it has since.
      at: the step after which this start makes the run longer, or None.
    """

    values: Mapping[str, Any]
    history: Sequence[Mapping[str, Any]] = ()
    at: int | None = None

    def identity(self, identity: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the origin of the config, with the history of the run, for config.json."""
        if not self.history:
            return dict(identity)
        overrides = dict(identity.get("overrides") or {})
        for entry in self.history:
            overrides |= entry["overrides"]
        return {**identity, "overrides": overrides, "prolonged": [*self.history]}


class _Described(NamedTuple):
    """A run as a config describes it: its recipe, its length, and its learning rates by name."""

    recipe: Recipe
    length: Length
    rates: Mapping[str, optax.Schedule]


def unchanged(folder: Path, values: Mapping[str, Any]) -> Longer:
    """Returns a start that does not make the run of a workdir longer; there may be no run."""
    known = (Path(folder) / "config.json").is_file() and workdir.has_checkpoint(folder)
    return Longer(values, workdir.read_identity(folder).get("prolonged", ()) if known else ())


def prolong(folder: Path, values: Mapping[str, Any]) -> Longer:
    """Returns a start that makes the run of a workdir longer, or that resumes such a run.

    Args:
      folder: the workdir.
      values: the config with the longer total.

    Raises:
      ConfigError: the workdir has no run or no checkpoint; the config differs in more than the
        total, schedules and early stopping; the total is not longer; the run has phases, or a
        schedule does not fit into the rest.
    """
    recipe.read(values)
    kept = workdir.read_config(folder)
    history = workdir.read_identity(folder).get("prolonged", ())
    again = _asked_before(values, kept, history)
    if again is not None:
        return Longer(again, history)
    if not workdir.has_checkpoint(folder):
        raise ConfigError(f"{folder} has no checkpoint to go on from: leave --prolong out")
    workdir.check_same_run(folder, values, prolonged=True)
    at = int(checkpoints.newest(folder).name)
    record = data_record.read(folder)
    if record is None:
        raise ConfigError(
            f"{folder} has no {data_record.FILE}, which states the length of an epoch: start the "
            "run once without --prolong, which writes it"
        )
    described = functools.partial(_described, num_examples=record.num_examples)
    shorter, longer = described(kept), described(values)
    _check_longer(folder, kept, values, (shorter.length.total, longer.length.total, at))
    settled, entry = _settled((kept, shorter), (values, longer), at, history)
    entry["said"] = _said(described(settled), entry)
    return Longer(settled, [*history, entry], at)


def prepare(folder: Path, longer: Longer) -> None:
    """Moves what the shorter run reported out of the way of the longer run's report.

    Raises:
      ConfigError: the run has gone on since `prolong` looked at it.
    """
    if longer.at is None:
        return
    if int(checkpoints.newest(folder).name) != longer.at:
        raise ConfigError(f"another run went on in {folder} meanwhile; run the same command again")
    workdir.set_aside(folder, f"until-{longer.at}", ("summary.json", "report.html"))


def _asked_before(
    values: Mapping[str, Any], kept: Mapping[str, Any], history: Sequence[Mapping[str, Any]]
) -> dict[str, Any] | None:
    """Returns the config of a run that the same request has made longer before, else None."""
    if not history:
        return None
    asked, settled = history[-1]["asked"], _schedules(kept)
    ours = _schedules(values)
    # A schedule that the config leaves out stays left out.
    other = {k: spec for k, spec in settled.items() if k in ours and spec != ours[k]}
    same = {k: spec for k, spec in other.items() if ours[k] == asked.get(k)}
    again = _with_schedules(values, same)
    return None if workdir.differences(again, kept) else again


def _described(values: Mapping[str, Any], num_examples: int | None) -> _Described:
    read, dataset = recipe.read(values)
    total, steps = learning.durations(read, dataset, num_examples)
    sizes = {"total_steps": total, "steps": steps, "batch_size": dataset.batch_size}
    _, rates = learning.learners(read, axis_name=None, **sizes)
    return _Described(read, Length(total, steps), rates)


def _check_longer(folder, kept, values, steps: tuple[int, int, int]) -> None:
    before, after, done = steps
    summary = Path(folder) / "summary.json"
    early = summary.is_file() and read_json(summary).get("stopped_early")
    if early and after == before and values.get("stop") != kept.get("stop"):
        return
    if after <= max(before, done):
        other = ", or change config.stop, which ended it" if early else ""
        raise ConfigError(
            f"--prolong: total={values['total']!r} is {after} steps, and the run in {folder} has "
            f"{before}, of which {done} are done: write '{max(before, done) + 1} steps' or "
            f"more{other}"
        )


def _settled(before, after, at: int, history) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the config of the longer run, and the entry of its history, without `said`.

    Args:
      before: the config of the shorter run, and what it describes.
      after: those of the longer run.
      at: steps done.
      history: the history of the shorter run.
    """
    (kept, shorter), (values, longer) = before, after
    changed, told = {}, [*_following(shorter, longer, at)]
    # What was not exact once stays so.
    exact = not told and all(entry["exact"] for entry in history)
    asked, were = _schedules(values), _schedules(kept)
    earlier = history[-1]["asked"] if history else {}
    for key, count in _updates(values).items():
        lengths = shorter.length, longer.length
        # What was asked for before is what the run has now.
        wanted = were[key] if asked[key] == earlier.get(key) else asked[key]
        found = continued(were[key], wanted, *lengths, at, count)
        exact = exact and found.exact
        told += [f"{key}: {found.said}"] if found.said else []
        if found.schedule != asked[key]:
            changed[key] = found.schedule
    overrides = {key: repr(spec) for key, spec in changed.items()}
    overrides |= {} if exact else {"total": str(values["total"])}
    entry = {"total": kept["total"], "steps": shorter.length.total, "at": at, "exact": exact}
    entry |= {"told": told, "asked": asked, "overrides": overrides}
    return _with_schedules(values, changed), entry


def _said(settled: _Described, entry: Mapping[str, Any]) -> str:
    """Returns the sentence that tells the user what the longer run does."""
    at, total = entry["at"], settled.length.total
    same = "with the same bits as" if entry["exact"] else "not with the bits of"
    rates = [
        f"{name} {float(rate(at)):.4g} in the next step, {float(rate(total - 1)):.4g} in the last"
        for name, rate in settled.rates.items()
    ]
    whole = f"a run of {total:,} steps from the start"
    first = f"prolonged after step {at:,} to {total:,} steps, {same} {whole}"
    return "; ".join([first, *entry["told"], *rates])


def _following(shorter: _Described, longer: _Described, at: int) -> Iterator[str]:
    """Yields what follows the total beside the learning rate, so that the bits may differ.

    Raises:
      ConfigError: the optimizer has phases, which would move.
    """
    ends = at == shorter.length.total
    for player, spec in learning.by_player(longer.recipe).items():
        where = "optimizer" if player is None else f"optimizer.{player}"
        if spec.get("phases", 1) > 1:
            raise ConfigError(
                f"--prolong: {where}.phases={spec['phases']} divide the run by its total, and have "
                "begun: start another run"
            )
        if (ahead := spec.get("lookahead")) is not None and (ends or ahead.get("power", 0)):
            yield f"{where}.lookahead follows the total"
        for pattern, duration in spec.get("frozen_from", ()):
            limits = {min(at, each.length.steps(duration)) for each in (shorter, longer)}
            if len(limits) > 1:
                yield f"{where}.frozen_from of {pattern!r} follows the total"
    yield from (f"{what} follows the total" for what in _given_total(longer.recipe))


def _given_total(values: Recipe) -> Iterator[str]:
    """Yields the parts of a recipe whose functions are given the total."""
    kinds = {
        "task": ("library.tasks", values.task),
        "model": ("library.models", values.model),
        "augment": ("library.data.augmentation", values.augment),
        "views": ("library.data.augmentation", values.views),
    }
    for what, (package, given) in kinds.items():
        for name in _names(config.plain(given)):
            function = config.locate(name, package, what)
            if "total_steps" in inspect.signature(function).parameters:
                yield f"{what} {name!r}"


def _names(given: Any) -> Iterator[str]:
    """Yields the names of specs: of one, of a list, or of a dict of specs or lists by name."""
    if isinstance(given, Mapping) and "name" in given:
        yield given["name"]
    elif isinstance(given, (Mapping, list)):
        for each in given.values() if isinstance(given, Mapping) else given:
            yield from _names(each)


def _updates(values: Mapping[str, Any]) -> dict[str, int]:
    """Returns the updates in a step of each optimizer, by the key of its schedule."""
    return {key: spec.get("updates", 1) for key, spec in _optimizers(values).items()}


def _schedules(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Returns the schedule of each optimizer, by its key in the config."""
    found = _optimizers(values)
    return {key: spec.get("schedule") or {"name": "constant"} for key, spec in found.items()}


def _optimizers(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    spec = config.plain(values.get("optimizer"))
    if spec is None:
        return {}
    players = optimizers.by_player(spec)
    if players is None:
        return {"optimizer.schedule": spec}
    return {f"optimizer.{name}.schedule": each for name, each in players.items()}


def _with_schedules(values: Mapping[str, Any], schedules: Mapping[str, Any]) -> dict[str, Any]:
    made = config.plain(values)
    for key, schedule in schedules.items():
        *path, last = key.split(".")
        holder = made
        for part in path:
            holder = holder[part]
        holder[last] = schedule
    return made
