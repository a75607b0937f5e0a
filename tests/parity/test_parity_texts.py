"""BERT, vectors of sentences and GPT-2 beside those of Hugging Face, with random weights."""

import jax
import numpy as np
import pytest

from library.data import tokenizers
from library.weights import texts
from library.weights.parity import relative
from tests.data.vocabularies import gpt2_files

VOCABULARY = (
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "dog", "##s", "run", "##ning"),
    *(",", "!", "'", "a", "##b", "##c", "cafe", "北", "京"),
)
TEXTS = (
    "The cats, running!",
    "Dogs' café [MASK] abc 北京",
    " \t a\u0301b\u0000c unbelievable  the",
)
TOKENS = np.int64([[2, 6, 8, 3, 9, 10, 3], [2, 5, 6, 3, 0, 0, 0]])
MASK = np.int64([[1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0, 0]])
TYPES = np.int64([[0, 0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 0, 0, 0]])


@pytest.fixture(scope="module")
def transformers(torch):
    return pytest.importorskip("transformers", reason="needs transformers")


def noisy(torch, network):
    """Returns a network whose params are none that it starts with, such as zeros and ones."""
    torch.manual_seed(0)
    with torch.no_grad():
        for param in network.parameters():
            param.add_(0.2 * torch.randn_like(param))
    return network.eval()


def bert_settings(transformers):
    return transformers.BertConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=24,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=40,
        max_position_embeddings=16,
    )


def kept(network, folder):
    network.save_pretrained(folder, safe_serialization=True)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    return folder


def ours(loaded, *given, **options):
    model = loaded.build()
    given = [np.asarray(x, x.dtype if x.dtype == np.float32 else np.int32) for x in given]
    return jax.jit(lambda v, *x: model.apply(v, *x, **options))(loaded.variables, *given)


def test_bert(torch, transformers, tmp_path):
    network = noisy(torch, transformers.BertForPreTraining(bert_settings(transformers)))
    loaded = texts.load("bert", kept(network, tmp_path))
    with torch.no_grad():
        theirs = network(*(torch.tensor(x) for x in (TOKENS, MASK, TYPES)))
    logits, following = ours(loaded, TOKENS, np.float32(MASK), TYPES)
    real = MASK > 0
    assert relative(logits[real], theirs.prediction_logits.numpy()[real]) < 1e-5
    assert relative(following, theirs.seq_relationship_logits.numpy()[:, ::-1]) < 1e-5


def test_vectors_of_sentences(torch, transformers, tmp_path):
    network = noisy(torch, transformers.BertModel(bert_settings(transformers)))
    loaded = texts.load("minilm", kept(network, tmp_path))
    with torch.no_grad():
        states = network(*(torch.tensor(x) for x in (TOKENS, MASK, TYPES))).last_hidden_state
        there = torch.tensor(MASK)[..., None]
        mean = (states * there).sum(1) / there.sum(1)
        theirs = torch.nn.functional.normalize(mean, dim=1).numpy()
    np.testing.assert_allclose(ours(loaded, TOKENS, np.float32(MASK), TYPES), theirs, atol=1e-5)


def test_gpt2(torch, transformers, tmp_path):
    settings = transformers.GPT2Config(
        vocab_size=331, n_positions=16, n_embd=24, n_layer=3, n_head=4
    )
    network = noisy(torch, transformers.GPT2LMHeadModel(settings))
    network.save_pretrained(tmp_path, safe_serialization=True)
    gpt2_files(tmp_path)
    loaded = texts.load("gpt2", tmp_path)
    assert loaded.tokenizer["name"] == "gpt2"
    tokens = np.random.default_rng(0).integers(0, 331, (2, 11))
    with torch.no_grad():
        theirs = network(torch.tensor(tokens)).logits.numpy()
    assert relative(ours(loaded, tokens), theirs) < 1e-5


def test_wordpieces_are_those_of_bert(transformers, tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    for lowercase in (True, False):
        path = str(tmp_path / "vocab.txt")
        made = tokenizers.wordpiece((), lowercase=lowercase, file=path)
        theirs = transformers.BertTokenizer(path, do_lower_case=lowercase)
        for text in TEXTS:
            expected = theirs(text, add_special_tokens=False)["input_ids"]
            assert made.encode(text).tolist() == expected, text
