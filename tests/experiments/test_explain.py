"""`python -m experiments.explain` on a run of one step."""

import pytest

from tests import families, tiny

BAD = {
    "method": (["--methods=gradient,smothgrad"], "did you mean 'smoothgrad'?"),
    "method of other networks": (["--methods=rollout"], "method 'rollout': ConvNet has no atten"),
    "layer": (["--layer=stage2"], "unknown layer 'stage2': did you mean 'stage1'?"),
    "class": (["--class=e"], "no class 'e': valid are 0 to 3"),
    "split": (["--num=99"], "--num=99: split 'test' has 24 examples"),
    "image": (["--images={tmp}/a.png"], "no such image file: {tmp}/a.png"),
    "attack": (["--attack=fgms"], "unknown attack 'fgms': did you mean 'fgsm'?"),
    "epsilon": (["--attack=fgsm", "--epsilon=8"], "epsilon=8.0: valid are 0 to 1"),
    "no number": (["--attack=fgsm", "--epsilon=8/0"], "--epsilon=8/0: write a number"),
    "target of an attack": (["--attack=pgd", "--target=9"], "no class '9'"),
    "target of none": (["--target=b"], "add --attack=fgsm, --attack=pgd or --attack=patch"),
    "patch without a target": (["--attack=patch"], "add --target=CLASS"),
    "patch of no class": (["--attack=patch", "--target=e"], "no class 'e': valid are 0 to 3"),
    "size of a patch": (
        ["--attack=patch", "--target=b", "--patch_size=0.5,0.3"],
        "--patch_size=0.5,0.3: write a share of the image's shorter side",
    ),
    "no size": (
        ["--attack=patch", "--target=b", "--patch_size=big"],
        "--patch_size=big: write a number",
    ),
    "size of no patch": (
        ["--attack=pgd", "--patch_size=0.3"],
        "--patch_size is not read with --attack=pgd",
    ),
    "epsilon of a patch": (
        ["--attack=patch", "--target=b", "--epsilon=0.1"],
        "--epsilon is not read with --attack=patch",
    ),
    "steps": (["--attack=patch", "--target=b", "--steps=0"], "--steps"),
    "attack and method": (
        ["--attack=pgd", "--layer=stage1"],
        "--layer is not read with --attack=pgd, which reads --ema, --split, --num, --seed,",
    ),
    "no method": (["--methods="], "--methods is empty"),
    "steps of one": (["--attack=fgsm", "--steps=3"], "--steps is not read with --attack=fgsm"),
    "layer of none": (
        ["--methods=gradient,filters", "--layer=stage1"],
        "--layer is not read with --methods=gradient,filters",
    ),
    "neighbours of none": (["--among=9"], "--among is not read with the usual methods"),
    "number of files": (
        ["--images={tmp}/a.png", "--num=3"],
        "--num is not read with the usual methods and --images",
    ),
    "prompt": (["--prompt=a"], "unknown flag '--prompt'"),
    "flag": (["--method=cam"], "unknown flag '--method': did you mean '--methods'?"),
}


@pytest.fixture
def run(program, tmp_path):
    """Trains a config for a step and returns the workdir."""

    def train(values):
        path = tmp_path / "config.py"
        path.write_text(f"def get_config():\n    return {values!r}\n")
        folder = tmp_path / "run"
        ended = program("train", f"--config={path}", f"--workdir={folder}")
        assert ended.code == 0, ended
        return folder

    return train


@pytest.fixture
def classifier(run, monkeypatch):
    tiny.serve(monkeypatch, train=tiny.arrays(48), test=tiny.arrays(24, seed=1))
    return run(tiny.config(model=tiny.CONV, total="1 steps"))


def test_a_split_is_explained_and_misread(program, classifier, tmp_path):
    arguments = [f"--workdir={classifier}", "--num=2"]
    ended = program("explain", *arguments, "--methods=gradient,grad_cam,filters")
    assert ended.code == 0, ended
    page = classifier / "explained" / "explained.html"
    assert ended.out.splitlines()[-1] == str(page)
    assert ended.out.startswith("test[")
    assert {p.name for p in page.parent.iterdir()} == {"explained.html", "maps.png", "filters.png"}
    assert "of layer stage1" in page.read_text()

    output = tmp_path / "elsewhere"
    ended = program("explain", *arguments, f"--output={output}", "--attack=fgsm", "--epsilon=1/4")
    assert ended.code == 0, ended
    assert ended.out.splitlines()[0].startswith("clean accuracy: ")
    assert ended.out.splitlines()[1].startswith("adversarial accuracy: ")
    assert {p.name for p in output.iterdir()} == {"adversarial.html", "adversarial_fgsm.png"}
    assert "adversarial accuracy" in (output / "adversarial.html").read_text()


@pytest.mark.full
def test_a_patch_is_printed(program, classifier):
    ended = program(
        *("explain", f"--workdir={classifier}", "--num=3", "--attack=patch", "--target=c"),
        *("--patch_size=0.5", "--steps=2"),
    )
    assert ended.code == 0, ended
    assert ended.out.startswith("classified as c with the patch: ")
    page = classifier / "explained" / "adversarial.html"
    assert ended.out.splitlines()[-1] == str(page)
    names = {"adversarial.html", "adversarial_patch.png", "patch.png"}
    assert {p.name for p in page.parent.iterdir()} == names
    assert "50% of the shorter side" in page.read_text()
    assert "at 10 places each" in page.read_text()


def test_what_is_not_explained(program, classifier, tmp_path):
    for arguments, message in BAD.values():
        arguments = [argument.replace("{tmp}", str(tmp_path)) for argument in arguments]
        ended = program("explain", f"--workdir={classifier}", *arguments)
        assert ended.code == 2, ended
        assert message.replace("{tmp}", str(tmp_path)) in ended.err
        assert "Traceback" not in ended.err
        assert ended.err.count("\n") <= 2
        assert not (classifier / "explained").exists()


@pytest.mark.full
def test_what_is_no_classifier(program, run, monkeypatch):
    families.serve(monkeypatch)
    folder = run(families.config("vae", total="1 steps", evaluate={}))
    ended = program("explain", f"--workdir={folder}")
    assert ended.code == 2
    assert "only classifiers of images are explained: task 'variational'" in ended.err
    assert not (folder / "explained").exists()


def test_a_workdir_is_needed(program, tmp_path):
    assert "--workdir is missing: name the workdir" in program("explain").err
    assert program("explain", f"--workdir={tmp_path}").code == 2
