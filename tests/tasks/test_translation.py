"""The task of translation: its loss by hand, its padding, its outputs, and what programs make."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from library.apps import generation, translating
from library.config import ConfigError
from library.evaluation.bleu import bleu
from library.evaluation.context import Context
from library.models.sequence import seq2seq
from library.run import stepping
from library.run.feed import Feed
from library.run.recipe import make_plan
from library.run.session import Trained
from library.special_tokens import BEGIN, END, PAD
from library.task import minimize
from library.tasks.translation import translation
from tests import families, often, tiny

VOCAB, SHAPES = 9, dict(en=(5,), en_mask=(5,), de=(4,), de_mask=(4,))
KEY = jax.random.key(0)
DRAW = np.random.default_rng(0)
ROWS = {
    "en": np.int32([[3, 4, 5, 6, 2], [5, 2, 0, 0, 0], [8, 8, 2, 0, 0]]),
    "en_mask": np.float32([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0]]),
    "de": np.int32([[7, 8, 3, 2], [4, 2, 0, 0], [3, 3, 3, 2]]),
    "de_mask": np.float32([[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 1]]),
    "mask": np.float32([1, 1, 0]),
    "index": np.arange(3, dtype=np.uint32),
}
BATCH = {name: jnp.asarray(x) for name, x in ROWS.items()}


@functools.cache
def made(label_smoothing=0.1):
    """Returns a model, its compiled task and a state."""
    model = seq2seq.luong(VOCAB, width=6, embedding=5, depth=1)
    task = translation(
        model,
        functools.partial(minimize, optimizer=optax.sgd(0.1)),
        vocab_size=VOCAB,
        inputs=("en", "de"),
        feature_shapes=SHAPES,
        label_smoothing=label_smoothing,
        beams=3,
        length=6,
    )
    task = tiny.compiled(task)
    return model, task, task.init(KEY, BATCH)


@pytest.mark.parametrize("smoothing", often.first(1, [0.1, 0.0]))
def test_the_loss_is_the_mean_over_the_targets_tokens_with_smoothing_in_training(smoothing):
    model, task, state = made(smoothing)
    given = jnp.array([[BEGIN, 7, 8, 3], [BEGIN, 4, 2, 0]], jnp.int32)
    source = BATCH["en"][:2], BATCH["en_mask"][:2]
    logits = jax.jit(model.apply)({"params": state.params}, *source, given)
    log_p = np.asarray(jax.nn.log_softmax(logits), np.float64)
    places = [(0, 0, 7), (0, 1, 8), (0, 2, 3), (0, 3, END), (1, 0, 4), (1, 1, END)]
    plain = -sum(log_p[place] for place in places)
    spread = -sum(log_p[row, t].mean() for row, t, _ in places)
    _, training = task.update(state, BATCH, KEY)
    evaluated = task.evaluate(state, BATCH, KEY)
    expected = (1 - smoothing) * plain + smoothing * spread
    np.testing.assert_allclose(training["loss"][0], expected, rtol=1e-5)
    np.testing.assert_allclose(evaluated["loss"], (plain, 6), rtol=1e-5)
    right = sum(log_p[row, t].argmax() == token for row, t, token in places)
    assert tuple(map(float, evaluated["accuracy"])) == (right, 6)
    errors = task.outputs["error"](state, BATCH, KEY)
    np.testing.assert_allclose(errors[1], -(log_p[1, 0, 4] + log_p[1, 1, END]) / 2, rtol=1e-5)


def test_padding_changes_no_bit_of_a_step_or_an_evaluation():
    _, task, state = made()
    empty = ROWS["mask"][:, None] == 0
    changed = {
        "en": np.where((ROWS["en_mask"] == 0) | empty, 7, ROWS["en"]),
        "de": np.where((ROWS["de_mask"] == 0) | empty, 6, ROWS["de"]),
        **{
            f"{n}_mask": np.where(empty, np.float32(np.nan), ROWS[f"{n}_mask"])
            for n in ("en", "de")
        },
    }
    other = {name: jnp.asarray(x) for name, x in changed.items()}
    for run in (task.update, task.evaluate):
        ours, theirs = (run(state, {**BATCH, **x}, KEY) for x in ({}, other))
        for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
            np.testing.assert_array_equal(a, b)
            assert np.isfinite(np.asarray(a, np.float32)).all()


def test_a_token_outside_the_vocabulary_is_a_loss_that_is_no_number():
    _, task, state = made()
    wrong = {**BATCH, "de": jnp.where(BATCH["de"] == 8, VOCAB, BATCH["de"])}
    assert np.isnan(task.evaluate(state, wrong, KEY)["loss"][0])


def test_outputs_have_their_shapes_and_end_where_their_masks_do():
    _, task, state = made()
    outputs = {name: task.outputs[name](state, BATCH, KEY) for name in ("translate", "greedy")}
    for tokens in outputs.values():
        assert tokens.shape == (3, 6)
        for row in np.asarray(tokens):
            end = list(row).index(END)
            assert not row[end + 1 :].any()
            assert not {PAD, BEGIN} & set(row[:end].tolist())
    seen = {**BATCH, "translation": outputs["translate"]}
    written = task.outputs["translation_attention"](state, seen, KEY)
    assert written.shape == (3, 6, 5)
    attention = np.asarray(task.outputs["attention"](state, BATCH, KEY))
    np.testing.assert_allclose(attention.sum(-1), BATCH["de_mask"], rtol=1e-5)
    assert not attention[1, :, 2:].any()
    image = np.asarray(task.outputs["alignment"](state, BATCH, KEY))
    assert (image.shape, image.dtype) == ((3, 32, 40, 3), np.uint8)
    np.testing.assert_array_equal(image[:, ::8, ::8, 0], np.round(255 * attention))
    settings = {"temperature": jnp.ones(3), "top_k": jnp.zeros(3, jnp.int32)}
    drawn = {**BATCH, **settings, "top_p": jnp.ones(3)}
    assert task.outputs["translate"](state, drawn, KEY).shape == (3, 6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(inputs=("en",)), "takes two features"),
        (dict(inputs=("en", "fr")), "'fr' of a fixed length, and fr_mask"),
        (dict(vocab_size=7), "vocab_size=9, but the data have 7"),
        (dict(label_smoothing=1.0), "label_smoothing=1.0"),
        (dict(beams=0), "beams=0"),
        (dict(length=0), "length=0"),
    ],
)
def test_settings_that_do_not_fit_are_named(options, message):
    given = dict(vocab_size=VOCAB, inputs=("en", "de"), feature_shapes=SHAPES) | options
    learner = functools.partial(minimize, optimizer=optax.sgd(0.1))
    with pytest.raises(ConfigError, match=message):
        translation(seq2seq.luong(VOCAB, width=6), learner, **given)


@pytest.fixture
def trained(monkeypatch):
    families.serve(monkeypatch)
    values = families.config("translator")
    plan = make_plan(values, devices=jax.devices()[:1])
    feed = Feed(plan)
    state = families.stirred(jax.device_get(stepping.initial_carry(plan, feed).state))
    return Trained(plan, feed, 0, plan.strategy.init(lambda x: x, state))


@pytest.mark.full
def test_the_lines_of_a_file_are_translated_and_their_attention_is_drawn(trained, tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("abcd\nbad\ncab\n")
    texts, names = translating.lines(path)
    made = translating.translated(trained, generation.Request(3), texts, names)
    assert len(made.texts) == 3
    for (source, target), weights in zip(made.tokens, made.attention):
        assert weights.shape == (len(target), len(source))
        np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-5)
    written = translating.write(made, tmp_path / "generated")
    lines = [path.name for path in written]
    assert lines == ["translate.txt", *(f"alignment_{i}.png" for i in (1, 2, 3))]
    alone = translating.translated(trained, generation.Request(1), texts[1:2], names[1:2])
    assert alone.texts == made.texts[1:2]
    with pytest.raises(ConfigError, match=r"words\.txt, line 2"):
        translating.translated(trained, generation.Request(2), ["ab", "a" * 20], names[:2])
    path.write_text("ab\n\ncd\n")
    with pytest.raises(ConfigError, match=r"words\.txt, line 2 is empty"):
        translating.lines(path)


@pytest.mark.full
def test_bleu_is_that_of_sacrebleu_and_says_how_it_counted(trained):
    sacrebleu = pytest.importorskip("sacrebleu", reason="needs the extra 'translation'")
    context = trained.feed.context()
    echo = {"translate": lambda state, batch, key: jnp.where(batch["b"] == 68, 67, batch["b"])}
    context = context._replace(task=context.task._replace(outputs=echo))
    found = bleu(context, target="b", batch_size=8)(trained.state)
    words = [trained.feed.loader("test").source.records[row]["b"] for row in range(21)]
    wrong = [word.replace(chr(68 - 3), chr(67 - 3)) for word in words]
    metric = sacrebleu.metrics.BLEU()
    assert found["bleu"] == metric.corpus_score(wrong, [words]).score
    assert found["signature"][0] == str(metric.get_signature())
    with pytest.raises(ConfigError, match="target='c'"):
        bleu(context, target="c")


def test_without_sacrebleu_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sacrebleu", None)
    with pytest.raises(ConfigError, match=r"compendium\[translation\]"):
        bleu(Context(None, None, None, None), target="b")
