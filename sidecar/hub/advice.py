"""What a failure there has to do with what is here: the program missed a file, or a module, that
the project has and a rule keeps from the remote."""

from __future__ import annotations

from functools import partial

from sidecar import api
from sidecar.hub import target
from sidecar.hub.sessions import Session
from sidecar.sync.decisions.why import why


def refuse_what_is_missing(session: Session, params: target.Params, looked: target.Looked) -> None:
    """Before anything is dialled for it. Raises UsageError as target.refuse_what_is_missing."""
    inside = bool(looked.file) and bool(session.engine.relative(looked.file))
    target.refuse_what_is_missing(params, looked, inside, partial(kept_out, session))


def kept_out(session: Session, path: str) -> str:
    """Of an absolute path here that exists: the rule that keeps it from the remote, in words; ""
    where none does."""
    found = _why(session, path)
    return "" if found is None or found.synced else _by(found, session.name)


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
