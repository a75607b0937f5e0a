"""Origins: the published files that a data set or a network is made from, and how they get here.

A download goes on where an interrupted one stopped, and a file appears under its name only once it
is whole and has the published checksum. Files brought by hand are taken as they lie.
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
# How often a download that broke off is taken up again by itself.
ATTEMPTS = 3
_CHUNK = 1 << 16
# Above this many bytes a file that was brought by hand is known by its size alone.
_HASHED_BELOW = 10 << 30
# Answers that say that the server is busy, not that the file is absent.
_BUSY = (408, 425, 429, 500, 502, 503, 504)


class Origin(NamedTuple):
    """A published file.

    Attributes:
      file: its name where it lies on disk.
      url: its address, or None where it is given out only to those who register.
      size: bytes, or None where it is not published.
      checksum: "sha256:..." or "md5:..." of its bytes, or None where none is published.
    """

    file: str
    url: str | None
    size: int | None = None
    checksum: str | None = None

    def __str__(self) -> str:
        size = "of a size that is not published" if self.size is None else f"{self.size:,} bytes"
        return f"{self.file} ({size}, {self.checksum or 'no checksum is published'})"


def below(base: str, files: Mapping[str, tuple[int | None, str | None]]) -> tuple[Origin, ...]:
    """Lists files that lie below one address, given as `{file: (size, checksum)}`."""
    return tuple(
        Origin(file.rpartition("/")[2], f"{base}/{file}", *known) for file, known in files.items()
    )


def on_github(
    repository: str, commit: str, files: Mapping[str, tuple[int | None, str | None]]
) -> tuple[Origin, ...]:
    """Lists files of a public repository, given as `{path: (size, checksum)}`."""
    return below(f"https://raw.githubusercontent.com/{repository}/{commit}", files)


def archive(repository: str, commit: str) -> tuple[Origin]:
    """Names the archive of a public repository; the commit tells its contents, no checksum does."""
    file = f"{repository.rpartition('/')[2]}-{commit}.tar.gz"
    return (Origin(file, f"https://github.com/{repository}/archive/{commit}.tar.gz"),)


def locate(origins: Sequence[Origin], folders: Sequence[Path]) -> dict[str, Path]:
    """Says where the files lie that are there, by name; the first of `folders` that has one counts.

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
    """Returns the path of every file by its name, downloading those that are not here.

    Args:
      origins: the files.
      folders: where files brought by hand may lie.
      target: the folder that downloads go to, made if need be.
      mirror: a base address; "MIRROR/FILE" is asked in place of each file's own address.
      progress: whether to show a progress bar.
      say: called with one line on each download.

    Raises:
      ConfigError: a file has no address, or cannot be had, or is not the published one. The message
        names the address, the checksum, and where to put the file by hand.
    """
    found = locate(origins, (*folders, target))
    missing = [origin for origin in origins if origin.file not in found]
    unknown = [origin for origin in missing if origin.url is None and mirror is None]
    if unknown:
        names = " and ".join(map(str, unknown))
        raise ConfigError(f"{names}: no address is known; put it in {(*folders, target)[0]}")
    for origin in missing:
        url = origin.url if mirror is None else f"{mirror.rstrip('/')}/{origin.file}"
        say(f"downloading {origin} from {url} to {target}")
        _download(origin, url, target, (*folders, target)[0], progress)
        found[origin.file] = target / origin.file
        if origin.checksum is None:
            say(f"{origin.file}: no checksum is published, so its contents are not checked")
    return found


def read_checksum(path: Path, algorithm: str) -> str:
    """Returns "ALGORITHM:HEX" of a file."""
    with open(path, "rb") as file:
        return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"


def _check_by_hand(origin: Origin, path: Path) -> None:
    size = path.stat().st_size
    if origin.size is not None and size != origin.size:
        raise ConfigError(f"{path} has {size:,} bytes, not those of {origin}: delete or replace it")
    if size <= _HASHED_BELOW:
        _check(origin, path, path)


def _check(origin: Origin, path: Path, named: Path | str) -> None:
    if origin.checksum is None:
        return
    found = read_checksum(path, origin.checksum.partition(":")[0])
    if found != origin.checksum:
        raise ConfigError(f"{named} is another file: {found}, expected {origin}")


def _download(origin: Origin, url: str, target: Path, by_hand: Path, progress: bool) -> None:
    """Downloads a file to `target`, going on from `.FILE.partial`."""
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise ConfigError(f"{url} is no address of the form https://...")
    advice = f"Or put {origin} by hand in {by_hand}"
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
                f"{url} cannot be downloaded: {_reason(error)}. {kept:,} bytes are here; the same "
                f"command goes on from there. {advice}"
            ) from error
        try:
            _check(origin, partial, url)
        except ConfigError as error:
            # Not removed: another process may wait for the lock on it.
            os.truncate(partial, 0)
            raise ConfigError(f"{error}. What came is deleted. {advice}") from error
        os.replace(partial, path)


@contextlib.contextmanager
def _alone(partial: Path) -> Iterator[None]:
    """Waits until no other process downloads the same file."""
    with open(partial, "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _receive(origin: Origin, url: str, partial: Path, progress: bool) -> None:
    """Writes to `partial` what it lacks, in several attempts."""
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
    # A server that compresses on the way would change the bytes.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        if answer.status_code == 416:
            os.truncate(partial, 0)
        answer.raise_for_status()
        goes_on = answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        if have and not (answer.status_code == 206 and goes_on):
            have = 0
        with open(partial, "r+b") as file:
            file.truncate(have)
            file.seek(have)
            for chunk in answer.raw.stream(_CHUNK, decode_content=False):
                file.write(chunk)
                have += len(chunk)
                show(have)
    if origin.size is not None and have != origin.size:
        raise requests.ConnectionError(f"{have:,} of {origin.size:,} bytes came")


def _reason(error: Exception) -> str:
    answer = getattr(error, "response", None)
    if answer is not None:
        return f"the server answers {answer.status_code} {answer.reason}"
    slow = (requests.Timeout, urllib3.exceptions.TimeoutError)
    if isinstance(error, slow):
        return f"no bytes came for {TIMEOUT[1]:g} s"
    return " ".join(str(error).split())
