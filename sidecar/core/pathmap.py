"""The same file's name on both sides: a root has one place here and one there, each perhaps known
by several spellings (as configured, and with the links above it resolved: /home → /gpfs).

Text only: no file is looked at. A path that is under none of the roots has no counterpart.
"""

import ntpath
import posixpath
import re
from typing import List, NamedTuple, Optional, Sequence, Tuple

from sidecar.core import copies

_DRIVE = re.compile(r"[A-Za-z]:[\\/]|\\\\")
"""How an absolute path begins on Windows. Only the local side can be one."""


class _Root(NamedTuple):
    """One spelling of a root. `key`: its components as they are compared."""

    path: str
    windows: bool
    key: Tuple[str, ...]


class PathMap:
    """Maps absolute paths between a local and a remote root.

    Args:
        local: spellings of the root here; answers use the first. POSIX or Windows paths.
        remote: spellings of the root there, POSIX paths; answers use the first.
    Raises:
        ValueError: a side without a spelling, or a spelling that is not absolute.
    """

    def __init__(self, local: Sequence[str], remote: Sequence[str]) -> None:
        self._local = [_root(path) for path in local]
        self._remote = [_root(path) for path in remote]
        if not self._local or not self._remote:
            raise ValueError("a path map needs a root on each side")

    def __repr__(self) -> str:
        return "PathMap(local=%r, remote=%r)" % (self.local, self.remote)

    @property
    def local(self) -> List[str]:
        """The spellings of the root here, normalised; the first is the one in answers."""
        return [root.path for root in self._local]

    @property
    def remote(self) -> List[str]:
        """The spellings of the root there, normalised; the first is the one in answers."""
        return [root.path for root in self._remote]

    def to_remote(self, path: str) -> Optional[str]:
        """The remote name of a local path, None where it is not in the root."""
        return _translate(path, self._local, self._remote[0])

    def to_local(self, path: str) -> Optional[str]:
        """The local name of a remote path, None where it is not in the root. A file of frozen code
        (agent/jobs/frozen.py) is the project's of that name."""
        return _translate(path, self._remote, self._local[0], copies.INSIDE)

    def spelled_like(self, path: str) -> "PathMap":
        """This map, answering with the local spelling that `path` uses: an editor that opened
        the project through a link shall be told of files under that name, or it opens each a
        second time. Unchanged where `path` is outside."""
        found = _match(path, self._local)
        if found is None or found[0] is self._local[0]:
            return self
        first = found[0].path
        return PathMap([first] + [one for one in self.local if one != first], self.remote)


def _root(path: str) -> _Root:
    windows = _DRIVE.match(path) is not None
    if not windows and not path.startswith("/"):
        raise ValueError("a root must be an absolute path: %r" % path)
    normal = _normalised(path, windows)
    return _Root(normal, windows, _key(_components(normal, windows), windows))


def _normalised(path: str, windows: bool) -> str:
    if windows:
        return ntpath.normpath(path)
    # POSIX leaves the meaning of exactly two leading slashes open; Linux and macOS give them none.
    return posixpath.normpath("/" + path.lstrip("/"))


def _components(path: str, windows: bool) -> Tuple[str, ...]:
    return tuple(part for part in path.split("\\" if windows else "/") if part)


def _key(parts: Tuple[str, ...], windows: bool) -> Tuple[str, ...]:
    """Editors on Windows write the drive and folders in whatever case they got them."""
    return tuple(part.lower() for part in parts) if windows else parts


def _match(path: str, roots: Sequence[_Root]) -> Optional[Tuple[_Root, Tuple[str, ...]]]:
    """The root with the longest spelling that `path` is under, and the components below it.

    Components are compared, not text: `/a/b` holds `/a/b/c` and itself, not `/a/bc`.
    """
    windows = _DRIVE.match(path) is not None
    if not windows and not path.startswith("/"):
        return None
    parts = _components(_normalised(path, windows), windows)
    key = _key(parts, windows)
    best: Optional[_Root] = None
    for root in roots:
        holds = root.windows == windows and key[: len(root.key)] == root.key
        if holds and (best is None or len(root.key) > len(best.key)):
            best = root
    return None if best is None else (best, parts[len(best.key) :])


def _translate(
    path: str, roots: Sequence[_Root], other: _Root, repeated: Tuple[str, ...] = ()
) -> Optional[str]:
    """`repeated`: a folder below whose folders the root's own paths are repeated."""
    found = _match(path, roots)
    if found is None:
        return None
    parts = found[1]
    below_copies = repeated and parts[: len(repeated)] == repeated
    if below_copies and len(parts) > len(repeated) + 1:
        parts = parts[len(repeated) + 1 :]
    separator = "\\" if other.windows else "/"
    below = separator.join(parts)
    if not below:
        return other.path
    return other.path.rstrip(separator) + separator + below
