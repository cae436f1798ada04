"""A job's output and its end as the editor's wire tells them.

Bytes are never changed. Text goes as text where all of a part is UTF-8; else the part goes as
base64. The supervisor ends a part within a character only where the program itself paused there,
so text in any language stays text, and each part stands for itself: its offsets are the log's.
"""

from __future__ import annotations

import base64

from sidecar import api
from sidecar.core import messages
from sidecar.core.pathmap import PathMap
from sidecar.core.tracebacks import TracebackParser

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
    """

    def __init__(self, job: str, host: str, paths: PathMap | None) -> None:
        self._job, self._host, self._paths = job, host, paths
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
        found = self._stderr.result() or self._stdout.result()
        return api.Exited(
            job=self._job,
            host=self._host,
            status=max(message.status, -1),
            signal=signal_name(-message.status) if message.status < 0 else "",
            error=found.error if found else "",
            frames=[self._frame(*call) for call in found.calls] if found else [],
            left=left,
        )

    def _frame(self, file: str, line: int, function: str) -> api.Frame:
        local = self._paths.to_local(file) if self._paths is not None else None
        return api.Frame(path=local or file, line=line, name=function, local=local is not None)
