"""Optimizers from plain values: any optax optimizer by name, and what recipes add around it.

    dict(name="sgd", learning_rate=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4,
         decayed="all", schedule=dict(name="cosine", warmup="5 epochs"))

The gradient passes through these in order: the penalties `l1` and `l2` (a part of the loss),
clipping, coupled weight decay, the optimizer with its learning rate, the multipliers of
`layer_decay` and `rates`, and `lookahead`. Frozen parameters take no part, not even in norms.

Weight decay, wd, is 0 unless the spec states it, whatever optax's default is. Its convention:

- Coupled, for optimizers without weight decay of their own (sgd, rmsprop, adam, adagrad, ...). The
  gradient becomes g + wd * p after clipping and before all moments, as in torch.optim.
- Decoupled, as in optax, for optimizers that have it (adamw, lion, lamb, ...). A step subtracts
  learning_rate * wd * p with the current learning rate. A recipe may state a wd that is not
  multiplied by the rate, such as the 1e-4 of ViT's authors: divide it by the peak rate.
  Exceptions, by their papers: lars and adadelta add wd * p to the gradient; adafactor subtracts
  wd * p without the rate; muon decays only its matrices (`adam_weight_decay` is for the rest).

`decayed` states which parameters weight decay and the penalties change:

- "kernels", the default: leaves named kernel, and embedding unless "position" is in the path. These
  are no biases, normalization, position embeddings or class tokens, as in recipes since about 2018.
- "all": biases and BatchNorm, too, as in He et al. 2016 and most SGD recipes of torch.
- a list of patterns.

In lars, `decayed` also states which leaves have their rate adapted.

Patterns are regular expressions. They are searched for in the paths of the params, joined by "/".
"""

import dataclasses
import functools
import inspect
import re
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
import optax.contrib
from jaxtyping import PyTree

from library import config, trees
from library.config import ConfigError
from library.optim import phases
from library.optim.lookahead import Lookahead, lookahead

DECAYED = {
    "kernels": (r"(^|/)kernel$|^(?!.*position)(.*/)?embedding$",),
    "all": ("",),
}

# These need more than a gradient and plain values: the loss, a key, the gradient of each example,
# other parameters to evaluate than those trained, or a learning rate without schedule.
_OUT_OF_REACH = (
    *("lbfgs", "momo", "momo_adam", "sophia", "noisy_sgd", "dpsgd", "schedule_free_sgd"),
    *("schedule_free_adamw", "optimistic_adam", "rprop", "sm3"),
)
# These are set here, from `schedule`, `decayed` and `rates`, or take objects.
_BOUND = (
    *("learning_rate", "adam_learning_rate", "weight_decay", "weight_decay_rate", "mask"),
    *("weight_decay_mask", "trust_ratio_mask", "base_optimizer", "weight_dimension_numbers"),
    "muon_weight_dimension_numbers",
)


@dataclasses.dataclass(frozen=True)
class Clip:
    """One way to clip gradients, and the patterns of parameters that are left out.

    Attributes:
      global_norm: scales all gradients so that their joint norm is at most this.
      value: limits each element to [-value, value].
      adaptive: limits each unit's gradient norm to this fraction of the norm of its weights,
        which counts as at least 1e-3 (Brock et al. 2021, eq. 3; they leave out the head).
      exclude: patterns of parameters that are not clipped.
    """

    global_norm: float | None = None
    value: float | None = None
    adaptive: float | None = None
    exclude: tuple[str, ...] = ()

    def __post_init__(self):
        ways = {k: v for k, v in vars(self).items() if k != "exclude" and v is not None}
        if len(ways) != 1 or not min(ways.values()) > 0:
            raise ConfigError(
                f"optimizer, clip={ways}: exactly one of global_norm, value and adaptive is "
                "needed, more than 0"
            )


@dataclasses.dataclass(frozen=True)
class LayerDecay:
    """Rates that shrink with the distance from the head (Clark et al. 2020; BEiT, MAE).

    Of n layers, layer i = 0 .. n-1 has its rate multiplied by rate^(n - i), the stem by
    rate^(n + 1), and all other parameters (final norm, head) by 1.

    Attributes:
      rate: the factor between a layer and the layer before it.
      pattern: captures each layer's number, or numbers: r"stage(\\d+)/block(\\d+)".
      stem: patterns of the parameters before the first layer.
    """

    rate: float
    pattern: str
    stem: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Settings:
    """The keys that all optimizers share, beside the optimizer's own arguments.

    Attributes:
      name: a function of optax or optax.contrib.
      learning_rate: the peak rate.
      base_batch: the batch size that `learning_rate` is for; the rate is scaled linearly to the
        batch size of the run (Goyal et al. 2017, section 2.1).
      schedule: the spec of the schedule, see `make_schedule`; constant by default.
      weight_decay: 0 is none; the convention is above.
      decayed: "kernels", "all", or patterns; see above.
      l1: adds l1 * sum |p| to the loss.
      l2: adds l2 / 2 * sum p^2 to the loss.
      clip: a dict of `Clip`.
      layer_decay: a dict of `LayerDecay`.
      rates: pairs (pattern, multiplier of the learning rate); the first match holds.
      decay_rates: pairs (pattern, multiplier of coupled weight decay); the first match holds.
      frozen: patterns of parameters that do not change and have no optimizer state.
      frozen_from: pairs (pattern, duration) of parameters that do not change after the duration.
      lookahead: a dict of `Lookahead`.
      phases: equal parts of the run. In each part the optimizer starts without moments, and the
        schedule starts again over the part. Percentages are still of the run.
    """

    name: str
    learning_rate: float
    base_batch: int | None = None
    schedule: dict | None = None
    weight_decay: float = 0.0
    decayed: str | tuple[str, ...] = "kernels"
    l1: float = 0.0
    l2: float = 0.0
    clip: Clip | None = None
    layer_decay: LayerDecay | None = None
    rates: tuple[tuple[str, float], ...] = ()
    decay_rates: tuple[tuple[str, float], ...] = ()
    frozen: tuple[str, ...] = ()
    frozen_from: tuple[tuple[str, str], ...] = ()
    lookahead: Lookahead | None = None
    phases: int = 1

    def __post_init__(self):
        values = {key: getattr(self, key) for key in ("learning_rate", "weight_decay", "l1", "l2")}
        values |= {f"rates {pattern!r}": rate for pattern, rate in self.rates}
        values |= {f"decay_rates {pattern!r}": rate for pattern, rate in self.decay_rates}
        for key, value in values.items():
            if not 0 <= value < float("inf"):
                raise ConfigError(f"optimizer, {key}={value!r}: a finite number from 0 is needed")
        if self.base_batch is not None and self.base_batch < 1:
            raise ConfigError(f"optimizer, base_batch={self.base_batch!r}: 1 or more is needed")
        if isinstance(self.decayed, str) and self.decayed not in DECAYED:
            hint = config.nearest(self.decayed, DECAYED)
            raise ConfigError(f"optimizer, decayed={self.decayed!r}: {hint}, or a list of patterns")

    def patterns(self) -> dict[str, tuple[str, ...]]:
        """Returns the patterns of every key that has some."""
        decayed = DECAYED[self.decayed] if isinstance(self.decayed, str) else self.decayed
        return {
            "decayed": decayed,
            "frozen": self.frozen,
            "frozen_from": tuple(pattern for pattern, _ in self.frozen_from),
            "rates": tuple(pattern for pattern, _ in self.rates),
            "decay_rates": tuple(pattern for pattern, _ in self.decay_rates),
            "clip, exclude": self.clip.exclude if self.clip else (),
            "layer_decay, pattern": (self.layer_decay.pattern,) if self.layer_decay else (),
            "layer_decay, stem": self.layer_decay.stem if self.layer_decay else (),
        }


@dataclasses.dataclass(frozen=True)
class Ramps:
    """The keys that all schedules share, beside the schedule's own arguments.

    Attributes:
      warmup: the duration of a linear rise from step 0. The first step after it has the full rate.
        If it rises from 0 over n steps, its last step has (n - 1) / n of the rate.
      warmup_from: the fraction of the rate at step 0.
      cooldown: the duration of a linear fall to 0 at the end of the run.
    """

    warmup: str | None = None
    warmup_from: float = 0.0
    cooldown: str | None = None

    def __post_init__(self):
        if not self.warmup_from >= 0 or (self.warmup_from and not self.warmup):
            raise ConfigError(
                f"schedule, warmup_from={self.warmup_from!r}: write a fraction from 0, and set "
                "warmup, too"
            )


def make_optimizer(
    spec: Mapping[str, Any], *, total_steps: int, steps: Callable[[str], int], batch_size: int
) -> tuple[optax.GradientTransformation, optax.Schedule]:
    """Builds an optimizer; `Settings` and the signature in optax state the keys of `spec`.

    The parameters are not needed here: patterns apply when `init` and `update` see them.
    `check_patterns` checks that they fit.

    Args:
      spec: plain values.
      total_steps: updates of the whole run.
      steps: converts a duration ("5 epochs", "30%") into a number of updates.
      batch_size: examples an update, over all devices.

    Returns:
      The transformation, and the learning rate (float32) by update, counted from 0, without
      the multipliers of `layer_decay` and `rates`. `update` takes the number of the update as
      `step`; without it, it counts updates. With it the rate, `frozen_from`, `phases` and
      `lookahead` follow the step, which counts steps that were left out, too. Moments and their
      bias correction follow the updates that were made.

    Raises:
      ConfigError: an unknown name or argument, a value of the wrong type or out of range.
    """
    settings, arguments = _read(spec)
    peak = settings.learning_rate
    if settings.base_batch:
        peak = peak * batch_size / settings.base_batch
    first = phases.starts(total_steps, settings.phases)
    schedule = make_schedule(
        settings.schedule or {"name": "constant"},
        peak=peak,
        total_steps=-(-total_steps // settings.phases),
        steps=steps,
    )
    tx = _trained(settings, arguments, schedule)
    if settings.frozen:
        label = _selects(settings.frozen, "frozen", "trained")
        tx = optax.partition({"trained": tx, "frozen": optax.stateless(_nothing)}, label)
    if settings.rates or settings.layer_decay:
        tx = optax.chain(tx, optax.stateless(lambda updates, _: _multiply(settings, updates)))
    if settings.phases > 1:
        tx, schedule = phases.restarted(tx, first), phases.within(schedule, first)
    for pattern, duration in settings.frozen_from:
        until = _by_step(optax.scale_by_schedule, _until(steps(duration)))
        tx = optax.chain(tx, optax.masked(until, _selects((pattern,))))
    if settings.lookahead:
        follow = lookahead(settings.lookahead, total_steps)
        tx = optax.chain(tx, optax.masked(follow, _selects(settings.frozen, False, True)))
    return tx, schedule


def make_hold(spec: Mapping[str, Any]) -> Callable[[PyTree], PyTree] | None:
    """Returns a function that stops the gradient of frozen parameters, or None if none is frozen.

    Raises:
      ConfigError: an error of `make_optimizer`.
    """
    settings, _ = _read(spec)
    if not settings.frozen:
        return None

    def stop(name: str, leaf: jax.Array) -> jax.Array:
        return jax.lax.stop_gradient(leaf) if _matches(settings.frozen, name) else leaf

    return lambda params: trees.map_with_path(stop, params)


class Player(NamedTuple):
    """One player's optimizer.

    Attributes:
      optimizer: the transformation.
      learning_rate: the rate by step of the run.
      updates: number of the player's updates in a step of the run.
    """

    optimizer: optax.GradientTransformation
    learning_rate: optax.Schedule
    updates: int


def by_player(spec: Mapping[str, Any]) -> dict[str, dict[str, Any]] | None:
    """Returns the specs of several players, or None if one spec is for all."""
    spec = config.plain(spec)
    if "name" in spec or not spec or not all(isinstance(part, dict) for part in spec.values()):
        return None
    return spec


def make_optimizers(
    specs: Mapping[str, Mapping[str, Any]],
    *,
    total_steps: int,
    steps: Callable[[str], int],
    batch_size: int,
) -> dict[str, Player]:
    """Builds the optimizers of several players, see `make_optimizer`.

    Durations are those of the run: a player with five updates a step makes five times as many
    updates in an epoch.

    Raises:
      ConfigError: an error of `make_optimizer`, or `updates` is not a whole number above 0.
    """
    counts = {name: spec.get("updates", 1) for name, spec in specs.items()}
    for name, count in counts.items():
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise ConfigError(f"optimizer.{name}.updates={count!r}: valid are 1 or more")
    made = {}
    for name, count in counts.items():
        optimizer, schedule = make_optimizer(
            {k: v for k, v in specs[name].items() if k != "updates"},
            total_steps=total_steps * count,
            steps=lambda text, count=count: steps(text) * count,
            batch_size=batch_size // max(counts.values()),
        )
        rate = functools.partial(_at_first_update, schedule, count)
        made[name] = Player(optimizer, rate, count)
    return made


def _at_first_update(schedule: optax.Schedule, updates: int, step: int) -> jax.Array:
    return schedule(step * updates)


def make_schedule(
    spec: Mapping[str, Any], *, peak: float, total_steps: int, steps: Callable[[str], int]
) -> optax.Schedule:
    """Builds a learning-rate schedule, `peak * fraction(step) * warmup(step) * cooldown(step)`.

    Args:
      spec: `name`, a function of library.optim.schedules, its arguments, and those of `Ramps`.
      peak: the rate when all factors are 1.
      total_steps: updates of the whole run.
      steps: converts a duration into a number of updates.

    Returns:
      A function from the step, a whole number from 0 or a traced one, to a float32 rate. It
      keeps its last value after `total_steps`.

    Raises:
      ConfigError: an unknown name or argument, a value of the wrong type or out of range.
    """
    spec = _named(spec, "schedule", config.available("library.optim.schedules"))
    where = f"schedule {spec['name']!r}"
    function = config.locate(spec["name"], "library.optim.schedules", "schedule")
    supplied = {"warmup", "cooldown", "total", "steps", "part"}
    own = set(inspect.signature(function).parameters) - supplied
    spec, shared = _split(spec, where, sorted(own), Ramps)
    ramps = config.read(Ramps, shared, where)
    warmup = steps(ramps.warmup) if ramps.warmup else 0
    cooldown = steps(ramps.cooldown) if ramps.cooldown else 0
    injected = dict(warmup=warmup, cooldown=cooldown, total=total_steps, steps=steps)
    injected["part"] = functools.partial(_part, steps)
    fraction = config.build(spec, "library.optim.schedules", "schedule", **injected)

    def schedule(step):
        step = jnp.minimum(jnp.asarray(step, jnp.float32), total_steps)
        rate = peak * fraction(step)
        if warmup:
            # Written from above, so that the rate is exact from the end of warmup on.
            rate *= 1 - (1 - ramps.warmup_from) * (1 - jnp.minimum(step / warmup, 1))
        if cooldown:
            rate *= jnp.minimum((total_steps - step) / cooldown, 1)
        return rate

    return schedule


def _part(steps: Callable[[str], int], spec: Mapping[str, Any], total_steps: int) -> optax.Schedule:
    """Builds a schedule of a part of the run; its percentages are of the part's total."""

    def of_part(text: str) -> int:
        if not str(text).rstrip().endswith("%"):
            return steps(text)
        return config.duration(text, batch_size=1, num_examples=None, total=total_steps)

    return make_schedule(spec, peak=1.0, total_steps=total_steps, steps=of_part)


def check_patterns(spec: Mapping[str, Any], params: PyTree) -> None:
    """Checks the patterns of an optimizer's spec against the params, which may be abstract.

    Raises:
      ConfigError: a pattern matches no parameter, layers have no numbers, or all parameters are
        frozen.
    """
    settings, _ = _read({key: value for key, value in spec.items() if key != "updates"})
    names, decays = trees.paths(params), settings.weight_decay or settings.l1 or settings.l2
    for key, patterns in settings.patterns().items():
        for pattern in patterns if decays or key != "decayed" else ():
            if not any(re.search(pattern, name) for name in names):
                raise ConfigError(
                    f"optimizer, {key}: {pattern!r} matches no parameter: "
                    f"{trees.nearest(pattern, names)}"
                )
    if settings.layer_decay:
        _layer_rates(settings.layer_decay, names)
    if all(_matches(settings.frozen, name) for name in names):
        raise ConfigError(f"optimizer, frozen={settings.frozen!r}: nothing is left to train")


def optimizers() -> dict[str, Callable]:
    """Returns the functions of optax and optax.contrib that a spec may name."""
    return {
        name: function
        for module in (optax, optax.contrib)
        for name, function in sorted(vars(module).items())
        if inspect.isfunction(function)
        and next(iter(inspect.signature(function).parameters), None) == "learning_rate"
        and not name.startswith(("_", "scale_by_"))
        and name not in _OUT_OF_REACH
    }


def own_arguments(function: Callable) -> dict[str, Any]:
    """Returns the arguments that a config may give one of `optimizers`, with their defaults."""
    parameters = inspect.signature(function).parameters
    return {name: parameters[name].default for name in _plain_arguments(function)}


def _read(spec: Mapping[str, Any]) -> tuple[Settings, dict[str, Any]]:
    """Checks a spec; returns the shared keys and the arguments of the named optimizer."""
    spec = _named(spec, "optimizer", optimizers())
    where = f"optimizer {spec['name']!r}"
    kinds = _plain_arguments(optimizers()[spec["name"]])
    own, shared = _split(spec, where, kinds, Settings)
    for key, cls in (("clip", Clip), ("layer_decay", LayerDecay), ("lookahead", Lookahead)):
        if shared.get(key) is not None:
            shared[key] = config.read(cls, shared[key], f"{where}, {key}")
    settings = config.read(Settings, shared, where)
    for pattern in sum(settings.patterns().values(), ()):
        try:
            re.compile(pattern)
        except re.error as error:
            raise ConfigError(
                f"{where}: {pattern!r} is not a regular expression: {error}"
            ) from None
    partial = settings.weight_decay and settings.decayed != "all"
    taken = inspect.signature(optimizers()[own.pop("name")]).parameters
    if partial and "weight_decay" in taken and not {"mask", "weight_decay_mask"} & set(taken):
        raise ConfigError(f"{where} can only decay every parameter: write decayed='all'")
    own_decay = {"weight_decay", "weight_decay_rate"} & set(taken)
    if settings.decay_rates and (own_decay or not settings.weight_decay):
        raise ConfigError(f"{where} has no coupled weight decay, which decay_rates multiply")
    return settings, {k: _check(v, kinds[k], f"{where}, {k}") for k, v in own.items()}


def _named(spec: Any, what: str, names: Iterable[str]) -> dict[str, Any]:
    spec = config.plain(spec)
    if not isinstance(spec, dict):
        raise ConfigError(f"{what}: write dict(name=..., ...), got {spec!r}")
    config.check_choice(what, spec.get("name"), names)
    return spec


def _split(spec: dict, where: str, own: Iterable[str], shared: type) -> tuple[dict, dict]:
    """Splits a spec into `name` with the named function's own arguments and the shared ones."""
    options = [*own, *config.fields(shared)]
    for key in spec:
        if key != "name" and key not in options:
            raise ConfigError(f"{where} takes no {key!r}: {config.nearest(key, options)}")
    common = {key: spec[key] for key in config.fields(shared) if key in spec}
    return {k: v for k, v in spec.items() if k == "name" or k not in common}, common


def _plain_arguments(function: Callable) -> dict[str, Any]:
    # optax annotates numbers as arrays, so only the defaults tell the types of plain values.
    arguments = {}
    for name, parameter in inspect.signature(function).parameters.items():
        default = parameter.default
        if "dtype" in name:
            arguments[name] = jnp.dtype
        elif name not in _BOUND and not callable(default):
            optional = default is None or type(None) in typing.get_args(parameter.annotation)
            kind = float if default is None else type(default)
            arguments[name] = kind | None if optional else kind
    return arguments


def _check(value: Any, kind: Any, where: str) -> Any:
    if kind is not jnp.dtype:
        return config.check_value(value, kind, where)
    try:
        return value if value is None else jnp.dtype(value)
    except TypeError:
        hint = config.nearest(value, ("float32", "bfloat16", "float16"))
        raise ConfigError(f"{where}={value!r}: {hint}") from None


def _trained(settings: Settings, arguments: dict, schedule: optax.Schedule):
    """Chains the transformations of the gradients of parameters that are not frozen."""
    optimizer = optimizers()[settings.name]
    taken = set(inspect.signature(optimizer).parameters)
    decays = _selects(settings.patterns()["decayed"])
    transforms = []
    if settings.l1 or settings.l2:

        def penalize(g, p):
            return g + settings.l1 * jnp.sign(p) + settings.l2 * p

        transforms.append(optax.masked(optax.stateless_with_tree_map(penalize), decays))
    if settings.clip:
        transforms.append(_clipping(settings.clip))
    if settings.weight_decay and not {"weight_decay", "weight_decay_rate"} & taken:
        transforms.append(optax.masked(optax.stateless(_coupled_decay(settings)), decays))
    bound = {key: settings.weight_decay for key in ("weight_decay", "weight_decay_rate")}
    bound |= {key: decays for key in ("mask", "weight_decay_mask", "trust_ratio_mask")}
    bound = {key: value for key, value in bound.items() if key in taken}

    def at_rate(rate: optax.Schedule) -> optax.GradientTransformation:
        return optimizer(learning_rate=rate, **bound, **arguments)

    return optax.chain(*transforms, _by_step(at_rate, schedule))


def _by_step(
    build: Callable[[optax.Schedule], optax.GradientTransformation], schedule: optax.Schedule
) -> optax.GradientTransformationExtraArgs:
    """Builds a transformation that follows a schedule, by `step` of `update` or its own count."""

    def update(updates, state, params=None, *, step=None, **others):
        tx = build(schedule if step is None else lambda _: schedule(step))
        return optax.with_extra_args_support(tx).update(updates, state, params, **others)

    return optax.GradientTransformationExtraArgs(build(schedule).init, update)


def _coupled_decay(settings: Settings) -> Callable[[PyTree, PyTree], PyTree]:
    def decayed(name, g, p):
        return g + settings.weight_decay * _first_match(settings.decay_rates, name) * p

    return lambda updates, params: trees.map_with_path(decayed, updates, params)


def _until(steps: int) -> optax.Schedule:
    return lambda step: jnp.where(step < steps, 1.0, 0.0)


def _clipping(clip: Clip) -> optax.GradientTransformation:
    if clip.global_norm is not None:
        inner = optax.clip_by_global_norm(clip.global_norm)
    elif clip.value is not None:
        inner = optax.clip(clip.value)
    else:
        inner = optax.adaptive_grad_clip(clip.adaptive, eps=1e-3)
    return optax.masked(inner, _selects(clip.exclude, False, True))


def _first_match(rates: Iterable[tuple[str, float]], name: str) -> float:
    return next((rate for pattern, rate in rates if re.search(pattern, name)), 1.0)


def _matches(patterns: Iterable[str], name: str) -> bool:
    return any(re.search(pattern, name) for pattern in patterns)


def _selects(patterns: Iterable[str], yes: Any = True, no: Any = False) -> Callable:
    return lambda tree: trees.map_with_path(lambda n, _: yes if _matches(patterns, n) else no, tree)


def _nothing(updates: PyTree, _: PyTree) -> PyTree:
    # Adding -0.0 keeps the bits of every number; adding 0.0 would turn -0.0 into 0.0.
    return jax.tree.map(lambda u: jnp.full_like(u, -0.0), updates)


def _multiply(settings: Settings, updates: PyTree) -> PyTree:
    layers = {}
    if settings.layer_decay:
        layers = _layer_rates(settings.layer_decay, trees.paths(updates))

    def multiplier(name):
        return _first_match(settings.rates, name) * layers.get(name, 1.0)

    return trees.map_with_path(lambda name, u: u * multiplier(name), updates)


def _layer_rates(layers: LayerDecay, names: list[str]) -> dict[str, float]:
    """Returns the multipliers of the parameters of layers and stem, by path."""
    matches = {name: re.search(layers.pattern, name) for name in names}
    numbers = {name: match.groups() for name, match in matches.items() if match}
    if not all(n and all(str(part).isdecimal() for part in n) for n in numbers.values()):
        raise ConfigError(
            f"optimizer, layer_decay, pattern={layers.pattern!r} captures no layer numbers: "
            r"write 'block(\d+)'"
        )
    numbers = {name: tuple(map(int, parts)) for name, parts in numbers.items()}
    order = sorted(set(numbers.values()))
    rates = {n: layers.rate ** (len(order) + 1) for n in names if _matches(layers.stem, n)}
    return rates | {
        name: layers.rate ** (len(order) - order.index(n)) for name, n in numbers.items()
    }
