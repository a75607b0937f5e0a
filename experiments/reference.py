"""Prints the keys of a config: `python -m experiments.reference [WORDS]`.

It shows each section and each function that a config names, with its keys, types and defaults. With
words it shows only entries that match all words:

    python -m experiments.reference dataset workers
    python -m experiments.reference schedules cosine

`--write` writes all entries to docs/config.md.
"""

from pathlib import Path

from absl import flags

from experiments import command_line, config_files, config_keys
from library.config import ConfigError, nearest

_WRITE = flags.DEFINE_bool("write", False, "Write docs/config.md.")


def main() -> int:
    """Prints the entries that match the words, or writes the page."""
    from library.reporting import reference

    known, words = config_keys.chapters(), command_line.words()
    if _WRITE.value:
        if words:
            raise ConfigError(f"--write writes all entries: leave out {' '.join(words)!r}")
        print(write())
        return 0
    found = reference.matching(known, words)
    if not found:
        names = [entry.name for chapter in known for entry in chapter.entries]
        raise ConfigError(f"no entry matches {' '.join(words)!r}: {nearest(words[0], names)}")
    print(config_keys.renamed("\n".join(map(reference.entry_text, found))))
    return 0


def write() -> Path:
    """Writes docs/config.md and returns its path."""
    from library import files

    return files.write(config_files.ROOT / "docs" / "config.md", config_keys.page())


if __name__ == "__main__":
    command_line.run(main, configurable=False, words=("words...",))
