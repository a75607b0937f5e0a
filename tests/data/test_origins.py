"""Downloads, from a server on this machine that fails in all the ways that servers do."""

import contextlib
import hashlib
import http.server
import threading

import pytest

from library.config import ConfigError
from library.data import origins
from library.data.origins import Origin

BODY = bytes(range(256)) * 40
SHA256 = "sha256:" + hashlib.sha256(BODY).hexdigest()
ORIGIN = Origin("set.bin", "http://origin.invalid/set.bin", len(BODY), SHA256)


@contextlib.contextmanager
def server(answer):
    """Serves on localhost; `answer(handler, number of the request, start)` writes the reply."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            start = int(self.headers.get("Range", "bytes=0-")[6:-1])
            asked.append((self.path, start))
            answer(self, len(asked), start)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        made.daemon_threads = True
        thread = threading.Thread(target=made.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{made.server_port}/base/", asked
        finally:
            made.shutdown()
            thread.join()


def send(handler, start, body=BODY, upto=None, ranges=True):
    part = body[start:] if ranges else body
    handler.send_response(206 if start and ranges else 200)
    if start and ranges:
        handler.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
    handler.send_header("Content-Length", str(len(part)))
    handler.end_headers()
    handler.wfile.write(part[:upto])


def fetch(tmp_path, mirror=None, origin=ORIGIN, said=None):
    say = (said if said is not None else []).append
    options = dict(mirror=mirror, progress=False, say=say)
    return origins.fetch([origin], [tmp_path / "manual"], tmp_path / "downloads", **options)


def partial(tmp_path):
    return tmp_path / "downloads" / ".set.bin.partial"


def test_a_file_comes_whole_from_below_the_mirror(tmp_path):
    with server(lambda handler, _, start: send(handler, start)) as (mirror, asked):
        path = fetch(tmp_path, mirror)["set.bin"]
        assert path.read_bytes() == BODY
        assert fetch(tmp_path, mirror) == {"set.bin": path}
    assert asked == [("/base/set.bin", 0)]
    assert [each.name for each in path.parent.iterdir()] == ["set.bin"]


def test_a_download_that_breaks_off_is_taken_up_where_it_stopped(tmp_path):
    def breaks_off(handler, number, start):
        send(handler, start, upto=3000 if number < 3 else None)

    with server(breaks_off) as (mirror, asked):
        assert fetch(tmp_path, mirror)["set.bin"].read_bytes() == BODY
    assert [start for _, start in asked] == [0, 3000, 6000]


def test_the_next_command_goes_on_after_an_interruption(tmp_path):
    (tmp_path / "downloads").mkdir()
    partial(tmp_path).write_bytes(BODY[:5000])
    with server(lambda handler, _, start: send(handler, start)) as (mirror, asked):
        assert fetch(tmp_path, mirror)["set.bin"].read_bytes() == BODY
    assert [start for _, start in asked] == [5000]


def test_a_server_without_ranges_sends_all_again(tmp_path):
    (tmp_path / "downloads").mkdir()
    partial(tmp_path).write_bytes(b"x" * 5000)
    with server(lambda handler, _, start: send(handler, start, ranges=False)) as (mirror, _):
        assert fetch(tmp_path, mirror)["set.bin"].read_bytes() == BODY


@pytest.mark.parametrize(
    ("kept", "total", "asked_for"),
    [
        (BODY, f"bytes */{len(BODY)}", [len(BODY)]),
        (BODY + b"more", f"bytes */{len(BODY)}", [len(BODY) + 4, 0]),
        (BODY, None, [len(BODY), 0]),
    ],
)
def test_a_part_with_nothing_after_it_becomes_the_file_by_one_command(
    tmp_path, kept, total, asked_for
):
    def beyond(handler, _, start):
        if start < len(BODY):
            return send(handler, start)
        handler.send_response(416)
        if total:
            handler.send_header("Content-Range", total)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    (tmp_path / "downloads").mkdir()
    partial(tmp_path).write_bytes(kept)
    with server(beyond) as (mirror, asked):
        path = fetch(tmp_path, mirror, ORIGIN._replace(size=None))["set.bin"]
    assert path.read_bytes() == BODY
    assert [start for _, start in asked] == asked_for


def test_a_server_whose_file_is_too_short_leaves_the_part(tmp_path):
    def short(handler, _, start):
        handler.send_response(416)
        handler.send_header("Content-Range", "bytes */4000")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    (tmp_path / "downloads").mkdir()
    partial(tmp_path).write_bytes(BODY[:4000])
    with server(short) as (mirror, _):
        refuses(tmp_path, mirror, "received 4,000 of 10,240 bytes")
    assert partial(tmp_path).read_bytes() == BODY[:4000]


def refuses(tmp_path, mirror, reason, origin=ORIGIN):
    """Checks the message of a download that fails; returns it."""
    with pytest.raises(ConfigError, match=reason) as failed:
        fetch(tmp_path, mirror, origin)
    message = str(failed.value)
    for named in ("/base/set.bin", SHA256, f"{len(BODY):,} bytes", str(tmp_path / "manual")):
        assert named in message
    assert "\n" not in message
    assert not (tmp_path / "downloads" / "set.bin").exists()
    return message


def test_a_truncated_file_is_kept_as_a_part_and_said(tmp_path):
    with server(lambda handler, _, start: send(handler, start, body=BODY[:4000])) as (mirror, _):
        message = refuses(tmp_path, mirror, "received 4,000 of 10,240 bytes|cannot be downloaded")
    assert "run the same command to continue" in message


def test_another_file_is_refused_and_deleted(tmp_path):
    with server(lambda handler, _, start: send(handler, start, body=BODY[::-1])) as (mirror, asked):
        refuses(tmp_path, mirror, "is a different file: it has sha256:")
    assert len(asked) == 1
    assert partial(tmp_path).stat().st_size == 0


def test_a_missing_file_is_asked_for_once(tmp_path):
    with server(lambda handler, *_: handler.send_error(404)) as (mirror, asked):
        refuses(tmp_path, mirror, "the server answers 404 Not Found")
    assert len(asked) == 1
    assert partial(tmp_path).stat().st_size == 0


def test_a_busy_server_is_asked_again(tmp_path):
    def busy(handler, number, start):
        handler.send_error(503) if number == 1 else send(handler, start)

    with server(busy) as (mirror, _):
        assert fetch(tmp_path, mirror)["set.bin"].read_bytes() == BODY


def test_a_server_that_says_nothing_more_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(origins, "TIMEOUT", (5.0, 0.1))
    monkeypatch.setattr(origins, "ATTEMPTS", 1)
    over = threading.Event()

    def slow(handler, _, start):
        send(handler, start, upto=100)
        handler.wfile.flush()
        over.wait(30)

    with server(slow) as (mirror, _):
        message = refuses(tmp_path, mirror, "the server sent nothing for 0.1 s")
        over.set()
    assert "run the same command to continue" in message


def test_without_a_network_the_message_is_the_same(tmp_path):
    with server(lambda *_: None) as (mirror, _):
        pass
    refuses(tmp_path, mirror, "cannot be downloaded: .*refused")


def test_a_file_brought_by_hand_is_taken_if_it_is_the_one(tmp_path):
    path = tmp_path / "manual" / "set.bin"
    path.parent.mkdir()
    path.write_bytes(BODY)
    assert fetch(tmp_path) == {"set.bin": path}
    path.write_bytes(BODY[:-1])
    with pytest.raises(
        ConfigError, match=r"has 10,239 bytes, which is not the size of set.bin \(10"
    ):
        fetch(tmp_path)
    path.write_bytes(BODY[::-1])
    with pytest.raises(ConfigError, match=r"manual/set.bin is a different file"):
        fetch(tmp_path)


def test_what_has_no_address_is_brought_by_hand(tmp_path):
    with pytest.raises(ConfigError, match=r"no address is known; download it by hand to .*/manual"):
        fetch(tmp_path, origin=ORIGIN._replace(url=None))


def test_a_file_without_a_published_checksum_is_said_to_be_unchecked(tmp_path):
    said = []
    with server(lambda handler, _, start: send(handler, start)) as (mirror, _):
        fetch(tmp_path, mirror, ORIGIN._replace(checksum=None, size=None), said)
    assert said[-1] == "set.bin: no checksum is published, so its contents are not checked"
