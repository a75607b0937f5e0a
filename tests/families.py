"""Tiny configs, one a family of systems, for what holds for all of them."""

from typing import Any

import jax
import numpy as np
import pytest

from library.data import sources
from library.task import TrainState
from tests import tiny

SIZE = 8
# Adam would make steps of what is rounding only, such as the gradient of a key's bias.
SGD = dict(name="sgd", learning_rate=0.05, momentum=0.9)
SMALL_VIT = dict(width=8, depth=1, num_heads=2, patch_size=4)
UNET = dict(width=8, multipliers=(1,), num_blocks=1, attention=(), dropout=0.0)
TEXT = dict(
    name="tiny_text", tokenizer=dict(name="character"), context=8, batch_size=16, cache="device"
)
IMAGES = dict(samples=dict(kind="samples", num=8))
LANGUAGE = dict(samples=dict(kind="samples.text", prompt="ab", num=2, length=8))

SCENES = dict(name="tiny_scenes")
PAIRS = [
    dict(name="tokenize", keys=["a", "b"], tokenizer=dict(name="byte")),
    dict(name="pad_series", length=9),
]
SOUNDS = dict(name="tiny_sounds")
CLASSIFIED = [
    dict(name="select", keys=["audio", "label"]),
    dict(name="pad_series", length=80),
]
SPECTRA = dict(rate=8000, window=0.002, hop=0.001)
HEARD = ["audio", "audio_mask"]
OVERLAY = dict(kind="samples", output="overlay", split="test", num=4)

GRAPHS = dict(name="tiny_graphs", graphs=dict(num_graphs=2, num_nodes=12, num_edges=20))

# What each config changes of `tiny.config`; only the generator of "gan" normalizes by batch.
FAMILIES: dict[str, dict[str, Any]] = {
    "autoencoder": dict(
        model=dict(name="autoencoder.dense", hidden=(8,), latent_dim=4),
        task=dict(name="autoencoding", corruption="masking", corruption_level=0.3),
        evaluate=dict(samples=dict(kind="samples", output="reconstruct", split="test", num=8)),
    ),
    "layerwise": dict(
        model=dict(name="autoencoder.deep", hidden=(8,), latent_dim=4),
        task=dict(
            name="autoencoding", objective="layerwise", corruption="masking", corruption_level=0.3
        ),
        optimizer={**SGD, "phases": 2},
        total="4 steps",
        evaluate=dict(samples=dict(kind="samples", output="denoise", split="test", num=8)),
    ),
    "vae": dict(
        model=dict(name="vae.dense", hidden=(8,), latent_dim=2),
        task=dict(name="variational", binarize=True),
        evaluate=IMAGES,
    ),
    # It has what a state can hold: batch statistics, vectors of spectral normalization, averages.
    "gan": dict(
        model=dict(
            generator=dict(name="sngan.generator", width=4),
            discriminator=dict(name="sngan.discriminator", width=4),
        ),
        task=dict(name="gan", latent_size=4, loss="hinge", conditional=True),
        optimizer=dict(discriminator=dict(SGD), generator=dict(SGD)),
        ema=dict(decay=0.9),
        evaluate=IMAGES,
    ),
    "diffusion": dict(
        model=dict(name="ddpm_unet", **UNET),
        task=dict(name="diffusion", timesteps=10, sampler=dict(name="ddim", steps=2)),
        ema=dict(decay=0.9),
        evaluate=IMAGES,
    ),
    "simclr": dict(
        model=dict(name="simclr", encoder=dict(tiny.VIT), hidden=8, width=4, norm="none"),
        task=dict(name="contrastive"),
        augment=[dict(name="random_crop", padding=1)],
        views=2,
        optimizer=dict(name="lars", learning_rate=0.1),
    ),
    "triplet": dict(
        model=dict(name="cnn.small", num_classes=4, widths=(4,), norm="group"),
        task=dict(name="triplet", margin=0.5),
        evaluate=dict(test=dict(kind="metrics")),
    ),
    "mae": dict(
        model=dict(name="mae", decoder_width=8, decoder_depth=1, decoder_heads=2, **SMALL_VIT),
        task=dict(name="mae", mask_ratio=0.5),
        evaluate=dict(
            samples=dict(kind="samples", output="masked_reconstruct", split="test", num=8)
        ),
    ),
    # Maps move with their images, by the host and on the device.
    "unet": dict(
        dataset=SCENES,
        preprocess=[dict(name="select", keys=["image", "map"])],
        model=dict(name="unet", widths=(4, 8), dropout=0.0),
        task=dict(name="segmentation"),
        augment=[dict(name="flip_lr"), dict(name="random_crop", padding=2)],
        evaluate=dict(test=dict(kind="metrics"), shown=OVERLAY, cases=dict(kind="cases", num=1)),
    ),
    "detector": dict(
        dataset=SCENES,
        preprocess=[
            dict(name="select", keys=["image", "boxes", "boxes_label"]),
            dict(name="pad_objects", num=3),
        ],
        model=dict(name="grid_detector", widths=(4, 4), normalization="group"),
        task=dict(name="detection"),
        augment=[dict(name="flip_lr"), dict(name="random_crop", padding=1)],
        evaluate=dict(test=dict(kind="metrics"), shown=OVERLAY),
    ),
    "restoration": dict(
        model=dict(name="espcn", scale=2, widths=(4, 4)),
        task=dict(name="restoration", degradation=dict(name="downscale", factor=2)),
        augment=[dict(name="flip_lr"), dict(name="quarter_turns")],
        evaluate=dict(
            test=dict(kind="metrics"),
            shown=dict(kind="cases", output="triplet", score="psnr", mode="max", num=1),
        ),
    ),
    "colourization": dict(
        preprocess=[dict(name="decode", channels=3)],
        model=dict(name="unet", num_classes=2, widths=(4, 8), dropout=0.0),
        task=dict(name="colourization", objective="regression"),
        evaluate=dict(shown=dict(kind="samples", output="triplet", split="test", num=4)),
    ),
    "adversarial_restoration": dict(
        model=dict(
            generator=dict(name="context_encoder", channels=1, width=4),
            discriminator=dict(name="dcgan.discriminator", width=4, norm="none"),
        ),
        task=dict(
            name="adversarial_restoration",
            degradation=dict(name="erase", place="random"),
            adversarial_weight=0.1,
        ),
        optimizer=dict(discriminator=dict(SGD), generator=dict(SGD)),
        evaluate=dict(
            test=dict(kind="metrics"),
            shown=dict(kind="samples", output="triplet", split="test", num=4),
        ),
    ),
    # Points at three scales learn from the objects that they fit best, and the loss of a batch is
    # divided by what they learn.
    "yolo": dict(
        dataset=SCENES,
        preprocess=[
            dict(name="select", keys=["image", "boxes", "boxes_label"]),
            dict(name="resize", size=64),
            dict(name="pad_objects", num=3),
        ],
        model=dict(name="yolo_v8", depth=0.1, width=0.03, num_bins=4, normalization="group"),
        task=dict(name="detection", method=dict(name="aligned", num_bins=4), num_detections=8),
        # Large steps would make another assignment of what is rounding only.
        optimizer={**SGD, "learning_rate": 1e-5},
        augment=[dict(name="flip_lr"), dict(name="affine", translate=0.1)],
        evaluate=dict(
            test=dict(kind="metrics"), precision=dict(kind="detection_precision"), shown=OVERLAY
        ),
    ),
    "angle": dict(
        preprocess=[dict(name="rotated"), dict(name="select", keys=["image", "target"])],
        model=dict(name="cnn.small", num_classes=2, widths=(4,), norm="group"),
        task=dict(name="angle"),
        evaluate=dict(
            test=dict(kind="metrics"),
            angle=dict(kind="error_by_value", bins=3),
            shown=dict(kind="samples", output="righted", split="test", num=4),
        ),
    ),
    "keypoints": dict(
        dataset=SCENES,
        preprocess=[dict(name="select", keys=["image", "points"])],
        model=dict(name="unet", num_classes=2, widths=(4, 8), dropout=0.0),
        task=dict(name="keypoints", num_points=2),
        augment=[dict(name="affine", degrees=20.0)],
        evaluate=dict(test=dict(kind="metrics"), shown=OVERLAY),
    ),
    # The numbers of the map are bits: a pixel of 3 is in both masks.
    "instances": dict(
        dataset=SCENES,
        preprocess=[dict(name="select", keys=["image", "map", "boxes_label"])],
        model=dict(name="solo", grid=2, widths=(4, 4), width=4, normalization="group"),
        task=dict(name="instances", classes="boxes_label", most=2),
        augment=[dict(name="random_crop", padding=1, map_fill=0)],
        evaluate=dict(
            test=dict(kind="metrics"),
            precision=dict(kind="mask_precision", classes="boxes_label"),
            shown=OVERLAY,
        ),
    ),
    # Two sources, each in its own order.
    "domains": dict(
        dataset=dict(
            name=None,
            sources=dict(source=dict(name="tiny"), target=dict(name="tiny_scenes")),
            pairing="own",
        ),
        preprocess=[
            dict(name="select", keys=["source_image", "source_label", "target_image"]),
            dict(name="random_crop", size=6),
        ],
        model=dict(name="domain_adversarial", widths=(4,), hidden=8),
        task=dict(name="domain_adaptation"),
        evaluate=dict(test=dict(kind="metrics")),
    ),
    # Recordings of different lengths, whose spectra are made on the device.
    "speech": dict(
        dataset=SOUNDS,
        preprocess=CLASSIFIED,
        device_preprocess=[dict(name="log_mel", bands=4, **SPECTRA)],
        augment=[dict(name="spec_augment", time_width=2, band_masks=1, band_width=1)],
        model=dict(name="speech.cnn", widths=(4,), dropout=0.0),
        task=dict(name="classification", inputs=HEARD),
        evaluate=dict(test=dict(kind="metrics")),
    ),
    "ctc": dict(
        dataset=SOUNDS,
        preprocess=[
            dict(name="select", keys=["audio", "tokens"]),
            dict(name="pad_series", length=80, only=["audio"]),
            dict(name="pad_series", length=3, only=["tokens"]),
        ],
        device_preprocess=[dict(name="mfcc", bands=4, coefficients=2, **SPECTRA)],
        model=dict(name="blstm_ctc", width=4, input_noise=0.0),
        task=dict(name="ctc", inputs=HEARD),
        evaluate=dict(test=dict(kind="metrics")),
    ),
    "echo_state": dict(
        dataset=SOUNDS,
        preprocess=CLASSIFIED,
        device_preprocess=[dict(name="log_mel", bands=4, **SPECTRA)],
        model=dict(name="echo_state", units=6, density=0.5, segments=2),
        task=dict(name="echo_state", ridge=1.0),
        optimizer=None,
        evaluate=dict(test=dict(kind="metrics")),
    ),
    # Closed forms: sums over batches, and no optimizer.
    "least_squares": dict(
        model=dict(name="mlp.perceptron"),
        task=dict(name="least_squares", ridge=0.1),
        optimizer=None,
        evaluate=dict(test=dict(kind="metrics")),
    ),
    "perceptron": dict(
        model=dict(name="mlp.perceptron"),
        task=dict(name="perceptron"),
        optimizer=None,
        evaluate=dict(test=dict(kind="metrics")),
    ),
    "principal_components": dict(
        model=dict(name="autoencoder.dense", latent_dim=4, code_activation="linear"),
        task=dict(name="principal_components"),
        optimizer=None,
        evaluate=dict(test=dict(kind="metrics")),
    ),
    "adaline": dict(
        model=dict(name="mlp.perceptron"),
        task=dict(name="adaline"),
        evaluate=dict(test=dict(kind="metrics")),
    ),
    # Several networks that do not see each other.
    "race": dict(
        model=dict(
            sgd=dict(name="mlp", hidden=(4,)),
            other=dict(name="mlp", hidden=(4,), activation="tanh"),
        ),
        task=dict(name="race"),
        optimizer=dict(sgd=dict(SGD), other=dict(name="sgd", learning_rate=0.1)),
        evaluate=dict(test=dict(kind="metrics")),
    ),
    "imputation": dict(
        dataset=dict(name="points/moons"),
        model=dict(name="mlp", num_classes=2, hidden=(4,)),
        task=dict(name="imputation"),
        evaluate=dict(test=dict(kind="metrics")),
    ),
    # No data: a point on a surface.
    "descent": dict(
        dataset=dict(name="none"),
        model=dict(name="surface.saddle"),
        task=dict(name="descent", optimizers=("sgd", "other")),
        optimizer=dict(sgd=dict(SGD), other=dict(name="sgd", learning_rate=0.1)),
        evaluate=IMAGES,
    ),
    # Some nodes count, in graphs of several sizes.
    "nodes": dict(
        dataset=GRAPHS,
        model=dict(name="gcn", num_classes=3, hidden=(4,), dropout=0.0),
        task=dict(name="node_classification", num_classes=3),
        evaluate=dict(test=dict(kind="metrics")),
    ),
    "atoms": dict(
        dataset={**GRAPHS, "cache": "device"},
        model=dict(name="gin.masked", num_classes=3, width=4, depth=1),
        task=dict(name="attribute_masking", num_classes=3, rate=0.4),
        evaluate=dict(test=dict(kind="metrics")),
    ),
    "forecasting": dict(
        dataset=dict(name="tiny_series"),
        model=dict(name="ltsf_linear.nlinear", num_outputs=12),
        task=dict(name="forecasting"),
        evaluate=dict(test=dict(kind="metrics"), shown=dict(kind="forecasts", num=2, channel=1)),
    ),
    "gpt": dict(
        dataset=TEXT,
        model=dict(name="gpt", context=8, width=8, depth=1, num_heads=2),
        task=dict(name="language"),
        evaluate=LANGUAGE,
    ),
    "tagging": dict(
        dataset=dict(name="synthetic/copying2", train="train[:50]", test="test[:21]"),
        model=dict(name="rnn.gru", num_classes=10, width=4, output="each", bidirectional=True),
        task=dict(name="tagging", num_classes=10),
        evaluate=dict(test=dict(kind="metrics")),
    ),
    "piano_roll": dict(
        dataset=dict(name="tiny_rolls"),
        preprocess=[dict(name="pad_series", length=9)],
        model=dict(name="biaxial", time_widths=(3,), note_widths=(3,), dropout=0.0),
        task=dict(name="piano_roll", length=4, prompt=2),
        evaluate=dict(test=dict(kind="metrics"), samples=dict(kind="samples", num=4)),
    ),
    "harmonization": dict(
        dataset=dict(name="tiny_voices"),
        preprocess=[dict(name="chorale", length=9)],
        model=dict(name="deep_bach", voices=2, embedding=2, width=3, depth=1, dropout=0.0),
        task=dict(name="harmonization", length=4, sweeps=2),
        evaluate=dict(
            test=dict(kind="metrics"),
            samples=dict(kind="samples", output="arranged", split="test", num=4),
        ),
    ),
    "lstm": dict(
        dataset={**TEXT, "order": "streams"},
        model=dict(name="recurrent.lstm", width=8, depth=1),
        task=dict(name="language"),
        evaluate=LANGUAGE,
    ),
    "masked_language": dict(
        dataset=dict(name="tiny_pairs"),
        preprocess=[
            dict(
                name="sentence_pairs",
                document="a",
                other="b",
                tokenizer=dict(name="byte"),
                length=10,
            )
        ],
        model=dict(
            name="bert",
            context=10,
            width=8,
            depth=1,
            num_heads=2,
            feed_forward=8,
            num_types=4,
            dropout=0.0,
        ),
        task=dict(name="masked_language", rate=0.3),
        evaluate=dict(test=dict(kind="metrics")),
    ),
    "given_vectors": dict(
        dataset=dict(name="tiny_words"),
        preprocess=[
            dict(name="tokenize", keys=["text"], tokenizer=dict(name="word")),
            dict(name="pad_series", length=2),
        ],
        model=dict(name="word_table", width=3),
        task=dict(name="given_vectors"),
        optimizer=None,
        evaluate=dict(test=dict(kind="metrics")),
    ),
    "visual_explanation": dict(
        dataset=dict(name="tiny_captions"),
        preprocess=[
            dict(name="tokenize", keys=["caption"], tokenizer=dict(name="word")),
            dict(name="pad_series", length=5),
        ],
        model=dict(
            judge=dict(name="rnn.gru", width=3),
            explainer=dict(name="explainer", widths=(2,), features=3, embedding=2, width=3),
        ),
        task=dict(name="visual_explanation", inputs=["image", "caption"], samples=2),
        evaluate=dict(
            test=dict(kind="metrics"),
            words=dict(
                kind="distinguishing_words",
                telling=[["a"], ["b"], ["c"], ["d"]],
                true=[["a"], ["b"], ["c"], ["d"]],
                shown=2,
            ),
        ),
    ),
    "translator": dict(
        dataset=dict(name="tiny_pairs"),
        preprocess=PAIRS,
        model=dict(name="seq2seq.bahdanau", width=4, embedding=4),
        task=dict(name="translation", inputs=["a", "b"], beams=2),
        evaluate=dict(
            test=dict(kind="metrics"),
            shown=dict(kind="samples", output="alignment", split="test", num=2),
        ),
    ),
}


def config(family: str, **changes: Any) -> dict[str, Any]:
    """Returns the config of a family."""
    values = {"optimizer": SGD, "normalize": None, **FAMILIES[family]}
    dataset = {**values.pop("dataset", {}), **changes.pop("dataset", {})}
    return tiny.config(**{**values, **changes, "dataset": dataset})


def stirred(state: TrainState) -> TrainState:
    """Returns a state whose params, and their averages, are none that a model starts with."""
    random = np.random.default_rng(0)

    def noisy(params):
        return jax.tree.map(lambda p: np.float32(p + 0.5 * random.normal(size=p.shape)), params)

    ema = state.ema and {**state.ema, "params": noisy(state.ema["params"])}
    return state.replace(params=noisy(state.params), ema=ema)


def scenes(num: int, seed: int) -> sources.Source:
    """Returns images with a map of four classes, and a box about the pixels of two of them."""
    random = np.random.default_rng(seed)
    corners = random.integers(0, SIZE - 3, (num, 2, 2))
    boxes = np.concatenate([corners, corners + random.integers(2, 4, (num, 2, 2))], axis=-1)
    number, place = random.integers(1, 4, (num, 2)), np.arange(SIZE)
    classes = np.zeros((num, SIZE, SIZE), np.uint8)
    for each in range(2):
        top, left, bottom, right = boxes[:, each].T[..., None]
        rows, columns = (
            (low <= place) & (place < high) for low, high in ((top, bottom), (left, right))
        )
        inside = rows[:, :, None] & columns[:, None, :]
        classes = np.where(inside, number[:, each, None, None], classes).astype(np.uint8)
    image = random.integers(0, 50, (num, SIZE, SIZE, 1)) + 60 * classes[..., None]
    found = {"image": image.astype(np.uint8), "map": classes, "boxes": np.float32(boxes / SIZE)}
    found["boxes_label"] = number.astype(np.int32)
    found["points"] = np.float32(boxes.reshape(num, 2, 2, 2).mean(2) / SIZE)
    return sources.from_arrays(found, label_names=tiny.CLASSES, name="tiny_scenes")


def pairs(num: int, seed: int) -> sources.Source:
    """Returns words of 2 to 8 letters, and the same words backwards in capitals."""
    random = np.random.default_rng(seed)
    words = ["".join(random.choice(list("abcd"), random.integers(2, 9))) for _ in range(num)]
    found = {"a": np.array(words), "b": np.array([word[::-1].upper() for word in words])}
    return sources.from_arrays(found, name="tiny_pairs", kinds={"a": "text", "b": "text"})


def vectors(num: int, seed: int) -> sources.Source:
    """Returns words of letters, each with a vector."""
    words = np.array(["".join("abcdefghij"[int(i)] for i in str(row)) for row in range(num)])
    vector = np.random.default_rng(seed).normal(size=(num, 3)).astype(np.float32)
    kinds = {"text": "text", "vector": "array"}
    return sources.from_arrays({"text": words, "vector": vector}, name="tiny_words", kinds=kinds)


def sounds(num: int, seed: int) -> sources.Source:
    """Returns noise of 50 to 80 samples whose loudness is the label, with 1 to 3 tokens."""
    random = np.random.default_rng(seed)
    label = random.integers(0, len(tiny.CLASSES), num).astype(np.int32)
    audio, tokens = np.empty(num, object), np.empty(num, object)
    for row in range(num):
        noise = random.normal(size=random.integers(50, 81)) * 1000 * (1 + label[row])
        audio[row] = noise.astype(np.int16)
        tokens[row] = random.integers(0, len(tiny.CLASSES), random.integers(1, 4)).astype(np.int32)
    held = {"audio": audio, "tokens": tokens, "label": label}
    return sources.from_arrays(held, label_names=tiny.CLASSES, name="tiny_sounds")


def paths(num: int, seed: int) -> sources.Source:
    """Returns graphs of two to six nodes in a row, with classes of nodes."""
    random, graphs = np.random.default_rng(seed), []
    for size in random.integers(2, 7, num):
        kind, place = random.integers(0, 3, size).astype(np.int32), np.arange(size - 1)
        edges = np.stack([place, place + 1], axis=1).astype(np.int32)
        graphs.append(
            {
                "nodes": np.eye(3, dtype=np.float32)[kind],
                "edges": np.concatenate([edges, edges[:, ::-1]]),
                "edge_features": np.ones((2 * size - 2, 1), np.float32),
                "node_kind": kind,
                "node_label": np.roll(kind, 1),
                "node_counted": random.integers(0, 2, size).astype(np.float32),
            }
        )
    found = {name: np.empty(num, object) for name in graphs[0]}
    for name, values in found.items():
        values[:] = [graph[name] for graph in graphs]
    return sources.from_arrays(found, name="tiny_graphs")


def series(num: int, seed: int) -> sources.Source:
    """Returns random walks of two channels: six steps that are known, and two to be forecast."""
    random = np.random.default_rng(seed)
    walks = np.cumsum(random.normal(size=(num, 8, 2)), axis=1).astype(np.float32)
    held = {"series": walks[:, :6], "target": walks[:, 6:].reshape(num, 4)}
    return sources.from_arrays(held, name="tiny_series")


def rolls(num: int, seed: int) -> sources.Source:
    """Returns pieces of 5 to 9 frames of 3 notes."""
    random, series = np.random.default_rng(seed), np.empty(num, object)
    for row in range(num):
        size = (random.integers(5, 10), 3)
        series[row] = random.integers(0, 2, size).astype(np.float32)
    return sources.from_arrays({"series": series}, name="tiny_rolls")


def voices(num: int, seed: int) -> sources.Source:
    """Returns pieces of 5 to 9 pitches of two voices."""
    random = np.random.default_rng(seed)
    held = {name: np.empty(num, object) for name in ("series", "onset")}
    for row in range(num):
        size = (random.integers(5, 10), 2)
        held["series"][row] = random.integers(59, 62, size).astype(np.float32)
        held["onset"][row] = random.integers(0, 2, size).astype(np.int32)
    return sources.from_arrays(held, name="tiny_voices", kinds={"onset": "array"})


def captions(num: int, seed: int) -> sources.Source:
    """Returns images of four classes, and for each one to four words."""
    found, random = tiny.arrays(num, seed=seed, size=SIZE), np.random.default_rng(seed)
    words = [random.choice(list(tiny.CLASSES), random.integers(1, 5)) for _ in range(num)]
    found["caption"] = np.array([" ".join(each) for each in words])
    return sources.from_arrays(
        found, label_names=tiny.CLASSES, name="tiny_captions", kinds={"caption": "text"}
    )


def serve(patch: pytest.MonkeyPatch) -> None:
    """Makes what the names of `tiny_*` say: scenes, sounds, graphs, music, texts."""
    tiny.serve(patch, train=tiny.arrays(50, size=SIZE), test=tiny.arrays(21, seed=1, size=SIZE))
    images = sources.open_source
    random = np.random.default_rng(0)
    texts = {split: "".join(random.choice(list("abc \n"), 400)) for split in ("train", "test")}
    texts["foreign"] = "abé\n" * 10

    def open_source(name, split, **options):
        if name == "tiny_scenes":
            return scenes(50, 0) if split == "train" else scenes(21, 1)
        if name == "tiny_pairs":
            return pairs(50, 0) if split == "train" else pairs(21, 1)
        if name == "tiny_words":
            return vectors(50, 0) if split == "train" else vectors(21, 1)
        if name == "tiny_captions":
            return captions(50, 0) if split == "train" else captions(21, 1)
        if name == "tiny_rolls":
            return rolls(50, 0) if split == "train" else rolls(21, 1)
        if name == "tiny_voices":
            return voices(50, 0) if split == "train" else voices(21, 1)
        if name == "tiny_sounds":
            return sounds(50, 0) if split == "train" else sounds(21, 1)
        if name == "tiny_graphs":
            return paths(50, 0) if split == "train" else paths(21, 1)
        if name == "tiny_series":
            return series(50, 0) if split == "train" else series(21, 1)
        if name != "tiny_text":
            return images(name, split, **options)
        return sources.Source([{"text": texts[split]}], None, str)

    patch.setattr(sources, "open_source", open_source)
