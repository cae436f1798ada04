"""The class Files as a whole, and that it runs on the oldest Python there may be."""

from __future__ import annotations

import gc
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.agent.changes.files import Files
from sidecar.agent.worker import Worker
from sidecar.core import messages as m
from tests.agent.laptop import ROOT, Laptop, Passed, after, put_message

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def laptop(tmp_path: Path) -> Iterator[Laptop]:
    laptop = Laptop(tmp_path / "code")
    yield laptop
    laptop.files.close()


def test_requests_for_a_root_that_was_not_opened_fail(laptop: Laptop) -> None:
    for id, message in enumerate(
        [
            m.Claim(1, 99, "m", "o"),
            m.Manage(2, 99, True, True, b""),
            m.Sweep(3, 99),
            m.Lookup(4, 99, ["f"]),
            m.List_(5, 99, "", 1, 1, []),
            m.Digests(6, 99, ["f"]),
            m.Signature(7, 99, "f", 1024),
            m.Fetch(8, 99, "f"),
        ],
        1,
    ):
        laptop.files.handle(message)
        failed = laptop.heard.first(lambda one, id=id: getattr(one, "id", 0) == id)  # type: ignore[misc]
        assert (type(failed), failed.code) == (m.Fail, "missing")


def test_a_request_before_the_folder_is_made_fails(tmp_path: Path) -> None:
    laptop = Laptop(tmp_path / "code", claim=False)
    assert isinstance(laptop.ask(lambda id: m.List_(id, ROOT, "", 1, 1, [])), m.Fail)
    assert laptop.put("f", b"x").code == "path"
    assert not (tmp_path / "code").exists()
    laptop.files.close()


def test_a_root_opened_again_starts_anew(laptop: Laptop) -> None:
    laptop.put("f", b"x")
    again = laptop.ask(lambda id: m.Open(id, ROOT, str(laptop.folder)))
    assert (again.marker, again.owner, again.entries) == ("marker-1", "ada@laptop", 1)
    assert laptop.ask(lambda id: m.Sweep(id, ROOT)).count == 0
    laptop.heard.messages.clear()
    laptop.seq = 0
    assert isinstance(laptop.put("g", b"x"), m.Applied)


def test_a_folder_that_was_not_opened_has_no_path(laptop: Laptop) -> None:
    with pytest.raises(Exception, match="99"):
        laptop.files.folder(99)


def test_no_error_of_a_handler_goes_unanswered(
    laptop: Laptop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("ours")

    opened = laptop.files._roots[ROOT]
    monkeypatch.setattr(opened.managed, "sweep", broken)
    monkeypatch.setattr(opened.root, "check", broken)
    failed = laptop.ask(lambda id: m.Sweep(id, ROOT))
    assert (failed.code, "ours" in failed.why) == ("internal", True)
    refused = laptop.put("f", b"x")
    assert (refused.code, "ours" in refused.why) == ("aborted", True)
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_the_end_leaves_nothing_half_done(tmp_path: Path) -> None:
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    laptop = Laptop(tmp_path / "code")
    laptop.files.handle(put_message(1, "f", b"12345", stream=b"\x00\x0512", last=False))
    laptop.files.handle(put_message(2, "f", b"x", after(1)))
    assert laptop.leftovers()
    laptop.files.close()
    assert list((laptop.folder / ".sidecar/tmp").iterdir()) == []
    laptop.files.handle(m.PutPart(1, ROOT, True, False, b"345"))
    laptop.files.handle(put_message(3, "g", b"x"))
    assert laptop.answer(3).code == "path"
    del laptop
    gc.collect()  # a root and what is remembered of it hold each other
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_types_are_those_that_are_handled() -> None:
    assert len(set(Files.TYPES)) == 19


def test_a_worker_goes_on_after_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    done: list[int] = []
    worker = Worker("test")

    def fail() -> None:
        raise ValueError("in a task")

    assert worker.submit(fail)
    assert worker.submit(lambda: done.append(1))
    worker_done = threading.Event()
    assert worker.submit(worker_done.set)
    assert worker_done.wait(20)
    worker.close()
    assert done == [1]
    assert not worker.submit(worker_done.set)
    assert "in a task" in capsys.readouterr().err


def test_a_worker_that_is_closed_gives_back_what_is_not_done() -> None:
    worker, began, go_on = Worker("test"), threading.Event(), threading.Event()

    def first() -> None:
        began.set()
        assert go_on.wait(20)

    def second() -> None:
        raise AssertionError("never run")

    worker.submit(first)
    worker.submit(second)
    assert began.wait(20)
    assert worker.close(patience=0) == [second]
    go_on.set()


def test_a_run_that_waits_for_its_sweep_is_told_at_the_end(
    laptop: Laptop, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, go_on = threading.Event(), threading.Event()

    def slow(root: object) -> list[object]:
        began.set()
        assert go_on.wait(20)
        return []

    monkeypatch.setattr(laptop.files._roots[ROOT].managed, "sweep", slow)
    first, second = Passed(), Passed()
    laptop.files.barrier(ROOT, 0, "", False, first)
    assert began.wait(20)
    laptop.files.barrier(ROOT, 0, "", False, second)
    closing = threading.Thread(target=laptop.files.close)
    closing.start()
    go_on.set()
    closing.join()
    assert first.result() == ("", [])
    assert "closed" in second.result()[0] or second.result() == ("", [])


def pythons() -> list[str]:
    """The interpreters of the oldest kind that are installed here."""
    return [str(one) for one in Path.home().glob(".pyenv/versions/3.8.*/bin/python")]


OLD_PROGRAM = """
import os, sys, tempfile, threading
sys.path.insert(0, sys.argv[1])
from sidecar.agent.changes.files import Files
from sidecar.core import delta, identity, messages as m

sent, came = [], threading.Condition()

def send(message, lane):
    with came:
        sent.append(message)
        came.notify_all()

def wait(wanted):
    with came:
        assert came.wait_for(lambda: any(wanted(one) for one in sent), 20), sent
        return [one for one in sent if wanted(one)][0]

with tempfile.TemporaryDirectory() as folder:
    folder = os.path.realpath(folder)
    files = Files(send, folder + "/state")
    files.handle(m.Open(1, 1, folder + "/code"))
    files.handle(m.Claim(2, 1, "marker", "owner"))
    nothing = m.Expect(0, None, "")

    def put(seq, data, expect, stream, old=False):
        digest = delta.content_digest(data)
        files.handle(
            m.Put(
                seq, 1, "d/f.py", expect, len(data), 10**18, True,
                digest, old, "", True, 0, False, stream,
            )
        )
        assert isinstance(wait(lambda one: getattr(one, "seq", 0) == seq), m.Applied), sent[-1]

    put(1, b"0123456789", nothing, delta.encode_literal(b"0123456789"))
    put(2, b"56789", m.Expect(1, None, ""), delta.encode_copy(5, 5), True)
    files.handle(m.MakeLink(3, 1, "l", nothing, "d/f.py"))
    files.handle(m.List_(3, 1, "", 9, 99, []))
    listed = wait(lambda one: isinstance(one, m.Listed))
    assert [path for path, _ in identity.unpack(listed.body)] == ["d", "d/f.py", "l"]
    files.handle(m.Fetch(4, 1, "d/f.py"))
    assert wait(lambda one: isinstance(one, m.FetchPart)).body == b"56789"
    files.handle(m.Remove(4, 1, "d/f.py", m.Expect(2, None, "")))
    answers = []

    def decided(why, entries):
        answers.append((why, entries))
        send(m.Done(99), 0)

    files.barrier(1, 4, "", False, decided)
    wait(lambda one: isinstance(one, m.Done) and one.id == 99)
    assert answers == [("", [])], answers
    wait(lambda one: isinstance(one, m.Durable) and one.seq == 4)
    files.close()
print("all is well")
"""


@pytest.mark.skipif(not pythons(), reason="only on a machine with a Python 3.8 of pyenv's")
def test_it_runs_on_python_3_8(tmp_path: Path) -> None:
    for python in pythons():
        done = subprocess.run(
            [python, "-W", "error", "-c", OLD_PROGRAM, str(REPOSITORY)],
            capture_output=True,
            text=True,
        )
        assert done.stdout == "all is well\n", done.stderr
