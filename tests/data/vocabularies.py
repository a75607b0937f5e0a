"""A small published vocabulary: that of a learned tokenizer, in the files of others."""

import base64
import json

from library.data.tokenizers import _byte_level, bpe

TEXT = (
    "In a hole in the ground there lived a hobbit. It's 1937, and they'll say it isn't; don't!\n"
    "Aquí me pongo a cantar\r\nal compás de la vigüela,\n\n  que el hombre que lo desvela\t\n"
)
STRANGE = (
    "  \n\n\ttabs,  spaces \n a ¿ñandú? 日本語 🧉 \u0301 \x00 we'LL I'm\r\n 12345 x!\n\n/ end \n "
)
END = "<|endoftext|>"


def rules(vocab_size=330):
    return json.loads(bpe([TEXT * 3, STRANGE], vocab_size).fitted["rules"])["model"]


def gpt2_files(folder, model=None, more=(END,)):
    """Writes `vocab.json` and `merges.txt`; returns their paths as arguments of `gpt2`.

    Args:
      folder: where to write them.
      model: vocabulary and merges, by default those of `rules`.
      more: further tokens.
    """
    model = model or rules()
    tokens = [*sorted(model["vocab"], key=model["vocab"].get), *more]
    vocab = {token: i for i, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(vocab))
    lines = [" ".join(pair) for pair in model["merges"]]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *lines, ""]))
    return {"vocab": str(folder / "vocab.json"), "merges": str(folder / "merges.txt")}


def ranks():
    """Returns the tokens of the vocabulary in bytes, bytes first, each with its rank."""
    place = {character: i for i, character in enumerate(_byte_level.alphabet())}
    tokens = sorted(rules()["vocab"].items(), key=lambda item: item[1])
    return {bytes(place[c] for c in token): rank for token, rank in tokens}


def ranks_file(folder):
    path = folder / "small.tiktoken"
    lines = (f"{base64.b64encode(token).decode()} {rank}\n" for token, rank in ranks().items())
    path.write_text("".join(lines))
    return str(path)
