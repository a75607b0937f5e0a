"""WordPiece: words in pieces, with the text cleaned and split as BERT does.

Schuster & Nakajima 2012, "Japanese and Korean voice search"; Devlin et al. 2019 (arXiv 1810.04805),
section 3. A piece that continues a word begins with "##".
"""

import functools
from collections.abc import Iterable, Mapping
from typing import Any

import tokenizers

from library.config import ConfigError
from library.data.tokenizers import _byte_level, _files
from library.data.tokenizers._tokenizer import Tokenizer
from library.special_tokens import BERT, UNKNOWN_PIECE

# Longer words are unknown, as in BERT's program.
_LONGEST_WORD = 100


def wordpiece(
    texts: Iterable[str],
    vocab_size: int = 8192,
    lowercase: bool = True,
    file: str | None = None,
    *,
    fitted: Mapping[str, Any] | None = None,
) -> Tokenizer:
    """Learns pieces of words from the texts, or reads those of a published BERT.

    The learned pieces are merges of the most frequent pairs, as in byte-pair encoding: the program
    that made BERT's own pieces is not published. A word is read as its longest known beginning,
    then the longest known continuation, and so on. A word that cannot be read so is "[UNK]".
    Decoding joins the pieces of a word, and words by single spaces.

    Args:
      texts: the training documents.
      vocab_size: number of tokens, with the five of BERT; not read with `file`.
      lowercase: whether capitals become small letters, and accents are left out.
      file: path of a published `vocab.txt`, a token a line. For a `tokenizer.json` see
        `huggingface`.
      fitted: `Tokenizer.fitted` of another tokenizer; if given, nothing is learned or read.

    Raises:
      ConfigError: `vocab_size` is too small for the characters of the texts, the texts have too
        few pairs for it, or the file cannot be read, lacks a token of BERT or has one twice.
    """
    if fitted is not None:
        return _byte_level.from_rules(fitted["rules"], "none")
    pieces = _learned(texts, vocab_size, lowercase) if file is None else _read(file)
    return _byte_level.from_rules(_rules(pieces, lowercase).to_str(), "none")


def _rules(pieces: Iterable[str], lowercase: bool) -> tokenizers.Tokenizer:
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    model = tokenizers.models.WordPiece(
        vocabulary, unk_token=UNKNOWN_PIECE, max_input_chars_per_word=_LONGEST_WORD
    )
    made = tokenizers.Tokenizer(model)
    made.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=lowercase)
    made.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    made.decoder = tokenizers.decoders.WordPiece(cleanup=False)
    made.add_special_tokens([token for token in BERT if token in vocabulary])
    return made


def _learned(texts: Iterable[str], vocab_size: int, lowercase: bool) -> list[str]:
    """Returns the pieces that the texts give, the same in every process."""
    learn = _learn if isinstance(texts, tuple) else _learn.__wrapped__
    return list(learn(texts, vocab_size, lowercase))


@functools.lru_cache(maxsize=4)
def _learn(texts: Iterable[str], vocab_size: int, lowercase: bool) -> tuple[str, ...]:
    model = _rules(BERT, lowercase)
    words = model.pre_tokenizer.pre_tokenize_str
    clean, begins, continues, known = model.normalizer.normalize_str, set(), set(), []
    for text in texts:
        known.append(_byte_level.without_surrogates(text))
        for word, _ in words(clean(known[-1])):
            begins.add(word[0])
            continues.update(word[1:])
    # The package numbers characters in an order of chance, and settles ties by these numbers.
    alphabet = [*BERT, *sorted(begins | continues), *(f"##{each}" for each in sorted(continues))]
    if len(alphabet) >= vocab_size:
        raise ConfigError(
            f"tokenizer 'wordpiece', vocab_size={vocab_size}: the characters of the text alone "
            f"are {len(alphabet)} tokens, so use at least {len(alphabet) + 1}"
        )
    trainer = tokenizers.trainers.WordPieceTrainer(
        vocab_size=vocab_size, special_tokens=alphabet, show_progress=False
    )
    model.train_from_iterator(known, trainer)
    found = model.get_vocab(with_added_tokens=True)
    if len(found) < vocab_size:
        raise ConfigError(
            f"tokenizer 'wordpiece', vocab_size={vocab_size}: the text gives at most {len(found)} "
            "tokens"
        )
    return tuple(sorted(found, key=found.get))


def _read(path: str) -> list[str]:
    lines = _files.read(path, "tokenizer 'wordpiece', file").splitlines()
    where = f"tokenizer 'wordpiece', file={path!r}"
    missing = [token for token in BERT if token not in lines]
    if missing:
        raise ConfigError(f"{where} is no vocabulary of BERT: it lacks {', '.join(missing)}")
    if len(set(lines)) != len(lines):
        twice = next(line for line in lines if lines.count(line) > 1)
        raise ConfigError(f"{where}: {twice!r} occurs twice")
    return lines
