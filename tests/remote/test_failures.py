from __future__ import annotations

import pytest

from sidecar.core import exits
from sidecar.errors import ConnectError, Disconnected, RemoteError
from sidecar.remote import failures

RESERVED = {name: value for name, value in vars(exits).items() if name.isupper()}


@pytest.mark.parametrize("status", RESERVED.values(), ids=RESERVED)
def test_each_reserved_status_has_words_of_its_own(status: int) -> None:
    error = failures.ended(status, "the last words")
    assert isinstance(error, (Disconnected, RemoteError))
    if status not in (exits.NO_PYTHON, exits.TOO_OLD):
        assert error.code != "agent-died"
    assert "the last words" in error.why


def test_reserved_statuses_are_all_different_and_taken_by_nobody_else() -> None:
    values = list(RESERVED.values())
    assert len(set(values)) == len(values)
    assert not set(values) & {1, 2, 125, 126, 127, 255, *range(128, 166)}


@pytest.mark.parametrize("status", [90, 91, 126, 127])
def test_a_missing_interpreter_is_named_with_its_remedy(status: int) -> None:
    error = failures.not_started(status, "sh: python3: not found", b"")
    assert isinstance(error, ConnectError)
    assert error.code == "no-python"
    assert "python3: not found" in error.why
    assert "hosts.NAME.python" in error.fix


def test_a_death_by_signal_names_it() -> None:
    error = failures.ended(137, "")
    assert error.code == "agent-died"
    assert "signal 9" in error.why


def test_an_end_without_status_is_a_disconnection() -> None:
    assert failures.ended(-1, "").code == "disconnected"
    assert failures.ended(255, "Connection reset").why == "Connection reset"


def test_what_a_shell_printed_is_shown_without_control_characters() -> None:
    error = failures.not_started(1, "", b"\x1b[31mclosed for\r\nmaintenance\xff\0")
    assert "closed for" in str(error)
    assert all(c.isprintable() for c in str(error))
