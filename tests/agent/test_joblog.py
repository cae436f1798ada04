from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.agent.joblog import RECORD_MAX, LogError, LogReader, LogWriter, Part


def parts(folder: Path, offset: int = 0, bounds: tuple[int, ...] = ()) -> list[Part]:
    reader = LogReader(str(folder), offset, bounds)
    found = []
    while (part := reader.read()) is not None:
        found.append(part)
    reader.close()
    return found


@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(min_size=1, max_size=200))))
def test_each_stream_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, written: list[tuple[int, bytes]]
) -> None:
    folder = tmp_path_factory.mktemp("log")
    log = LogWriter(str(folder))
    offsets = []
    for stream, data in written:
        offsets.append(log.size)
        assert log.append(stream, data) == len(data)
    log.close()
    for stream in (1, 2):
        expected = b"".join(data for number, data in written if number == stream)
        assert b"".join(part.data for part in parts(folder) if part.stream == stream) == expected
    for offset in offsets:
        apart = parts(folder, 0, (offset,))
        assert parts(folder, offset) == [part for part in apart if part.offset >= offset]
    assert stat.S_IMODE((folder / "log").stat().st_mode) == 0o600


def test_large_output_is_cut_between_characters(tmp_path: Path) -> None:
    log = LogWriter(str(tmp_path))
    data = "漢".encode() * RECORD_MAX
    log.append(1, data)
    log.close()
    found = parts(tmp_path)
    assert b"".join(part.data for part in found) == data
    for part in found:
        assert len(part.data) <= RECORD_MAX
        part.data.decode()


def test_a_full_log_says_so_once_and_counts_what_it_does_not_keep(tmp_path: Path) -> None:
    log = LogWriter(str(tmp_path), limit=1000)
    for _ in range(100):
        assert log.append(1, b"x" * 100) == 100
    log.close()
    text = b"".join(part.data for part in parts(tmp_path))
    assert text.count(b"[sidecar] The log of this job is full") == 1
    assert text.count(b"x") + log.dropped == 100 * 100
    assert log.size < 1300


def test_a_record_that_is_not_whole_yet_is_waited_for(tmp_path: Path) -> None:
    log = LogWriter(str(tmp_path))
    log.append(1, b"abc")
    log.append(1, b"defg")
    log.close()
    os.truncate(tmp_path / "log", log.size - 1)
    assert [part.data for part in parts(tmp_path)] == [b"abc"]


def test_an_offset_that_is_none_is_an_error(tmp_path: Path) -> None:
    log = LogWriter(str(tmp_path))
    log.append(1, b"\xff" * 100)
    log.close()
    with pytest.raises(LogError):
        parts(tmp_path, log.size + 1)
    with pytest.raises(LogError):
        parts(tmp_path, 7)
    assert parts(tmp_path, log.size) == []
    assert parts(tmp_path, -1) == []
    with pytest.raises(LogError):
        LogReader(str(tmp_path / "nowhere"), 0)
