"""Several sources as one: what the joined source says of its parts, and what it draws."""

import collections
import pickle

import numpy as np
import pytest

from library import rng
from library.config import ConfigError
from library.data import fingerprints, joining, preprocessing, sources, text, tokenizers
from library.data.fingerprints import Fingerprint, Part
from library.data.preprocessing import CorruptExample


def numbers(count, name="numbers"):
    return sources.from_arrays({"number": np.arange(count)}, name=name)


def windows(verse, tokenizer):
    documents = sources.Source([{"text": verse}], None, str, kinds={"text": "text"})
    return text.open_text(documents, tokenizer=tokenizer, context=2, windows="every")


def join(paired=False, seed=0, **named):
    parts = {name: joining.Part(source, preprocessing.chain([])) for name, source in named.items()}
    return joining.join(parts, paired=paired, shuffled=True, seed=seed)


def test_each_epoch_of_each_source_is_drawn_once(monkeypatch):
    drawn, generator = collections.Counter(), rng.host_generator

    def host_generator(seed, purpose, *counters):
        drawn.update([(seed, *counters)] if purpose == "permutation" else [])
        return generator(seed, purpose, *counters)

    monkeypatch.setattr(rng, "host_generator", host_generator)
    records = join(seed=823_543, **{f"s{i}": numbers(7) for i in range(9)}).records
    for position in (6, 7) * 3:
        records.at(position, 0)
    # The caller gives the row of the first source.
    assert sorted(drawn.values()) == [1] * 8 * 2


def test_the_epoch_and_the_tokenizer_are_kept():
    tokenizer = tokenizers.byte()
    verse = windows("Aqui me pongo a cantar", tokenizer)
    joined = join(verse=verse, number=numbers(5))
    assert joined.examples_per_epoch == verse.examples_per_epoch == 10 < len(verse.records)
    assert joined.tokenizer == tokenizer
    led = join(number=numbers(5), verse=verse, again=windows("al compas", tokenizers.byte()))
    assert (led.examples_per_epoch, led.tokenizer) == (5, tokenizer)
    other = windows("al compas", tokenizers.character(["al compas"]))
    with pytest.raises(ConfigError, match="verse and other have different tokenizers"):
        join(verse=verse, number=numbers(5), other=other)


def test_counts_of_different_things_have_no_sum():
    images, characters = (
        numbers(3)._replace(fingerprint=lambda unit=unit, n=n: Fingerprint(unit, {"x": n}))
        for unit, n in (("images", Part(3, "", "a")), ("characters", Part(500, "", "b")))
    )
    shorter = numbers(3)._replace(
        fingerprint=lambda: Fingerprint("characters", {"x": Part(400, "", "c")})
    )
    alike = join(a=images, b=images).fingerprint()
    assert alike == Fingerprint("images", {f"{name}: x": Part(3, "", "a") for name in "ab"})
    before, now = (join(a=images, b=b).fingerprint() for b in (characters, shorter))
    assert fingerprints.differences(before, now) == ["b: x changed"]
    before, now = (join(a=a).fingerprint() for a in (characters, shorter))
    assert fingerprints.differences(before, now)[0] == "500 characters were there, now 400"


def test_joined_sources_travel_to_worker_processes():
    joined = join(paired=True, a=numbers(3), b=numbers(3, "others"))
    again = pickle.loads(pickle.dumps(joined))
    assert again.fingerprint() == joined.fingerprint()
    assert again.records[2] == {"a_number": 2, "b_number": 2}


def test_a_source_without_examples_is_refused():
    with pytest.raises(ConfigError, match=r"1 or more examples each, got \{'a': 3, 'b': 0\}"):
        join(a=numbers(3), b=sources.Source([], None, str))


def test_a_damaged_example_is_named_by_its_own_source():
    class Damaged(list):
        def __getitem__(self, row):
            raise CorruptExample("it is cut off")

    damaged = sources.Source(Damaged([0] * 3), None, "photo {}".format)
    records = join(paired=True, a=numbers(3), b=damaged).records
    with pytest.raises(CorruptExample, match=r"^b, photo 2: it is cut off$"):
        records[2]
