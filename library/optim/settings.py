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
import inspect
import re
from collections.abc import Iterable, Mapping
from typing import Any

from library import config
from library.config import ConfigError
from library.optim import from_optax
from library.optim.lookahead import Lookahead

DECAYED = {
    "kernels": (r"(^|/)kernel$|^(?!.*position)(.*/)?embedding$",),
    "all": ("",),
}


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


def read(spec: Mapping[str, Any]) -> tuple[Settings, dict[str, Any]]:
    """Checks a spec; returns the shared keys and the arguments of the named optimizer."""
    spec = named(spec, "optimizer", from_optax.optimizers())
    where = f"optimizer {spec['name']!r}"
    kinds = from_optax.plain_arguments(from_optax.optimizers()[spec["name"]])
    own, shared = split(spec, where, kinds, Settings)
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
    taken = inspect.signature(from_optax.optimizers()[own.pop("name")]).parameters
    if partial and "weight_decay" in taken and not {"mask", "weight_decay_mask"} & set(taken):
        raise ConfigError(f"{where} can only decay every parameter: write decayed='all'")
    own_decay = {"weight_decay", "weight_decay_rate"} & set(taken)
    if settings.decay_rates and (own_decay or not settings.weight_decay):
        raise ConfigError(f"{where} has no coupled weight decay, which decay_rates multiply")
    return settings, {
        k: from_optax.check_argument(v, kinds[k], f"{where}, {k}") for k, v in own.items()
    }


def named(spec: Any, what: str, names: Iterable[str]) -> dict[str, Any]:
    """Returns a spec as plain values, after a check of its name.

    Raises:
      ConfigError: it is no dict, or `name` is none of `names`.
    """
    spec = config.plain(spec)
    if not isinstance(spec, dict):
        raise ConfigError(f"{what}: write dict(name=..., ...), got {spec!r}")
    config.check_choice(what, spec.get("name"), names)
    return spec


def split(spec: dict, where: str, own: Iterable[str], shared: type) -> tuple[dict, dict]:
    """Splits a spec into `name` with the named function's own arguments and the shared ones."""
    options = [*own, *config.fields(shared)]
    for key in spec:
        if key != "name" and key not in options:
            raise ConfigError(f"{where} takes no {key!r}: {config.nearest(key, options)}")
    common = {key: spec[key] for key in config.fields(shared) if key in spec}
    return {k: v for k, v in spec.items() if k == "name" or k not in common}, common
