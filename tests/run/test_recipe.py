"""A config that is not understood does not start: each mistake is named, and what is nearest."""

import io
import logging

import jax
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from library.config import ConfigError
from library.data import sources
from library.data.preprocessing import CorruptExample
from library.run import session
from library.run.clock import Clock
from library.run.recipe import make_plan
from tests import tiny

TEST = dict(kind="metrics", every="4 steps")
SGD = dict(name="sgd", learning_rate=0.1)


@pytest.fixture(scope="module", autouse=True)
def data():
    with pytest.MonkeyPatch.context() as patch:
        tiny.serve(patch, train=tiny.arrays(50), test=tiny.arrays(21, seed=1))
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of images of two classes, split in train and test."""
    root = tmp_path_factory.mktemp("images")
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            (root / split / name).mkdir(parents=True)
            for i in range(4):
                image = Image.fromarray(tiny.arrays(4)["image"][i, ..., 0])
                image.save(root / split / name / f"{i}.png")
    return root


def refused(said, **changes):
    """Asserts that a config on eight devices is refused, in two lines at most, with these words."""
    with pytest.raises(ConfigError) as caught:
        make_plan(tiny.config(**changes))
    message = str(caught.value)
    for text in said:
        assert text in message, message
    assert len(message.splitlines()) <= 2


UNKNOWN = {
    "model": (
        dict(model=dict(name="resnet.resnet19")),
        ["unknown model 'resnet.resnet19'", "did you mean 'resnet.resnet1"],
    ),
    "model's module": (dict(model=dict(name="cn.small")), ["'cn.small'", "'cnn.small'"]),
    "task": (
        dict(task=dict(name="clasification")),
        ["unknown task 'clasification'", "did you mean 'classification'"],
    ),
    "dataset": (
        dict(dataset=dict(name="cifar10_jpg")),
        ["unknown dataset 'cifar10_jpg'", "did you mean 'cifar10_jpeg'"],
    ),
    "optimizer": (
        dict(optimizer={**SGD, "name": "sdg"}),
        ["unknown optimizer 'sdg'", "did you mean 'sgd'"],
    ),
    "schedule": (
        dict(optimizer={**SGD, "schedule": dict(name="cosin")}),
        ["unknown schedule 'cosin'", "did you mean 'cosine'"],
    ),
    "augmentation": (
        dict(augment=[dict(name="flip_rl")]),
        ["unknown augmentation 'flip_rl'", "did you mean 'geometry.flip_lr'"],
    ),
    "preprocessing": (
        dict(preprocess=[dict(name="decoed")]),
        ["unknown preprocessing 'decoed'", "did you mean 'decoding.decode'"],
    ),
    "stage": (
        dict(preprocess=dict(tain=[], test=[])),
        ["unknown preprocess stage 'tain'", "did you mean 'train'"],
    ),
    "evaluator": (
        dict(evaluate=dict(test=dict(kind="metric"))),
        ["unknown evaluator 'metric'", "did you mean 'metrics'"],
    ),
    "strategy": (dict(parallel=dict(strategy="gmap")), ["'gmap'", "valid: jit, pmap"]),
    "mesh axis": (dict(parallel=dict(mesh=dict(model=8))), ["mesh axis 'model'", "data, fsdp"]),
    "cache": (dict(dataset=dict(cache="gpu")), ["dataset, cache='gpu'", "none, device"]),
    "policy": (dict(on_nonfinite="ignore"), ["on_nonfinite='ignore'", "stop, skip"]),
    "dtype": (dict(model={**tiny.CONV, "dtype": "float23"}), ["'float23'", "float32"]),
}


@pytest.mark.parametrize("what", UNKNOWN)
def test_an_unknown_name(what):
    changes, said = UNKNOWN[what]
    refused(said, **changes)


UNREAD = {
    "config": (dict(optimiser=SGD), ["config takes no 'optimiser'", "did you mean 'optimizer'"]),
    "dataset": (
        dict(dataset=dict(batchsize=16)),
        ["dataset takes no 'batchsize'", "did you mean 'batch_size'"],
    ),
    "model": (
        dict(model=dict(name="cnn.small", width=[4])),
        ["model 'cnn.small' takes no 'width'", "did you mean 'widths'"],
    ),
    "task": (
        dict(task=dict(name="classification", smoothing=0.1)),
        ["task 'classification' takes no 'smoothing'", "label_smoothing"],
    ),
    "optimizer": (
        dict(optimizer={**SGD, "momentom": 0.9}),
        ["'sgd' takes no 'momentom'", "moment"],
    ),
    "schedule": (
        dict(optimizer={**SGD, "schedule": dict(name="cosine", warm="1 step")}),
        ["schedule 'cosine' takes no 'warm'", "did you mean 'warmup'"],
    ),
    "augmentation": (
        dict(augment=[dict(name="random_crop", pad=1)]),
        ["'random_crop' takes no 'pad'", "did you mean 'padding'"],
    ),
    "evaluator": (
        dict(evaluate=dict(test={**TEST, "batchsize": 8})),
        ["evaluator 'metrics' takes no 'batchsize'", "did you mean 'batch_size'"],
    ),
    "checkpoint": (
        dict(checkpoint=dict(evry="1 step")),
        ["takes no 'evry'", "did you mean 'every'"],
    ),
    "parallel": (dict(parallel=dict(meshes={})), ["takes no 'meshes'", "did you mean 'mesh'"]),
    "ema": (dict(ema=dict(deca=0.9)), ["ema takes no 'deca'", "did you mean 'decay'"]),
    "normalize": (
        dict(normalize=dict(mean=[0.5], sd=[0.5])),
        ["normalize takes no 'sd'", "did you mean 'std'"],
    ),
    "reported": (dict(reported=dict(metrc="test/accuracy")), ["takes no 'metrc'", "'metric'"]),
    "init_from": (dict(init_from=dict(workdri="x")), ["takes no 'workdri'", "'workdir'"]),
    "evaluator's name": (
        dict(evaluate=dict(test=dict(kind="metrics", name="x"))),
        ["evaluate.test takes no 'name'"],
    ),
    "rules under pmap": (
        dict(parallel=dict(strategy="pmap", rules=[["kernel", "fsdp"]])),
        ["'pmap' takes no sharding rules", "kernel"],
    ),
    "rule": (
        dict(parallel=dict(rules=[["^params/haed", "replicated"]])),
        ["'^params/haed' matches no path", "params/head/kernel"],
    ),
    "pattern": (
        dict(optimizer={**SGD, "frozen": ["stem"]}),
        ["frozen: 'stem' matches no parameter", "head/kernel"],
    ),
}


@pytest.mark.parametrize("where", UNREAD)
def test_a_value_that_nothing_reads(where):
    changes, said = UNREAD[where]
    refused(said, **changes)


@pytest.mark.parametrize("value", ["12", 12, "12 seconds", "3 epochs 2 steps", "-3 steps"])
@pytest.mark.parametrize(
    "change",
    [
        lambda d: dict(total=d),
        lambda d: dict(log_every=d),
        lambda d: dict(checkpoint=dict(every=d)),
        lambda d: dict(evaluate=dict(test=dict(kind="metrics", every=d))),
        lambda d: dict(optimizer={**SGD, "schedule": dict(name="cosine", warmup=d)}),
    ],
    ids=["total", "log_every", "checkpoint", "evaluate", "warmup"],
)
def test_a_duration_without_a_unit_or_with_two(change, value):
    refused([repr(value)], **change(value))


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        (dict(total="0 epochs"), "total='0 epochs'"),
        (dict(log_every="0 steps"), "log_every='0 steps'"),
        (dict(checkpoint=dict(every="0%")), "checkpoint.every='0%'"),
        (dict(evaluate=dict(test={**TEST, "every": "0 epochs"})), "evaluate.test.every='0 epochs'"),
    ],
)
def test_a_duration_of_nothing(changes, where):
    refused([where, "less than one step"], **changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (dict(dataset=dict(batch_size=12)), ["batch_size=12", "8 devices", "try 8 or 16"]),
        (dict(dataset=dict(batch_size=4)), ["batch_size=4", "8 devices", "try 8"]),
        (
            dict(dataset=dict(batch_size=24), accumulate=2),
            ["batch_size=24", "8 devices x accumulate=2", "try 16 or 32"],
        ),
        (dict(dataset=dict(eval_batch_size=20)), ["eval_batch_size=20", "try 16 or 24"]),
        (
            dict(evaluate=dict(test={**TEST, "batch_size": 20})),
            ["evaluate.test.batch_size=20", "8 devices", "try 16 or 24"],
        ),
        (dict(parallel=dict(mesh=dict(data=4))), ["multiplies to 4", "8 devices"]),
        (dict(parallel=dict(mesh=dict(data=3, fsdp=3))), ["multiplies to 9", "8 devices"]),
        (
            dict(parallel=dict(strategy="pmap", mesh=dict(data=4, fsdp=2))),
            ["'pmap' splits only data", "'fsdp': 2"],
        ),
    ],
)
def test_batches_and_meshes_that_do_not_fit_the_devices(changes, said):
    refused(said, **changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (dict(dataset=dict(batch_size=0)), "batch_size=0"),
        (dict(dataset=dict(batch_size=-16)), "batch_size=-16"),
        (dict(dataset=dict(batch_size="16")), "batch_size='16'"),
        (dict(dataset=dict(eval_batch_size=0)), "eval_batch_size=0"),
        (dict(dataset=dict(threads=0)), "threads=0"),
        (dict(dataset=dict(workers=-1)), "workers=-1"),
        (dict(model=dict(name="cnn.small", widths=[4, 0])), "(4, 0)"),
        (dict(model=dict(name="mlp.mlp", hidden=[-1])), "hidden"),
        (dict(checkpoint=dict(keep=0)), "keep=0"),
        (dict(accumulate=0), "accumulate=0"),
        (dict(accumulate=-2), "accumulate=-2"),
        (dict(seed=-1), "seed=-1"),
        (dict(seed=2**32), "seed=4294967296"),
        (dict(optimizer=dict(name="sgd", learning_rate=-0.1)), "learning_rate=-0.1"),
        (dict(ema=dict(decay=1.5)), "decay=1.5"),
        (dict(normalize=dict(mean=[0.5], std=[0.0])), "0.0"),
        (dict(normalize=dict(mean=0.5, std=0.5)), "mean=0.5"),
    ],
)
def test_numbers_out_of_range_or_of_another_type(changes, said):
    refused([said], **changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            dict(model={**tiny.CONV, "num_classes": 7}),
            ["ConvNet has num_classes=7", "num_classes=4"],
        ),
        (
            dict(task=dict(name="classification", num_classes=3)),
            ["num_classes=3", "tiny", "4"],
        ),
        (
            dict(model={**tiny.VIT, "patch_size": 3}),
            ["8x8 image does not divide into 3x3 patches", "nearest: 9x9"],
        ),
        (dict(model=dict(name="cnn.lenet5")), ["LeNet-5 takes 28x28 or 32x32", "8x8"]),
        (dict(normalize=dict(mean=[0.5] * 3, std=[0.5] * 3)), ["3 means", "8, 8, 1"]),
        (dict(task=dict(name="regression")), ["target"]),
        (
            dict(model={**tiny.CONV, "dtype": "float16"}, task=dict(name="regression")),
            ["model.dtype='float16'", "'regression'", "nearest: 'bfloat16'"],
        ),
        (
            dict(model={"a": {**tiny.CONV, "dtype": "float16"}}, task=dict(name="gan")),
            ["model.dtype='float16'", "'gan'", "nearest: 'bfloat16'"],
        ),
        (dict(model={**tiny.VIT, "num_heads": 3}), ["num_heads=3", "nearest"]),
    ],
)
def test_parts_that_do_not_fit_together(changes, said):
    refused(said, **changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (dict(evaluate=dict(test=dict(every="1 epoch"))), ["evaluate.test", "dict(kind=..."]),
        (dict(evaluate=dict(test="metrics")), ["evaluate.test", "'metrics'"]),
        (dict(evaluate=dict(train=TEST)), ["evaluate.train", "metrics of training"]),
        (
            dict(evaluate=dict(test=TEST), checkpoint=dict(best="test/acuracy")),
            ["checkpoint.best='test/acuracy' is not measured", "did you mean 'test/accuracy'"],
        ),
        (dict(checkpoint=dict(best="test/accuracy")), ["checkpoint.best='test/accuracy'"]),
        (
            dict(checkpoint=dict(best="train/loss", mode="max")),
            ["checkpoint.mode='max' would keep the worst 'train/loss'", "write 'min'"],
        ),
        (
            dict(evaluate=dict(test=TEST), checkpoint=dict(best="test/accuracy", mode="min")),
            ["checkpoint.mode='min' would keep the worst 'test/accuracy'", "write 'max'"],
        ),
        (
            dict(checkpoint=dict(best="train/gradient_norm")),
            ["checkpoint.best='train/gradient_norm'", "set checkpoint.mode to 'max' or 'min'"],
        ),
        (
            dict(evaluate=dict(test=TEST), checkpoint=dict(best="test_ema/accuracy")),
            ["'test_ema/accuracy' is not measured"],
        ),
        (
            dict(
                evaluate=dict(test=TEST),
                reported=dict(metric="val/accuracy", value=0.5, source="a table"),
            ),
            ["reported.metric='val/accuracy' is not measured", "test/accuracy"],
        ),
        (dict(model="cnn.small"), ["model='cnn.small'", "expected dict"]),
        (dict(model=dict(nam="cnn.small")), ["a model needs a name"]),
        (dict(model={}), ["a model needs a name"]),
        (dict(model=dict(teacher="cnn.small")), ["a model needs a name"]),
        (dict(preprocess=dict(train=[])), ["train and test", "['train']"]),
        (dict(augment=dict(name="flip_lr")), ["augment={'name': 'flip_lr'} is not a list"]),
        (dict(task={}), ["a task needs a name", "classification"]),
    ],
)
def test_sections_that_are_written_wrongly(changes, said):
    refused(said, **changes)


@pytest.mark.parametrize("missing", ["dataset", "model", "task", "optimizer", "total"])
def test_a_section_that_is_missing(missing):
    values = tiny.config()
    del values[missing]
    with pytest.raises(ConfigError, match=f"config needs '{missing}'"):
        make_plan(values)


def test_splits_that_a_data_set_does_not_have(folder):
    own = dict(name="folder", data_dir=str(folder))
    decoded = dict(preprocess=[dict(name="decode", channels=1)])
    evaluated = dict(evaluate=dict(test=TEST))
    good = make_plan(tiny.config(dataset=own, **decoded, **evaluated))
    assert good.label_names == ("cat", "dog")
    refused(["'trian'", "did you mean 'train'"], dataset={**own, "train": "trian"}, **decoded)
    refused(
        ["'tset'", "did you mean 'test'"], dataset={**own, "test": "tset"}, **decoded, **evaluated
    )
    other = dict(evaluate=dict(test={**TEST, "split": "valid"}))
    refused(["'valid'", "valid: ", "train"], dataset=own, **decoded, **other)
    refused(["train[90:]"], dataset={**own, "train": "train[90:]"}, **decoded)
    # A split that nothing evaluates on is not asked for.
    make_plan(tiny.config(dataset={**own, "test": "tset"}, **decoded))


def test_a_refused_config_writes_nothing(tmp_path):
    workdir = tmp_path / "run"
    for changes in (
        dict(evaluate=dict(test=dict(kind="metric"))),
        dict(checkpoint=dict(every="10")),
        dict(init_from=dict(workdir=str(tmp_path / "nowhere"))),
    ):
        console = Console(file=io.StringIO())
        with pytest.raises(ConfigError):
            session.train(tiny.config(**changes), {}, workdir, Clock(), console)
        assert not workdir.exists()


# What a plan holds.


def test_durations_become_steps():
    plan = tiny.plan_on(1, total="3 epochs")
    # 50 examples in batches of 16: 3.125 steps an epoch.
    assert plan.total_steps == 9
    wanted = {"1 epoch": 3, "160 examples": 10, "50%": 4, "1 example": 1, "2 steps": 2}
    assert {text: plan.steps(text) for text in wanted} == wanted


def test_sizes_come_from_the_data():
    plan = tiny.plan_on(
        1, ema=dict(decay=0.9), model=tiny.CONV, augment=[dict(name="mixup", alpha=1.0)]
    )
    assert plan.label_names == tiny.CLASSES
    assert plan.state.params["head"]["kernel"].shape == (4, 4)
    assert plan.state.ema["batch_stats"].keys() == plan.state.variables["batch_stats"].keys()
    assert set(plan.metrics) == {"loss", "accuracy", "gradient_norm", "nonfinite"}
    assert plan.state.params["head"]["bias"].dtype == np.float32


def test_a_target_gives_the_number_of_outputs(monkeypatch):
    data = {"image": tiny.arrays(20)["image"], "target": np.zeros((20, 3), np.float32)}
    tiny.serve(monkeypatch, train=sources.from_arrays(data))
    plan = tiny.plan_on(1, task=dict(name="regression"))
    assert plan.state.params["head"]["kernel"].shape == (5, 3)
    assert plan.metrics["regression"][0].shape == (4, 3)


def test_labels_without_names_need_a_number_of_classes(monkeypatch):
    tiny.serve(monkeypatch, train=sources.from_arrays(tiny.arrays(20)))
    refused(["task 'classification' needs 'num_classes'"], model=tiny.CONV)
    plan = tiny.plan_on(
        1,
        task=dict(name="classification", num_classes=4),
        model={**tiny.CONV, "num_classes": 4},
    )
    assert plan.state.params["head"]["kernel"].shape == (4, 4)


def test_more_classes_than_labels_may_be_stated():
    head = dict(num_classes=9)
    plan = tiny.plan_on(1, model={**tiny.CONV, **head}, task=dict(name="classification", **head))
    assert plan.state.params["head"]["kernel"].shape == (4, 9)


def test_other_labels_may_have_fewer_classes(monkeypatch):
    data = tiny.arrays(20)
    data["coarse"] = (data["label"] // 2).astype(np.int64)
    source = sources.from_arrays(data, label_names=tiny.CLASSES)
    tiny.serve(monkeypatch, train=source)
    two = dict(num_classes=2)
    plan = tiny.plan_on(
        1,
        preprocess=[dict(name="to_label", key="coarse")],
        model={**tiny.CONV, **two},
        task=dict(name="classification", **two),
    )
    assert plan.state.params["head"]["kernel"].shape == (4, 2)


def test_preprocessing_may_differ_between_training_and_evaluation():
    stages = dict(train=[dict(name="resize", size=6)], test=[dict(name="resize", size=10)])
    plan = tiny.plan_on(1, preprocess=stages, model=tiny.CONV, evaluate=dict(test=TEST))
    assert plan.loader.blank["image"].shape == (6, 6, 1)
    assert plan.splits("test").blank["image"].shape == (10, 10, 1)
    assert plan.splits("train").blank["image"].shape == (10, 10, 1)


def test_nothing_is_compiled(caplog):
    changes = dict(model=tiny.CONV, evaluate=dict(test=TEST), ema=dict(decay=0.9))
    with caplog.at_level(logging.WARNING, "jax"), jax.log_compiles():
        make_plan(tiny.config(**changes, augment=[dict(name="random_crop", padding=1)]))
    messages = [record.getMessage() for record in caplog.records]
    assert messages
    assert not [text for text in messages if text.startswith("Compiling")]


def test_a_first_example_that_does_not_decode_is_named(monkeypatch):
    tiny.serve(monkeypatch, train=tiny.encoded(20, broken=[0]))
    decoded = [dict(name="decode", channels=1)]
    with pytest.raises(CorruptExample, match=r"tiny\[0\]"):
        make_plan(tiny.config(preprocess=decoded))
    make_plan(tiny.config(preprocess=decoded, dataset=dict(on_corrupt="skip")))
