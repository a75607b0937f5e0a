"""Published networks of texts in the layout of Hugging Face: BERT, MiniLM and GPT-2.

A folder holds `config.json`, which states the sizes; the weights, see `library.weights.files`; and
the vocabulary: `vocab.txt`, or `vocab.json` with `merges.txt`, or `tokenizer.json`.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from library import config
from library.config import ConfigError, check_choice
from library.weights import files, loading
from library.weights.mapping import (
    DENSE,
    INPUTS,
    JOINED,
    PLAIN,
    VECTOR,
    Layout,
    Rule,
    assign,
    dense_rules,
    norm_rules,
    published_names,
)

_BLOCK = r"block(\d+)"
_HEADS = "attention/(query|key|value)"
# The published logits of the next sentence are first "it follows", here first "it does not".
_SWAPPED = Layout(lambda x, shape: DENSE.load(x, shape)[:, ::-1], lambda x: DENSE.save(x[:, ::-1]))
_SWAPPED_BIAS = Layout(lambda x, shape: x[::-1], lambda x: x[::-1])


def _bert(prefix: str, scale: str, shift: str) -> tuple[Rule, ...]:
    """Returns the rows of BERT; files before 2019 call the params of norms gamma and beta."""
    there, embeddings = f"{prefix}encoder.layer.{{1-1}}", f"{prefix}embeddings"

    def norm(here: str, name: str) -> tuple[Rule, ...]:
        names = (("scale", scale), ("bias", shift))
        return tuple(Rule(f"params/{here}/{x}", f"{name}.{y}") for x, y in names)

    return (
        Rule("params/encoder/tokens/embedding", f"{embeddings}.word_embeddings.weight"),
        Rule("params/encoder/positions/embedding", f"{embeddings}.position_embeddings.weight"),
        Rule("params/encoder/types/embedding", f"{embeddings}.token_type_embeddings.weight"),
        *norm("encoder/norm", f"{embeddings}.LayerNorm"),
        *dense_rules(f"encoder/{_BLOCK}/{_HEADS}", f"{there}.attention.self.{{2}}"),
        *dense_rules(f"encoder/{_BLOCK}/attention/out", f"{there}.attention.output.dense", INPUTS),
        *norm(f"encoder/{_BLOCK}/norm1", f"{there}.attention.output.LayerNorm"),
        *dense_rules(f"encoder/{_BLOCK}/fc1", f"{there}.intermediate.dense"),
        *dense_rules(f"encoder/{_BLOCK}/fc2", f"{there}.output.dense"),
        *norm(f"encoder/{_BLOCK}/norm2", f"{there}.output.LayerNorm"),
        *dense_rules("pooler", f"{prefix}pooler.dense"),
        *dense_rules("transform", "cls.predictions.transform.dense"),
        *norm("transform_norm", "cls.predictions.transform.LayerNorm"),
        Rule("params/bias", "cls.predictions.bias"),
        Rule("params/next_sentence/kernel", "cls.seq_relationship.weight", _SWAPPED),
        Rule("params/next_sentence/bias", "cls.seq_relationship.bias", _SWAPPED_BIAS),
        *dense_rules("head", "classifier"),
    )


def _gpt2() -> tuple[Rule, ...]:
    there, parts = "h.{1-1}", ("query", "key", "value")
    fused = f"{there}.attn.c_attn"
    return (
        Rule("params/tokens/embedding", "wte.weight"),
        Rule("params/positions/embedding", "wpe.weight"),
        *norm_rules(rf"{_BLOCK}/norm(\d)", f"{there}.ln_{{2}}"),
        *(
            Rule(f"params/{_BLOCK}/attention/{part}/kernel", f"{fused}.weight", PLAIN.of(i, 3, 1))
            for i, part in enumerate(parts)
        ),
        *(
            Rule(f"params/{_BLOCK}/attention/{part}/bias", f"{fused}.bias", VECTOR.of(i, 3))
            for i, part in enumerate(parts)
        ),
        *dense_rules(f"{_BLOCK}/attention/out", f"{there}.attn.c_proj", JOINED),
        *dense_rules(f"{_BLOCK}/fc1", f"{there}.mlp.c_fc", PLAIN),
        *dense_rules(f"{_BLOCK}/fc2", f"{there}.mlp.c_proj", PLAIN),
        *norm_rules("norm", "ln_f"),
    )


BERT_RULES = _bert("bert.", "weight", "bias")
GPT2_RULES = _gpt2()
_BERT_TABLES = (
    BERT_RULES,
    _bert("", "weight", "bias"),
    _bert("bert.", "gamma", "beta"),
    _bert("", "gamma", "beta"),
)


class Kind(NamedTuple):
    """What a published network of texts is read as.

    Attributes:
      model: the name of the model here.
      published: `model_type` of `config.json`.
      tables: the names of its leaves in files, the usual ones first.
      ignored: patterns of published names without a place here.
    """

    model: str
    published: str
    tables: tuple[tuple[Rule, ...], ...]
    ignored: tuple[str, ...]


_BUFFERS = (r"(bert\.)?embeddings\.position_ids",)
# The encoder of a network in pre-training has more leaves than these take.
_HEADLESS = (r"cls\..*", r"classifier\..*", r"(bert\.)?pooler\..*")
KINDS = {
    # Its output layer is the table of its embeddings, and has a bias.
    "bert": Kind("bert.bert", "bert", _BERT_TABLES, (*_BUFFERS, r"cls\.predictions\.decoder\..*")),
    "minilm": Kind("bert.sentence_encoder", "bert", _BERT_TABLES, (*_BUFFERS, *_HEADLESS)),
    "gpt2": Kind(
        "gpt.gpt",
        "gpt2",
        (GPT2_RULES, tuple(rule._replace(name=f"transformer.{rule.name}") for rule in GPT2_RULES)),
        (r"(transformer\.)?h\.\d+\.attn\.(masked_)?bias", r"lm_head\.weight"),
    ),
}


class Loaded(NamedTuple):
    """A published network of texts.

    Attributes:
      model: the name and the arguments of the model here.
      variables: its variables, numpy arrays.
      tokenizer: the name and the arguments of its tokenizer.
    """

    model: dict[str, Any]
    variables: dict[str, Any]
    tokenizer: dict[str, Any]

    def build(self) -> nn.Module:
        """Returns the model."""
        return config.build(self.model, "library.models", "model")


def load(kind: str, folder: str | Path, say: Callable[[str], None] = print) -> Loaded:
    """Reads a published network of texts.

    Args:
      kind: "bert" with what it learns by, "minilm" for vectors of sentences by the encoder of any
        BERT, or "gpt2".
      folder: its directory.
      say: called with a line about words that were stripped from names.

    Raises:
      ConfigError: the kind is unknown, a file is missing or cannot be read, the network differs
        from the models here, or arrays do not fit; one message lists all of them.
    """
    check_choice("kind of text network", kind, KINDS)
    known, folder = KINDS[kind], Path(folder).expanduser()
    settings = _settings(folder, known)
    spec = {"name": known.model, **_sizes(settings, folder)}
    model = config.build(spec, "library.models", "model")
    shapes = _shapes(model)
    arrays = files.read(folder)
    names = [published_names(rules, shapes) for rules in known.tables]
    arrays, stripped = loading.unwrapped(arrays, frozenset().union(*names))
    if stripped:
        say(f"weights {str(folder)!r}: {', '.join(stripped)}")
    best = max(range(len(names)), key=lambda i: len(names[i] & arrays.keys()))
    variables = assign(arrays, known.tables[best], shapes, ignored=known.ignored, where=str(folder))
    return Loaded(spec, variables, tokenizer(folder))


def tokenizer(folder: str | Path) -> dict[str, Any]:
    """Returns the name and the arguments of the tokenizer whose files a directory has.

    Raises:
      ConfigError: the directory has no vocabulary.
    """
    folder = Path(folder).expanduser()
    if (folder / "vocab.txt").is_file():
        path = folder / "tokenizer_config.json"
        stated = _json(path) if path.is_file() else {}
        lowercase = bool(stated.get("do_lower_case", True))
        return dict(name="wordpiece", file=str(folder / "vocab.txt"), lowercase=lowercase)
    if all((folder / name).is_file() for name in ("vocab.json", "merges.txt")):
        both = {key: str(folder / name) for key, name in _GPT2_FILES.items()}
        return dict(name="gpt2", **both)
    if (folder / "tokenizer.json").is_file():
        return dict(name="huggingface", file=str(folder / "tokenizer.json"))
    raise ConfigError(
        f"weights {str(folder)!r}: the directory has no vocab.txt, no vocab.json with merges.txt, "
        "and no tokenizer.json"
    )


_GPT2_FILES = {"vocab": "vocab.json", "merges": "merges.txt"}
# What the models here compute, by the keys of `config.json`, with Hugging Face's defaults.
_FIXED = {
    "bert": {
        "hidden_act": ("gelu", "gelu"),
        "layer_norm_eps": (1e-12, 1e-12),
        "position_embedding_type": ("absolute", "absolute"),
        "is_decoder": (False, False),
    },
    "gpt2": {
        "activation_function": ("gelu_new", "gelu_new"),
        "layer_norm_epsilon": (1e-5, 1e-5),
        "scale_attn_by_inverse_layer_idx": (False, False),
        "tie_word_embeddings": (True, True),
    },
}


def _settings(folder: Path, known: Kind) -> Mapping[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        raise ConfigError(
            f"weights {str(folder)!r}: there is no config.json; valid is a directory in the layout "
            "of Hugging Face"
        )
    found = _json(path)
    if found.get("model_type") != known.published:
        raise ConfigError(
            f"{path}: model_type is {found.get('model_type')!r}; valid is {known.published!r}"
        )
    for key, (valid, usual) in _FIXED[known.published].items():
        if found.get(key, usual) not in (valid, None):
            raise ConfigError(f"{path}: {key} is {found[key]!r}; valid is {valid!r}")
    return found


def _sizes(settings: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Returns the arguments of the model here."""
    names = _GPT2_SIZES if settings["model_type"] == "gpt2" else _BERT_SIZES
    missing = [there for there in names.values() if not isinstance(settings.get(there), int)]
    missing = [there for there in missing if there not in ("n_inner", "type_vocab_size")]
    if missing:
        raise ConfigError(f"{folder / 'config.json'} states no {', '.join(missing)}")
    return {here: settings[there] for here, there in names.items() if settings.get(there)}


_BERT_SIZES = dict(
    vocab_size="vocab_size",
    context="max_position_embeddings",
    width="hidden_size",
    depth="num_hidden_layers",
    num_heads="num_attention_heads",
    feed_forward="intermediate_size",
    num_types="type_vocab_size",
)
_GPT2_SIZES = dict(
    vocab_size="vocab_size",
    context="n_positions",
    width="n_embd",
    depth="n_layer",
    num_heads="n_head",
    feed_forward="n_inner",
)


def _shapes(model: nn.Module) -> Any:
    """Returns the shapes and types of a model's variables."""
    tokens = jax.ShapeDtypeStruct((1, 2), jnp.int32)
    given = [tokens]
    if hasattr(model, "num_types"):
        given += [jax.ShapeDtypeStruct((1, 2), jnp.float32), tokens]
    made = jax.eval_shape(model.init, jax.random.key(0), *given)
    return {"params": made["params"]}


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{path} has no settings by name")
    return found
