from __future__ import annotations

import os
import stat
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.agent.supervisor.joblog import (
    LEAST,
    RECORD_MAX,
    LogError,
    LogReader,
    LogWriter,
    Part,
    size,
)


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


def test_a_full_log_keeps_its_beginning_and_its_end_and_says_how_much_is_missing(
    tmp_path: Path,
) -> None:
    log = LogWriter(str(tmp_path), limit=LEAST)
    lines = [b"%07d\n" % number * 1000 for number in range(500)]
    for line in lines:
        assert log.append(1, line) == len(line)
    log.close()
    found = parts(tmp_path)
    (mark,) = [part for part in found if part.stream == 2]
    assert b"[sidecar] %s bytes of output" % f"{log.dropped:,}".encode() in mark.data
    kept = b"".join(part.data for part in found if part.stream == 1)
    whole = b"".join(lines)
    assert len(kept) + log.dropped == len(whole)
    before = sum(len(part.data) for part in found[: found.index(mark)])
    assert kept[:before] == whole[:before]
    assert before > LEAST // 5
    assert kept[before:] == whole[before - len(kept) :]
    assert sum(one.stat().st_size for one in tmp_path.iterdir()) <= LEAST
    for one, following in pairwise(found):
        assert one.end == following.offset
    assert found[-1].end == log.size == size(str(tmp_path))
    # Each offset is as good as the first one, and so is one that is not there any more.
    for offset in (found[3].offset, found[-2].offset):
        again = parts(tmp_path, offset)
        assert b"".join(part.data for part in again if part.stream == 1) == b"".join(
            part.data for part in found if part.offset >= offset and part.stream == 1
        )
    assert b"about" in parts(tmp_path, mark.offset + 8005)[0].data


def test_what_a_reader_has_yet_to_see_is_not_dropped(tmp_path: Path) -> None:
    log = LogWriter(str(tmp_path), limit=LEAST)
    reader = LogReader(str(tmp_path), 0)
    log.needed = 0
    line, kept, read = b"0123456\n" * 1000, 0, 0
    while log.append(1, line) == len(line):
        kept += len(line)
    assert LEAST * 4 // 5 < kept < LEAST
    assert log.append(1, line) == 0
    for _ in range(300):
        part = reader.read()
        assert part is not None
        read += len(part.data)
        log.needed = part.end
        while log.append(1, line) == len(line):
            kept += len(line)
    while (part := reader.read()) is not None:
        assert part.stream == 1
        read += len(part.data)
    assert read == kept
    log.ending = True
    assert log.append(1, line) == len(line)
    log.close()
    reader.close()


@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.integers(1, 60_000)), max_size=120))
@settings(max_examples=30, deadline=None)
def test_a_reader_that_reads_along_misses_nothing_that_is_kept_for_it(
    tmp_path_factory: pytest.TempPathFactory, written: list[tuple[int, int]]
) -> None:
    folder = tmp_path_factory.mktemp("log")
    log = LogWriter(str(folder), limit=LEAST)
    reader = LogReader(str(folder), 0)
    log.needed = 0
    expected, seen = {1: b"", 2: b""}, {1: b"", 2: b""}
    for number, (stream, length) in enumerate(written):
        data = (b"%06d " % number) * (length // 7 + 1)
        taken = log.append(stream, data)
        expected[stream] += data[:taken]
        if number % 3 == 0 or taken < len(data):
            while (part := reader.read()) is not None:
                seen[part.stream] += part.data
                log.needed = part.end
    while (part := reader.read()) is not None:
        seen[part.stream] += part.data
    log.close()
    reader.close()
    assert seen == expected


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
