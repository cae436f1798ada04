"""Paths that come from the other side, checked before they are used.

The rules hold in both directions: neither a hostile laptop nor a hostile remote may name anything
outside the root. This is the lexical half; opening component by component, never through a link,
is the other (agent/roots/root.py there, sync/disk/local_files.py here).
"""

from typing import Tuple

OURS = ".sidecar"
"""Our folder at the top of a remote root. No path of the wire may lead into it."""

MAX_PATH = 4096
MAX_NAME = 255


class PathError(ValueError):
    """A path that may not be used. The message says which rule it breaks."""


def check(path: str) -> Tuple[str, ...]:
    """The components of a relative path that is safe to walk from the root.

    Raises:
        PathError: absolute, empty, with `.`, `..`, NUL or an empty component, too long, or in
            our own folder.
    """
    if not path:
        raise PathError("an empty path")
    if path.startswith("/"):
        raise PathError("an absolute path: %r" % path)
    if "\0" in path:
        raise PathError("a path with a NUL: %r" % path)
    try:
        raw = path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise PathError("a path that no file system can hold: %r" % path) from None
    if len(raw) > MAX_PATH:
        raise PathError("a path of %d bytes" % len(raw))
    parts = tuple(path.split("/"))
    for part in parts:
        if part in ("", ".", ".."):
            raise PathError("a path with the component %r: %r" % (part, path))
        if len(part.encode("utf-8", "surrogateescape")) > MAX_NAME:
            raise PathError("a name of over %d bytes: %r" % (MAX_NAME, path))
    if parts[0] == OURS:
        raise PathError("a path in the sidecar's own folder: %r" % path)
    return parts


def link_stays_inside(path: str, target: str) -> bool:
    """Whether a symbolic link at `path` with that target can, by its text, only lead to places
    in the root. Absolute targets never do."""
    if not target or target.startswith("/") or "\0" in target:
        return False
    depth = path.count("/")
    for part in target.split("/"):
        if part == "..":
            depth -= 1
            if depth < 0:
                return False
        elif part not in ("", "."):
            depth += 1
    return True


def parent(path: str) -> str:
    """The folder that holds `path`; "" is the root."""
    return path.rpartition("/")[0]
