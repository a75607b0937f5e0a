"""A stream whose reader is gone takes what is written, and says why it leads nowhere."""

import io
import os

import pytest

from library.output_streams import FaultTolerantStream


@pytest.mark.filterwarnings("error")
def test_a_pipe_that_is_closed():
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as inner:
        stream = FaultTolerantStream(inner)
        assert stream.write("heard") == 5
        stream.flush()
        assert os.read(reader, 9) == b"heard"
        assert stream.lost is None
        os.close(reader)
        stream.write("not heard")
        stream.flush()
        assert isinstance(stream.lost, BrokenPipeError)
        assert stream.write("nor this") == 8
        # What writes to it without asking, and what is left in its buffer, does no harm.
        print("either", file=inner, flush=True)


def test_a_stream_that_is_no_file():
    class Full(io.StringIO):
        def write(self, text):
            raise OSError(28, "No space left on device")

    stream = FaultTolerantStream(Full())
    assert stream.write("lost") == 4
    assert stream.lost.errno == 28
    assert not stream.isatty()
