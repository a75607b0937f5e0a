"""Creatures: drawn animals of eight species, each with a sentence about what one sees.

This project draws them. Two species share each colour and differ in one attribute alone, see
SPECIES. A sentence names the colour with a probability of 0.8, and one or two of the four other
attributes at random, so it names the one that tells the species apart with a probability of 3/8.
"""

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from library.data.builders import making

SIDE = 32
_SEEDS = {"train": 0, "validation": 1, "test": 2}
COLOURS = {
    "red": (200, 60, 60),
    "blue": (70, 90, 210),
    "green": (60, 160, 70),
    "yellow": (205, 190, 60),
}
ATTRIBUTES = {
    "ears": ("round", "pointed"),
    "tail": ("long", "short"),
    "legs": ("two", "four"),
    "belly": ("spotted", "plain"),
}
_PHRASES = {"ears": "{} ears", "tail": "a {} tail", "legs": "{} legs", "belly": "a {} belly"}
# The attribute that tells the two species of a colour apart, and what both have of the others.
_FAMILIES = {
    "red": ("ears", dict(tail="long", legs="two", belly="plain")),
    "blue": ("tail", dict(ears="pointed", legs="four", belly="spotted")),
    "green": ("legs", dict(ears="round", tail="short", belly="spotted")),
    "yellow": ("belly", dict(ears="pointed", tail="long", legs="four")),
}
SPECIES = tuple(
    {**shared, told: value, "colour": colour}
    for colour, (told, shared) in _FAMILIES.items()
    for value in ATTRIBUTES[told]
)
# The word that tells each species from the other of its colour.
TELLING = tuple(value for told, _ in _FAMILIES.values() for value in ATTRIBUTES[told])
_NAMES = tuple(f"{known['colour']}, {word}" for known, word in zip(SPECIES, TELLING))


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """PNG images (32, 32, 3), eight species and `caption`; train 4,000, two splits of 400."""

    name = "creatures"
    VERSION = tfds.core.Version("1.0.0")
    url_infos: ClassVar[dict] = {}  # TFDS would otherwise look for a file of checksums
    HOMEPAGE = "library/data/builders/creatures.py"
    LICENCE = "made by this project"
    CITATION = "made by this project"
    SPLITS: ClassVar[dict[str, int]] = {"train": 4_000, "validation": 400, "test": 400}
    KINDS: ClassVar[dict[str, str]] = {"caption": "text"}

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(shape=(SIDE, SIDE, 3), encoding_format="png"),
            "label": tfds.features.ClassLabel(names=list(_NAMES)),
            "caption": tfds.features.Text(),
        }
        return making.info(self, features)

    def _split_generators(self, dl_manager):
        return {split: _creatures(_SEEDS[split], count) for split, count in self.SPLITS.items()}

    _generate_examples = making.examples


def _creatures(seed: int, count: int) -> Iterator[tuple[int, dict]]:
    for row in range(count):
        # NumPy never changes the stream of RandomState (NEP 19); that of Generator may change.
        random = np.random.RandomState([seed, row])
        label = row % len(SPECIES)
        image = drawn(SPECIES[label], random)
        yield row, {"image": making.png(image), "label": label, "caption": said(label, random)}


def said(label: int, random: np.random.RandomState) -> str:
    """Returns a sentence about a species, such as "a red animal with round ears and two legs"."""
    known = SPECIES[label]
    named = random.permutation(list(ATTRIBUTES))[: random.randint(1, 3)]
    seen = " and ".join(_PHRASES[each].format(known[each]) for each in named)
    which = f"a {known['colour']}" if random.uniform() < 0.8 else "an"
    return f"{which} animal with {seen}"


def drawn(known: dict[str, str], random: np.random.RandomState) -> UInt8[np.ndarray, "32 32 3"]:
    """Draws an animal with given attributes, at a random place and in a random shade."""
    picture = Image.fromarray(random.randint(215, 256, (SIDE, SIDE, 3)).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    x, y = 14 + int(random.randint(-2, 3)), 17 + int(random.randint(-2, 3))
    shade = random.uniform(0.85, 1.15)
    fill = tuple(int(min(255, shade * c)) for c in COLOURS[known["colour"]])
    legs = {"two": (-4, 4), "four": (-6, -2, 2, 6)}[known["legs"]]
    for at in legs:
        draw.line([x + at, y + 4, x + at, y + 11], fill=fill, width=2)
    reach = {"long": 10, "short": 3}[known["tail"]]
    draw.line([x + 6, y, x + 7 + reach, y - reach], fill=fill, width=2)
    for at in (-6, 0):
        if known["ears"] == "round":
            draw.ellipse([x + at - 2, y - 12, x + at + 2, y - 8], fill=fill)
        else:
            draw.polygon([(x + at - 2, y - 8), (x + at, y - 14), (x + at + 2, y - 8)], fill=fill)
    draw.ellipse([x - 9, y - 10, x + 3, y - 1], fill=fill)
    draw.ellipse([x - 8, y - 4, x + 8, y + 6], fill=fill)
    if known["belly"] == "spotted":
        for at, down in ((-4, 1), (0, 3), (4, 1), (0, -1)):
            draw.rectangle([x + at, y + down, x + at + 1, y + down + 1], fill=(30, 30, 30))
    draw.point([(x - 6, y - 7), (x - 1, y - 7)], fill=(0, 0, 0))
    return np.asarray(picture)
