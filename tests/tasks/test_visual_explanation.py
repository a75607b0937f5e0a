"""Visual explanations: the gradient of REINFORCE is that of the reward over all sentences."""

import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.models.sequence.explainer import Explainer
from library.models.sequence.rnn import RecurrentNet
from library.special_tokens import END
from library.tasks import visual_explanation as explanation

LENGTH, WORDS, CLASSES = 3, 5, 2
SHAPES = {"image": (4, 4, 1), "caption": (LENGTH,), "caption_mask": (LENGTH,), "label": ()}
# All sentences: two words, 3 and 4, END, and nothing after END.
SENTENCES = [
    (*words, *([END] if len(words) < LENGTH else []), *[0] * (LENGTH - len(words) - 1))
    for count in range(LENGTH + 1)
    for words in itertools.product((3, 4), repeat=count)
]


def models():
    judge = RecurrentNet(CLASSES, width=3, vocab_size=WORDS)
    sizes = dict(widths=(2,), features=3, embedding=2, width=3)
    return {"judge": judge, "explainer": Explainer(CLASSES, WORDS, **sizes)}


def game(**options):
    given = {"discriminative": 1.0, "samples": 2, **options}
    return explanation._Game(models(), ("image", "caption"), LENGTH, **given)


def batch(count):
    draw = np.random.default_rng(0)
    captions = draw.integers(0, len(SENTENCES), 3)
    found = {
        "image": draw.normal(size=(3, 4, 4, 1)).astype(np.float32),
        "caption": np.array(SENTENCES, np.int32)[captions],
        "label": np.array([0, 1, 1], np.int32),
    }
    found = {name: np.repeat(x[:1], count, axis=0) if count > 3 else x for name, x in found.items()}
    found["caption_mask"] = (found["caption"] > 0).astype(np.float32)
    found["index"] = np.arange(len(found["label"]), dtype=np.uint32)
    found["mask"] = np.ones(len(found["label"]), np.float32)
    return {name: jnp.asarray(x) for name, x in found.items()}


@pytest.fixture(scope="module")
def params():
    given, found, draw = batch(3), {}, np.random.default_rng(1)
    for name, model in models().items():
        inputs = (given["image"],) if name == "explainer" else ()
        shapes = jax.eval_shape(model.init, jax.random.key(0), *inputs, given["caption"])
        found[name] = jax.tree.map(
            lambda p: jnp.asarray(0.7 * draw.normal(size=p.shape), jnp.float32), shapes["params"]
        )
    return found


def of_all(play, params, image, label):
    """Returns log p and the rewards of all sentences about one image."""
    drawn, one = jnp.array(SENTENCES, jnp.int32)[None], {"image": image[None]}
    rewards = play.rewards(params, drawn, label[None])[0]
    return play.log_p_of_draws(params, one, drawn)[0], rewards


def close(ours, theirs):
    scale = max(float(jnp.abs(x).max()) for x in jax.tree.leaves(theirs))
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-4 * scale)


@pytest.mark.parametrize("samples", [1, 2])
def test_the_expected_gradient_is_that_of_the_expected_reward(samples, params):
    play, given = game(), batch(3)
    image, label = given["image"][0], given["label"][0]

    def rest(own):
        return {**params, "explainer": own}

    def exact(own):
        log_p, rewards = of_all(play, rest(own), image, label)
        return -jnp.sum(jnp.exp(log_p) * rewards)

    def expected(own):
        """The loss of each tuple of draws, weighted by the probability of these draws."""
        log_p, rewards = of_all(play, rest(own), image, label)
        pairs = jnp.array(list(itertools.product(range(len(SENTENCES)), repeat=samples)))
        law = jax.lax.stop_gradient(jnp.exp(jnp.sum(log_p[pairs], axis=1)))
        return jnp.sum(law * explanation.reinforced(log_p[pairs], rewards[pairs]))

    log_p, _ = jax.jit(lambda: of_all(play, params, image, label))()
    np.testing.assert_allclose(jnp.sum(jnp.exp(log_p)), 1, rtol=1e-5)
    ours, theirs = (jax.jit(jax.grad(f))(params["explainer"]) for f in (expected, exact))
    close(ours, theirs)


def test_sentences_are_drawn_from_the_law_that_is_learnt(params):
    count, play = 8000, game()
    given = batch(count)
    drawn = np.asarray(jax.jit(play.drawn, static_argnums=3)(params, given, jax.random.key(5), 2))
    log_p, _ = jax.jit(lambda: of_all(play, params, given["image"][0], given["label"][0]))()
    law = np.exp(np.asarray(log_p))
    for each in range(2):
        rows, counts = np.unique(drawn[:, each], axis=0, return_counts=True)
        seen = dict(zip(map(tuple, rows.tolist()), counts / count))
        assert set(seen) <= set(SENTENCES)
        found = np.array([seen.get(sentence, 0.0) for sentence in SENTENCES])
        assert np.all(np.abs(found - law) < 5 * np.sqrt(law * (1 - law) / count) + 1e-6)
    # The draws of one image are independent.
    same = np.mean((drawn[:, 0] == drawn[:, 1]).all(-1))
    chance = np.sum(law**2)
    assert abs(same - chance) < 5 * np.sqrt(chance * (1 - chance) / count)


def test_the_losses_by_hand(params):
    play, given = game(discriminative=0.5), batch(3)
    given["mask"] = given["mask"].at[2].set(0)
    given["image"] = given["image"].at[2].set(jnp.nan)
    key = jax.random.key(0)
    metrics, _ = jax.jit(play.explainer_loss)(params, {}, given, key)
    drawn = jax.jit(play.drawn, static_argnums=3)(params, given, key, 2)
    measure = jax.jit(lambda *about: of_all(play, params, *about))
    see = jax.jit(lambda image: play.explain(params, image[None], method="seen")[1][0])
    total = 0.0
    for row in range(2):
        words, label = np.asarray(given["caption"][row]), int(given["label"][row])
        image = given["image"][row]
        log_p, rewards = measure(image, given["label"][row])
        relevance = -log_p[SENTENCES.index(tuple(words.tolist()))]
        classes = see(image)
        first, second = (SENTENCES.index(tuple(np.asarray(d).tolist())) for d in drawn[row])
        # The other draw is what is subtracted.
        gap = float(rewards[first] - rewards[second])
        reinforced = -(gap * log_p[first] - gap * log_p[second]) / 2
        total += float(relevance - jax.nn.log_softmax(classes)[label] + 0.5 * reinforced)
    np.testing.assert_allclose(metrics["loss"], (total, 2), rtol=1e-5)
    judged, _ = jax.jit(play.judge_loss)(params, {}, given, key)
    mask = given["caption_mask"]
    logits = models()["judge"].apply({"params": params["judge"]}, given["caption"], mask)
    wanted = -jnp.take_along_axis(jax.nn.log_softmax(logits), given["label"][:, None], 1)[:2]
    np.testing.assert_allclose(judged["loss"], (wanted.sum(), 2), rtol=1e-5)


@pytest.mark.full
def test_the_likeliest_caption_is_greedy(params):
    play, given = game(), batch(3)
    made = np.asarray(jax.jit(play.likeliest)(params, given))
    explain = jax.jit(lambda image, words: play.explain(params, image[None], words[None])[0][0])
    for row in range(3):
        before = [explanation.BEGIN]
        while len(before) <= LENGTH and before[-1] != END:
            known = jnp.array(before + [0] * (LENGTH + 1 - len(before)))
            logits = explain(given["image"][row], known)[len(before) - 1]
            # A search ends every sentence at the last place.
            ends = len(before) == LENGTH
            before.append(END if ends else 2 + int(jnp.argmax(logits[2:])))
        expected = before[1:] + [0] * (LENGTH + 1 - len(before))
        assert made[row].tolist() == expected


def test_what_does_not_fit_is_refused():
    def make(model=None, **options):
        given = {"feature_shapes": SHAPES, **options}
        return explanation.visual_explanation(model or models(), lambda losses: None, **given)

    with pytest.raises(ConfigError, match="takes the models judge and explainer, not Dense"):
        make(nn.Dense(2))
    with pytest.raises(ConfigError, match=r"discriminative=-1\.0: valid are numbers from 0"):
        make(discriminative=-1.0)
    with pytest.raises(ConfigError, match="needs a label, tokens 'caption' of a fixed length"):
        make(feature_shapes={"image": (4, 4, 1), "caption": (3,)})
