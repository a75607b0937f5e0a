"""Recurrent networks that read a series: one answer, an answer for each step, or a new series.

| configuration | input | `output` |
| --- | --- | --- |
| one to one | (b, d) | "last" |
| one to many | (b, d) | "unrolled", with `steps` |
| many to one | (b, t, d) | "last", or "mean" over the steps |
| many to many, in step | (b, t, d) | "each" |
| many to many, of another length | (b, t, d) | "unrolled", with `steps` |

The names of the configurations are those of Karpathy 2015, "The unreasonable effectiveness of
recurrent neural networks". Reading in both directions is from Schuster & Paliwal 1997,
"Bidirectional recurrent neural networks". There are three ways to make a network deep (Pascanu,
Gulcehre, Cho & Bengio 2014, "How to construct deep recurrent neural networks", arXiv 1312.6026):

| the paper's name | layers are added | attribute |
| --- | --- | --- |
| stacked RNN | on top, each with a state of its own | `depth` |
| deep transition, DT-RNN | from a state to the next | `transition_depth` |
| the same with shortcuts, DT(S)-RNN | from a state to the next | `shortcut`, too |
| deep output, DOT-RNN with the former | from the state to the answer | `output_depth` |
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from library.config import ConfigError, check_choice
from library.layers.checks import check_dtypes, check_rates, check_sizes
from library.layers.intermediates import store
from library.layers.recurrence import LAYERS, zero_state
from library.layers.series import as_series, mean_step, present
from library.variants import variant

OUTPUTS = ("last", "mean", "each", "unrolled")
# The options that only one cell has, with the values that leave it plain.
_OWN = {
    "elman": dict(activation="tanh", transition_depth=1, shortcut=False),
    "lstm": dict(forget_bias=1.0, peepholes=False),
    "gru": {},
}


class RecurrentNet(nn.Module):
    """Recurrent layers on a series, and a linear head on their outputs.

    Steps whose mask is 0 are skipped in both directions, so padding changes nothing. Integers are
    read as one-hot vectors of `vocab_size`. Dropout applies between layers and before the head
    (Zaremba, Sutskever & Vinyals 2014).

    Submodules are "layer1", "layer1_reversed", "layer2", ..., "decoder" if the output is unrolled,
    "output1", ... and "head". Stores "features", the input of the head.

    Attributes:
      num_classes: size of the answers.
      width: units of each layer, in each direction.
      depth: number of stacked layers.
      cell: "elman", "lstm" or "gru".
      bidirectional: whether each layer also reads from the end. The outputs of both directions are
        joined.
      output: "last", "mean", "each" or "unrolled", see above. "last" is the last state of each
        direction. "unrolled" gives it to a recurrent layer as the input of each of `steps` steps.
      steps: answers of an unrolled output; None for other outputs.
      vocab_size: number of the different integers of an input; None for an input of numbers.
      dropout: rate of dropout.
      output_depth: number of dense layers, with tanh, before the head.
      activation: of an "elman" cell: "tanh", "sigmoid", "relu" or "identity".
      transition_depth: of an "elman" cell: the number of layers from a state to the next.
      shortcut: of an "elman" cell: whether the state also enters the last of these layers.
      forget_bias: of an "lstm" cell: the bias of the forget gate at the start.
      peepholes: of an "lstm" cell: whether the gates see the memory.
      dtype: type of the products; gates, states and answers are float32.
      param_dtype: type of the params.

    Raises:
      ConfigError: a name is unknown, a rate is outside [0, 1), a size is below 1, `steps` is given
        without an unrolled output or is missing with one, or an option belongs to another cell.
    """

    num_classes: int
    width: int = 128
    depth: int = 1
    cell: str = "lstm"
    bidirectional: bool = False
    output: str = "last"
    steps: int | None = None
    vocab_size: int | None = None
    dropout: float = 0.0
    output_depth: int = 0
    activation: str = "tanh"
    transition_depth: int = 1
    shortcut: bool = False
    forget_bias: float = 1.0
    peepholes: bool = False
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_choice("cell", self.cell, tuple(LAYERS))
        check_choice("output", self.output, OUTPUTS)
        given = dict(steps=self.steps, vocab_size=self.vocab_size)
        check_sizes(**{name: size for name, size in given.items() if size is not None})
        check_sizes(num_classes=self.num_classes, width=self.width, depth=self.depth)
        check_sizes(transition_depth=self.transition_depth)
        check_rates(dropout=self.dropout)
        check_dtypes(self.dtype, self.param_dtype)
        if self.output_depth < 0:
            raise ConfigError(f"output_depth={self.output_depth}: valid are 0 and more; nearest: 0")
        self._check_fit()
        super().__post_init__()

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b *t d"] | Int[Array, "b t"],
        mask: Float[Array, "b t"] | None = None,
        train: bool = False,
    ) -> Float[Array, "b *n k"]:
        """Returns the answers, float32.

        Args:
          x: a series, integers, or one vector an example.
          mask: 1 for the steps of the series and 0 for padding; all are steps by default.
          train: whether to apply dropout, from the rng stream "dropout".
        """
        x = present(as_series(x, self.vocab_size, self.dtype), mask)
        # Time comes first, so that each step of the loop reads and writes one block of memory.
        x, moved = x.swapaxes(0, 1), None if mask is None else mask.T[..., None]
        for number in range(self.depth):
            last, x = self._layer(f"layer{number + 1}", x, moved)
            x = nn.Dropout(self.dropout, deterministic=not train, name=f"drop{number + 1}")(x)
        drop = nn.Dropout(self.dropout, deterministic=not train, name="drop")
        outputs = x.swapaxes(0, 1)
        if self.output == "last":
            outputs = drop(last)
        elif self.output == "mean":
            outputs = mean_step(outputs, mask)
        elif self.output == "unrolled":
            outputs = drop(self._unrolled(last))
        return self._answers(outputs)

    def _layer(self, name: str, x, mask) -> tuple[Float[Array, "b w"], Float[Array, "t b w"]]:
        """Returns the last state "h" and the outputs of a layer, of both directions joined."""
        ends, outputs = [], []
        for reverse in (False, True)[: 1 + self.bidirectional]:
            layer = self._cell(f"{name}_reversed" if reverse else name)
            zero = zero_state(self.cell, x.shape[1], self.width)
            state, found = layer(x, zero, mask=mask, reverse=reverse)
            ends.append(state["h"])
            outputs.append(found)
        return jnp.concatenate(ends, axis=-1), jnp.concatenate(outputs, axis=-1)

    def _unrolled(self, context: Float[Array, "b c"]) -> Float[Array, "b m w"]:
        inputs = jnp.broadcast_to(context, (self.steps, *context.shape))
        zero = zero_state(self.cell, len(context), self.width)
        return self._cell("decoder")(inputs, zero)[1].swapaxes(0, 1)

    def _answers(self, x: Float[Array, "b *t w"]) -> Float[Array, "b *t k"]:
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        for number in range(self.output_depth):
            x = jnp.tanh(nn.Dense(self.width, name=f"output{number + 1}", **types)(x))
        store(self, "features", x)
        return nn.Dense(self.num_classes, name="head", **types)(x).astype(jnp.float32)

    def _cell(self, name: str) -> nn.Module:
        own = {option: getattr(self, option) for option in _OWN[self.cell]}
        return LAYERS[self.cell](self.width, self.dtype, self.param_dtype, name=name, **own)

    @nn.nowrap
    def _check_fit(self) -> None:
        if (self.output == "unrolled") != (self.steps is not None):
            nearest = "steps=None" if self.steps else "steps=10, or output='last'"
            raise ConfigError(
                f"output={self.output!r} with steps={self.steps}: an unrolled output needs steps, "
                f"and others take none; nearest: {nearest}"
            )
        for cell, options in _OWN.items():
            for option, plain in options.items():
                given: Any = getattr(self, option)
                if cell != self.cell and given != plain:
                    raise ConfigError(
                        f"{option}={given!r} is an option of cell={cell!r}, not of "
                        f"{self.cell!r}; nearest: {option}={plain!r}"
                    )
        if self.shortcut and self.transition_depth == 1:
            raise ConfigError("shortcut=True needs a transition_depth of 2 or more, not 1")


elman = variant(RecurrentNet, "elman", cell="elman")
lstm = variant(RecurrentNet, "lstm", cell="lstm")
gru = variant(RecurrentNet, "gru", cell="gru")
dt_rnn = variant(RecurrentNet, "dt_rnn", cell="elman", defaults=dict(transition_depth=2))
dts_rnn = variant(
    RecurrentNet, "dts_rnn", cell="elman", shortcut=True, defaults=dict(transition_depth=2)
)
dot_rnn = variant(
    RecurrentNet, "dot_rnn", cell="elman", defaults=dict(transition_depth=2, output_depth=1)
)
