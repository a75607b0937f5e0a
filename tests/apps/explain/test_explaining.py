"""Explanations of tiny classifiers: what applies is made, the rest is refused by name."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library import rng
from library.apps import attacking, classifier, predictions
from library.apps.attacking import Attack
from library.apps.explain import explaining
from library.apps.explain.maps import DEFAULT, METHODS
from library.config import ConfigError
from library.run import stepping
from library.run.feed import Feed
from library.run.recipe import make_plan
from library.run.session import Trained
from tests import families, often, tiny


def trained(**changes):
    return _trained(json.dumps(changes))


@functools.cache
def _trained(changes):
    plan = tiny.plan_on(1, **json.loads(changes))
    feed = Feed(plan)
    state = plan.strategy.init(
        lambda x: x, jax.device_get(stepping.initial_carry(plan, feed).state)
    )
    # Heads that start at zero would leave nothing to explain.
    params = jax.tree.map(
        lambda p: p + 0.1 * jnp.sin(jnp.arange(p.size).reshape(p.shape)), state.params
    )
    return Trained(plan, feed, 0, state.replace(params=params))


@pytest.fixture
def data(monkeypatch):
    tiny.serve(monkeypatch, train=tiny.arrays(48), test=tiny.arrays(24, seed=1))


def examples(run, num=3):
    return predictions.from_split(run, "test", num, seed=0)


def asked(run, num=3, **options):
    return explaining.subject(run, classifier.network(run), examples(run, num), **options)


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize("augmentation", often.only(["mirror"], ["none", "mirror"]))
def test_the_network_is_the_one_behind_the_logits(augmentation):
    task = dict(name="classification", test_time_augmentation=augmentation)
    run = trained(model=tiny.CONV, task=task)
    network = classifier.network(run)
    loaded = examples(run).loaded
    image = np.stack([example["image"] for example in loaded]).astype(np.float32) / 255
    normalized = (image - 0.4) / 0.25
    batch = {"image": jnp.asarray(normalized), "index": jnp.arange(3), "mask": jnp.ones(3)}
    expected = run.plan.task.outputs["logits"](run.state, batch, rng.root(0))
    if augmentation == "mirror":
        mirrored = network.logits(jnp.asarray(image[:, :, ::-1]))
        np.testing.assert_allclose(
            (network.logits(jnp.asarray(image)) + mirrored) / 2, expected, atol=1e-5
        )
    else:
        np.testing.assert_allclose(network.logits(jnp.asarray(image)), expected, atol=1e-5)
    found = network.probabilities(image)
    np.testing.assert_allclose(found, jax.nn.softmax(network.logits(jnp.asarray(image))), atol=1e-6)
    assert network.label_names == tiny.CLASSES


@pytest.mark.usefixtures("data")
def test_running_averages_are_used():
    run = trained(ema=dict(decay=0.9))
    averages = jax.tree.map(jnp.zeros_like, run.state.ema)
    run = run._replace(state=run.state.replace(ema=averages))
    pixels = jnp.ones((1, 8, 8, 1))
    np.testing.assert_array_equal(classifier.network(run).logits(pixels), 0)
    assert np.abs(classifier.network(run, ema=False).logits(pixels)).max() > 0


@pytest.mark.usefixtures("data")
def test_parts_are_put_together():
    network = classifier.network(trained())
    first, second = np.arange(37.0), np.arange(37) % 5
    found = network.run(lambda _, x, y: x * 10 + y, first, second)
    np.testing.assert_array_equal(found, first * 10 + second)


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize(
    ("model", "left_out"),
    often.but(
        [
            (tiny.VIT, {"guided", "deconvnet"}),
            (tiny.PERCEPTRON, {"rollout", "grad_cam", "activations"}),
        ],
        [
            (tiny.CONV, {"rollout"}),
            (tiny.VIT, {"guided", "deconvnet"}),
            (tiny.PERCEPTRON, {"rollout", "grad_cam", "activations"}),
        ],
    ),
)
def test_by_default_what_applies_is_made(model, left_out):
    subject = asked(trained(model=model))
    made = explaining.pictures(subject)
    names = [name for name in DEFAULT if name not in left_out]
    lines = [METHODS[name].caption.format(layer=subject.layer) for name in names]
    assert list(made[0].captions) == lines
    others = [name for name in explaining.DEFAULT_PICTURES if name not in left_out]
    assert [picture.name for picture in made] == ["maps", *others]
    assert all(picture.png.startswith(b"\x89PNG") for picture in made)


@pytest.mark.usefixtures("data")
def test_whatever_is_asked_for_is_made():
    subject = asked(trained(model=tiny.CONV), among=20, label="c")
    np.testing.assert_array_equal(subject.label, 2)
    rest = [name for name in METHODS if name not in (*DEFAULT, "rollout")]
    methods = [*rest, "visualization", "neighbours", "embedding"]
    assert "cam" in methods
    made = explaining.pictures(subject, methods)
    assert [p.name for p in made] == ["maps", "visualization", "neighbours", "embedding"]
    assert "nearest of 20 training examples" in made[2].captions[0]


@pytest.mark.usefixtures("data")
def test_the_predicted_class_is_explained_by_default():
    subject = asked(trained(model=tiny.CONV), num=17)
    np.testing.assert_array_equal(subject.label, subject.probabilities.argmax(-1))
    assert subject.layer == "stage1"
    lines = explaining.captions(subject)
    assert [line[1] for line in lines] == [f"true: {tiny.CLASSES[k]}" for k in subject.truth]
    assert all(len(line) == 3 for line in lines)
    other = asked(trained(model=tiny.CONV), label="1")
    asking = [line[-1] == "why b?" for line in explaining.captions(other)]
    assert asking == list(other.probabilities.argmax(-1) != 1)


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize(
    ("model", "options", "methods", "message"),
    [
        (tiny.CONV, {}, ["gard_cam"], "unknown method 'gard_cam': did you mean 'grad_cam'"),
        (tiny.CONV, {}, ["rollout"], "method 'rollout': ConvNet has no attention"),
        (tiny.VIT, {}, ["guided"], "method 'guided': this network has no relu"),
        (tiny.PERCEPTRON, {}, ["grad_cam"], "method 'grad_cam': no layer of MLP has a spatial"),
        (tiny.PERCEPTRON, {}, ["activations"], "method 'activations': no layer of MLP"),
        (tiny.CONV, dict(layer="stage9"), None, "unknown layer 'stage9': did you mean 'stage1'"),
        (tiny.CONV, dict(layer="features"), None, "'features' has no spatial grid: its shape is 4"),
        (tiny.CONV, dict(label="4"), None, r"no class '4': valid are 0 to 3; \(valid: a, b, c, d"),
    ],
)
def test_what_cannot_be_explained(model, options, methods, message):
    run = trained(model=model)
    with pytest.raises(ConfigError, match=message):
        explaining.pictures(asked(run, **options), methods)


@pytest.mark.parametrize("family", ["vae", "gpt"])
def test_only_classifiers_of_images_are_explained(monkeypatch, family):
    families.serve(monkeypatch)
    plan = families.config(family)
    run = Trained(make_plan(plan, devices=jax.devices()[:1]), None, 0, None)
    with pytest.raises(ConfigError, match="only classifiers of images are explained: task"):
        classifier.network(run)


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize("name", often.only(["pgd"], attacking.ATTACKS))
@pytest.mark.parametrize("target", often.only(["b"], [None, "b"]))
def test_what_an_attack_has_come_to(name, target):
    run = trained()
    network, loaded = classifier.network(run), examples(run, 17)
    request = Attack(name, 0.25, target=target, steps=5)
    found = attacking.attack(network, loaded, request)
    pixels = explaining.in_unit_range(loaded)
    change = np.abs(found.changed - pixels)
    assert 0.2 < change.max() <= 0.25 + 1e-6
    np.testing.assert_array_equal(found.label, loaded.labels)
    np.testing.assert_allclose(found.after, network.probabilities(found.changed), atol=1e-6)
    if target:
        assert (found.after[:, 1] > found.before[:, 1]).all()
    else:
        own = np.arange(17), found.label
        assert (found.after[own] < found.before[own]).all()
    clean = (found.before.argmax(-1) == found.label).sum()
    lines = attacking.lines(network, found)
    assert lines[0] == f"clean accuracy: {clean / 17:.1%}, {clean} of 17 examples"
    if target:
        met = (found.after.argmax(-1) == 1).sum()
        assert lines[2] == f"classified as b: {met / 17:.1%}, {met} of 17 examples"
    picture = attacking.picture(network, loaded, found, request)
    assert picture.name == f"adversarial_{name}"
    again = attacking.attack(network, loaded, request)
    np.testing.assert_array_equal(again.changed, found.changed)


@pytest.mark.usefixtures("data")
def test_images_of_unknown_class_shall_lose_the_predicted():
    run = trained()
    network, loaded = classifier.network(run), examples(run)._replace(labels=None)
    found = attacking.attack(network, loaded, Attack("fgsm", 0.1))
    np.testing.assert_array_equal(found.label, found.before.argmax(-1))
    assert attacking.lines(network, found)[0] == "clean class kept: 100.0%, 3 of 3 examples"


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Attack("fgms", 0.1), "unknown attack 'fgms': did you mean 'fgsm'"),
        (Attack("fgsm", 8.0), "epsilon=8.0: valid are 0 to 1"),
        (Attack("fgsm", 0.1, norm="l2"), "'fgsm' takes the norm 'linf' only, not 'l2'"),
        (Attack("pgd", 0.1, norm="l3"), "unknown norm 'l3'"),
        (Attack("pgd", 0.1, target="e"), "no class 'e'"),
    ],
)
def test_attacks_that_are_not_made(request_, message):
    run = trained()
    with pytest.raises(ConfigError, match=message):
        attacking.attack(classifier.network(run), examples(run), request_)
