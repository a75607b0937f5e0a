"""metrics.jsonl and TensorBoard events hold every step once, after any number of restarts."""

import json
import math
import struct

import pytest
from tensorboardX.proto.event_pb2 import Event

from library.reporting.runs import read_rows
from library.run import logger
from library.run.logger import Logger


def write(workdir, steps, resumed_at=0, value=lambda step: step / 2):
    log = Logger(workdir, resumed_at=resumed_at)
    for step in steps:
        log.write(step, wall_time=step + 0.12345, metrics={"train/loss": value(step)})
    return log


def lines(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def events(workdir):
    """Returns what TensorBoard shows: {step: value}, a restart forgetting the steps after it."""
    shown = {}
    # Files sort by the time of their start.
    for path in sorted(workdir.glob("events.out.tfevents*"), key=lambda p: p.stat().st_mtime_ns):
        content, place = path.read_bytes(), 0
        while place < len(content):
            (length,) = struct.unpack_from("<Q", content, place)
            event = Event.FromString(content[place + 12 : place + 12 + length])
            place += 12 + length + 4
            if event.HasField("session_log") and event.session_log.status == 1:
                shown = {step: v for step, v in shown.items() if step < event.step}
            for value in event.summary.value:
                assert value.tag.startswith("train/loss")
                shown[event.step] = value.simple_value
    return shown


def test_a_row_a_step(tmp_path):
    log = write(tmp_path, [1, 2])
    expected = [
        {"step": 1, "wall_time": 1.123, "train/loss": 0.5},
        {"step": 2, "wall_time": 2.123, "train/loss": 1.0},
    ]
    # Rows can be read while the run goes on.
    assert lines(tmp_path) == read_rows(tmp_path / "metrics.jsonl").rows == expected == log.rows
    log.close()
    assert lines(tmp_path) == expected
    assert events(tmp_path) == {1: 0.5, 2: 1.0}


def test_the_newest_value(tmp_path):
    log = write(tmp_path, [1, 2])
    log.write(3, 3.0, {"test/accuracy": 0.5})
    log.sync()
    assert log.last("train/loss") == 1.0
    assert log.last("test/accuracy") == 0.5
    assert log.last("absent") is None
    log.close()


def test_rows_of_steps_that_are_run_again_are_dropped(tmp_path):
    write(tmp_path, [2, 4, 6, 8]).close()
    log = write(tmp_path, [6, 8, 10], resumed_at=5, value=lambda step: step * 10)
    assert [row["step"] for row in lines(tmp_path)] == [2, 4, 6, 8, 10]
    assert [row["train/loss"] for row in log.rows] == [1.0, 2.0, 60, 80, 100]
    assert log.last("train/loss") == 100
    log.close()
    assert events(tmp_path) == {2: 1.0, 4: 2.0, 6: 60.0, 8: 80.0, 10: 100.0}


def test_a_run_that_starts_anew_starts_its_log_anew(tmp_path):
    write(tmp_path, [1, 2, 3]).close()
    write(tmp_path, [1]).close()
    assert [row["step"] for row in lines(tmp_path)] == [1]


@pytest.mark.parametrize("cut", [1, 10, 40])
def test_a_line_cut_short_by_a_kill_is_left_out(tmp_path, cut):
    write(tmp_path, [1, 2, 3]).close()
    path = tmp_path / "metrics.jsonl"
    path.write_text(path.read_text()[:-cut])
    # Only the last newline is missing where one character is cut.
    whole = 3 if cut == 1 else 2
    assert [row["step"] for row in read_rows(path).rows] == [1, 2, 3][:whole]
    log = write(tmp_path, [4], resumed_at=3)
    log.close()
    assert [row["step"] for row in lines(tmp_path)] == [*[1, 2, 3][:whole], 4]
    assert bool(log.problem) is (cut > 1)


def test_lines_that_are_no_rows_are_kept_and_cost_no_others(tmp_path):
    write(tmp_path, [1, 2, 3, 4]).close()
    path = tmp_path / "metrics.jsonl"
    whole = path.read_bytes().splitlines()
    broken = [whole[1][:20], b"\xff\x00", b'["step"]']
    path.write_bytes(b"\n".join([whole[0], *broken, *whole[2:], b'{"step": 5, "tr']))
    log = write(tmp_path, [4], resumed_at=3)
    log.close()
    assert [row["step"] for row in lines(tmp_path)] == [1, 3, 4]
    assert log.reached == 4.123
    assert log.problem == (
        "metrics.jsonl: lines 2, 3, 4, 7 are no rows and are kept in metrics.damaged.jsonl"
    )
    kept = b"\n".join([*broken, b'{"step": 5, "tr', b""])
    assert (tmp_path / "metrics.damaged.jsonl").read_bytes() == kept
    # What is damaged later joins what is kept.
    path.write_bytes(path.read_bytes() + b"{\n")
    write(tmp_path, [], resumed_at=4).close()
    assert (tmp_path / "metrics.damaged.jsonl").read_bytes() == kept + b"{\n"
    assert write(tmp_path, [], resumed_at=4).problem is None


def test_no_log_is_no_rows(tmp_path):
    assert read_rows(tmp_path / "metrics.jsonl").rows == []


def test_values_that_are_not_finite_can_be_read_again(tmp_path):
    log = write(tmp_path, [1], value=lambda step: math.nan)
    log.close()
    (row,) = read_rows(tmp_path / "metrics.jsonl").rows
    assert math.isnan(row["train/loss"])
    # Other programs refuse the NaN that Python would write.
    assert lines(tmp_path) == [{"step": 1, "wall_time": 1.123, "train/loss": None}]
    write(tmp_path, [2], resumed_at=1, value=lambda step: math.inf).close()
    assert [row["train/loss"] for row in lines(tmp_path)] == [None, None]


def test_of_several_processes_the_first_writes(tmp_path, monkeypatch):
    write(tmp_path, [1, 2, 3]).close()
    monkeypatch.setattr(logger.jax, "process_index", lambda: 1)
    log = write(tmp_path, [3], resumed_at=2, value=lambda step: 9.0)
    log.sync()
    log.close()
    # All know the rows, which they sum up in the end.
    assert [row["train/loss"] for row in log.rows] == [0.5, 1.0, 9.0]
    assert log.last("train/loss") == 9.0
    assert [row["train/loss"] for row in lines(tmp_path)] == [0.5, 1.0, 1.5]
    assert len(list(tmp_path.glob("events*"))) == 1
