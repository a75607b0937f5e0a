"""The catalogue says what each recipe trains, and finds it by any word of that."""

from pathlib import Path

import pytest

from experiments import recipes
from library.config import ConfigError
from library.reporting import systems
from library.reporting.systems import Recipe

ROOT = Path(__file__).resolve().parents[2]
DOC = """ResNets.

System:    ResNet (He et al. 2015, "Deep residual learning for image
           recognition"): classify images
Command:   python
"""


def recipe(path="configs/resnet/cifar10.py", doc=DOC, model="resnet.resnet20"):
    return Recipe(path, doc, ("a", "smoke"), (model,), ("classification",), ("cifar10",))


def record(config, reported, ours):
    stated = {"metric": "test/accuracy", "value": reported}
    return {"config": config, "system": "ResNet-20", "reported": stated, "ours": ours}


def test_recipes_of_one_system_stand_together_with_their_records():
    records = [
        record("configs/cifar10/resnet.py:a", 0.9125, 0.9),
        record("configs/resnet/cifar10.py:b", None, 0.8),
        record("configs/vit/cifar10.py", 0.9, 0.8),
    ]
    other = recipe("configs/resnet/cifar100.py", model="resnet.resnet32")
    (found,) = systems.systems([recipe(), other], records)
    assert (found.name, found.year, found.use) == ("ResNet", 2015, "classify images")
    assert found.paper == 'He et al. 2015, "Deep residual learning for image recognition"'
    assert found.names("models") == ["resnet.resnet20", "resnet.resnet32"]
    assert [made["ours"] for made in found.records] == [0.9, 0.8]
    page = systems.page([found])
    assert "## Classify images" in page
    assert "ResNet-20, test/accuracy: 91.25%, 90.00%" in page
    assert "80.00%" not in page


@pytest.mark.parametrize(
    ("words", "count"),
    [([], 1), (["resnet", "2015"], 1), (["HE", "cifar10"], 1), (["resnet", "2016"], 0)],
)
def test_every_word_has_to_fit(words, count):
    assert len(systems.matching(systems.systems([recipe()], []), words)) == count


@pytest.mark.parametrize(
    ("doc", "message"),
    [
        ("ResNets.\n", "configs/vit.py does not say which system it trains: add a line such as"),
        ("X\n\nSystem:    ResNet: classify\n", "does not say which system"),
        (
            DOC.replace("images", "letters"),
            "configs/vit.py says 'ResNet .*letters', but configs/res",
        ),
    ],
)
def test_a_recipe_that_tells_otherwise_is_refused(doc, message):
    with pytest.raises(ConfigError, match=message):
        systems.systems([recipe(), recipe("configs/vit.py", doc)], [])


def test_the_page_is_generated_from_the_recipes():
    known = recipes.all_systems()
    assert (ROOT / "SYSTEMS.md").read_text() == systems.page(known), f"run `{systems.COMMAND}`"
    assert len(known) > 40
