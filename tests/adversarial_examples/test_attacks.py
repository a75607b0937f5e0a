import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.adversarial_examples import attacks
from library.config import ConfigError
from tests import often

RANDOM = np.random.default_rng(0)
IMAGE = jnp.asarray(RANDOM.uniform(size=(6, 4, 5, 2)), jnp.float32)
WEIGHT = jnp.asarray(RANDOM.normal(size=(4, 5, 2, 3)), jnp.float32)
LABEL = jnp.asarray(RANDOM.integers(0, 3, 6))
KEYS = jax.random.split(jax.random.key(0), 6)
EPSILON = 8 / 255


def linear(image):
    return jnp.einsum("bhwc,hwck->bk", image, WEIGHT)


def binary(image):
    """The logits of a logistic regression."""
    margin = jnp.einsum("bhwc,hwc->b", image, WEIGHT[..., 0])
    return jnp.stack([-margin, margin], axis=-1) / 2


def curved(image):
    return jnp.tanh(linear(image)) @ jnp.array([[1.0, 2, -1], [0.5, -2, 1], [1, 1, -3]])


def loss(logits, image, label=LABEL):
    return -jax.nn.log_softmax(logits(image))[jnp.arange(len(label)), label]


def size_of(change):
    return np.sqrt(np.sum(np.float64(change) ** 2, axis=(1, 2, 3)))


def test_fgsm_is_the_worst_of_the_ball_on_a_linear_model():
    """The margin falls by epsilon |w|_1, no less (Goodfellow et al. 2015, section 5)."""
    label = LABEL % 2
    grey = 0.5 * jnp.ones_like(IMAGE)
    found = attacks.fast_gradient_sign(binary, grey, label, epsilon=EPSILON)
    sign = np.where(np.asarray(label) == 1, 1, -1)
    margin = sign * (binary(found)[:, 1] - binary(found)[:, 0])
    clean = sign * (binary(grey)[:, 1] - binary(grey)[:, 0])
    lost = EPSILON * np.abs(WEIGHT[..., 0]).sum()
    np.testing.assert_allclose(margin, clean - lost, rtol=1e-4)
    reached = attacks.projected_gradient(binary, grey, label, KEYS, epsilon=EPSILON, steps=10)
    np.testing.assert_allclose(reached, found, atol=1e-6)


def test_the_step_of_fgsm():
    gradient = jax.grad(lambda x: loss(curved, x).sum())(IMAGE)
    for targeted, sign in ((False, 1), (True, -1)):
        found = attacks.fast_gradient_sign(curved, IMAGE, LABEL, epsilon=0.3, targeted=targeted)
        expected = np.asarray(IMAGE) + np.float32(0.3) * sign * np.sign(gradient)
        assert expected.min() < 0
        assert expected.max() > 1
        np.testing.assert_array_equal(found, np.clip(expected, 0, 1))


@pytest.mark.parametrize("epsilon", [8 / 255, 0.1, 0.3])
@pytest.mark.parametrize("random_start", [True, False])
def test_the_cube_is_never_left(epsilon, random_start):
    attack = functools.partial(
        attacks.projected_gradient, curved, epsilon=epsilon, steps=5, random_start=random_start
    )
    found = np.asarray(jax.jit(attack)(IMAGE, LABEL, KEYS))
    change = np.abs(found - np.asarray(IMAGE))
    assert change.max() <= np.float32(epsilon)
    assert change.max() > 0.99 * epsilon
    assert found.min() >= 0
    assert found.max() <= 1


@pytest.mark.parametrize("epsilon", often.only([1.5], [0.2, 1.5]))
def test_the_sphere_is_never_left(epsilon):
    attack = functools.partial(
        attacks.projected_gradient, curved, epsilon=epsilon, norm="l2", steps=10
    )
    found = jax.jit(attack)(IMAGE, LABEL, KEYS)
    size = size_of(found - IMAGE)
    assert size.max() <= epsilon * (1 + 1e-6)
    assert size.max() > 0.5 * epsilon
    assert found.min() >= 0
    assert found.max() <= 1


def test_the_l2_optimum_on_a_linear_model():
    """It lies epsilon along the weights."""
    grey, label = 0.5 * jnp.ones_like(IMAGE), jnp.ones(6, jnp.int32)
    found = attacks.projected_gradient(
        binary, grey, label, KEYS, epsilon=0.3, norm="l2", steps=60, step_size=0.1
    )
    direction = np.asarray(WEIGHT[..., 0]) / np.linalg.norm(WEIGHT[..., 0])
    expected = np.broadcast_to(0.5 - 0.3 * direction, IMAGE.shape)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_projections_are_the_nearest_points():
    image = jnp.full((1, 1, 2, 1), 0.5)
    moved = image + jnp.array([0.3, -0.4]).reshape(1, 1, 2, 1)
    half = attacks._project_l2(moved, image, 0.25)
    np.testing.assert_allclose(half.ravel(), [0.65, 0.3], rtol=1e-6)
    np.testing.assert_array_equal(attacks._project_l2(moved, image, 0.6), moved)
    inside = attacks._project_linf(moved, image, 0.35)
    np.testing.assert_allclose(inside.ravel(), [0.8, 0.15], rtol=1e-6)
    edge = attacks._project_linf(moved + 1, jnp.ones_like(image), 0.35)
    np.testing.assert_array_equal(edge, 1)


@pytest.mark.parametrize("norm", often.only(["linf"], attacks.NORMS))
def test_more_loss_or_a_likelier_target(norm):
    epsilon = 0.05 if norm == "linf" else 0.3
    attack = functools.partial(
        attacks.projected_gradient, linear, IMAGE, keys=KEYS, epsilon=epsilon, norm=norm, steps=20
    )
    assert (loss(linear, attack(LABEL)) > loss(linear, IMAGE) + 0.1).all()
    target = (LABEL + 1) % 3
    found = attack(target, targeted=True)
    assert (loss(linear, found, target) < 0.95 * loss(linear, IMAGE, target)).all()
    one_step = attacks.fast_gradient_sign(linear, IMAGE, target, epsilon=0.05, targeted=True)
    assert (loss(linear, one_step, target) < 0.95 * loss(linear, IMAGE, target)).all()


@pytest.mark.parametrize(("norm", "start"), [("linf", "_in_cube"), ("l2", "_in_sphere")])
def test_starts_are_uniform_in_the_ball(norm, start):
    keys = jax.random.split(jax.random.key(1), 4000)
    drawn = np.asarray(jax.vmap(lambda key: getattr(attacks, start)(key, (1, 3, 1)))(keys))
    drawn = drawn.reshape(-1, 3)
    radius = np.abs(drawn).max(-1) if norm == "linf" else np.linalg.norm(drawn, axis=-1)
    assert radius.max() <= 1 + 1e-6
    # The share of the volume within a radius is its cube; 4000 draws are off by 0.008 (sigma).
    for within in (0.5, 0.8, 0.95):
        assert abs((radius <= within).mean() - within**3) < 0.032
    np.testing.assert_allclose(drawn.mean(0), 0, atol=0.05)


def test_each_example_has_its_own_start():
    attack = functools.partial(attacks.projected_gradient, curved, epsilon=0.1, steps=3)
    both, alone = attack(IMAGE, LABEL, KEYS), attack(IMAGE[2:3], LABEL[2:3], KEYS[2:3])
    np.testing.assert_allclose(both[2:3], alone, atol=1e-6)
    others = attack(IMAGE, LABEL, KEYS[::-1])
    assert np.abs(both - others).max() > 1e-3


@pytest.mark.full
def test_no_room_no_change():
    for norm in attacks.NORMS:
        attack = functools.partial(
            attacks.projected_gradient, linear, epsilon=0.0, norm=norm, steps=2
        )
        np.testing.assert_array_equal(jax.jit(attack)(IMAGE, LABEL, KEYS), IMAGE)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(epsilon=8.0), r"epsilon=8.0: valid are 0 to 1, in units of \[0, 1\] pixels"),
        (dict(epsilon=-0.1), "epsilon=-0.1"),
        (dict(epsilon=0.1, norm="l1"), r"unknown norm 'l1'"),
        (dict(epsilon=0.1, steps=0), "steps=0"),
        (dict(epsilon=0.1, step_size=-1.0), "step_size=-1.0"),
    ],
)
def test_attacks_that_are_none(options, message):
    with pytest.raises(ConfigError, match=message):
        attacks.projected_gradient(linear, IMAGE, LABEL, KEYS, **options)
