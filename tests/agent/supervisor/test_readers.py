"""When a job waits for those who read its output."""

from __future__ import annotations

from sidecar.agent.supervisor.readers import AT_ONCE, SECOND, STOPPED, Readers

MB = 1 << 20


def test_a_job_that_nobody_reads_waits_for_nobody() -> None:
    readers = Readers()
    assert readers.needed is None
    assert readers.wait_for(1 << 40, 0.0) is None


def test_a_job_waits_for_a_reader_that_falls_behind_and_not_for_ever() -> None:
    readers = Readers()
    readers.reads("a", 0, 0, 100.0)
    assert readers.wait_for(AT_ONCE, 100.0) is None
    assert readers.wait_for(AT_ONCE + 1, 100.0) == 100.0 + STOPPED
    readers.reads("a", 1000, AT_ONCE + 1, 101.0)
    assert readers.wait_for(AT_ONCE + 1, 101.0) is None
    assert readers.wait_for(2 * AT_ONCE, 101.0) == 101.0 + STOPPED
    assert readers.wait_for(2 * AT_ONCE, 101.0 + STOPPED) is None


def test_a_quick_reader_may_be_as_far_behind_as_it_reads_in_a_second() -> None:
    readers = Readers()
    for tenth in range(25):
        readers.reads("a", 10 * MB * tenth, 10 * MB * tenth, 100.0 + tenth * SECOND / 10)
    now, offset = 102.4, 240 * MB
    assert readers.wait_for(offset + 95 * MB, now) is None
    assert readers.wait_for(offset + 120 * MB, now) is not None


def test_a_job_does_not_wait_for_who_reads_what_was_printed_long_ago() -> None:
    readers = Readers()
    readers.reads("logs", 0, 500 * MB, 100.0)
    assert readers.wait_for(500 * MB, 100.0) is None
    assert readers.needed == 0
    readers.reads("logs", 500 * MB, 500 * MB, 101.0)
    assert readers.wait_for(1100 * MB, 101.0) is not None


def test_a_reader_that_stopped_catches_up_and_the_job_goes_on() -> None:
    readers = Readers()
    readers.reads("a", 0, 0, 0.0)
    later = STOPPED + 1
    assert readers.wait_for(300 * MB, later) is None
    readers.reads("a", MB, 300 * MB, later)
    assert readers.wait_for(300 * MB, later) is None


def test_the_log_keeps_what_the_slowest_needs_until_it_has_gone() -> None:
    readers = Readers()
    readers.reads("a", 5, 10, 0.0)
    readers.reads("b", 3, 10, 0.0)
    assert readers.needed == 3
    readers.left("b")
    assert readers.needed == 5
    readers.left("a")
    readers.left("nobody")
    assert readers.needed is None
