"""Compendium in Python: steps are those of the loop, and outputs those of the programs."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image
from rich.console import Console

from experiments import interactive
from experiments.config_files import load_config
from library import trees
from library.apps import generation, predictions
from library.reporting import report
from library.run import session
from library.run.clock import Clock
from library.run.loop import NonFiniteError
from tests import families, tiny

ROOT = Path(__file__).resolve().parents[1]
SMALL = "tests/experiments/small_recipes.py"
PHOTOGRAPH = tiny.arrays(3, size=7)["image"]
CLASSIFIER = tiny.config(
    model=dict(name="cnn.small", widths=(4,), dropout=0.2),
    augment=[dict(name="flip_lr")],
    preprocess=[dict(name="decode", channels=1), dict(name="resize", size=8)],
    ema=dict(decay=0.9),
    total="4 steps",
    log_every="1 steps",
    evaluate=dict(test=dict(kind="metrics", every="4 steps")),
)


@pytest.fixture(autouse=True)
def served(monkeypatch):
    families.serve(monkeypatch)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Returns how to train a config in a workdir, once each."""
    held = {}

    def train(name, values):
        if name not in held:
            held[name] = tmp_path_factory.mktemp(name) / "run"
            with pytest.MonkeyPatch.context() as patch:
                families.serve(patch)
                patch.setattr(report, "write_report", lambda folder: None)
                quiet = Console(quiet=True)
                assert session.train(values, {}, held[name], Clock(), quiet) == 0
        return held[name]

    return train


def test_steps_in_python_are_those_of_the_loop(trained):
    summary = session.read_json(trained("classifier", CLASSIFIER) / "summary.json")
    plan = interactive.plan(CLASSIFIER)
    init, step, batches, evaluate = interactive.training(plan)
    assert trees.digest(init()) == trees.digest(init())
    state = init()
    for _, batch in zip(range(4), batches()):
        state, metrics = step(state, batch)
    assert trees.digest(state) == summary["state_sha256"]
    assert metrics["loss"] == summary["metrics"]["train/loss"]
    measured = evaluate(state)
    for name, value in summary["metrics"].items():
        assert name.startswith("train/") or measured[name] == value


@pytest.mark.full
def test_a_step_that_is_not_finite_is_an_error():
    explodes = {**CLASSIFIER, "optimizer": dict(name="sgd", learning_rate=1e30)}
    init, step, batches, _ = interactive.training(interactive.plan(explodes))
    several = batches()
    state, _ = step(init(), next(several))
    with pytest.raises(NonFiniteError, match=r"step 2 is not finite in loss"):
        step(state, next(several))


def test_a_config_is_a_path_a_dict_or_a_configdict():
    path, changes = f"{SMALL}:vae", {"optimizer.learning_rate": 0.5, "model.hidden": [4, 4]}
    values = load_config(path)[0]
    plans = [interactive.plan(each, changes) for each in (path, values, ConfigDict(values))]
    assert plans[0].recipe.optimizer["learning_rate"] == 0.5
    assert plans[0].recipe.model["hidden"] == [4, 4]
    assert plans[0].recipe == plans[1].recipe == plans[2].recipe
    # What is given stays as it is.
    assert values == load_config(path)[0]


@pytest.mark.parametrize(
    ("config", "overrides", "message"),
    [
        (3, None, "config=3: give a config file's path, a dict or a ConfigDict"),
        ("configs/cnn/digit.py", None, "did you mean 'configs/cnn/digits.py'"),
        (f"{SMALL}:classifier", {"optimizer.lr": 1}, "did you mean 'learning_rate'"),
        (f"{SMALL}:classifier", {"total": 3}, "'3' is not a duration"),
    ],
)
def test_a_wrong_config_is_one_line(config, overrides, message):
    with pytest.raises(interactive.ConfigError, match=message) as refused:
        interactive.plan(config, overrides)
    assert len(str(refused.value).splitlines()) == 1


def test_outputs_of_images_are_those_of_the_programs(trained, tmp_path):
    folder = trained("classifier", CLASSIFIER)
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for path, image in zip(paths, PHOTOGRAPH):
        Image.fromarray(image[..., 0]).save(path)
    run = interactive.load(folder)
    assert run.label_names == tiny.CLASSES
    assert {"logits", "probabilities"} <= set(run.outputs) <= set(dir(run))
    restored = session.restore(CLASSIFIER, folder)
    examples = predictions.from_files(restored, paths)
    wanted = predictions.predict(restored, examples).probabilities
    pictures = [Image.open(path) for path in paths]
    for given in (PHOTOGRAPH, list(PHOTOGRAPH), paths, tmp_path, pictures, {"image": PHOTOGRAPH}):
        np.testing.assert_array_equal(run.probabilities(given), wanted)
    assert len(run._compiled) == 1
    np.testing.assert_array_equal(run.probabilities(str(paths[0])), wanted[:1])
    raw = interactive.load(folder, ema=False)
    wanted = predictions.predict(restored, examples, ema=False).probabilities
    np.testing.assert_array_equal(raw.probabilities(paths), wanted)


def test_a_picture_is_turned_as_its_file_is(trained, tmp_path):
    run = interactive.load(trained("classifier", CLASSIFIER))
    (tmp_path / "a.png").write_bytes(tiny.turned_photograph())
    with Image.open(tmp_path / "a.png") as picture:
        found = run.logits(picture)
    np.testing.assert_array_equal(found, run.logits(tmp_path / "a.png"))
    plain = np.asarray(Image.open(tmp_path / "a.png"))[None, ..., None]
    assert (found != run.logits(plain)).any()
    # PNG has no CMYK.
    np.testing.assert_array_equal(
        run.logits(Image.fromarray(plain[0, ..., 0]).convert("RGB").convert("CMYK")),
        run.logits(plain),
    )


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda run: run.logit, "no output 'logit': did you mean 'logits'"),
        (lambda run: run.logits(), "logits reads 'image': write logits\\(images\\)"),
        (
            lambda run: run.logits(np.zeros((2, 8, 8, 1))),
            "are uint8 \\(b, h, w, c\\), got fl",
        ),
        (lambda run: run.logits([np.zeros((8, 8), np.uint8)]), "input 0 is uint8 \\(8, 8\\)"),
        (lambda run: run.logits([]), "there are no inputs"),
        (lambda run: run.logits("a.png"), "no such image file: a.png"),
        (lambda run: run.logits(PHOTOGRAPH, num=3), "num=3\\): inputs take no num"),
        (lambda run: run.logits({"imge": PHOTOGRAPH}), "no 'imge': did you mean 'image'"),
        (lambda run: run.logits({"image": PHOTOGRAPH, "label": [1]}), "need the same length"),
    ],
)
def test_a_wrong_use_is_one_line(trained, ask, message):
    run = interactive.load(trained("classifier", CLASSIFIER))
    with pytest.raises(interactive.ConfigError, match=message) as refused:
        ask(run)
    assert len(str(refused.value).splitlines()) == 1
    assert not hasattr(run, "sample")


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(interactive.ConfigError, match=r"has no config.json"):
        interactive.load(tmp_path)
    with pytest.raises(interactive.ConfigError, match="did you mean 'latest'"):
        interactive.load(tmp_path, which="last")


CONDITIONAL = tiny.config(
    model=dict(name="vae.dense", hidden=(4,), latent_dim=2, conditional=True),
    task=dict(name="variational"),
    total="1 steps",
)


@pytest.mark.full
def test_samples_are_those_of_generate(trained):
    folder = trained("conditional", CONDITIONAL)
    run, restored = interactive.load(folder), session.restore(CONDITIONAL, folder)
    wanted = generation.images(restored, generation.Request(8, seed=3), label="b")
    assert wanted.dtype == np.uint8
    for label in ("b", 1):
        np.testing.assert_array_equal(run.sample(num=8, seed=3, label=label), wanted)
    in_turn, other = run.sample(num=8, seed=3), run.sample(num=8, seed=4)
    # Without a label, the classes come in turn.
    np.testing.assert_array_equal(in_turn[[1, 5]], wanted[[1, 5]])
    assert (in_turn != other).any()
    assert len(run._compiled) == 1
    with pytest.raises(interactive.ConfigError, match="sample, label='e': valid are 0 to 3"):
        run.sample(label="e")


def test_an_output_says_which_features_it_reads(trained):
    run = interactive.load(trained("conditional", CONDITIONAL))
    images, labels = tiny.arrays(2).values()
    with pytest.raises(
        interactive.ConfigError, match=r"reads 'label': write reconstruct\(\{'image'"
    ):
        run.reconstruct(images)
    made = run.pixels(run.reconstruct({"image": images, "label": labels}))
    assert (made.shape, made.dtype) == (images.shape, np.uint8)


@pytest.mark.full
def test_texts_are_those_of_generate(trained):
    values = families.config("gpt", total="1 steps", evaluate={})
    folder = trained("gpt", values)
    run, restored = interactive.load(folder), session.restore(values, folder)
    request = generation.Request(2, seed=1)
    wanted = generation.texts(restored, request, prompt=("ab", "a"), length=8)
    assert run.generate(["ab", "a"], length=8, seed=1) == wanted
    assert run.generate("ab", num=2, length=8, seed=1)[0] == wanted[0]
    assert len(run._compiled) == 1
    with pytest.raises(interactive.ConfigError, match="have no 'image': "):
        run.logits(PHOTOGRAPH)
    with pytest.raises(interactive.ConfigError, match="leaves nothing of length=2 to generate"):
        run.generate("ab", length=2)


@pytest.mark.full
def test_tokens_are_given_as_the_dataset_has_them(trained):
    values = families.config("gpt", total="1 steps", evaluate={})
    run = interactive.load(trained("gpt", values))
    # An example has the next token of each, too.
    assert run.logits({"tokens": np.zeros((2, 9), np.int32)}).shape[0] == 2
    with pytest.raises(interactive.ConfigError, match="input 0: tokens is 8 after preprocessing"):
        run.logits({"tokens": np.zeros((2, 8), np.int32)})


@pytest.mark.full
def test_python_prints_nothing(trained):
    folder = trained("classifier", CLASSIFIER)
    code = f"""if True:
        import numpy as np
        from experiments import interactive
        plan = interactive.plan({SMALL + ":classifier"!r})
        init, step, batches, evaluate = interactive.training(plan)
        state, _ = step(init(), next(batches()))
        evaluate(state)
        run = interactive.load({str(folder)!r})
        run.logits(np.zeros((2, 8, 8, 1), np.uint8))
    """
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
