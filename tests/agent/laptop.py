"""The laptop's part in tests of the agent's files: sends messages, waits for the answers."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sidecar.agent.changes.files import Files
from sidecar.core import delta, identity
from sidecar.core import messages as m
from sidecar.core.identity import Entry, Identity

ROOT = 1
PATIENCE = 20.0
SECOND = 10**9
NOON = 1_700_000_000 * SECOND

NOTHING = m.Expect(0, None, "")


def after(seq: int) -> m.Expect:
    return m.Expect(seq, None, "")


def seen(there: Identity | None, digest: str = "") -> m.Expect:
    return m.Expect(0, there, digest)


class Recorder:
    """Takes what is sent, from any thread, and lets a test wait for it."""

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self.lanes: list[int] = []
        self._changed = threading.Condition()

    def send(self, message: Any, lane: int) -> None:
        m.decode(m.encode(message, lane))  # as the link does; raises on what cannot travel
        with self._changed:
            self.messages.append(message)
            self.lanes.append(lane)
            self._changed.notify_all()

    def first(self, wanted: Callable[[Any], bool]) -> Any:
        deadline = time.monotonic() + PATIENCE
        with self._changed:
            while True:
                for message in self.messages:
                    if wanted(message):
                        return message
                left = deadline - time.monotonic()
                assert left > 0, f"waited in vain; came: {self.messages[-5:]}"
                self._changed.wait(left)

    def of(self, kind: type) -> list[Any]:
        with self._changed:
            return [message for message in self.messages if isinstance(message, kind)]


class Laptop:
    """One root of an agent's Files, and what a laptop would say to it."""

    def __init__(self, folder: Path, *, claim: bool = True) -> None:
        self.folder = folder
        self.heard = Recorder()
        self.files = Files(self.heard.send, str(folder.parent / "state"))
        self.seq = 0
        self._id = 100
        self.opened = self.ask(lambda id: m.Open(id, ROOT, str(folder)))
        if claim:
            self.claimed = self.ask(lambda id: m.Claim(id, ROOT, "marker-1", "ada@laptop"))
            assert isinstance(self.claimed, m.Done), self.claimed

    def ask(self, build: Callable[[int], m.Message]) -> Any:
        """The last part of the answer to a request."""
        self._id += 1
        id = self._id
        self.files.handle(build(id))
        return self.heard.first(
            lambda one: getattr(one, "id", 0) == id and getattr(one, "last", True)
        )

    def parts(self, build: Callable[[int], m.Message]) -> list[Any]:
        last = self.ask(build)
        return [one for one in self.heard.messages if getattr(one, "id", 0) == last.id]

    def answer(self, seq: int) -> Any:
        return self.heard.first(
            lambda one: isinstance(one, (m.Applied, m.Refused)) and one.seq == seq
        )

    def next(self) -> int:
        self.seq += 1
        return self.seq

    # --- changes, and their answers

    def put(self, path: str, content: bytes, expect: m.Expect = NOTHING, **fields: Any) -> Any:
        seq = self.next()
        self.files.handle(put_message(seq, path, content, expect, **fields))
        return self.answer(seq)

    def remove(self, path: str, expect: m.Expect) -> Any:
        seq = self.next()
        self.files.handle(m.Remove(seq, ROOT, path, expect))
        return self.answer(seq)

    def link(self, path: str, target: str, expect: m.Expect = NOTHING) -> Any:
        seq = self.next()
        self.files.handle(m.MakeLink(seq, ROOT, path, expect, target))
        return self.answer(seq)

    def directory(self, path: str) -> Any:
        seq = self.next()
        self.files.handle(m.MakeDirectory(seq, ROOT, path))
        return self.answer(seq)

    def mode(self, path: str, expect: m.Expect, executable: bool, mtime_ns: int = NOON) -> Any:
        seq = self.next()
        self.files.handle(m.SetMode(seq, ROOT, path, expect, mtime_ns, executable))
        return self.answer(seq)

    # --- questions

    def manage(self, entries: list[Entry]) -> list[Entry]:
        return swept(self.parts(lambda id: m.Manage(id, ROOT, True, True, identity.pack(entries))))

    def sweep(self) -> list[Entry]:
        return swept(self.parts(lambda id: m.Sweep(id, ROOT)))

    def barrier(self, upto: int, digest: str = "", force: bool = False) -> Any:
        """(why, entries) of a run that waits for changes up to `upto`."""
        passed = Passed()
        self.files.barrier(ROOT, upto, digest, force, passed)
        return passed.result()

    # --- what is there

    def read(self, path: str) -> bytes:
        return (self.folder / path).read_bytes()

    def leftovers(self) -> list[str]:
        """Staging files that are still there."""
        tmp = self.folder / ".sidecar/tmp"
        return sorted(
            str(one.relative_to(tmp))
            for one in tmp.rglob("*")
            if one.is_file() and one.name != "lock" and one.parent.name != "partial"
        )

    def trashed(self, path: str) -> list[bytes]:
        trash = self.folder / ".sidecar/trash"
        return [
            copy.read_bytes()
            for when in sorted(trash.iterdir())
            for copy in sorted((when / path).parent.glob(f"{Path(path).name}~*"))
            if copy.is_file()
        ]


class Passed:
    """Stands where a run does: called once with what the barrier says."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[Entry]]] = []
        self.called = threading.Event()

    def __call__(self, why: str, entries: list[Entry]) -> None:
        self.calls.append((why, entries))
        self.called.set()

    def result(self) -> tuple[str, list[Entry]]:
        assert self.called.wait(PATIENCE), "the barrier did not answer"
        assert len(self.calls) == 1
        return self.calls[0]


def put_message(
    seq: int,
    path: str,
    content: bytes,
    expect: m.Expect = NOTHING,
    *,
    stream: bytes | None = None,
    old: bool = False,
    size: int | None = None,
    digest: str | None = None,
    executable: bool = False,
    mtime_ns: int = NOON,
    codec: str = "",
    last: bool = True,
    start: int = 0,
) -> m.Put:
    if stream is None:
        stream = delta.encode_literal(content) if content else b""
        if codec:
            stream = zlib.compress(stream)
    return m.Put(
        seq=seq,
        root=ROOT,
        path=path,
        expect=expect,
        size=len(content) if size is None else size,
        mtime_ns=mtime_ns,
        executable=executable,
        digest=delta.content_digest(content) if digest is None else digest,
        delta=old,
        codec=codec,
        last=last,
        start=start,
        body=stream,
    )


def swept(parts: list[Any]) -> list[Entry]:
    for part in parts:
        assert isinstance(part, m.Swept), part
    return [entry for part in parts for entry in identity.unpack(part.body)]


@contextmanager
def small_disk(folder: Path, size: str = "1m") -> Iterator[Path]:
    """A file system of its own that fills up soon."""
    import os

    if os.getuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only on a machine where file systems may be mounted")
    folder.mkdir(parents=True, exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        pytest.skip(f"only on a machine where file systems may be mounted: {mounted.stderr}")
    try:
        yield folder
    finally:
        # Lazily: a descriptor that is still open must not keep the mount for ever.
        subprocess.run(["umount", "-l", str(folder)], check=True)
