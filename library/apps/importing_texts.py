"""Import of a published network of texts as the workdir of a run."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from library import config, trees
from library.apps.importing import check_unused
from library.run import data_record, ownership
from library.run.checkpoints import Checkpoints
from library.run.data_record import DataRecord, Feature
from library.run.recipe import make_plan
from library.run.workdir import open_workdir
from library.weights import texts
from library.weights.texts import Loaded

_PREPROCESSING = "library.data.preprocessing"
# Longer texts take long, and few of the data sets have them.
_LONGEST = 128
_ARTICLES, _SENTENCES = 60, 6_920


def import_texts(
    kind: str,
    weights: str | Path,
    workdir: Path,
    identity: Mapping[str, Any],
    *,
    say: Callable[[str], None] = print,
) -> Path:
    """Writes a published network of texts as a workdir, which other programs and `init_from` take.

    "bert" is measured by its tasks of pre-training on the articles of wikitext2, "gpt2" by its loss
    on them. "minilm" is a classifier of the sentences of sst2 whose head is zeros: its "features"
    are the mean tokens of sentences, which a linear probe and neighbours measure.

    Args:
      kind: a key of `texts.KINDS`.
      weights: a directory in the layout of Hugging Face.
      workdir: the workdir to create; it must not contain another run.
      identity: the origin of the config, which config.json keeps.
      say: called with lines about the weights.

    Raises:
      ConfigError: an error of `texts.load`, or the workdir is in use. Nothing is written then.
    """
    loaded = texts.load(kind, weights, say)
    values, record = {"bert": _bert, "minilm": _minilm, "gpt2": _gpt2}[kind](loaded)
    plan = make_plan(
        {**values, "evaluate": {}}, devices=jax.devices()[:1], recorded=record, trains=False
    )
    check_unused(workdir)
    known = trees.flatten(loaded.variables["params"])
    fresh = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), plan.state)
    params = trees.map_with_path(
        lambda path, zeros: jnp.asarray(known.get(path, zeros)), fresh.params
    )
    with ownership.owning(workdir, say):
        check_unused(workdir)
        workdir = open_workdir(workdir, values, dict(identity))
        data_record.write(workdir, record)
        saved = Checkpoints(workdir)
        state = fresh.replace(params=params)
        saved.save(0, {"state": state}, {"weights": str(weights)}, best=False)
        saved.close()
    return workdir


def _common(**values: Any) -> dict[str, Any]:
    optimizer = dict(name="sgd", learning_rate=0.0)
    return config.plain(dict(optimizer=optimizer, total="1 steps", seed=0, **values))


def _bert(loaded: Loaded) -> tuple[dict[str, Any], DataRecord]:
    length = min(_LONGEST, loaded.model["context"])
    operation = dict(
        name="sentence_pairs",
        document="first_text",
        other="second_text",
        tokenizer=loaded.tokenizer,
        length=length,
    )
    values = _common(
        dataset=dict(
            name=None,
            sources=dict(
                first=dict(name="wikitext2", train="validation", test="test"),
                second=dict(name="wikitext2", train="validation", test="validation"),
            ),
            pairing="own",
            batch_size=64,
        ),
        preprocess=[dict(name="select", keys=["first_text", "second_text"]), operation],
        model=loaded.model,
        task=dict(name="masked_language"),
        evaluate=dict(test=dict(kind="metrics")),
    )
    kinds = {"first_text": "text", "second_text": "text"}
    found = {**_marked(length), "next": Feature((), "int32")}
    return values, _record(found, kinds, _ARTICLES, operation)


def _minilm(loaded: Loaded) -> tuple[dict[str, Any], DataRecord]:
    length = min(_LONGEST, loaded.model["context"])
    operation = dict(name="marked_text", keys=["text"], tokenizer=loaded.tokenizer, length=length)
    values = _common(
        dataset=dict(name="sst2", train="train", test="test", batch_size=64),
        preprocess=[dict(name="select", keys=["text", "label"]), operation],
        model={**loaded.model, "name": "bert.classifier", "pooling": "mean", "num_classes": 2},
        task=dict(name="classification", inputs=["text", "text_mask", "text_types"]),
        evaluate=dict(probe=dict(kind="linear_probe"), knn=dict(kind="nearest_neighbours")),
    )
    kinds = {"text": "text", "label": "label"}
    found = {"label": Feature((), "int64"), **_marked(length)}
    names = ("negative", "positive")
    return values, _record(found, kinds, _SENTENCES, operation)._replace(label_names=names)


def _gpt2(loaded: Loaded) -> tuple[dict[str, Any], DataRecord]:
    context = loaded.model["context"]
    values = _common(
        dataset=dict(
            name="wikitext2",
            train="validation",
            test="test",
            tokenizer=loaded.tokenizer,
            context=context,
            batch_size=8,
        ),
        preprocess=[],
        model=loaded.model,
        task=dict(name="language"),
        evaluate=dict(test=dict(kind="metrics")),
    )
    spec = config.plain(loaded.tokenizer)
    made = config.build(spec, "library.data.tokenizers", "tokenizer", texts=(), fitted=None)
    features = dict.fromkeys(("tokens", "segments"), Feature((context + 1,), "int32"))
    kinds = {"tokens": "tokens", "segments": "array"}
    kept = {"spec": spec, "fitted": dict(made.fitted)}
    # Nothing that the run is used for depends on the number of windows in its training split.
    known = dict(num_examples=_ARTICLES, kinds=kinds, evaluated=features)
    return values, DataRecord(features, tokenizer=kept, **known)


def _marked(length: int) -> dict[str, Feature]:
    types = {"text": "int32", "text_mask": "float32", "text_types": "int32"}
    return {name: Feature((length,), dtype) for name, dtype in types.items()}


def _record(
    features: Mapping[str, Feature],
    kinds: Mapping[str, str],
    count: int,
    operation: Mapping[str, Any],
) -> DataRecord:
    """Returns what is known of the data without opening them."""
    spec = config.plain(dict(operation))
    made = config.build(spec, _PREPROCESSING, "preprocessing", kinds=kinds)
    fitted = {json.dumps(spec, sort_keys=True): made.fit(())}
    known = dict(preprocess=fitted, kinds=kinds, evaluated=features)
    return DataRecord(features, num_examples=count, **known)
