"""Reading the files of published vocabularies."""

from pathlib import Path

from library.config import ConfigError


def read(path: str, what: str) -> str:
    """Reads a file of a vocabulary as text.

    Args:
      path: its path; "~" is the home directory.
      what: what the file is, for messages: "tokenizer 'gpt2', merges".

    Raises:
      ConfigError: the file cannot be read, or is not UTF-8.
    """
    try:
        return Path(path).expanduser().read_text("utf-8")
    except UnicodeDecodeError as error:
        wrong = error.object[error.start]
        raise ConfigError(
            f"{what}={path!r} is not UTF-8: byte {error.start} is 0x{wrong:02x}"
        ) from error
    except OSError as error:
        raise ConfigError(f"{what}={path!r} cannot be read: {error.strerror}") from error
