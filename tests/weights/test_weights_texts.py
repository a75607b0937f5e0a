"""Published networks of texts: the names and layouts of their files, and what is refused."""

import json

import jax
import numpy as np
import pytest

from library import trees
from library.config import ConfigError
from library.weights import files, texts
from library.weights.mapping import published_as

BERT = dict(
    model_type="bert",
    vocab_size=9,
    max_position_embeddings=6,
    hidden_size=4,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=6,
    type_vocab_size=2,
)
GPT2 = dict(model_type="gpt2", vocab_size=9, n_positions=6, n_embd=4, n_layer=2, n_head=2)
VOCABULARY = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcd")


def written(folder, settings, arrays):
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY))
    files.write(folder / "model.safetensors", arrays)
    return folder


def drawn(kind, settings, tmp_path):
    """Returns variables of noise of a kind of network, and the names of its file."""
    sizes = texts._sizes(settings, tmp_path)
    model = texts.config.build(
        {"name": texts.KINDS[kind].model, **sizes}, "library.models", "model"
    )
    draw = np.random.default_rng(0)
    shapes = texts._shapes(model)
    return jax.tree.map(lambda x: np.float32(draw.normal(size=x.shape)), shapes)


@pytest.mark.parametrize(("kind", "settings"), [("bert", BERT), ("minilm", BERT), ("gpt2", GPT2)])
def test_every_table_reads_what_it_writes(kind, settings, tmp_path):
    variables = drawn(kind, settings, tmp_path)
    for number, table in enumerate(texts.KINDS[kind].tables):
        arrays = published_as(variables, table)
        folder = written(tmp_path / str(number), settings, arrays)
        loaded = texts.load(kind, folder)
        assert trees.digest(loaded.variables) == trees.digest(variables)
        assert loaded.tokenizer["name"] == "wordpiece"


def test_names_and_layouts_are_those_of_the_published_files(tmp_path):
    variables = drawn("bert", BERT, tmp_path)
    params, arrays = variables["params"], published_as(variables, texts.BERT_RULES)
    block, there = params["encoder"]["block2"], "bert.encoder.layer.1"
    np.testing.assert_array_equal(
        arrays[f"{there}.attention.self.query.weight"],
        block["attention"]["query"]["kernel"].reshape(4, 4).T,
    )
    np.testing.assert_array_equal(
        arrays[f"{there}.attention.output.dense.weight"],
        block["attention"]["out"]["kernel"].reshape(4, 4).T,
    )
    np.testing.assert_array_equal(
        arrays[f"{there}.intermediate.dense.weight"], block["fc1"]["kernel"].T
    )
    # "It follows" comes first there.
    following = params["next_sentence"]
    np.testing.assert_array_equal(
        arrays["cls.seq_relationship.weight"], following["kernel"].T[::-1]
    )
    np.testing.assert_array_equal(arrays["cls.seq_relationship.bias"], following["bias"][::-1])
    variables = drawn("gpt2", GPT2, tmp_path)
    params, arrays = variables["params"]["block1"], published_as(variables, texts.GPT2_RULES)
    parts = [
        params["attention"][name]["kernel"].reshape(4, 4) for name in ("query", "key", "value")
    ]
    np.testing.assert_array_equal(arrays["h.0.attn.c_attn.weight"], np.concatenate(parts, axis=1))
    assert arrays["h.0.attn.c_attn.bias"].shape == (12,)
    np.testing.assert_array_equal(arrays["h.0.mlp.c_fc.weight"], params["fc1"]["kernel"])
    np.testing.assert_array_equal(
        arrays["h.0.attn.c_proj.weight"], params["attention"]["out"]["kernel"].reshape(4, 4)
    )


def test_what_others_keep_beside_the_network_is_left_out(tmp_path):
    variables = drawn("bert", BERT, tmp_path)
    arrays = published_as(variables, texts.BERT_RULES)
    table = arrays["bert.embeddings.word_embeddings.weight"]
    arrays["cls.predictions.decoder.weight"] = table
    arrays["bert.embeddings.position_ids"] = np.arange(6)[None]
    folder = written(tmp_path / "all", BERT, arrays)
    assert trees.digest(texts.load("bert", folder).variables) == trees.digest(variables)
    # The vector of a sentence needs the encoder alone.
    encoder = texts.load("minilm", folder).variables["params"]
    assert set(encoder) == {"encoder"}
    assert trees.digest(encoder["encoder"]) == trees.digest(variables["params"]["encoder"])


def test_a_directory_names_its_tokenizer(tmp_path):
    with pytest.raises(ConfigError, match=r"has no vocab\.txt, no vocab\.json with merges\.txt"):
        texts.tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    assert texts.tokenizer(tmp_path)["name"] == "huggingface"
    (tmp_path / "vocab.json").write_text("{}")
    (tmp_path / "merges.txt").write_text("")
    assert texts.tokenizer(tmp_path) == dict(
        name="gpt2", vocab=str(tmp_path / "vocab.json"), merges=str(tmp_path / "merges.txt")
    )
    (tmp_path / "vocab.txt").write_text("")
    assert texts.tokenizer(tmp_path)["lowercase"] is True
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    assert texts.tokenizer(tmp_path)["lowercase"] is False


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("bret", {}, "unknown kind of text network 'bret': did you mean 'bert'"),
        ("gpt2", {}, "model_type is 'bert'; valid is 'gpt2'"),
        ("bert", dict(hidden_act="relu"), "hidden_act is 'relu'; valid is 'gelu'"),
        ("bert", dict(hidden_size=None), "states no hidden_size"),
        ("bert", dict(intermediate_size=7), "of another shape"),
    ],
)
def test_what_does_not_fit_is_refused(kind, change, message, tmp_path):
    arrays = published_as(drawn("bert", BERT, tmp_path), texts.BERT_RULES)
    folder = written(tmp_path / "run", {**BERT, **change}, arrays)
    with pytest.raises(ConfigError, match=message):
        texts.load(kind, folder)


def test_a_directory_without_settings_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"there is no config\.json"):
        texts.load("bert", tmp_path)
