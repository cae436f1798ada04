"""What a failure there has to do with what is here: the program missed a file, or a module, that
the project has and a rule keeps from the remote."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterator
from functools import partial

import msgspec

from sidecar import api
from sidecar.config.layers import quoted
from sidecar.hub import target
from sidecar.hub.sessions import Session
from sidecar.sync.decisions.why import why
from sidecar.sync.rules.ignore import NEVER

MOST_LINES = 3
"""Of advice after one run."""

MOST_NAMES = 8
"""Names in one message that are looked for here."""

_NO_FILE = re.compile(r"(?:\w+\.)*FileNotFoundError\b")
_QUOTED = re.compile(r"""['"]([^'"\n]+)['"]""")
_OWN_WORDS = re.compile(r"No module named (\w+)$")
"""What an interpreter says of what it was started with (`-m pytest`)."""

_NOT_INSTALLED = (
    "%s is not installed for the Python that runs there: install it, or choose another one by "
    "`sidecar envs use`"
)

_NO_MODULE = re.compile(r"No module named '?([\w.]+)")


def refuse_what_is_missing(session: Session, params: target.Params, looked: target.Looked) -> None:
    """Before anything is dialled for it. Raises UsageError as target.refuse_what_is_missing."""
    inside = bool(looked.file) and bool(session.engine.relative(looked.file))
    target.refuse_what_is_missing(params, looked, inside, partial(kept_out, session))


def kept_out(session: Session, path: str) -> str:
    """Of an absolute path here that exists: the rule that keeps it from the remote, in words; ""
    where none does."""
    found = _why(session, path)
    return "" if found is None or found.synced else _by(found, session.name)


async def explained(session: Session, cwd: str, end: api.Exited) -> api.Exited:
    """The end of a job, with advice where it missed something that is here.

    Args:
        cwd: the absolute folder here that it ran in; "" for the project's root.
    """
    if end.status == 0 or not end.failures:
        return end
    text = await asyncio.to_thread(_advice, session, cwd or str(session.project.spelled), end)
    if not text and (module := _NO_MODULE.search(end.failures[-1].error)):
        text = await session.interpreters.lacking(module[1].partition(".")[0])
        if not text and _OWN_WORDS.match(end.failures[-1].error):
            text = _NOT_INSTALLED % module[1]
    return msgspec.structs.replace(end, advice=text)


def _advice(session: Session, cwd: str, end: api.Exited) -> str:
    lines: dict[str, None] = {}
    for failure in reversed(end.failures):
        for path in missed(failure, cwd, session):
            if line := _line(session, path):
                lines[line] = None
                break
        if len(lines) == MOST_LINES:
            break
    return "\n".join(lines)


def missed(failure: api.Failure, cwd: str, session: Session) -> Iterator[str]:
    """What is here and may be what the failed program did not find there: absolute paths."""
    root = str(session.project.spelled)
    if _NO_FILE.match(failure.error):
        for name in _QUOTED.findall(failure.message or failure.error)[:MOST_NAMES]:
            here = _here(session, name, cwd)
            if here and os.path.lexists(here):
                yield here
    elif module := _NO_MODULE.search(failure.error):
        parts = module[1].split(".")
        own = [os.path.dirname(frame.path) for frame in failure.frames if frame.local]
        for folder in dict.fromkeys([*own, cwd, root, os.path.join(root, "src")]):
            for depth in range(len(parts), 0, -1):
                base = os.path.join(folder, *parts[:depth])
                yield from (one for one in (f"{base}.py", base) if os.path.lexists(one))


def _here(session: Session, name: str, cwd: str) -> str:
    """The file here that a program there calls so; "" where it is none of the project."""
    if "\0" in name or len(name) > 4096:
        return ""
    if not os.path.isabs(name):
        return os.path.normpath(os.path.join(cwd, name))
    try:
        return session.path_map().to_local(name) or ""
    except ValueError:
        return ""  # not connected any more


def _line(session: Session, path: str) -> str:
    found = _why(session, path)
    if found is None or found.synced:
        return ""
    name = found.path + ("/" if found.here.kind == "folder" else "")
    if not found.rule:
        return f"{name} exists here, and is not on {session.name}: {found.next}"
    text = f"{name} exists here; {_by(found, session.name)}"
    if found.path.split("/")[0] in NEVER:
        return text
    pattern = name if "/" in found.path else f"/{name}"
    return f"{text}; add include = [{quoted(pattern)}] to [sync]"


def _why(session: Session, path: str) -> api.WhyResult | None:
    """None for what is not in the project."""
    engine = session.engine
    relative = engine.relative(path)
    if not relative:
        return None
    agreed, note = engine.known(relative)
    return why(session.root, engine.rules, relative, session.name, agreed, note, engine.pulls)


def _by(found: api.WhyResult, host: str) -> str:
    if not found.rule:
        return found.next
    return f"{found.source} `{found.rule}` keeps it from {host}"
