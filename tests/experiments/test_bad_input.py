"""A request that is not understood: exit code 2, a line or two that help, nothing written."""

import json

import pytest

from library.run.workdir import open_workdir
from tests import often

RESNET = "--config=configs/resnet/cifar10.py"
BAD = {
    "config path": (
        ["--config=configs/cnn/digit.py"],
        "no config file 'configs/cnn/digit.py': did you mean 'configs/cnn/digits.py'?",
    ),
    "config where it lay before": (
        ["--config=configs/cifar10/resnet.py:resnet20"],
        "config file 'configs/cifar10/resnet.py' is now 'configs/resnet/cifar10.py'",
    ),
    "config by half its path": (["--config=cnn/digits"], "did you mean 'configs/cnn/digits.py'?"),
    "variant": ([RESNET + ":resnet21"], "has no variant 'resnet21': did you mean 'resnet"),
    "variant of none": (["--config=configs/cnn/digits.py:big"], "has no variants: write --config="),
    "flag": (["--workdri=x"], "unknown flag '--workdri': did you mean '--workdir'?"),
    "no flag": (["again"], "'again' is not a flag: write flags as --name=value"),
    "no value": (["--config.seed"], "--config.seed has no value: write --config.seed=VALUE"),
    "section": (["--config.optimzer.b1=0.1"], "takes no 'optimzer': did you mean 'optimizer'?"),
    "key": (
        ["--config.optimizer.learning_rat=0.1"],
        "optimizer 'adamw' takes no 'learning_rat': did you mean 'learning_rate'?",
    ),
    "key by a short name": (
        ["--config.optimizer.lr=0.1"],
        "optimizer 'adamw' takes no 'lr': did you mean 'learning_rate'?",
    ),
    "key of a section": (["--config.lr=0.1"], "did you mean 'optimizer.learning_rate'?"),
    "flag in place of a key": (
        ["--epochs=3"],
        "; --config.KEY=VALUE sets a value of the config",
    ),
    "directory": (
        ["--config=configs/cnn"],
        "config 'configs/cnn' is a directory; recipes and their claims:\n"
        "  configs/cnn/digits.py  test/accuracy 98.50% (the bar this recipe is held to)\n",
    ),
    "key that nothing reads": (["--config.shout=True"], "config takes no 'shout': (valid:"),
    "key of checkpoint": (["--config.checkpoint.evry=3"], "takes no 'evry': did you mean 'every'?"),
    "key of ema": (["--config.ema.decya=0.9"], "ema takes no 'decya': did you mean 'decay'?"),
    "key of normalize": (["--config.normalize.sdt=[1.0]"], "takes no 'sdt': did you mean 'std'?"),
    "type": (
        ["--config.optimizer.learning_rate=fast"],
        "--config.optimizer.learning_rate=fast is of type str, expected float, as in 0.003",
    ),
    "type of a new key": (["--config.model.dropout=much"], "dropout='much' is of type str"),
    "model": (["--config.model.name=cnn.smal"], "model 'cnn.smal': did you mean 'cnn.small'?"),
    "task": (
        ["--config.task.name=clasification"],
        "unknown task 'clasification': did you mean 'classification'?",
    ),
    "dataset": (["--config.dataset.name=digit"], "dataset 'digit': did you mean 'digits'?"),
    "train split": (["--config.dataset.train=trian"], "'trian' of digits: did you mean 'train'?"),
    "test split": (["--config.dataset.test=tset"], "'tset' of digits: did you mean 'test'?"),
    "evaluator's split": (["--config.evaluate.test.split=tets"], "did you mean 'test'?"),
    "empty split": (["--config.dataset.train=train[:0]"], "'train[:0]' of digits is empty"),
    "optimizer": (
        ["--config.optimizer.name=adam_w"],
        "unknown optimizer 'adam_w': did you mean 'adamw'?",
    ),
    "schedule": (
        ["--config.optimizer.schedule.name=cosin"],
        "unknown schedule 'cosin': did you mean 'cosine'?",
    ),
    "augmentation": (
        ["--config.augment.0.name=random_corp"],
        "unknown augmentation 'random_corp': did you mean 'geometry.random_crop'?",
    ),
    "preprocessing": (["--config.preprocess.0.name=decod"], "did you mean 'decoding.decode'?"),
    "evaluator": (
        ["--config.evaluate.test.kind=metric"],
        "unknown evaluator 'metric': did you mean 'metrics'?",
    ),
    "evaluator without a kind": (
        ["--config.evaluate={'test': {'every': '1 epoch'}}"],
        "evaluate.test is written dict(kind=..., every=...), got {'every': '1 epoch'}",
    ),
    "evaluator for other labels": (
        ["--config.evaluate.test.kind=mean_average_precision"],
        "evaluate.test: ",
    ),
    "argument of the model": (
        ["--config.model.stem=cifar"],
        "model 'cnn.small' takes no 'stem': (valid: num_classes, widths, dropout, norm",
    ),
    "argument of the evaluator": (
        ["--config.evaluate.test.spilt=train"],
        "evaluator 'metrics' takes no 'spilt': did you mean 'split'?",
    ),
    "choice": (["--config.on_nonfinite=ignore"], "on_nonfinite='ignore': (valid: stop, skip)"),
    "duration without a unit": (
        ["--config.total=40"],
        "total='40' is not a duration: write one number and one unit of steps, epochs, examples, "
        "%, as in '40 steps', '40 epochs'",
    ),
    "duration with two units": (["--config.total=1 epoch 3 steps"], "is not a duration"),
    "duration of nothing": (["--config.total=0 epochs"], "total='0 epochs' is less than one step"),
    "duration beyond counting": (
        ["--config.total=1e9 epochs"],
        "total='1e9 epochs' is 1,437,000,000,000 examples: valid are at most 4,294,967,295",
    ),
    "dict for a list": (["--config.augment={}"], "augment={} is not a list of values"),
    "negative duration": (["--config.total=-3 steps"], "total='-3 steps' is not a duration"),
    "duration of the log": (["--config.log_every=50"], "log_every=50 is not a duration"),
    "interval of nothing": (["--config.log_every=0 steps"], "log_every='0 steps' is less than one"),
    "seed": (["--config.seed=-1"], "seed=-1: valid are 0 to 4294967295"),
    "duration of checkpoints": (["--config.checkpoint.every=5 stps"], "every='5 stps' is not a"),
    "duration of evaluations": (["--config.evaluate.test.every=5"], "every='5' is not a duration"),
    "devices": (
        ["--config.dataset.batch_size=60"],
        "dataset.batch_size=60 does not divide over 8 devices: try 56 or 64",
    ),
    "devices of an evaluation": (
        ["--config.evaluate.test.batch_size=60"],
        "evaluate.test.batch_size=60 does not divide over 8 devices: try 56 or 64",
    ),
    "devices and parts": (
        ["--config.accumulate=3"],
        "batch_size=64 does not divide over 8 devices x accumulate=3: try 48 or 72",
    ),
    "no batch": (["--config.dataset.batch_size=0"], "batch_size=0: sizes and counts are 1 or more"),
    "negative batch": (["--config.dataset.batch_size=-8"], "batch_size=-8: sizes and counts"),
    "no parts": (["--config.accumulate=0"], "accumulate=0: sizes and counts are 1 or more"),
    "no checkpoints": (["--config.checkpoint.keep=0"], "keep=0: sizes and counts are 1 or more"),
    "no width": (["--config.model.widths=[0, 3]"], "widths=(0, 3): sizes and counts are 1 or more"),
    "one width": (["--config.model.widths=16"], "widths=16 is of type int, expected list"),
    "rate": (["--config.model.dropout=1.5"], "dropout=1.5: a rate is at least 0 and less than 1"),
    "classes": (["--config.model.num_classes=7"], "num_classes=7, but the task has num_classes=10"),
    "patches": (
        ["--config.model={'name': 'vit', 'patch_size': 3}"],
        "a 8x8 image does not divide into 3x3 patches; nearest: 9x9",
    ),
    "channels": (
        ["--config.normalize={'mean': [0.1, 0.2], 'std': [1, 1]}"],
        "2 means cannot normalize images of shape (64, 8, 8, 1)",
    ),
    "mesh": (
        ["--config.parallel.mesh.data=3"],
        "mesh {'data': 3} multiplies to 3, but there are 8 devices",
    ),
    "mesh too large": (
        ["--config.parallel.mesh={'data': 4, 'fsdp': 4}"],
        "mesh {'data': 4, 'fsdp': 4} multiplies to 16, but there are 8 devices",
    ),
    "mesh axis": (["--config.parallel.mesh.dat=8"], "mesh axis 'dat': did you mean 'data'?"),
    "strategy": (["--config.parallel.strategy=pmpa"], "'pmpa': did you mean 'pmap'?"),
    "sharding": (["--config.parallel.rules=[['head', 'fspd']]"], "did you mean 'fsdp'?"),
    "best metric": (
        ["--config.checkpoint.best=test/acuracy"],
        "checkpoint.best='test/acuracy' is not measured: did you mean 'test/accuracy'?",
    ),
    "average of none": (["--config.checkpoint.best=test_ema/loss"], "did you mean 'test/loss'?"),
    "reported metric": (
        ["--config.reported.metric=tests/accuracy"],
        "reported.metric='tests/accuracy' is not measured: did you mean 'test/accuracy'?",
    ),
    "data that is not prepared": (
        [RESNET, "--config.dataset.data_dir={tmp}/data"],
        "'cifar10' is not prepared in {tmp}/data: run\n"
        "  python -m experiments.prepare --dataset=cifar10 --data_dir={tmp}/data",
    ),
    "nothing to start from": (
        ["--config.init_from.workdir={tmp}/other"],
        "{tmp}/other holds no latest checkpoint (looked in {tmp}/other/checkpoints/latest)",
    ),
}


def check_refused(ended, message):
    assert ended.code == 2, ended
    assert message in ended.err
    assert ended.err.startswith("error: ")
    assert ended.err.count("\n") <= 2
    assert "Traceback" not in ended.err
    assert ended.out == ""


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD)
def test_a_mistake_is_found_before_anything_is_written(program, tmp_path, arguments, message):
    arguments = [argument.replace("{tmp}", str(tmp_path)) for argument in arguments]
    ended = program("train", f"--workdir={tmp_path}/runs/a", *arguments)
    check_refused(ended, message.replace("{tmp}", str(tmp_path)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", often.only(["section"], ["config path", "section", "data that is not prepared"])
)
def test_nothing_else_is_printed_by_a_fresh_process(start, tmp_path, name):
    arguments, message = BAD[name]
    arguments = [argument.replace("{tmp}", str(tmp_path)) for argument in arguments]
    process = start("train", f"--workdir={tmp_path}/runs/a", *arguments)
    check_refused(process.ended(), message.replace("{tmp}", str(tmp_path)))
    assert list(tmp_path.iterdir()) == []


def test_a_workdir_that_is_a_file(program, tmp_path):
    path = tmp_path / "file"
    path.write_text("mine")
    check_refused(program("train", f"--workdir={path}"), f"workdir {path} is a file")
    assert path.read_text() == "mine"
    check_refused(program("train", f"--workdir={path}/a"), f"workdir {path}/a cannot be written")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_workdir_that_cannot_be_written(program):
    ended = program("train", "--workdir=/proc/compendium/run")
    check_refused(ended, "workdir /proc/compendium/run cannot be written: No such file")


def test_a_workdir_of_another_config(program, asked, tmp_path):
    other = asked("--config.seed=1", "--config.ema.decay=0.9", "--config.optimizer.b1=0.8")
    path = open_workdir(tmp_path / "a", other.values, other.identity)
    (path / "checkpoints" / "latest" / "3").mkdir(parents=True)
    before = (path / "config.json").read_text()
    ended = program("train", f"--workdir={path}", "--config.optimizer.b1=0.7")
    check_refused(ended, f"workdir {path} belongs to another config")
    for line in ("seed: 0 here, 1 there", "optimizer.b1: 0.7 here, 0.8 there", "ema: "):
        assert line in ended.err
    assert (path / "config.json").read_text() == before
    assert {each.name for each in path.iterdir()} == {"config.json", "checkpoints"}


def test_a_config_that_is_damaged(program, tmp_path):
    path = tmp_path / "config.json"
    path.write_text('{"seed": ')
    check_refused(program("evaluate", f"--workdir={tmp_path}"), f"{path} is damaged")
    check_refused(program("train", f"--workdir={tmp_path}"), f"{path} is damaged")


def test_a_config_file_without_a_config(program, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("config = {}\n")
    check_refused(program("train", f"--config={path}"), "has no function get_config(variant)")


@pytest.mark.parametrize("name", ["evaluate", "generate", "report"])
def test_programs_that_need_a_run(program, tmp_path, name):
    check_refused(program(name), "--workdir=DIR")
    nowhere = tmp_path / "nowhere"
    check_refused(program(name, f"--workdir={nowhere}"), str(nowhere))
    check_refused(program(name, f"--workdir={tmp_path}"), f"{tmp_path} ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["evaluate", "generate"])
def test_a_run_without_checkpoints(program, asked, tmp_path, name):
    request = asked()
    open_workdir(tmp_path / "a", request.values, request.identity)
    ended = program(name, f"--workdir={tmp_path}/a")
    check_refused(ended, f"{tmp_path}/a holds no latest checkpoint")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["config.json"]


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("generate", ["--num=-1"], "--num=-1"),
        ("generate", ["--num=many"], "--num=many"),
        ("generate", ["--which=bst"], "value should be one of <latest|best>"),
        ("generate", ["--image=a.png"], "unknown flag '--image': did you mean '--images'?"),
        ("evaluate", ["--which=bst"], "value should be one of <latest|best>"),
        ("evaluate", ["--splt=test"], "unknown flag '--splt': did you mean '--split'?"),
        ("report", [], "say what to report: --workdir=DIR, --root=RUNS, --record or --results"),
        ("report", ["--root={tmp}"], "no run below {tmp}"),
        ("report", ["--root={tmp}/nowhere"], "there is no folder {tmp}/nowhere"),
        ("report", ["--record=a"], "--record=NAME needs --system=... and --workdir=..."),
        ("report", ["--config.seed=1", "--results"], "--config.seed: this program reads no config"),
        ("prepare", [], "--dataset is missing: name a dataset"),
        ("prepare", ["--dataset=digit"], "unknown dataset 'digit': did you mean 'digits'?"),
        ("prepare", ["--dataset=folder"], "there is nothing to prepare"),
    ],
)
def test_arguments_of_the_other_programs(program, tmp_path, name, arguments, message):
    arguments = [argument.replace("{tmp}", str(tmp_path)) for argument in arguments]
    check_refused(program(name, *arguments), message.replace("{tmp}", str(tmp_path)))
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_the_project_needs_no_traceback(program, tmp_path, asked):
    request = asked()
    path = open_workdir(tmp_path / "a", request.values, request.identity)
    (path / "checkpoints" / "latest" / "3").mkdir(parents=True)
    ended = program("evaluate", f"--workdir={path}")
    assert ended.code == 1
    assert "checkpoints/latest/3 cannot be read" in ended.err
    assert "Traceback" not in ended.err
    assert json.loads((path / "config.json").read_text())["seed"] == 0
