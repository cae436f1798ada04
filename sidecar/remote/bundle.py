"""What is sent to start an agent: the command, the first stage, the modules.

The story is told in agent/first.py; here its texts are made, and kept within what the line gives
away: a command of at most 8 KB (what comes with it needs no round trip of its own), and parts
that fit the flights of a fresh TCP connection.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import pkgutil
import zlib
from typing import Any, NamedTuple

from sidecar.core import frames

NOW = (
    "core.exits",
    "core.blake2",
    "core.identity",
    "core.frames",
    "core.messages",
    "core.credit",
    "core.lanes",
    "agent.loader",
    "agent.backlog",
    "agent.outbox",
    "agent.main",
)
"""Part one: what the agent's loop needs to run."""

FILES = (
    "core.paths",
    "core.delta",
    "agent.failure",
    "agent.roots.folder",
    "agent.worker",
    "agent.roots.root",
    "agent.roots.managed",
    "agent.memory",
    "agent.roots.ledger",
    "agent.changes.order",
    "agent.changes.durable",
    "agent.changes.copying",
    "agent.changes.staging",
    "agent.changes.permissions",
    "agent.changes.bytecode",
    "agent.changes.assembly",
    "agent.changes.incoming",
    "agent.roots.content",
    "agent.changes.landing",
    "agent.changes.changes",
    "agent.changes.files",
)
"""Part two: what every session asks for first. With part one it is as much as TCP sends in its
first two flights."""

OTHERS = (
    "agent.changes.trash",
    "agent.roots.inotify",
    "agent.roots.notice",
    "agent.changes.partial",
    "agent.changes.draft",
    "agent.rest",
    "agent.machine",
    "agent.private",
    "agent.environment.login",
    "agent.environment.activation",
    "agent.environment.environments",
    "agent.environment.conda",
    "agent.environment.packages",
    "agent.environment.candidates",
    "agent.environment.interpreters",
    "core.utf8",
    "agent.supervisor.process",
    "agent.supervisor.records",
    "agent.jobs.remains",
    "agent.jobs.lasting",
    "agent.jobs.gpus",
    "agent.supervisor.joblog",
    "agent.supervisor.readers",
    "agent.supervisor.control",
    "agent.jobs.attachment",
    "agent.jobs.tail",
    "agent.roots.ahead",
    "agent.supervisor.capture",
    "agent.supervisor.stdin",
    "agent.supervisor.doorway",
    "agent.supervisor.title",
    "agent.supervisor.supervisor",
    "agent.supervisor.detach",
    "agent.jobs.spare",
    "core.copies",
    "agent.jobs.frozen",
    "agent.jobs.frozen_path",
    "agent.jobs.annex",
    "agent.sockets",
    "agent.jobs.claims",
    "agent.jobs.ports",
    "agent.jobs.load",
    "agent.jobs.looks",
    "agent.jobs.jobs",
    "agent.streams",
    "agent.install",
    "core.patch",
    "core.batch",
    "agent.changes.batches",
    "core.trashed",
    "agent.changes.repair",
    "core.gitindex",
    "core.staged",
    "agent.git.command",
    "agent.git.repository",
    "agent.git.indexlock",
    "agent.git.backups",
    "agent.git.follower",
    "agent.git.repositories",
)
"""Part three: what nobody waits for yet."""

ASKED = ("agent.clean",)
"""What only travels when somebody asks for it (remote/broom.py)."""

FIRST_FLIGHT = 14_300
"""Bytes that part one may have: ten TCP segments are 14,480, of which SSH takes some 100."""

SECOND_FLIGHT = 28_400
"""Bytes that part two may have: twenty TCP segments are 28,960, of which SSH takes some 100 for
each of its packets."""

COMMAND_LIMIT = 8 * 1024

WORD = 900
"""Longest word of the command: the csh of the BSDs refuses words of 1,024 characters."""

PYTHONS = ("python3", *(f"python3.{minor}" for minor in range(15, 7, -1)), "python")

QUIET = 900.0
"""Seconds of silence after which an agent ends by itself. Its pings come every few seconds."""

_START = (
    "import sys;sys.version_info<(3,8)and sys.exit(91);"
    "sys.path=[p for p in sys.path if p];"  # -c puts the current folder there
    "import os,zlib,binascii;"
    "exec(zlib.decompress(binascii.a2b_base64(os.environ.pop(sys.argv[1]))))"
)
"""What `python -c` runs: good for any Python until it knows better. The environment variable has
the name of the argument, which is also what `ps` shows."""

_FROM_STDIN = """\
import os, sys, zlib
def take(n):
    data = b""
    while len(data) < n:
        data += os.read(0, n - len(data)) or sys.exit(92)
    return data
line = b""
while line[-1:] != b"\\n":
    line += take(1)
exec(zlib.decompress(take(int(line))))
"""
"""Stands in for the first stage where the command must stay tiny (`bootstrap = "stdin"`)."""


class Bundle(NamedTuple):
    """Everything that one start needs.

    Attributes:
        command: for the login shell of the other side, whichever that is.
        stdin: what the agent reads before the first frame.
        later: the bodies of `messages.Modules`.
    """

    command: str
    stdin: bytes
    later: tuple[bytes, ...]


def bundle(
    *,
    python: str = "",
    state: str = "",
    root: str = "",
    via: str = "",
    bootstrap: str = "exec",
    careful: bool = False,
    quiet: float = QUIET,
) -> Bundle:
    """The texts for one start.

    Args:
        python: interpreter to try first: a path (`~/` is the home there) or a name.
        state: the folder for what is kept on the remote; "" for the usual one.
        root: the project's folder there, looked at while the agent travels.
        via: command that the agent's command is put behind, as the shell there reads it.
        bootstrap: "exec", or "stdin" for a tiny command.
        careful: ask each interpreter for its version before it is used. Costs the start of one
            more, so only after a start without it failed.
        quiet: seconds of silence after which the agent ends by itself; 0 for never.
    """
    arguments = {"protocol": frames.VERSION, "root": root, "state": state, "quiet": quiet}
    first = zlib.compress(f"{_source('agent.first')}\nbegin({arguments!r})\n".encode(), 9)
    now, *later = parts()
    stdin = b"%d\n%s" % (len(now), now)
    if bootstrap == "stdin":
        stdin = b"%d\n%s%s" % (len(first), first, stdin)
        first = zlib.compress(_FROM_STDIN.encode(), 9)
    return Bundle(_command(first, python, via, careful), stdin, tuple(later))


@functools.lru_cache(maxsize=1)
def parts() -> tuple[bytes, bytes, bytes]:
    """The modules in three parts, compressed. Takes some 100 ms the first time."""
    now, files, others = (
        {f"sidecar.{name}": _source(name) for name in names} for names in (NOW, FILES, OTHERS)
    )
    first = {"now": now, "later": [*files, *others]}
    return _packed(first), _packed(files), _packed(others)


def all_that_travels() -> dict[str, str]:
    """The sources of all modules that ever do, by their names."""
    names = (*NOW, *FILES, *OTHERS, *ASKED)
    return {f"sidecar.{name}": _source(name) for name in names}


@functools.lru_cache(maxsize=1)
def digest() -> str:
    """Names the code that travels: two agents of one digest are the same."""
    whole = hashlib.blake2b(digest_size=8)
    for part in (_source("agent.first").encode(), *parts()):
        whole.update(part)
    return whole.hexdigest()


def texts() -> dict[str, str]:
    """Every module that travels, by name, in the order in which it is sent, as it is sent."""
    return {f"sidecar.{name}": _source(name) for name in ("agent.first", *NOW, *FILES, *OTHERS)}


def _packed(value: Any) -> bytes:
    return zlib.compress(json.dumps(value, separators=(",", ":")).encode("ascii"), 9)


def _source(name: str) -> str:
    package, _, module = f"sidecar.{name}".rpartition(".")
    data = pkgutil.get_data(package, f"{module}.py")
    if data is None:
        raise FileNotFoundError(f"the module {name} of the agent is not installed")
    return bare(data.decode("utf-8"))


def bare(source: str) -> str:
    """The source without its docstrings and comment lines, every line where it was: half the
    size, and tracebacks still name the right lines.

    By the look of the lines, for our own formatted sources (a test compares the programs): the
    compiler's parser may not run in two threads at once under 3.11, and tokenize takes a second.
    """
    lines = source.split("\n")
    quoted = ""  # what the string that we are in is: "" none, "text" nobody reads it, "value"
    for at, line in enumerate(lines):
        marks = line.count('"""')
        if quoted == "text":
            lines[at] = ""
        elif not quoted and line.lstrip().startswith('"""'):
            # A body must keep something: a number is as good as a string.
            lines[at] = line[: len(line) - len(line.lstrip())] + "0"
            quoted = "text"
            marks -= 1
        elif not quoted and line.lstrip().startswith("#"):
            lines[at] = ""
            marks = 0
        if quoted == "text" and marks:
            quoted = ""
        elif quoted != "text" and marks % 2:
            quoted = "" if quoted else "value"
    return "\n".join(lines)


def _command(payload: bytes, python: str, via: str, careful: bool) -> str:
    """The command line. Within its single quotes stand only characters that sh, csh and fish all
    leave alone: no quote, backslash, newline or exclamation mark (except the backslashes of
    `_plain`, which they leave alone too)."""
    pythons = [_plain(python)] if python else []
    usable = (
        '"$p" -sSEc "import sys;sys.exit(sys.version_info<(3,8))" </dev/null >/dev/null 2>&1'
        if careful
        else 'command -v "$p" >/dev/null 2>&1'
    )
    script = (
        'n=$0; IFS=; export $n="$*"; unset IFS; '
        f"for p in {' '.join([*pythons, *PYTHONS])}; do "
        'case $p in "~/"*) p=$HOME/${p#??};; esac; '
        f'if {usable}; then exec "$p" -sSEB -X utf8 -c "{_START}" $n; fi; done; '
        f'echo "sidecar: no Python 3.8 or newer here; tried $p and others" >&2; exit 90'
    )
    text = base64.b64encode(payload).decode()
    words = [text[at : at + WORD] for at in range(0, len(text), WORD)]
    command = f"sh -c '{script}' sidecar_agent {' '.join(words)}"
    return f"{via} {command}" if via else f"exec {command}"


_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+@%,=")


def _plain(text: str) -> str:
    """A word for the script that is this text: as it is, or spelled in octal for printf, since
    nothing quotes the same way in every shell."""
    start = "~/" if text.startswith("~/") else ""
    rest = text[len(start) :]
    if not set(rest) <= _SAFE:
        octal = "".join(f"\\{byte:03o}" for byte in rest.encode("utf-8", "surrogateescape"))
        rest = f'$(printf "{octal}")'
    return f'"{start}{rest}"'
