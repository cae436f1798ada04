"""A job's output and its end as the editor's wire tells them.

Bytes are never changed. Text goes as text where all of a part is UTF-8; else the part goes as
base64. The supervisor ends a part within a character only where the program itself paused there,
so text in any language stays text, and each part stands for itself: its offsets are the log's.
"""

from __future__ import annotations

import base64
import os
import posixpath
from collections.abc import Sequence

from sidecar import api
from sidecar.core import messages
from sidecar.core.pathmap import PathMap
from sidecar.core.tracebacks import Traceback, TracebackParser

_STDERR = 2

_SIGNALS = {
    1: "HUP", 2: "INT", 3: "QUIT", 4: "ILL", 5: "TRAP", 6: "ABRT", 7: "BUS", 8: "FPE", 9: "KILL",
    10: "USR1", 11: "SEGV", 12: "USR2", 13: "PIPE", 14: "ALRM", 15: "TERM", 24: "XCPU",
    25: "XFSZ", 31: "SYS",
}  # fmt: skip
"""Linux's numbers: this machine's own may differ."""


def signal_name(number: int) -> str:
    """The name of a remote's signal, without SIG; its number where it has none."""
    return _SIGNALS.get(number, str(number))


def to_text(data: bytes) -> tuple[str, str]:
    """The data and its encoding, "utf-8" or "base64"."""
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        return base64.b64encode(data).decode("ascii"), "base64"


class OutputReader:
    """Translates one job's Output and Exited messages, in their order, and looks for tracebacks
    on the way.

    Args:
        job: its id.
        host: the host's name, as the configuration has it.
        paths: maps the files of a traceback; None where none are known.
        cwd: where it runs there, which names of files are relative to; "": the project's root.
    """

    def __init__(self, job: str, host: str, paths: PathMap | None, cwd: str = "") -> None:
        self._job, self._host, self.paths, self.cwd = job, host, paths, cwd
        # On a terminal both streams come as one; apart, stderr is where tracebacks go.
        self._stderr, self._stdout = TracebackParser(), TracebackParser()
        self._parsed = 0

    def output(self, message: messages.Output) -> api.Output:
        """The part as a notification. Parts that come again, for somebody who attached later, are
        not looked through again."""
        if message.offset >= self._parsed:
            self._parsed = message.end
            parser = self._stderr if message.stream == _STDERR else self._stdout
            parser.feed(message.body)
        data, encoding = to_text(message.body)
        return api.Output(
            job=self._job,
            offset=message.offset,
            end=message.end,
            stream="stderr" if message.stream == _STDERR else "stdout",
            data=data,
            encoding="utf-8" if encoding == "utf-8" else "base64",
        )

    def exited(self, message: messages.Exited) -> api.Exited:
        """The end as a notification, with the last traceback if the program failed."""
        left = list(message.left)
        if message.why:
            return api.Exited(job=self._job, host=self._host, status=-1, why=message.why, left=left)
        if message.status == 0:
            return api.Exited(job=self._job, host=self._host, status=0, left=left)
        found = [self._failure(one) for one in self._stdout.results() + self._stderr.results()]
        main = _main(found)
        return api.Exited(
            job=self._job,
            host=self._host,
            status=max(message.status, -1),
            signal=signal_name(-message.status) if message.status < 0 else "",
            error=main.error if main else "",
            frames=main.frames if main else [],
            left=left,
            failures=found,
        )

    def _failure(self, one: Traceback) -> api.Failure:
        return api.Failure(
            error=one.error,
            message=one.message,
            frames=[self._frame(*call) for call in one.calls],
            kind=one.kind,  # type: ignore[arg-type]  # the parser's words are the protocol's
            test=one.test,
        )

    def _frame(self, file: str, line: int, function: str) -> api.Frame:
        local = self._local(file)
        return api.Frame(path=local or file, line=line, name=function, local=bool(local))

    def _local(self, file: str) -> str:
        """The file here; "" where there is none."""
        if self.paths is None:
            return ""
        if posixpath.isabs(file):
            return self.paths.to_local(file) or ""
        # "<string>" looks like a relative name, too, so this one must be there.
        there = posixpath.join(self.cwd or self.paths.remote[0], file)
        found = self.paths.to_local(there) or ""
        return found if os.path.isfile(found) else ""


def _main(found: Sequence[api.Failure]) -> api.Failure | None:
    """The one that is to be looked at first: the last that ended something and goes through the
    project's own code (what a launcher says of its workers does not)."""
    ended = [one for one in found if not one.kind]
    own = [one for one in ended if any(frame.local for frame in one.frames)]
    return next(iter([*own[-1:], *ended[-1:], *found[-1:]]), None)
