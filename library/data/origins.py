"""Origins: the published files that a dataset or a network is made from, and their download.

A download continues where an interrupted one stopped. A file appears under its name only when it is
complete and has the published checksum. Files that the user downloaded by hand are checked and used
in place.
"""

import contextlib
import fcntl
import hashlib
import os
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import requests
import rich.progress
import urllib3

from library.config import ConfigError

# Seconds to wait for a connection, and for the next bytes.
TIMEOUT = (15.0, 60.0)
# Attempts per download before it fails.
ATTEMPTS = 3
_CHUNK = 1 << 16
# Above this many bytes, only the size of a file that was downloaded by hand is checked.
_HASHED_BELOW = 10 << 30
# HTTP codes of a busy server, for which another attempt makes sense.
_BUSY = (408, 425, 429, 500, 502, 503, 504)


class Origin(NamedTuple):
    """A published file.

    Attributes:
      file: its name on disk.
      url: its address, or None if only registered users can download it.
      size: its size in bytes, or None if no size is published.
      checksum: "sha256:..." or "md5:..." of its contents, in full or its first digits; None if no
        checksum is published.
    """

    file: str
    url: str | None
    size: int | None = None
    checksum: str | None = None

    def __str__(self) -> str:
        size = "no size is published" if self.size is None else f"{self.size:,} bytes"
        return f"{self.file} ({size}, {self.checksum or 'no checksum is published'})"


def below(base: str, files: Mapping[str, tuple[int | None, str | None]]) -> tuple[Origin, ...]:
    """Lists the origins of files below one address, given as `{file: (size, checksum)}`."""
    return tuple(
        Origin(file.rpartition("/")[2], f"{base}/{file}", *known) for file, known in files.items()
    )


def on_github(
    repository: str, commit: str, files: Mapping[str, tuple[int | None, str | None]]
) -> tuple[Origin, ...]:
    """Lists the origins of files in a GitHub repository, given as `{path: (size, checksum)}`."""
    return below(f"https://raw.githubusercontent.com/{repository}/{commit}", files)


def archive(repository: str, commit: str) -> tuple[Origin]:
    """Returns the origin of a GitHub repository's archive at a commit; it has no checksum."""
    file = f"{repository.rpartition('/')[2]}-{commit}.tar.gz"
    return (Origin(file, f"https://github.com/{repository}/archive/{commit}.tar.gz"),)


def locate(origins: Sequence[Origin], folders: Sequence[Path]) -> dict[str, Path]:
    """Returns the paths of the files that exist, by name, each from the first folder that has it.

    Raises:
      ConfigError: a file is not the published one.
    """
    found = {}
    for origin in origins:
        paths = (folder / origin.file for folder in folders)
        path = next((path for path in paths if path.is_file()), None)
        if path is not None:
            _check_by_hand(origin, path)
            found[origin.file] = path
    return found


def fetch(
    origins: Sequence[Origin],
    folders: Sequence[Path],
    target: Path,
    *,
    mirror: str | None = None,
    progress: bool = True,
    say: Callable[[str], None] = print,
) -> dict[str, Path]:
    """Returns the path of every file by its name, and downloads the files that are missing.

    Args:
      origins: the files.
      folders: the folders where files that were downloaded by hand may be.
      target: the folder of downloads; it is created if needed.
      mirror: a base address; "MIRROR/FILE" replaces the address of each file.
      progress: whether to show a progress bar.
      say: a function that is called with each line for the user.

    Raises:
      ConfigError: a file has no address, cannot be downloaded, or is not the published one. The
        message names the file, its checksum, and the folder to put it in by hand.
    """
    found = locate(origins, (*folders, target))
    missing = [origin for origin in origins if origin.file not in found]
    unknown = [origin for origin in missing if origin.url is None and mirror is None]
    if unknown:
        names = " and ".join(map(str, unknown))
        raise ConfigError(
            f"{names}: no address is known; download it by hand to {(*folders, target)[0]}"
        )
    for origin in missing:
        url = origin.url if mirror is None else f"{mirror.rstrip('/')}/{origin.file}"
        say(f"downloading {origin} from {url} to {target}")
        _download(origin, url, target, (*folders, target)[0], progress)
        found[origin.file] = target / origin.file
        if origin.checksum is None:
            say(f"{origin.file}: no checksum is published, so its contents are not checked")
    return found


def read_checksum(path: Path, algorithm: str) -> str:
    """Returns the checksum of a file as "ALGORITHM:HEX"."""
    with open(path, "rb") as file:
        return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"


def _check_by_hand(origin: Origin, path: Path) -> None:
    size = path.stat().st_size
    if origin.size is not None and size != origin.size:
        raise ConfigError(
            f"{path} has {size:,} bytes, which is not the size of {origin}: delete or replace it"
        )
    if size <= _HASHED_BELOW:
        _check(origin, path, path)


def _check(origin: Origin, path: Path, named: Path | str) -> None:
    if origin.checksum is None:
        return
    found = read_checksum(path, origin.checksum.partition(":")[0])
    if not found.startswith(origin.checksum):
        raise ConfigError(f"{named} is a different file: it has {found}, expected {origin}")


def _download(origin: Origin, url: str, target: Path, by_hand: Path, progress: bool) -> None:
    """Downloads a file to `target`, continuing from `.FILE.partial` if it exists."""
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise ConfigError(f"{url} is not an address that begins with http:// or https://")
    advice = f"Or download {origin} by hand to {by_hand}"
    target.mkdir(parents=True, exist_ok=True)
    path, partial = target / origin.file, target / f".{origin.file}.partial"
    with _alone(partial):
        if path.is_file():
            return
        try:
            _receive(origin, url, partial, progress)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            kept = partial.stat().st_size
            raise ConfigError(
                f"{url} cannot be downloaded: {_reason(error)}. {kept:,} bytes are kept; run the "
                f"same command to continue. {advice}"
            ) from error
        try:
            _check(origin, partial, url)
        except ConfigError as error:
            # Truncated, not removed: another process may wait for the lock on the file.
            os.truncate(partial, 0)
            raise ConfigError(f"{error}. The download is deleted. {advice}") from error
        os.replace(partial, path)


@contextlib.contextmanager
def _alone(partial: Path) -> Iterator[None]:
    """Locks `partial`, so that only one process at a time downloads the file."""
    with open(partial, "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _receive(origin: Origin, url: str, partial: Path, progress: bool) -> None:
    """Downloads the missing bytes of `partial` in at most ATTEMPTS attempts."""
    with rich.progress.Progress(
        rich.progress.TextColumn("{task.description}"),
        rich.progress.BarColumn(),
        rich.progress.DownloadColumn(),
        rich.progress.TransferSpeedColumn(),
        rich.progress.TimeRemainingColumn(),
        disable=not progress,
    ) as bar:
        task = bar.add_task(origin.file, total=origin.size)
        for attempt in range(ATTEMPTS):
            try:
                _attempt(origin, url, partial, lambda done: bar.update(task, completed=done))
                return
            except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
                answer = getattr(error, "response", None)
                final = answer is not None and answer.status_code not in _BUSY
                if final or attempt == ATTEMPTS - 1:
                    raise


def _attempt(origin: Origin, url: str, partial: Path, show: Callable[[int], None]) -> None:
    have = partial.stat().st_size
    if origin.size is not None and have >= origin.size:
        if have == origin.size:
            return
        os.truncate(partial, have := 0)
    # "identity": bytes that the server compresses would not match the size and the checksum.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        if have and answer.status_code == 416:
            return _beyond(origin, url, partial, show, answer)
        answer.raise_for_status()
        continues = answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        if have and not (answer.status_code == 206 and continues):
            have = 0
        with open(partial, "r+b") as file:
            file.truncate(have)
            file.seek(have)
            for chunk in answer.raw.stream(_CHUNK, decode_content=False):
                file.write(chunk)
                have += len(chunk)
                show(have)
    _check_received(origin, have)


def _beyond(
    origin: Origin,
    url: str,
    partial: Path,
    show: Callable[[int], None],
    answer: requests.Response,
) -> None:
    """Treats the answer that the file has no bytes after those of `partial`."""
    have = partial.stat().st_size
    if answer.headers.get("Content-Range", "").strip() == f"bytes */{have}":
        _check_received(origin, have)
        return
    # What is here is longer than the file, so it is the beginning of another one.
    os.truncate(partial, 0)
    _attempt(origin, url, partial, show)


def _check_received(origin: Origin, have: int) -> None:
    if origin.size is not None and have != origin.size:
        raise requests.ConnectionError(f"received {have:,} of {origin.size:,} bytes")


def _reason(error: Exception) -> str:
    answer = getattr(error, "response", None)
    if answer is not None:
        return f"the server answers {answer.status_code} {answer.reason}"
    slow = (requests.Timeout, urllib3.exceptions.TimeoutError)
    if isinstance(error, slow):
        return f"the server sent nothing for {TIMEOUT[1]:g} s"
    return " ".join(str(error).split())
