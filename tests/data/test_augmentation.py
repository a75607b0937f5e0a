"""Each operation against numpy, scipy or PIL, and what all of them promise about randomness."""

import colorsys
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from PIL import Image
from scipy import ndimage

from library import rng
from library.config import ConfigError, available, build
from library.data import augmentation, on_device
from library.data.augmentation import _draws, colour, mixing, warping
from library.run.recipe import make_plan
from tests import often, tiny

NUM_CLASSES = 16
KEY = jax.random.key(3)
PER_EXAMPLE = dict(
    random_crop=dict(padding=2),
    random_crop_reflect=dict(name="random_crop", padding=2, mode="reflect"),
    flip_lr=dict(),
    flip_ud=dict(),
    quarter_turns=dict(),
    alternating_flip=dict(),
    affine=dict(degrees=30.0, translate=0.1, scale=(0.8, 1.2), shear=10.0),
    elastic=dict(std=1.0),
    smooth_elastic=dict(sigma=2.0, alpha=3.0),
    random_resized_crop=dict(size=6),
    random_resized_crop_bicubic=dict(name="random_resized_crop", size=6, method="bicubic"),
    auto_augment=dict(),
    rand_augment=dict(num_layers=1, magnitude_std=0.5, probability=0.9),
    trivial_augment=dict(),
    hsv=dict(hue=0.1, saturation=0.5, value=0.4),
    darknet_colours=dict(hue=0.1, saturation=1.5, exposure=1.5),
    color_jitter=dict(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1),
    pca_noise=dict(),
    grayscale=dict(probability=0.5),
    gaussian_blur=dict(kernel_size=3),
    random_erasing=dict(),
    cutout=dict(size=5),
    normalize=dict(mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.1)),
)
# They change other features together with images, or instead of them; each has a file of its own.
ELSEWHERE = {"mosaic", "mirror_scans", "spec_augment"}
MIXES = dict(mixup=dict(alpha=0.4), cutmix=dict(alpha=1.0), mixup_cutmix=dict())


def batch_of(size: int, height: int = 8, width: int = 8) -> dict[str, jax.Array]:
    generator = np.random.default_rng(0)
    image = generator.integers(0, 256, (size, height, width, 3)) / np.float32(255)
    order = jnp.arange(size, dtype=jnp.uint32)
    label = jnp.arange(size, dtype=jnp.int32) % NUM_CLASSES
    return dict(image=jnp.asarray(image), label=label, index=order + 1000, row=order * 7)


def take(batch: dict, chosen) -> dict:
    return {name: value[jnp.asarray(chosen)] for name, value in batch.items()}


@functools.cache
def program(name: str):
    """The jitted `(batch, key) -> batch` of one operation, built as from a config."""
    spec = dict(name=name) | (PER_EXAMPLE | MIXES)[name]
    return jax.jit(augmentation.compose([make(**spec)]))


def make(**spec):
    injected = dict(num_classes=NUM_CLASSES, num_examples=16)
    return build(spec, "library.data.augmentation", "augmentation", **injected)


def apply(op, batch: dict, key=KEY) -> np.ndarray:
    return np.asarray(jax.jit(augmentation.compose([op]))(batch, key)["image"])


def keys_of(batch: dict, key=KEY):
    """The keys that an operation receives when it is the only one."""
    return rng.per_example(jax.random.fold_in(key, 0), batch["index"])


# What all operations promise.


def test_factories_are_those_of_the_tests():
    names = {spec.get("name", name) for name, spec in (PER_EXAMPLE | MIXES).items()}
    named = {name.rpartition(".")[2] for name in available("library.data.augmentation")}
    assert named == names | ELSEWHERE


def on_eight_devices(name: str, batch: dict):
    """Runs one operation on a batch split over eight devices, and the text of its program."""
    mesh = Mesh(np.array(jax.devices()[:8]), ("data",), axis_types=(AxisType.Auto,))
    batch = jax.device_put(batch, NamedSharding(mesh, PartitionSpec("data")))
    key = jax.device_put(KEY, NamedSharding(mesh, PartitionSpec()))
    compiled = program(name).lower(batch, key).compile()
    return compiled(batch, key), compiled.as_text()


COLLECTIVES = ("all-gather", "all-reduce", "all-to-all", "collective-permute")


@pytest.mark.parametrize(
    "name",
    often.but(
        [
            *("auto_augment", "trivial_augment", "rand_augment", "color_jitter", "elastic"),
            *("smooth_elastic", "hsv", "darknet_colours", "affine", "random_erasing"),
            *("gaussian_blur", "flip_ud", "grayscale", "cutout"),
            *("random_resized_crop_bicubic", "random_crop_reflect"),
        ],
        PER_EXAMPLE,
    ),
)
def test_an_example_depends_on_its_key_alone(name):
    """Not on its place, its company, the batch's size (2 a device, of 16) or the device."""
    batch = batch_of(16)
    whole = np.asarray(program(name)(batch, KEY)["image"])
    assert whole.dtype == np.float32
    order = np.random.default_rng(4).permutation(16)
    shuffled, text = on_eight_devices(name, take(batch, order))
    np.testing.assert_array_equal(shuffled["image"], whole[order])
    assert not any(collective in text for collective in COLLECTIVES)
    if name not in ("normalize", "alternating_flip"):
        moved = batch | dict(index=batch["index"] + 500)
        assert np.any(np.asarray(program(name)(moved, KEY)["image"]) != whole)


@pytest.mark.parametrize("name", often.first(1, MIXES))
def test_mixing_is_the_same_on_eight_devices(name):
    batch = batch_of(16)
    alone = program(name)(batch, KEY)
    split, text = on_eight_devices(name, batch)
    for field in alone:
        np.testing.assert_allclose(split[field], alone[field], atol=1e-6)
    assert any(collective in text for collective in COLLECTIVES)


def test_compose_gives_each_position_its_keys():
    batch = batch_of(8)
    seen = []

    def spy(batch, keys):
        seen.append(jax.random.key_data(keys))
        return batch

    result = augmentation.compose([spy, spy])(batch, KEY)
    for position, keys in enumerate(seen):
        for example, index in enumerate(batch["index"]):
            key = jax.random.fold_in(jax.random.fold_in(KEY, position), index)
            np.testing.assert_array_equal(keys[example], jax.random.key_data(key))
    np.testing.assert_array_equal(result["image"], batch["image"])
    assert augmentation.compose([])(batch, KEY) == batch


OFF = [
    dict(name="flip_lr", probability=0.0),
    dict(name="random_crop", padding=0),
    dict(name="rand_augment", probability=0.0),
    dict(name="color_jitter", brightness=0.5, contrast=0.5, saturation=0.5, probability=0.0),
    dict(name="pca_noise", std=0.0),
    dict(name="grayscale", probability=0.0),
    dict(name="gaussian_blur", probability=0.0, kernel_size=3),
    dict(name="random_erasing", probability=0.0),
    dict(name="mixup", alpha=1.0, probability=0.0),
    dict(name="cutmix", alpha=1.0, probability=0.0),
]


def test_probability_zero_is_the_identity_bitwise():
    batch = batch_of(8)
    noise = np.random.default_rng(5).random(batch["image"].shape)
    batch["image"] = jnp.asarray(noise, jnp.float32)
    result = jax.jit(augmentation.compose([make(**spec) for spec in OFF]))(batch, KEY)
    np.testing.assert_array_equal(result["image"], batch["image"])
    np.testing.assert_array_equal(result["label"], np.eye(8, NUM_CLASSES))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (dict(name="random_crop", padding=-1), "padding=-1.*nearest is 0"),
        (dict(name="random_crop", padding=1, mode="reflec"), "did you mean 'reflect'"),
        (dict(name="flip_lr", probability=1.5), r"probability=1.5.*nearest is 1"),
        (dict(name="flip_rl"), "did you mean 'geometry.flip_lr'"),
        (dict(name="auto_augment", policy="cifar10"), "did you mean 'cifar'"),
        (dict(name="auto_augment", fill=128.0), "fill=128.0"),
        (dict(name="rand_augment", magnitude=11.0), r"magnitude=11.0.*nearest is 10"),
        (dict(name="rand_augment", max_magnitude=0.0), "max_magnitude=0.0: it must be a positive"),
        (dict(name="rand_augment", num_layers=0), "num_layers=0"),
        (dict(name="trivial_augment", fill=-0.1), "fill=-0.1"),
        (dict(name="color_jitter", hue=0.6), "hue=0.6.*nearest is 0.5"),
        (dict(name="color_jitter", contrast=-0.6), "contrast=-0.6"),
        (dict(name="pca_noise", std=-0.1), "std=-0.1.*nearest is 0"),
        (dict(name="gaussian_blur", sigma=(2.0, 1.0)), "sigma"),
        (dict(name="gaussian_blur", kernel_size=0), "kernel_size=0"),
        (dict(name="random_resized_crop", area=(0.1, 1.1)), "area=.*<= 1"),
        (dict(name="random_resized_crop", ratio=(0.0, 1.0)), "ratio"),
        (dict(name="random_resized_crop", method="cubic"), "did you mean 'bicubic'"),
        (dict(name="random_erasing", fill="noise"), "unknown fill"),
        (dict(name="random_erasing", fill="a number"), "'a number': a number, or .valid: random,"),
        (dict(name="cutout", size=0), "size=0"),
        (dict(name="normalize", mean=(0.5,), std=(0.0,)), "std=0.0"),
        (dict(name="normalize", mean=(0.5,), std=(1.0, 1.0)), "1 means and 2"),
        (dict(name="mixup", alpha=0.0), "alpha=0.0"),
        (dict(name="cutmix", alpha=-1.0), "alpha=-1.0"),
        (dict(name="mixup_cutmix", cutmix_probability=2.0), "cutmix_probability=2.0"),
        (dict(name="mixup", alpha=float("nan")), "alpha=nan"),
    ],
)
def test_bad_arguments_are_refused(spec, message):
    with pytest.raises(ConfigError, match=message):
        make(**spec)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (dict(name="random_crop", padding=8, mode="reflect"), "padding=8: .*too few pixels"),
        (dict(name="gaussian_blur", kernel_size=17), "kernel_size=17"),
        (dict(name="normalize", mean=(0.5,) * 4, std=(1.0,) * 4), "4 means"),
    ],
)
def test_arguments_that_do_not_fit_the_images_are_refused(spec, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(augmentation.compose([make(**spec)]), batch_of(2), KEY)


# Geometry.


@pytest.mark.parametrize("name", ["random_crop", "random_crop_reflect"])
def test_crop_equals_slicing_at_the_drawn_offsets(name):
    batch = batch_of(16)
    result = np.asarray(program(name)(batch, KEY)["image"])
    mode = PER_EXAMPLE[name].get("mode", "constant")
    padded = np.pad(batch["image"], ((0, 0), (2, 2), (2, 2), (0, 0)), mode=mode)
    draw = jax.jit(jax.vmap(lambda key: jax.random.randint(key, (2,), 0, 5)))
    offsets = np.asarray(draw(keys_of(batch)))
    for image, source, (top, left) in zip(result, padded, offsets):
        np.testing.assert_array_equal(image, source[top : top + 8, left : left + 8])
    assert all(set(column) == {0, 1, 2, 3, 4} for column in offsets.T)


@pytest.mark.parametrize("probability", [0.3, 1.0])
def test_flip_mirrors_as_often_as_stated(probability):
    batch = batch_of(1024, 1, 3)
    result = apply(make(name="flip_lr", probability=probability), batch)
    image = np.asarray(batch["image"])
    flipped = np.all(result == image[:, :, ::-1], axis=(1, 2, 3))
    np.testing.assert_array_equal(result[~flipped], image[~flipped])
    share = np.mean(flipped)
    assert abs(share - probability) <= 5 * np.sqrt(probability * (1 - probability) / 1024)


def test_alternating_flip_mirrors_each_example_every_other_epoch():
    rows = np.random.default_rng(2).permutation(512).astype(np.uint32)
    image = batch_of(512, 1, 2)["image"]
    op = jax.jit(augmentation.compose([augmentation.alternating_flip(num_examples=512)]))
    history = []
    for epoch in range(4):
        # A new order in every epoch, and the key of another step.
        order = np.random.default_rng(epoch).permutation(512)
        index = np.arange(512, dtype=np.uint32) + np.uint32(512 * epoch)
        batch = dict(image=image[order], row=jnp.asarray(rows[order]), index=jnp.asarray(index))
        result = np.asarray(op(batch, jax.random.fold_in(KEY, epoch))["image"])
        flipped = np.empty(512, bool)
        source = np.asarray(image[order])
        flipped[order] = np.all(result == source[:, :, ::-1], axis=(1, 2, 3))
        kept = np.all(result == source, axis=(1, 2, 3))
        np.testing.assert_array_equal(kept, ~flipped[order])
        history.append(flipped)
    assert abs(history[0].mean() - 0.5) < 5 * 0.5 / np.sqrt(512)
    for before, after in itertools.pairwise(history):
        np.testing.assert_array_equal(after, ~before)


@pytest.mark.parametrize("method", ["bilinear", "bicubic"])
def test_resized_crop_equals_that_of_pil(method):
    batch = batch_of(16, 8, 8)
    name = "random_resized_crop" + ("_bicubic" if method == "bicubic" else "")
    result = np.asarray(program(name)(batch, KEY)["image"])
    kernel = getattr(Image.Resampling, method.upper())
    draw = functools.partial(_draws.inception_box, height=8, width=8)
    draws = jax.vmap(lambda key: draw(key, area=(0.08, 1.0), ratio=(3 / 4, 4 / 3)))
    boxes = jax.jit(draws)(keys_of(batch))
    for image, source, (top, left, rows, columns) in zip(
        result, np.asarray(batch["image"]), np.stack(boxes, axis=1).tolist()
    ):
        for channel in range(3):
            resized = Image.fromarray(source[..., channel]).resize(
                (6, 6), kernel, (left, top, left + columns, top + rows)
            )
            np.testing.assert_allclose(image[..., channel], np.clip(resized, 0, 1), atol=2e-6)


def test_boxes_have_the_stated_areas_and_ratios():
    draw = functools.partial(_draws.inception_box, height=100, width=80)
    keys = jax.random.split(KEY, 2048)
    boxes = jax.jit(jax.vmap(lambda key: draw(key, area=(0.1, 0.5), ratio=(0.5, 2.0))))(keys)
    top, left, rows, columns = np.stack(boxes)
    assert top.min() == left.min() == 0
    assert (top + rows).max() == 100
    assert (left + columns).max() == 80
    area, ratio = rows * columns / 8000, columns / rows
    assert area.min() > 0.095
    assert area.max() < 0.515
    assert ratio.min() > 0.47
    assert ratio.max() < 2.13
    # Uniform in the area and, symmetric about 1, in the logarithm of the ratio, but for boxes that
    # do not fit, of which these have next to none.
    assert abs(area.mean() - 0.3) < 0.01
    assert abs(np.log(ratio).mean()) < 0.05


def test_a_box_that_never_fits_is_the_largest_central_one():
    draw = functools.partial(_draws.inception_box, area=(1.0, 1.0), ratio=(1.0, 1.0))
    boxes = jax.jit(lambda key: (draw(key, 4, 9), draw(key, 9, 4)))(KEY)
    assert jax.tree.map(int, boxes) == ((0, 2, 4, 4), (2, 0, 4, 4))


# Colour.


def turned(image: np.ndarray, turn: float) -> np.ndarray:
    pixels = [colorsys.rgb_to_hsv(*pixel) for pixel in image.reshape(-1, 3)]
    return np.array([colorsys.hsv_to_rgb((h + turn) % 1, s, v) for h, s, v in pixels]).reshape(
        image.shape
    )


def luma(image: np.ndarray) -> np.ndarray:
    return image @ np.array([[0.299], [0.587], [0.114]])


def jittered(image: np.ndarray, order, factors, turn: float) -> np.ndarray:
    for kind in order:
        if kind == 3:
            image = turned(image, turn)
        else:
            degenerate = (0.0, luma(image).mean(), luma(image))[kind]
            image = degenerate + factors[kind] * (image - degenerate)
        image = np.clip(image, 0, 1)
    return image


def test_color_jitter_equals_one_of_the_orders_and_takes_them_all():
    batch = batch_of(192, 3, 2)
    op = make(name="color_jitter", brightness=0.8, contrast=0.8, saturation=0.8, hue=0.4)
    results = apply(op, batch)

    def drawn(key):
        k_factor, _, _, k_hue, _ = jax.random.split(key, 5)
        factors = jax.random.uniform(
            k_factor, (3,), minval=1 - np.float32(0.8), maxval=1 + np.float32(0.8)
        )
        return factors, jax.random.uniform(k_hue, minval=-0.4, maxval=0.4)

    factors, turns = jax.device_get(jax.jit(jax.vmap(drawn))(keys_of(batch)))
    orders = list(itertools.permutations(range(4)))
    taken = set()
    for result, image, factor, turn in zip(
        results, np.asarray(batch["image"], float), factors, turns
    ):
        errors = [np.abs(result - jittered(image, o, factor, turn)).max() for o in orders]
        assert min(errors) < 1e-5
        taken.add(orders[int(np.argmin(errors))])
    assert len(taken) == 24


def test_color_jitter_of_strength_zero_changes_nothing():
    batch = batch_of(4)
    np.testing.assert_array_equal(apply(make(name="color_jitter"), batch), batch["image"])
    gray = batch | dict(image=batch["image"][..., :1])
    with pytest.raises(ValueError, match=r"3 channels.*\(8, 8, 1\)"):
        apply(make(name="color_jitter", hue=0.1), gray)


def test_pca_noise_adds_one_colour_along_the_principal_components():
    batch = batch_of(512)
    added = np.asarray(program("pca_noise")(batch, KEY)["image"]) - np.asarray(batch["image"])
    draws = np.asarray(jax.vmap(lambda key: jax.random.normal(key, (3,)))(keys_of(batch)))
    vectors, values = colour._EIGENVECTORS, colour._EIGENVALUES
    expected = 0.1 * (draws * values) @ vectors.T
    np.testing.assert_allclose(
        added, np.broadcast_to(expected[:, None, None], added.shape), atol=2e-7
    )
    # A table of principal components: orthonormal, the first of them nearly grey.
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(3), atol=2e-4)
    np.testing.assert_allclose(np.abs(vectors[:, 0]), 3**-0.5, atol=0.01)
    assert not np.array_equal(added, np.clip(added + batch["image"], 0, 1) - batch["image"])


def test_grayscale_is_the_luma_of_pil():
    batch = batch_of(256, 2, 2)
    result = apply(make(name="grayscale", probability=0.5), batch)
    image = np.asarray(batch["image"])
    gray = np.all(result[..., :1] == result, axis=(1, 2, 3))
    assert 90 < gray.sum() < 166
    np.testing.assert_array_equal(result[~gray], image[~gray])
    for picture, source in zip(result[gray], image[gray]):
        rgb = Image.fromarray(np.round(255 * source).astype(np.uint8))
        np.testing.assert_allclose(255 * picture[..., 0], rgb.convert("L"), atol=0.51)


def test_blur_equals_a_separable_gaussian():
    batch = batch_of(32, 9, 7)
    op = make(name="gaussian_blur", probability=0.5, sigma=(0.5, 2.0), kernel_size=5)
    results = apply(op, batch)
    blurred = 0
    draw = jax.vmap(
        lambda key: jax.random.uniform(jax.random.split(key)[0], (), minval=0.5, maxval=2.0)
    )
    sigmas = np.asarray(jax.jit(draw)(keys_of(batch)))
    for result, image, sigma in zip(results, np.asarray(batch["image"]), sigmas):
        if np.array_equal(result, image):
            continue
        blurred += 1
        kernel = np.exp(-(np.arange(-2, 3) ** 2) / (2 * sigma**2))
        kernel /= kernel.sum()
        expected = ndimage.correlate1d(image.astype(float), kernel, axis=0, mode="mirror")
        expected = ndimage.correlate1d(expected, kernel, axis=1, mode="mirror")
        np.testing.assert_allclose(result, expected, atol=1e-6)
    assert 5 < blurred < 27


def test_normalize_subtracts_and_divides():
    batch = batch_of(8)
    result = program("normalize")(batch, KEY)["image"]
    mean, std = (np.array(PER_EXAMPLE["normalize"][n], np.float32) for n in ("mean", "std"))
    expected = (np.asarray(batch["image"]) - mean) / std
    # One rounding more where the compiler multiplies by the reciprocal.
    np.testing.assert_array_max_ulp(np.asarray(result), expected, maxulp=1)
    one = apply(make(name="normalize", mean=(0.5,), std=(0.25,)), batch)
    np.testing.assert_array_equal(one, (np.asarray(batch["image"]) - np.float32(0.5)) * 4)


# Occlusion.


def rectangle(mask: np.ndarray) -> tuple[int, int]:
    """Returns the sides of a mask's bounding box, having checked that the mask fills it."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    assert mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
    return len(rows), len(columns)


def test_erasing_fills_one_box_of_the_stated_area_with_noise():
    batch = batch_of(256, 32, 32)
    batch["image"] = batch["image"] + 2
    op = make(name="random_erasing", probability=0.75, area=(0.1, 0.3), ratio=(0.5, 2.0))
    results, images = apply(op, batch), np.asarray(batch["image"])
    sides, noise = [], []
    for result, image in zip(results, images):
        mask = np.any(result < 2, axis=-1)
        np.testing.assert_array_equal(result[~mask], image[~mask])
        if mask.any():
            sides.append(rectangle(mask))
            noise.append(result[mask].ravel())
    rows, columns = np.array(sides).T
    assert abs(len(sides) / 256 - 0.75) < 5 * np.sqrt(0.75 * 0.25 / 256)
    area = rows * columns / 1024
    assert 0.09 < area.min() < 0.12
    assert 0.28 < area.max() < 0.32
    assert 0.45 < (columns / rows).min() < 0.6
    assert 1.7 < (columns / rows).max() < 2.2
    noise = np.concatenate(noise)
    assert 0 <= noise.min() < 0.001
    assert 0.999 < noise.max() < 1
    assert len(np.unique(noise)) > 0.9 * len(noise)


def test_erasing_with_noise_that_is_normal_once_it_is_normalized():
    scale = dict(mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.1))
    spec = dict(name="random_erasing", probability=1.0, area=(0.5, 0.9), fill="normal")
    unnormalize = on_device.unnormalizer(scale)
    op = build(spec, "library.data.augmentation", "augmentation", unnormalize=unnormalize)
    batch = batch_of(64, 32, 32)
    results = apply(op, batch)
    normalized = np.asarray(on_device.normalizer(scale)({"image": jnp.asarray(results)})["image"])
    erased = np.any(results != np.asarray(batch["image"]), axis=-1)
    noise = normalized[erased]
    assert len(noise) > 25_000
    spread = 1 / np.sqrt(len(noise))
    np.testing.assert_allclose(noise.mean(axis=0), 0, atol=5 * spread)
    np.testing.assert_allclose(noise.std(axis=0), 1, atol=5 * spread)
    # Of a normal variable 31.73 % is further than one deviation from the mean, and 4.55 % than two.
    for bound, share in ((1, 0.31731), (2, 0.0455)):
        assert np.mean(np.abs(noise) > bound) == pytest.approx(share, abs=5 * spread)
    assert np.abs(np.corrcoef(noise.T)[np.triu_indices(3, 1)]).max() < 5 * spread
    plain = apply(make(**spec), batch)
    np.testing.assert_allclose(plain[erased], noise, atol=1e-5)


def test_a_recipe_tells_its_erasing_how_it_normalizes(monkeypatch):
    tiny.serve(monkeypatch, train=tiny.arrays(48), test=tiny.arrays(8))
    erasing = dict(name="random_erasing", probability=1.0, area=[0.9, 1.0], fill="normal")
    scale = dict(mean=[30.0], std=[5.0])
    plan = make_plan(tiny.config(augment=[erasing], normalize=scale), devices=jax.devices()[:1])
    image = jnp.zeros((512, 8, 8, 1))
    batch = dict(image=image, index=jnp.arange(512, dtype=jnp.uint32))
    found = np.asarray(jax.jit(plan.augment)(batch, KEY)["image"])
    assert found[found != 0].mean() == pytest.approx(30, abs=0.2)
    assert found[found != 0].std() == pytest.approx(5, abs=0.2)


def test_cutout_blanks_a_square_about_the_drawn_pixel():
    batch = batch_of(16)
    batch["image"] = batch["image"] + 1
    result = np.asarray(program("cutout")(batch, KEY)["image"])
    centres = jax.vmap(lambda key: jax.random.randint(key, (2,), 0, np.array([8, 8])))
    drawn = np.asarray(jax.jit(centres)(keys_of(batch)))
    for image, source, (y, x) in zip(result, np.asarray(batch["image"]), drawn):
        expected = source.copy()
        expected[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3] = 0
        np.testing.assert_array_equal(image, expected)


# Mixing.


def mixed(spec: dict, size: int = 256, side: int = 8):
    """Returns images, partners and results, with each example's own share from its label."""
    batch = batch_of(size, side, side)
    result = jax.jit(augmentation.compose([make(**spec)]))(batch, KEY)
    label = np.asarray(result["label"])
    assert label.dtype == np.float32
    assert label.shape == (size, NUM_CLASSES)
    np.testing.assert_allclose(label.sum(-1), 1, atol=1e-6)
    share = label[np.arange(size), np.asarray(batch["label"])]
    partner = np.roll(np.asarray(batch["label"]), 1)
    np.testing.assert_allclose(label[np.arange(size), partner], 1 - share, atol=1e-6)
    image = np.asarray(batch["image"])
    return image, np.roll(image, 1, axis=0), np.asarray(result["image"]), share


def test_mixup_is_the_convex_combination():
    image, partner, result, share = mixed(dict(name="mixup", alpha=0.2), size=1024, side=2)
    weight = share[:, None, None, None]
    np.testing.assert_allclose(result, weight * image + (1 - weight) * partner, atol=1e-6)
    # The moments of Beta(alpha, alpha).
    variance = 1 / (4 * (2 * 0.2 + 1))
    assert abs(share.mean() - 0.5) < 5 * np.sqrt(variance / 1024)
    assert abs(share.var() - variance) < 0.015


def test_cutmix_pastes_a_box_and_weighs_by_its_share():
    image, partner, result, share = mixed(dict(name="cutmix", alpha=1.0))
    sides = []
    for own, other, picture, weight in zip(image, partner, result, share):
        pasted = np.all(picture == other, axis=-1)
        np.testing.assert_array_equal(picture[~pasted], own[~pasted])
        assert weight == pytest.approx(1 - pasted.mean(), abs=1e-6)
        if pasted.any():
            sides.append(rectangle(pasted))
    assert len(set(sides)) > 20
    assert 0.55 < share.mean() < 0.85


@pytest.mark.full
@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_what_was_skipped_is_mixed_into_none(name):
    operation = getattr(mixing, name)(alpha=1.0, num_classes=3)
    image = jnp.ones((4, 6, 6, 1)) * jnp.arange(1.0, 5)[:, None, None, None]
    batch = {"image": image, "label": jnp.int32([1, 2, 1, 2])}
    keys = jax.random.split(jax.random.key(0), 4)
    mask = jnp.float32([1, 0, 1, 1])
    whole, mixed = operation(batch, keys), operation({**batch, "mask": mask}, keys)
    # The third has the second for its neighbour.
    np.testing.assert_array_equal(mixed["image"][2], image[2])
    np.testing.assert_array_equal(mixed["label"][2], [0, 1, 0])
    for feature in ("image", "label"):
        np.testing.assert_array_equal(mixed[feature][3], whole[feature][3])
        np.testing.assert_array_equal(mixed[feature][0], whole[feature][0])
    assert not np.array_equal(whole["image"][2], image[2])


def test_mixup_and_cutmix_are_switched_for_each_example():
    spec = dict(name="mixup_cutmix", cutmix_probability=0.4, probability=0.8)
    image, partner, result, share = mixed(spec, size=512)
    kept = np.all(result == image, axis=-1)
    pasted = np.all(result == partner, axis=-1)
    untouched = np.all(kept, axis=(1, 2))
    np.testing.assert_array_equal(share[untouched], 1)
    cut = np.all(kept | pasted, axis=(1, 2)) & ~untouched
    np.testing.assert_allclose(share[cut], 1 - pasted[cut].mean(axis=(1, 2)), atol=1e-6)
    weight = share[:, None, None, None]
    blend = weight * image + (1 - weight) * partner
    others = ~cut & ~untouched
    np.testing.assert_allclose(result[others], blend[others], atol=1e-6)
    # Some boxes of CutMix are empty, and count as untouched.
    assert abs(others.mean() - 0.8 * 0.6) < 5 * np.sqrt(0.48 * 0.52 / 512)
    assert 0.2 < cut.mean() < 0.33


@pytest.mark.full
def test_soft_labels_are_mixed_on():
    batch = batch_of(16)
    once = program("mixup")(batch, KEY)
    label = np.asarray(program("mixup")(once, jax.random.fold_in(KEY, 1))["label"])
    assert label.dtype == np.float32
    np.testing.assert_allclose(label.sum(-1), 1, atol=1e-6)
    # Its own class, its partner's and its partner's partner's.
    near = (np.arange(16)[:, None] - np.arange(NUM_CLASSES)) % 16 < 3
    assert np.all(label[~near] == 0)
    assert np.all(label[near] > 0)
    wrong = batch | dict(label=jnp.ones((16, 3)) / 3)
    with pytest.raises(ValueError, match=r"\(16, 3\), expected \(b, 16\)"):
        program("mixup")(wrong, KEY)


def test_smooth_displacements_are_those_of_a_gaussian_filter():
    rows = warping._gaussian(20, 2.0)
    expected = ndimage.gaussian_filter1d(np.eye(20), 2.0, axis=0, mode="constant", truncate=8)
    np.testing.assert_allclose(rows, expected, atol=1e-6)
