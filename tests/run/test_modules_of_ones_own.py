"""Operations, evaluators, orders and tokenizers in files of one's own are found by name."""

import importlib
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.data import sources, text
from library.run import own_files
from library.run.feed import Feed
from library.run.recipe import make_plan
from tests import families, tiny

EVALUATOR = '''
from library.evaluation.context import Context, Evaluator, collected


def own_brightness(context: Context, *, split: str = "test", scale: float = 1.0) -> Evaluator:
    """Measures the mean of all pixels."""
    collect = context.collect(lambda state, batch, key: dict(x=batch["image"], mask=batch["mask"]))

    def evaluate(state):
        images = collected(collect, state, context.batches(split, None))["x"]
        return {"mean": scale * float(images.mean())}

    return evaluate
'''
PREPROCESSING = """
import functools


def own_inverted(top: int = 255):
    return functools.partial(_inverted, top=top)


def _inverted(example, rng, *, top):
    return {**example, "image": top - example["image"]}
"""
AUGMENTATION = """
def own_blank(value: float):
    def operation(batch, keys):
        assert len(keys) == len(batch["image"])
        return {**batch, "image": 0 * batch["image"] + value}

    return operation
"""
ORDER = """
def own_shifted(by: int, seed: int):
    return lambda positions, batch_size, num_examples: (positions + by + seed) % num_examples
"""
TOKENIZER = """
import numpy as np

from library.data.tokenizers import Tokenizer


def own_letters(texts, fitted, *, unknown: str = "?"):
    letters = fitted["letters"] if fitted else "".join(sorted(set("".join(texts))))
    names = (unknown, *letters)

    def encode(text):
        return np.array([letters.find(letter) + 1 for letter in text], np.int32)

    def decode(ids):
        return "".join(names[i] for i in ids)

    return Tokenizer(names, encode, decode, dict(letters=letters))
"""
FILES = {
    "library.evaluation": ("own_brightness", EVALUATOR),
    "library.data.preprocessing": ("own_inverted", PREPROCESSING),
    "library.data.augmentation": ("own_blank", AUGMENTATION),
    "library.data.orders": ("own_shifted", ORDER),
    "library.data.tokenizers": ("own_letters", TOKENIZER),
}


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Puts a file of one's own beside those of each package, which stay where they are."""
    for package, (name, code) in FILES.items():
        module, folder = importlib.import_module(package), tmp_path / package
        folder.mkdir()
        for path in Path(module.__file__).parent.glob("*.py"):
            (folder / path.name).symlink_to(path)
        (folder / f"{name}.py").write_text(code)
        monkeypatch.setattr(module, "__path__", [str(folder)])
        importlib.invalidate_caches()
    yield tmp_path
    for package, (name, _) in FILES.items():
        if sys.modules.pop(f"{package}.{name}", None):
            delattr(sys.modules[package], name)


@pytest.fixture(autouse=True)
def data(monkeypatch):
    tiny.serve(monkeypatch, train=tiny.arrays(48), test=tiny.arrays(20, seed=1))


def recipe(**changes):
    values = dict(
        normalize=None,
        preprocess=[dict(name="own_inverted", top=250)],
        augment=[dict(name="own_blank", value=0.5)],
        dataset=dict(order=dict(name="own_shifted", by=3)),
        evaluate=dict(own=dict(kind="own_brightness", scale=2.0, every="2 steps")),
        total="2 steps",
    )
    return {**values, **changes}


def test_they_are_used_by_their_names(own, tmp_path):
    plan = tiny.plan_on(1, **recipe())
    image = plan.loader.load(0, 5)["image"]
    np.testing.assert_array_equal(image, 250 - tiny.arrays(48)["image"][5])
    rows = [batch["row"] for batch, _ in zip(Feed(plan).train(0), range(2))]
    np.testing.assert_array_equal(np.concatenate(rows), 3 + plan.recipe.seed + np.arange(32))
    summary = tiny.run(plan, tmp_path / "run")
    pixels = np.float32(250 - tiny.arrays(20, seed=1)["image"]) / 255
    assert summary["metrics"]["own/mean"] == pytest.approx(2 * pixels.mean(), rel=1e-6)
    batch = {"image": jnp.ones((2, 8, 8, 1)), "index": jnp.arange(2, dtype=jnp.uint32)}
    np.testing.assert_array_equal(plan.augment(batch, jax.random.key(0))["image"], 0.5)
    path = own / "library.evaluation" / "own_brightness.py"
    assert not own_files.came_with_the_project(path)


def test_a_tokenizer_is_used_by_its_name(own, monkeypatch):
    families.serve(monkeypatch)
    dataset = dict(tokenizer=dict(name="own_letters", unknown="!"), cache="none")
    loader = make_plan(families.config("gpt", dataset=dataset)).loader
    made = loader.source.tokenizer
    assert made.names == ("!", "\n", " ", "a", "b", "c")
    np.testing.assert_array_equal(made.encode("abd"), [3, 4, 0])
    (whole,) = sources.open_source("tiny_text", "train").records
    np.testing.assert_array_equal(loader.load(0, 0)["tokens"], made.encode(whole["text"][:9]))
    again = text.make_tokenizer(made.spec, None, made.fitted)
    assert (again.names, again.spec) == (made.names, made.spec)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            dict(preprocess=[dict(name="own_inverter")]),
            "unknown preprocessing 'own_inverter': did you mean 'own_inverted'",
        ),
        (
            dict(preprocess=[dict(name="own_inverted", to=3)]),
            "preprocessing 'own_inverted' takes no 'to': did you mean 'top'",
        ),
        (dict(augment=[dict(name="own_blank")]), "augmentation 'own_blank' needs 'value'"),
        (
            dict(evaluate=dict(own=dict(kind="own_brightness", scale="a"))),
            "evaluator 'own_brightness', scale='a' is of type str, expected float",
        ),
        (
            dict(dataset=dict(order=dict(name="own_shifted", be=3))),
            "order 'own_shifted' takes no 'be': did you mean 'by'",
        ),
        (dict(dataset=dict(order="own_shift")), "unknown order 'own_shift': did you mean"),
        (
            dict(dataset=dict(context=8, tokenizer=dict(name="own_letter"))),
            "unknown tokenizer 'own_letter': did you mean 'own_letters'",
        ),
    ],
)
def test_their_signatures_check_the_config(own, changes, message):
    with pytest.raises(ConfigError, match=message):
        tiny.plan_on(1, **recipe(**changes))
