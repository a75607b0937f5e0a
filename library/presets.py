"""Settings that many recipes share: data, preprocessing, augmentation, and a small version.

A config file imports these and states the rest itself: the model, the task, the optimizer, the
length and the augmentation. Long augmentations that several papers share have names here, as have
the running averages of torchvision, and the model and the optimizer of nanoGPT.
"""

from typing import Any

from ml_collections import ConfigDict

# Means and standard deviations of the channels.
IMAGENET_COLOURS = dict(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
CIFAR10_COLOURS = dict(mean=[0.4914, 0.4822, 0.4465], std=[0.2470, 0.2435, 0.2616])
CIFAR100_COLOURS = dict(mean=[0.5071, 0.4865, 0.4409], std=[0.2673, 0.2564, 0.2762])
# Images in [-1, 1].
SIGNED = dict(mean=[0.5, 0.5, 0.5], std=[0.5, 0.5, 0.5])

# Patterns of all matrices and embeddings, those of positions, too: nanoGPT decays them.
MATRICES = ["kernel$", "embedding$"]

# TensorFlow's distorted bounding box: its ratios are not quite 3/4 to 4/3.
TENSORFLOW_BOX = dict(area=[0.05, 1.0], ratio=[0.75, 1.33])


def imagenet(batch_size: int, **options: Any) -> ConfigDict:
    """Returns the data, evaluation and checkpoint settings of a recipe on ImageNet-1k.

    Args:
      batch_size: images per step.
      **options: further settings of `dataset`; they take precedence over those here.
    """
    data = dict(name="imagenet2012", train="train", test="validation", workers=16, threads=2)
    return _measured(dict(data, batch_size=batch_size, **options))


def in_memory(
    name: str, batch_size: int, eval_batch_size: int = 1000, **options: Any
) -> ConfigDict:
    """Returns the data, evaluation and checkpoint settings for a dataset that fits on a device.

    Args:
      name: name of the dataset, whose splits are "train" and "test".
      batch_size: examples per step.
      eval_batch_size: examples per batch of an evaluation.
      **options: further settings of `dataset`.
    """
    sizes = dict(batch_size=batch_size, eval_batch_size=eval_batch_size)
    return _measured(
        dict(name=name, train="train", test="test", cache="device", **sizes, **options)
    )


def photographs(scale: int, patch: int, batch_size: int, **options: Any) -> ConfigDict:
    """Returns the data and measurement of a recipe that enlarges photographs.

    It trains on random squares of 60 photographs of CBSD68, in all eight orientations, keeps the
    best state by the other eight, and measures Set5 and Set14 whole.

    Args:
      scale: how many times the sides are enlarged.
      patch: side of a square before it is enlarged, in pixels.
      batch_size: squares per step.
      **options: further settings of `dataset`.
    """
    config = ConfigDict()
    sizes = dict(batch_size=batch_size, eval_batch_size=1)
    config.dataset = dict(name="sr_photos/cbsd68", train="test[:60]", test="test[60:]", **sizes)
    config.dataset.update(cache="device", **options)
    whole = [dict(name="decode"), dict(name="crop_multiple", unit=scale)]
    upright = [dict(name="decode"), dict(name="landscape")]
    config.preprocess = dict(train=upright, test=[*upright, whole[1]])
    config.augment = [dict(name="random_crop", size=scale * patch)]
    config.augment += [dict(name="flip_lr"), dict(name="quarter_turns")]
    config.splits, config.evaluate = {}, dict(test=dict(kind="metrics", every="10%"))
    for name, (height, width) in {"set5": (512, 512), "set14": (656, 768)}.items():
        canvas = [side // scale * scale for side in (height, width)]
        extended = [*whole, dict(name="mirror", size=canvas)]
        config.splits[name] = dict(dataset=f"sr_photos/{name}", preprocess=extended)
        every = "10%" if name == "set5" else "100%"
        config.evaluate[name] = dict(kind="metrics", split=name, every=every)
    shown = dict(kind="cases", output="triplet", score="psnr", mode="max", num=1, every="100%")
    config.evaluate.shown = dict(split="test", **shown)
    config.checkpoint = dict(every="10%", best="test/psnr")
    config.log_every = "1%"
    config.seed = 0
    return config


def objects(
    name: str,
    batch_size: int,
    sizing: list[dict],
    num_objects: int,
    drop_difficult: bool = False,
    **options: Any,
) -> ConfigDict:
    """Returns the part of a detector's recipe that is data and measurement.

    Average precision is measured on the test split, and some of its images are shown with boxes.

    Args:
      name: name of the dataset, whose features are `boxes` and `boxes_label`.
      batch_size: images per step.
      sizing: host preprocessing that gives images one size.
      num_objects: objects an image has room for.
      drop_difficult: whether training leaves out the objects that are marked as difficult.
      **options: further settings of `dataset`, in place of those here.
    """
    config = ConfigDict()
    known = dict(name=name, train="train", test="test", batch_size=batch_size, eval_batch_size=8)
    config.dataset = dict(known, **options)
    test = [dict(name="decode"), *sizing, dict(name="pad_objects", num=num_objects)]
    train = [dict(name="drop_difficult"), *test]
    config.preprocess = dict(train=train, test=test) if drop_difficult else test
    config.evaluate = dict(
        test=dict(kind="metrics", every="10%"),
        precision=dict(kind="detection_precision", every="10%"),
        shown=dict(kind="samples", output="overlay", split="test", num=4, every="25%"),
    )
    config.checkpoint = dict(every="10%", best="precision/map50", mode="max")
    config.log_every = "20 steps"
    config.seed = 0
    return config


# BCCD's photographs, 480x640, at half of their size with blank rows up to a multiple of 32.
HALF_OF_BCCD = [dict(name="letterbox", size=[256, 320], fill=128)]


def text(
    name: str,
    every: str,
    prompt: str | list[str] | None = None,
    length: int = 400,
    samples_every: str | None = None,
    **options: Any,
) -> ConfigDict:
    """Returns the part of a language model's recipe that is data and measurement.

    Args:
      name: of the text, whose test split is "test".
      every: how often the test loss is measured and a checkpoint is saved.
      prompt: what samples continue, one text for all or one each; None is an empty one.
      length: tokens of a sample.
      samples_every: how often four samples are drawn, by default as often as the loss is measured.
      **options: further settings of `dataset`, such as the tokenizer and the context, in place of
        those here.
    """
    samples = dict(kind="samples.text", num=4, length=length, every=samples_every or every)
    if prompt is not None:
        samples["prompt"] = prompt
    config = ConfigDict()
    config.dataset = dict(dict(name=name, train="train", test="test"), **options)
    config.preprocess = []
    config.evaluate = dict(test=dict(kind="metrics", every=every), samples=samples)
    config.checkpoint = dict(every=every, best="test/loss", mode="min")
    config.log_every = "100 steps"
    config.seed = 0
    return config


def adding(length: int, batch_size: int = 32) -> ConfigDict:
    """Returns the data, task and evaluation of the adding problem, as in Bai et al. 2018.

    50,000 series are for training and 1,000 for tests.

    Args:
      length: steps of a series.
      batch_size: series per step.
    """
    config = _problem(f"synthetic/adding{length}", 50_000, batch_size)
    config.task = dict(name="regression", inputs=["series"])
    return config


def copying(length: int, batch_size: int = 32) -> ConfigDict:
    """Returns the data, task and evaluation of the copy problem, as in Bai et al. 2018.

    10,000 series are for training and 1,000 for tests; the model has 10 classes.

    Args:
      length: steps between the symbols and their repetition.
      batch_size: series per step.
    """
    config = _problem(f"synthetic/copying{length}", 10_000, batch_size)
    config.task = dict(name="tagging", num_classes=10)
    return config


def sequential_mnist(batch_size: int = 64, permuted: bool = False) -> ConfigDict:
    """Returns the data, task and evaluation of MNIST that is read pixel by pixel.

    Args:
      batch_size: images per step.
      permuted: whether the pixels come in a random order, the same for all images.
    """
    config = in_memory("mnist_npz", batch_size, eval_batch_size=500)
    series = dict(name="to_series", mean=0.1307, std=0.3081, permutation=0 if permuted else None)
    config.preprocess = [dict(name="decode", channels=1), series]
    config.task = dict(name="classification", inputs=["series"])
    return config


def piano_rolls(name: str, batch_size: int) -> ConfigDict:
    """Returns the data, task and evaluation of a model that predicts the notes of the next frame.

    The pieces of "nottingham" are cut to 512 frames in training, each time at another place; 5 in
    100 are longer. Evaluations see whole pieces.

    Args:
      name: the pieces, "jsb" or "nottingham".
      batch_size: pieces per step.
    """
    train, whole = {"jsb": (129, 160), "nottingham": (512, 1793)}[name]
    config = ConfigDict()
    config.dataset = dict(
        name=f"jsb_chorales/{name}",
        train="train",
        test="test",
        batch_size=batch_size,
        eval_batch_size=10,
    )
    config.preprocess = dict(
        train=[dict(name="pad_series", length=train, crop="random")],
        test=[dict(name="pad_series", length=whole)],
    )
    config.splits = dict(validation=dict(split="valid"))
    config.task = dict(name="piano_roll")
    config.evaluate = dict(
        validation=dict(kind="metrics", split="validation", every="5%"),
        test=dict(kind="metrics", every="100%"),
        drawn=dict(kind="samples", num=4, every="50%"),
    )
    config.checkpoint = dict(every="5%", best="validation/loss", mode="min")
    config.log_every = "50 steps"
    config.seed = 0
    return config


def _problem(name: str, examples: int, batch_size: int) -> ConfigDict:
    config = in_memory(name, batch_size, eval_batch_size=200)
    config.dataset.train, config.dataset.test = f"train[:{examples}]", "test[:1000]"
    config.preprocess = []
    config.evaluate.gradients = dict(kind="gradient_norms", every="100%")
    config.checkpoint = dict(every="1 epoch", best="test/loss", mode="min")
    return config


def forecasting(series: str, known: int, ahead: int, batch_size: int = 32) -> ConfigDict:
    """Returns the data, task and evaluation of forecasts of all channels of a series.

    The errors are those of channels that are standardized by the training split.

    Args:
      series: the dataset with the series, such as "ett/etth1".
      known: steps that are known.
      ahead: steps to be forecast.
      batch_size: windows per step.
    """
    config = in_memory(f"windows/{known}x{ahead}/{series}", batch_size, eval_batch_size=500)
    config.splits = dict(validation=dict(split="val"))
    config.preprocess = []
    config.task = dict(name="regression", inputs=["series"])
    validation = dict(kind="metrics", split="validation", every="1 epoch")
    config.evaluate = dict(validation=validation, test=dict(kind="metrics", every="100%"))
    config.checkpoint = dict(every="1 epoch", best="validation/mse", mode="min")
    return config


def intervals(series: str, known: int, ahead: int, batch_size: int = 16) -> ConfigDict:
    """Returns the data, task and evaluation of forecasts with an interval of 90 %.

    Args:
      series: the dataset with the series, whose splits are "train" and "test".
      known: steps that are known.
      ahead: steps to be forecast.
      batch_size: windows per step.
    """
    config = in_memory(f"windows/{known}x{ahead}/{series}", batch_size, eval_batch_size=200)
    config.preprocess = []
    config.task = dict(name="forecasting", levels=[0.05, 0.5, 0.95])
    config.evaluate = dict(
        test=dict(kind="metrics", every="100%"), shown=dict(kind="forecasts", every="100%")
    )
    config.checkpoint = dict(every="50%")
    config.log_every = "5%"
    return config


def anomalies(known: int) -> ConfigDict:
    """Returns the data and evaluation of a detector of anomalies on NAB, one for all its series.

    A model trains on the first part of each series, which the benchmark does not score. It sees
    steps relative to the last known one, because series leave the level of their first part.

    Args:
      known: steps that are known before each step.
    """
    config = in_memory(f"windows/{known}x1/nab", batch_size=256, eval_batch_size=4096)
    config.preprocess = [dict(name="relative")]
    config.task = dict(name="regression", inputs=["series"], loss="huber")
    # A step is judged by its own error, against a Gaussian of all errors before (Malhotra 2015).
    config.evaluate = dict(nab=dict(kind="nab", short=1, every="100%"))
    config.checkpoint = dict(every="50%")
    return config


def spoken_digits(name: str = "fsdd", bands: int = 40) -> ConfigDict:
    """Returns the data, task and evaluation of a classifier of spoken digits by log-mel spectra.

    A second is read; 7 in 1,000 recordings are longer.

    Args:
      name: "fsdd", or "fsdd_speakers/theo", whose tests are of one speaker, whom training lacks.
      bands: bands of a spectrum.
    """
    config = in_memory(name, batch_size=64, eval_batch_size=100)
    config.preprocess = [
        dict(name="select", keys=["audio", "label"]),
        dict(name="pad_series", length=8000, crop="start"),
    ]
    config.device_preprocess = [dict(name="log_mel", rate=8000, bands=bands)]
    config.task = dict(name="classification", inputs=["audio", "audio_mask"])
    config.evaluate = dict(test=dict(kind="metrics", every="10 epochs"))
    config.checkpoint = dict(every="10 epochs", best="test/accuracy")
    config.log_every = "50 steps"
    return config


# Length of a series of each set of `gestures`, and a batch size for its few examples.
GESTURES = {
    "gun_point": (150, 10),
    "basic_motions": (100, 8),
    "pickup_gesture_wiimote": (361, 10),
    "japanese_vowels": (25, 16),
    "arrow_head": (251, 6),
}


def gestures(name: str) -> ConfigDict:
    """Returns the data, task and evaluation of a classifier of a small set of series.

    Each channel has mean 0 and deviation 1 over the training split. Shorter series are padded.

    Args:
      name: one of GESTURES.
    """
    length, batch_size = GESTURES[name]
    config = in_memory(f"gestures/{name}", batch_size, eval_batch_size=50)
    standard = dict(name="standardize", key="series")
    config.preprocess = [standard, dict(name="pad_series", length=length)]
    config.task = dict(name="classification", inputs=["series", "series_mask"])
    config.evaluate = dict(test=dict(kind="metrics", every="10%"))
    config.checkpoint = dict(every="50%")
    config.log_every = "10%"
    return config


def multi30k(
    source: str, target: str, every: str, vocab_size: int = 8000, batch_size: int = 128
) -> ConfigDict:
    """Returns the part of a translator's recipe on Multi30k that is data and measurement.

    Both languages share byte pairs. No sentence of the evaluations is cropped; of the 29,000
    German sentences of training 8 are longer than 48 tokens, with their end, and are cut there.

    Args:
      source: the language that is read, "en", "de" or "fr".
      target: the language that is written.
      every: how often the validation loss is measured and a checkpoint is saved.
      vocab_size: byte pairs, with the 256 bytes.
      batch_size: pairs of sentences a step.
    """
    keys = [source, target]
    pairs = dict(name="tokenize", keys=keys, tokenizer=dict(name="bpe", vocab_size=vocab_size))
    chosen = dict(name="select", keys=keys)
    bleu = dict(kind="bleu", target=target, every="100%")
    config = ConfigDict()
    config.dataset = dict(
        name="multi30k",
        train="train",
        test="test",
        batch_size=batch_size,
        eval_batch_size=128,
        cache="device",
    )
    config.splits = dict(validation=dict(split="val"))
    config.preprocess = dict(
        train=[chosen, pairs, dict(name="pad_series", length=48, crop="start")],
        test=[chosen, pairs, dict(name="pad_series", length=64)],
    )
    config.evaluate = dict(
        validation=dict(kind="metrics", split="validation", every=every),
        test=dict(kind="metrics", split="test", every="100%"),
        translated=bleu,
        alignments=dict(kind="samples", output="alignment", split="test", num=4, every="50%"),
    )
    config.checkpoint = dict(every=every, best="validation/loss", mode="min")
    config.log_every = "50 steps"
    config.seed = 0
    return config


def camvid(
    name: str, batch_size: int, size: list[int] | None = None, weights: str | None = None
) -> ConfigDict:
    """Returns the data, evaluation and checkpoint settings of a recipe on CamVid's eleven classes.

    Pixels of class 11 are unlabelled: `config.task` needs `ignore=11`. The checkpoint is chosen on
    the validation split, and the test split is measured once.

    Args:
      name: "camvid", 360x480 pixels, or "camvid240", 180x240.
      batch_size: images per step.
      size: height and width to pad images to, for networks that do not take every size.
      weights: the rule of the preprocessing `class_weights`, which adds map_class_weights; or None.
    """
    config = ConfigDict()
    config.dataset = dict(
        name=name,
        train="train",
        test="test",
        batch_size=batch_size,
        eval_batch_size=8,
        cache="device",
    )
    config.preprocess = [dict(name="decode")]
    if size is not None:
        config.preprocess.append(dict(name="pad", size=size, map_fill=11))
    if weights is not None:
        balance = dict(name="class_weights", num_classes=11, rule=weights, ignore=11)
        config.preprocess.append(balance)
    config.normalize = dict(mean=[0.417, 0.429, 0.437], std=[0.310, 0.312, 0.306])
    config.evaluate = dict(
        val=dict(kind="metrics", split="val", every="10%"),
        test=dict(kind="metrics", every="100%"),
        cases=dict(kind="cases", split="val", score="mean_iou", mode="max", every="50%"),
    )
    config.checkpoint = dict(every="10%", best="val/mean_iou")
    config.log_every = "20 steps"
    config.seed = 0
    return config


# What networks for the nodes of a graph take, and those for whole graphs.
NODE_INPUTS = ["nodes", "edges", "edges_mask", "nodes_mask"]
GRAPH_INPUTS = ["nodes", "edges", "graph", "nodes_mask", "edges_mask", "mask"]
# Classes, nodes and edges in both directions of Planetoid's graphs.
PLANETOID = {"cora": (7, 2_708, 10_556), "citeseer": (6, 3_327, 9_104)}


def planetoid(name: str) -> ConfigDict:
    """Returns the data and measurement of a recipe on one graph of papers, Cora or Citeseer.

    The step sees the whole graph; an epoch is one step. Training counts the 20 labelled nodes of
    each class, "val" 500 others and "test" 1,000. Words of a paper are divided by their number.

    Args:
      name: "cora" or "citeseer".
    """
    _, nodes, edges = PLANETOID[name]

    def counting(split: str) -> list[dict]:
        first = [dict(name="both_directions"), dict(name="normalize_nodes")]
        return [*first, dict(name="count_nodes", split=f"{split}_mask")]

    config = ConfigDict()
    config.dataset = dict(
        name=f"planetoid/{name}",
        train="train",
        test="train",
        batch_size=1,
        cache="device",
        graphs=dict(num_graphs=1, num_nodes=nodes, num_edges=edges),
    )
    config.preprocess = dict(train=counting("train"), test=counting("test"))
    config.splits = dict(val=dict(split="train", preprocess=counting("val")))
    config.evaluate = dict(
        val=dict(kind="metrics", split="val", every="10%"),
        test=dict(kind="metrics", every="10%"),
    )
    config.checkpoint = dict(every="100%")
    config.steps_per_call = 20
    config.log_every = "20 steps"
    config.seed = 0
    return config


def nanogpt_model(**sizes: Any) -> dict[str, Any]:
    """Returns nanoGPT's GPT of given sizes, without biases and with the exact GELU, in bfloat16.

    As large models need it to fit into memory, the blocks are one loop that stores only the
    products with weights.

    Args:
      **sizes: width, depth, num_heads, context, and further arguments of the model.
    """
    memory = dict(scan_layers=True, remat="dots", dtype="bfloat16")
    return dict(name="gpt", bias=False, gelu="exact", **memory, **sizes)


def nanogpt_adamw(
    learning_rate: float, schedule: dict[str, Any], b2: float = 0.95, **options: Any
) -> dict[str, Any]:
    """Returns nanoGPT's optimizer (Karpathy, nanoGPT, train.py).

    Args:
      learning_rate: the peak rate.
      schedule: the spec of the schedule.
      b2: decay of the mean of the squared gradients; 0.99 where a step has few tokens.
      **options: further settings, such as `decayed=presets.MATRICES`.
    """
    decay = dict(weight_decay=0.1, clip=dict(global_norm=1.0))
    return dict(
        name="adamw", learning_rate=learning_rate, b2=b2, schedule=schedule, **decay, **options
    )


def _measured(dataset: dict[str, Any]) -> ConfigDict:
    config = ConfigDict()
    config.dataset = dataset
    config.evaluate = dict(test=dict(kind="metrics", every="1 epoch"))
    config.checkpoint = dict(every="1 epoch", best="test/accuracy")
    config.log_every = "100 steps"
    config.seed = 0
    return config


def crops(size: int = 224, short: int = 256, train: int | None = None, **options: Any) -> dict:
    """Returns the usual preprocessing of photographs: random crops, and centre crops in tests.

    Args:
      size: side of an image, in pixels.
      short: length that the shorter side is resized to before the centre crop, in pixels.
      train: side of an image in training, in pixels; None for `size`.
      **options: `method`, the resizing method of both; `area` and `ratio` of the random crops.
    """
    method = {key: options[key] for key in ("method",) if key in options}
    return dict(
        train=[dict(name="decode"), dict(name="inception_crop", size=train or size, **options)],
        test=[
            dict(name="decode"),
            dict(name="resize_short", size=short, **method),
            dict(name="center_crop", size=size),
        ],
    )


def inception_crops(size: int) -> dict:
    """Returns the preprocessing of TensorFlow-Slim, `inception_preprocessing.py`.

    Tests see the central 87.5 % of an image's height and width.

    Args:
      size: side of an image, in pixels.
    """
    return dict(
        train=[dict(name="decode"), dict(name="inception_crop", size=size, **TENSORFLOW_BOX)],
        test=[
            dict(name="decode"),
            dict(name="central_crop", fraction=0.875),
            dict(name="resize", size=size),
        ],
    )


def caffe_crops(size: int, square: int = 256) -> dict:
    """Returns the preprocessing of Caffe: a resize to a square, then a crop of a fixed size.

    Args:
      size: side of the crop, in pixels.
      square: side of the square that it is cut from, in pixels.
    """
    squares = [dict(name="decode"), dict(name="resize", size=square)]
    return dict(
        train=[*squares, dict(name="random_crop", size=size)],
        test=[*squares, dict(name="center_crop", size=size)],
    )


def inception_colours() -> list[dict]:
    """Returns the augmentation of TensorFlow-Slim: flips and colour jitter with hue."""
    jitter = dict(brightness=32 / 255, contrast=0.5, saturation=0.5, hue=0.2)
    return [dict(name="flip_lr"), dict(name="color_jitter", **jitter)]


def facebook_colours() -> list[dict]:
    """Returns the augmentation of facebookarchive/fb.resnet.torch: jitter, PCA noise and flips."""
    return [
        dict(name="color_jitter", brightness=0.4, contrast=0.4, saturation=0.4),
        dict(name="pca_noise", std=0.1),
        dict(name="flip_lr"),
    ]


def trivial_mixed() -> list[dict]:
    """Returns the augmentation of torchvision's newer weights (pytorch/vision, issue 3995)."""
    return [
        dict(name="flip_lr"),
        dict(name="trivial_augment"),
        dict(name="random_erasing", probability=0.1, area=[0.02, 0.33], fill=0.45),
        dict(name="mixup_cutmix", mixup_alpha=0.2, cutmix_alpha=1.0),
    ]


def deit_mixed() -> list[dict]:
    """Returns DeiT's augmentation (Touvron et al. 2021, table 9) without repeated augmentation."""
    return [
        dict(name="flip_lr"),
        dict(name="rand_augment", num_layers=2, magnitude=9.0, magnitude_std=0.5, probability=0.5),
        dict(name="random_erasing", probability=0.25, area=[0.02, 1 / 3], fill="normal"),
        dict(name="mixup_cutmix", mixup_alpha=0.8, cutmix_alpha=1.0),
    ]


def torchvision_average(batch_size: int, epochs: int) -> dict:
    """Returns the running average of the params of torchvision's newer weights.

    Their program states a decay of 0.99998 and an average every 32 steps. It multiplies the rest,
    1 - 0.99998, by batch size * 32 / epochs.

    Args:
      batch_size: images a step.
      epochs: length of the run.
    """
    return dict(decay=1 - 2e-5 * batch_size * 32 / epochs, every=32)


def shrink_photographs(config: ConfigDict, data: str = "synthetic/36x10") -> None:
    """Shortens a recipe on photographs like `shrink`, without the splits of other datasets.

    Args:
      config: the recipe, changed in place.
      data: name of the synthetic dataset.
    """
    for name in config.get("splits", {}):
        del config.evaluate[name]
    config.splits = {}
    for section in config.evaluate.values():
        section.split = "test"
        if "batch_size" in section:
            del section["batch_size"]
    for operation in config.augment:
        if operation["name"] == "random_crop":
            operation["size"] = min(operation["size"], 18)
    shrink(config, data)


def shrink(
    config: ConfigDict, data: str = "synthetic/80x10", *, size: int | None = None, **model: Any
) -> None:
    """Shortens a recipe to three steps on random data, with smaller images and a smaller model.

    A schedule's warmup, peak, period and fall become one step, and its boundaries come one step
    apart. Every evaluation and checkpoint happens at the end, so the run does not stop early.
    Durations in percent of the run stay.

    Args:
      config: the recipe, changed in place.
      data: name of the synthetic dataset.
      size: side of the crops of training and tests, in pixels; before a centre crop, the shorter
        side is an eighth longer. By default crops stay.
      **model: arguments of the model in place of the recipe's.
    """
    if size is not None:
        config.preprocess = {
            stage: [_smaller(operation, size) for operation in operations]
            for stage, operations in config.preprocess.items()
        }
    if model:
        config.model.update(model)
    kept = {key: config.dataset[key] for key in ("cache", "repeats") if key in config.dataset}
    config.dataset = dict(name=data, train="train[:64]", test="test[:16]", batch_size=8, **kept)
    schedule = config.optimizer.get("schedule", {})
    for key in ("warmup", "peak", "every", "over"):
        if not schedule.get(key, "0%").endswith("%"):
            schedule[key] = "1 step"
    if not all(each.endswith("%") for each in schedule.get("boundaries", [])):
        schedule.boundaries = [f"{1 + i} steps" for i in range(len(schedule.boundaries))]
    config.total = "3 steps"
    config.log_every = "1 step"
    for section in (*config.evaluate.values(), config.checkpoint):
        section.every = "100%"
    for key in ("reported", "stop"):
        if key in config:
            del config[key]


def _smaller(operation: dict[str, Any], size: int) -> dict[str, Any]:
    short = {"resize_short": size * 9 // 8}
    sides = dict.fromkeys(("inception_crop", "random_crop", "center_crop", "resize"), size) | short
    side = sides.get(operation["name"])
    return dict(operation) if side is None else dict(operation, size=side)
