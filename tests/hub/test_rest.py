"""What the hub holds while nothing happens."""

from __future__ import annotations

import linecache
import subprocess
import sys

import pytest

from sidecar.agent import memory
from sidecar.hub import rest

NOT_AT_REST = {
    "numpy": "matching moved blocks",
    "watchfiles": "where there is no inotify",
    "debugpy": "runs there",
    "tomlkit": "writing a configuration",
    "unittest": "tests",
}
"""Modules of megabytes, and what alone may load them."""


def test_what_only_some_sessions_need_is_not_loaded_with_the_hub() -> None:
    code = (
        "import sys, sidecar.daemon, sidecar.hub.life, sidecar.lsp.server\n"
        "print(*sys.modules.keys())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert set(done.stdout.split()) & NOT_AT_REST.keys() == set()


def test_work_is_over_once_when_it_was_some_and_the_process_is_still() -> None:
    work = rest.Work(1.0)
    beats = [1.01, 1.02, 3.0, 5.0, 5.01, 5.02, 5.03, 7.0, 7.01]
    assert [used for used in beats if work.is_over(used)] == [5.01, 7.01]


def test_what_comes_to_little_is_no_work_until_it_adds_up() -> None:
    work = rest.Work(0.0)
    beats = [0.05 * beat for beat in range(1, 11)]
    assert [used for used in beats if work.is_over(used)] == [pytest.approx(0.3)]


def test_sources_that_attrs_made_are_forgotten_and_files_are_not() -> None:
    linecache.cache["<attrs generated methods x.Y>"] = (1, None, ["x\n"], "x")
    linecache.getlines(__file__)
    rest.loaded()
    assert not [name for name in linecache.cache if name.startswith("<attrs")]
    assert __file__ in linecache.cache


def test_memory_is_given_back_or_there_is_no_such_thing() -> None:
    memory.give_back()
