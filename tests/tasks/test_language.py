import functools
import itertools
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from library.config import ConfigError
from library.models.sequence.gpt import gpt
from library.models.sequence.recurrent import gru
from library.task import minimize
from library.tasks.language import language
from tests import often, tiny

KEY = jax.random.key(0)
SGD = functools.partial(minimize, optimizer=optax.sgd(1.0))
VOCAB = 11
SIZES = dict(context=8, width=16, depth=2, num_heads=4, feed_forward=24)
SMALL = SIZES | dict(width=8, depth=1, num_heads=2)


class Bigram(nn.Module):
    """Logits are a row of a table, that of the token: their distributions are known."""

    vocab_size: int

    def setup(self):
        self.table = self.param("table", nn.initializers.normal(2.0), (self.vocab_size,) * 2)

    def __call__(self, tokens, train=False):
        return self.hidden(tokens)

    def hidden(self, tokens, *, segments=None, train=False):
        return self.table[tokens]

    def attend(self, hidden):
        return hidden

    @nn.nowrap
    def initial_cache(self, batch_size, length, dtype=None):
        return {}

    def step(self, tokens, cache, position):
        return self.table[tokens[:, 0]], cache


class Sum(nn.Module):
    """Its state is the sum of the tokens so far, s; the logits are s w."""

    vocab_size: int
    recurrent: ClassVar[bool] = True

    def setup(self):
        self.w = self.param("w", nn.initializers.normal(0.1), (self.vocab_size,))

    def __call__(self, tokens, train=False):
        return self.attend(self.hidden(tokens)[0])

    def hidden(self, tokens, *, carry=None, reset=None, train=False):
        carry = self.initial_cache(len(tokens), 0) if carry is None else carry
        if reset is not None:
            carry = jnp.where(reset, 0.0, carry)
        sums = carry[:, None] + jnp.cumsum(tokens.astype(jnp.float32), axis=1)
        return sums[..., None], sums[:, -1]

    def attend(self, hidden):
        return hidden * self.w

    @nn.nowrap
    def initial_cache(self, batch_size, length, dtype=None):
        return jnp.zeros(batch_size)


def make(model, optimize=SGD, **arguments):
    values = dict(vocab_size=model.vocab_size, num_examples=100, batch_size=4) | arguments
    return language(model, optimize, **values)


def make_batch(tokens, **more):
    size = len(tokens)
    return {
        "tokens": jnp.asarray(tokens, jnp.int32),
        "index": jnp.arange(size, dtype=jnp.uint32),
        "row": jnp.arange(size, dtype=jnp.uint32),
        "mask": jnp.ones(size),
        **{name: jnp.asarray(value) for name, value in more.items()},
    }


RANDOM = np.random.default_rng(0)
TOKENS = RANDOM.integers(0, VOCAB, (4, 9))
SEGMENTS = np.array([[1] * 9, [3, 3, 3, 5, 5, 5, 5, 0, 0], [1, 2, 3, 4, 5, 6, 7, 8, 9], [2] * 9])
MASK = np.array([1.0, 1.0, 1.0, 0.0], np.float32)


@pytest.mark.parametrize("packed", [False, True])
def test_loss_accuracy_and_gradient_by_hand(packed):
    batch = make_batch(TOKENS, mask=MASK, **({"segments": SEGMENTS} if packed else {}))
    task = make(Bigram(VOCAB))
    state = task.init(KEY, batch)
    table = np.asarray(state.params["table"], np.float64)
    probabilities = np.exp(table) / np.exp(table).sum(1, keepdims=True)
    loss, hits, count, gradient = 0.0, 0, 0, np.zeros_like(table)
    for tokens, segments, mask in zip(TOKENS, SEGMENTS, MASK):
        for i in range(8):
            inside = segments[i] == segments[i + 1] != 0
            if not mask or (packed and not inside):
                continue
            a, b = tokens[i], tokens[i + 1]
            loss -= np.log(probabilities[a, b])
            hits += table[a].argmax() == b
            count += 1
            gradient[a] += probabilities[a] - np.eye(VOCAB)[b]
    assert count == (8 + 2 + 3 if packed else 24)
    moved, metrics = task.update(state, batch, KEY)
    for found in (metrics, task.evaluate(state, batch, KEY)):
        np.testing.assert_allclose(found["loss"], (loss, count), rtol=1e-5)
        np.testing.assert_allclose(found["accuracy"], (hits, count), rtol=1e-6)
    np.testing.assert_allclose(moved.params["table"], table - gradient / count, atol=1e-5)


@pytest.mark.full
def test_parts_of_the_vocabulary_give_the_same_step():
    batch = make_batch(TOKENS, mask=MASK, segments=SEGMENTS)
    model = gpt(VOCAB, **SMALL)
    whole, parts = make(model), make(model, chunk=4)
    state = whole.init(KEY, batch)
    expected, metrics = jax.jit(whole.update)(state, batch, KEY)
    ours, measured = jax.jit(parts.update)(state, batch, KEY)
    for name in ("loss", "accuracy"):
        np.testing.assert_allclose(measured[name], metrics[name], rtol=1e-5)
    for a, b in zip(jax.tree.leaves(ours.params), jax.tree.leaves(expected.params)):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("wrong", [-1, VOCAB])
@pytest.mark.parametrize("chunk", [None, 4])
def test_a_token_outside_of_the_vocabulary_is_seen(wrong, chunk):
    tokens = TOKENS.copy()
    tokens[0, 8] = wrong
    task = make(gpt(VOCAB, **SMALL), chunk=chunk)
    state = task.init(KEY, make_batch(TOKENS))
    evaluate = jax.jit(task.evaluate)
    assert jnp.isnan(evaluate(state, make_batch(tokens), KEY)["loss"][0])
    # On padding nothing counts.
    left_out = make_batch(tokens, mask=np.array([0, 1, 1, 1], np.float32))
    assert jnp.isfinite(evaluate(state, left_out, KEY)["loss"][0])


def test_logits_are_those_of_the_targets():
    task = make(gpt(VOCAB, **SMALL))
    batch = make_batch(TOKENS, segments=SEGMENTS)
    state = task.init(KEY, batch)
    logits = task.outputs["logits"](state, batch, KEY)
    assert logits.shape == (4, 8, VOCAB)
    assert task.outputs["features"](state, batch, KEY).shape == (4, 8, 8)
    log_probabilities = jax.nn.log_softmax(logits)
    target = jnp.take_along_axis(log_probabilities, jnp.asarray(TOKENS)[:, 1:, None], -1)[..., 0]
    inside = (SEGMENTS[:, 1:] == SEGMENTS[:, :-1]) & (SEGMENTS[:, 1:] != 0)
    loss = task.evaluate(state, batch, KEY)["loss"]
    np.testing.assert_allclose(loss, (-target[inside].sum(), inside.sum()), rtol=1e-5)


def prompts(total, lengths=(1, 3, 5, 3), filler=0, **settings):
    tokens = np.full((len(lengths), total), filler)
    for row, length in enumerate(lengths):
        tokens[row, :length] = TOKENS[row, :length]
    values = dict(temperature=1.0, top_k=0, top_p=1.0) | settings
    kinds = dict(temperature=np.float32, top_k=np.int32, top_p=np.float32)
    full = {k: np.broadcast_to(v, len(lengths)).astype(kinds[k]) for k, v in values.items()}
    return make_batch(tokens, length=np.array(lengths, np.int32), **full)


def spread(state, scale=12):
    """Weights far from the start's, so that what is likely depends on the tokens before."""
    return state.replace(params=jax.tree.map(lambda x: x * scale, state.params))


@functools.cache
def started(case):
    models = {
        "gpt": lambda: gpt(VOCAB, **SIZES),
        "llama": lambda: gpt(
            VOCAB, **SIZES, num_kv_heads=2, positions="rotary", scan_layers=True, bias=False
        ),
        "gru": lambda: gru(VOCAB, width=8, depth=2),
    }
    task = make(models[case]())
    batch = make_batch(TOKENS)
    outputs = {name: jax.jit(f) for name, f in task.outputs.items()}
    return spread(task.init(KEY, batch), 4 if case == "gru" else 12), outputs


@pytest.mark.parametrize(
    ("case", "total"),
    often.only(
        [("llama", 12)],
        itertools.product(["gpt", "llama", "gru"], [8, 12]),
    ),
)
def test_the_cache_changes_nothing(case, total):
    # With 12 tokens, the last are drawn given the 8 before each, as the context holds no more.
    state, outputs = started(case)
    batch = prompts(total, temperature=[1.0, 0.7, 0.0, 1.0], top_k=[0, 3, 0, 0], top_p=0.95)
    ours = outputs["generate"](state, batch, KEY)
    assert ours.shape == (4, total)
    assert ours.dtype == jnp.int32
    np.testing.assert_array_equal(ours, outputs["generate_uncached"](state, batch, KEY))
    for row, length in enumerate(batch["length"]):
        np.testing.assert_array_equal(ours[row, :length], TOKENS[row, :length])
    assert ((ours >= 0) & (ours < VOCAB)).all()


@pytest.mark.parametrize("case", often.only(["gpt"], ["gpt", "llama", "gru"]))
def test_greedy_by_the_logits(case):
    state, outputs = started(case)
    ours = outputs["generate"](state, prompts(9, temperature=0.0), KEY)
    logits = outputs["logits"](state, make_batch(ours), KEY)
    for row, length in enumerate((1, 3, 5, 3)):
        best = jnp.argmax(logits[row], axis=-1)
        np.testing.assert_array_equal(ours[row, length:], best[length - 1 :])


def test_what_is_drawn_depends_on_the_seed_the_index_and_the_prompt_alone():
    state, outputs = started("gpt")
    generate = outputs["generate"]
    expected = np.asarray(generate(state, prompts(8), KEY))
    # Other things in the places to be written, even what is no token at all.
    np.testing.assert_array_equal(generate(state, prompts(8, filler=-7), KEY), expected)
    np.testing.assert_array_equal(generate(state, prompts(8, filler=10**6), KEY), expected)
    # Other rows beside it, with a longest prompt of another length.
    alone = jax.tree.map(lambda x: x[2:], prompts(8))
    np.testing.assert_array_equal(generate(state, alone, KEY), expected[2:])
    # Another length in all.
    np.testing.assert_array_equal(generate(state, prompts(7), KEY), expected[:, :7])
    assert (generate(state, prompts(8), jax.random.key(1)) != expected).any()
    same = prompts(8, lengths=(1, 1, 1, 1))
    same["tokens"] = jnp.zeros_like(same["tokens"])
    assert len({tuple(map(int, row)) for row in generate(state, same, KEY)}) > 1


@pytest.mark.full
def test_one_and_eight_devices_draw_the_same_tokens():
    state, outputs = started("llama")
    batch = jax.tree.map(lambda x: jnp.concatenate([x, x]), prompts(12, temperature=0.9))
    batch["index"] = jnp.arange(8, dtype=jnp.uint32)
    expected = np.asarray(outputs["generate"](state, batch, KEY))
    mesh = Mesh(np.array(jax.devices()[:8]), ("data",))
    spread_out = jax.device_put(batch, NamedSharding(mesh, PartitionSpec("data")))
    replicated = jax.device_put(state, NamedSharding(mesh, PartitionSpec()))
    np.testing.assert_array_equal(outputs["generate"](replicated, spread_out, KEY), expected)


def test_a_chain_of_tokens_by_hand():
    task = make(Bigram(VOCAB))
    state = task.init(KEY, make_batch(TOKENS))
    table = np.asarray(state.params["table"])
    # The first two greedily, the third of the best two, the last of the nucleus.
    settings = dict(
        temperature=[0.0, 0.0, 1.0, 0.5], top_k=[0, 5, 2, 0], top_p=[1.0, 1.0, 1.0, 0.6]
    )
    drawn = np.asarray(jax.jit(task.outputs["generate"])(state, prompts(60, **settings), KEY))
    for row, length in ((0, 1), (1, 3)):
        for i in range(length - 1, 59):
            assert drawn[row, i + 1] == table[drawn[row, i]].argmax()
    order = np.argsort(-table, axis=1)
    allowed = [set(ranked[:2]) for ranked in order]
    assert all(drawn[2, i + 1] in allowed[drawn[2, i]] for i in range(4, 59))
    assert any(drawn[2, i + 1] != order[drawn[2, i], 0] for i in range(4, 59))
    sharp = np.exp(2 * (table - table.max(1, keepdims=True)))
    sharp /= sharp.sum(1, keepdims=True)
    for i in range(2, 59):
        ranked = order[drawn[3, i]]
        before = np.cumsum(sharp[drawn[3, i], ranked]) - sharp[drawn[3, i], ranked]
        assert drawn[3, i + 1] in ranked[before < 0.6]


def test_tokens_come_as_often_as_the_model_says():
    task = make(Bigram(VOCAB))
    state = task.init(KEY, make_batch(TOKENS))
    count = 4000
    batch = prompts(2, lengths=(1,) * 4)
    batch = jax.tree.map(lambda x: jnp.repeat(x[:1], count, axis=0), batch)
    batch["index"] = jnp.arange(count, dtype=jnp.uint32)
    drawn = jax.jit(task.outputs["generate"])(state, batch, KEY)[:, 1]
    shares = np.bincount(drawn, minlength=VOCAB) / count
    expected = jax.nn.softmax(state.params["table"][TOKENS[0, 0]])
    np.testing.assert_allclose(shares, expected, atol=4 * 0.5 / count**0.5)


def test_the_carry_goes_on_in_each_lane_until_the_lane_starts_anew():
    # Of 7 windows, 2 lanes read rows 0, 1, 2 and 3, 4, 5.
    text = RANDOM.integers(0, 4, (7, 6))
    task = make(Sum(4), num_examples=7, batch_size=2)
    state, update = None, jax.jit(task.update)
    held = np.zeros(2)
    for step in range(7):
        rows = np.array([step % 3, 3 + step % 3])
        batch = make_batch(text[rows], row=rows.astype(np.uint32))
        state = task.init(KEY, batch) if state is None else state
        held = np.zeros(2) if step % 3 == 0 else held
        sums = held[:, None] + np.cumsum(text[rows, :-1], axis=1)
        logits = sums[..., None] * np.asarray(state.params["w"], np.float64)
        target = np.take_along_axis(logits, text[rows, 1:, None], axis=-1)[..., 0]
        loss = np.sum(np.log(np.exp(logits).sum(-1)) - target)
        # An evaluation in between knows nothing of the lanes, and leaves them alone.
        task.evaluate(state, make_batch(text), KEY)
        state, metrics = update(state, batch, KEY)
        np.testing.assert_allclose(metrics["loss"], (loss, 10), rtol=1e-5)
        held = sums[:, -1]
        np.testing.assert_array_equal(state.variables["carry"], held)


def test_without_a_carry_every_window_starts_from_zero():
    task = make(Sum(4), num_examples=7, batch_size=2, carry=False, axis_name="data")
    batch = make_batch(RANDOM.integers(0, 4, (2, 6)), row=np.array([1, 4], np.uint32))
    state = task.init(KEY, batch)
    assert state.variables == {}
    metrics = task.evaluate(state, batch, KEY)
    update = jax.pmap(task.update, "data", in_axes=(None, 0, None), out_axes=None)
    one = jax.tree.map(lambda x: x[None], batch)
    np.testing.assert_allclose(update(state, one, KEY)[1]["loss"], metrics["loss"], rtol=1e-6)


@pytest.mark.parametrize(
    ("model", "arguments", "message"),
    [
        (gpt(65, **SIZES), dict(vocab_size=64), "GPT has vocab_size=65, but the data have 64"),
        (gpt(65, **SIZES), dict(chunk=0), "chunk=0: valid are 1 to 65 tokens"),
        (Bigram(5), dict(chunk=2), "chunk=2: Bigram has no method 'vocabulary'"),
        (Sum(4), dict(axis_name="data"), r"strategy='jit' only, .* task[.]carry=False"),
        (Sum(4), dict(num_examples=3), "batch_size=4: .* the data have 3; valid are 1 to 3"),
    ],
)
def test_what_does_not_fit_together(model, arguments, message):
    with pytest.raises(ConfigError, match=message):
        make(model, **arguments)


def test_a_carry_is_of_whole_batches():
    task = make(Sum(4), functools.partial(SGD, accumulate=2), num_examples=8)
    batch = make_batch(RANDOM.integers(0, 4, (4, 6)))
    with pytest.raises(ConfigError, match=r"of 4 lanes, but .* has 2 windows: set accumulate=1"):
        task.update(task.init(KEY, batch), batch, KEY)


@pytest.fixture
def losses_and_state(monkeypatch):
    text = np.random.default_rng(0).integers(0, VOCAB, 1 + 8 * 64).astype(np.int32)
    windows = np.stack([text[i * 8 : i * 8 + 9] for i in range(64)])
    tiny.serve(monkeypatch, train={"tokens": windows}, test={"tokens": windows[:12]})

    def run(devices, model, *, order="shuffle", **changes):
        plan = tiny.plan_on(
            devices,
            dataset=dict(order=order),
            normalize=None,
            model=dict(vocab_size=VOCAB, **model),
            task=dict(name="language", vocab_size=VOCAB),
            optimizer=dict(name="adam", learning_rate=1e-2),
            **changes,
        )
        taken = tiny.take_steps(plan, 4)
        return taken.losses, taken.carry.state

    return run


@pytest.mark.full
def test_one_device_and_eight_learn_the_same(losses_and_state):
    model = dict(name="gpt", **SMALL)
    one, _ = losses_and_state(1, model)
    for changes in (
        dict(parallel=dict(strategy="pmap")),
        dict(accumulate=2, parallel=dict(mesh=dict(data=2, fsdp=4))),
    ):
        eight, _ = losses_and_state(8, model, **changes)
        np.testing.assert_allclose(eight, one, rtol=1e-5, err_msg=str(changes))


@pytest.mark.full
def test_one_device_and_eight_carry_the_same(losses_and_state):
    model = dict(name="recurrent.gru", width=8, depth=1)
    one, state = losses_and_state(1, model, order="streams")
    eight, other = losses_and_state(8, model, order="streams")
    np.testing.assert_allclose(eight, one, rtol=1e-5)
    carries = (jax.tree.leaves(x.variables["carry"]) for x in (state, other))
    for a, b in zip(*carries, strict=True):
        assert jnp.abs(a).max() > 1e-2
        np.testing.assert_allclose(a, b, atol=1e-5)
