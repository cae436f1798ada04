"""The managed set of a root: paths that both sides agree on, each with the identity that it had
when it was applied or adopted; and the sweep, which finds what is not so any more.

Kept by folder, so that a sweep opens each folder once, walking the tree, and asks for its names
there: 20,000 files in 500 folders take 60 ms on a small, busy virtual machine (3 µs a file), of
which the system's `lstat` has 48. `os.scandir` and its entries' `stat` take as long.
"""

import os
import stat
import sys
import threading
from collections import deque
from typing import Deque, Dict, Iterable, Iterator, List, Optional, Tuple

from sidecar.agent.failure import Failure, Refusal
from sidecar.agent.folder import encode
from sidecar.agent.roots import DIRECTORY, Root
from sidecar.core import identity as identities
from sidecar.core import paths
from sidecar.core.identity import FILE, Entry, Identity

MOST_PATHS = 2000000
"""Paths in one set: ten times what a large project has, at 300 bytes each."""

_NAMES_ARE_UTF8 = sys.getfilesystemencoding() == "utf-8"
"""Then Python makes of a name what `encode` does, and faster."""

REMEMBERED = 4096
"""Answers that may be on their way to the laptop when it computes the digest of its set."""


class Managed:
    """Thread-safe. Whoever changes files of the set holds `lock` from the last look at the file
    until the set says the same, so that a sweep never sees one without the other."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._folders: Dict[str, Dict[str, Identity]] = {}
        self._count = 0
        self._digest = identities.SetDigest()
        self._answers: Deque[int] = deque(maxlen=REMEMBERED)

    @property
    def count(self) -> int:
        return self._count

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()

    def get(self, path: str) -> Optional[Identity]:
        folder, _, name = path.rpartition("/")
        return self._folders.get(folder, {}).get(name)

    def folders(self) -> List[str]:
        """The folders that hold something of the set."""
        with self.lock:
            return list(self._folders)

    def below(self, folder: str) -> List[str]:
        """The paths of the set below a folder."""
        top = folder + "/"
        with self.lock:
            return [
                one + "/" + name
                for one, names in self._folders.items()
                if one == folder or one.startswith(top)
                for name in names
            ]

    def replace(self) -> None:
        """Begins a new set."""
        with self.lock:
            self._folders, self._count = {}, 0
            self._digest = identities.SetDigest()
            self._answers.clear()

    def adopt(self, entries: Iterable[Entry]) -> None:
        """Takes entries into the set, or out of it where nothing is there.

        Raises:
            paths.PathError: a path may not be used. Those before it are taken.
            Failure: too many.
        """
        with self.lock:
            for path, identity in entries:
                paths.check(path)
                if self._count >= MOST_PATHS:
                    raise Failure("path", "more than %d files are to be managed" % MOST_PATHS)
                self._set(path, identity)

    def forget(self, names: Iterable[str]) -> None:
        with self.lock:
            for path in names:
                self._set(path, None)

    def answered(self, path: str, identity: Optional[Identity]) -> None:
        """The set follows a change that is answered now."""
        with self.lock:
            before = self._digest.total
            self._set(path, identity)
            self._answers.append(self._digest.total - before)

    def is_known_as(self, digest: str) -> bool:
        """Whether this is the set's digest, or was before answers that may be on their way."""
        with self.lock:
            total = self._digest.total
            if digest == self.digest:
                return True
            for change in reversed(self._answers):
                total -= change
                if digest == identities.SetDigest(total % (1 << 128)).hexdigest():
                    return True
            return False

    def _set(self, path: str, identity: Optional[Identity]) -> None:
        folder, _, name = path.rpartition("/")
        names = self._folders.get(folder)
        old = names.pop(name, None) if names else None
        if old is not None:
            self._digest.discard(path, old)
            self._count -= 1
        if identity is not None:
            self._folders.setdefault(folder, {})[name] = identity
            self._digest.add(path, identity)
            self._count += 1
        elif names is not None and not names:
            del self._folders[folder]

    # --- the sweep

    def sweep(self, root: Root) -> List[Entry]:
        """What differs from the set, with the identity found; sorted by path. May take long, and
        holds nobody up: changes made meanwhile are no differences."""
        with self.lock:
            folders = sorted(self._folders, key=lambda path: path.split("/") if path else [])
        suspects: List[str] = []
        with _Walk(root) as walk:
            for folder in folders:
                with self.lock:
                    names = list(self._folders.get(folder, {}).items())
                prefix = folder + "/" if folder else ""
                descriptor = walk.to(folder)
                if descriptor < 0:
                    suspects.extend(prefix + name for name, _ in names)
                else:
                    suspects.extend(prefix + name for name in _differing(descriptor, names))
        return sorted(self._look_again(root, suspects), key=lambda entry: entry[0])

    def _look_again(self, root: Root, suspects: Iterable[str]) -> Iterator[Entry]:
        for path in suspects:
            with self.lock:  # now no change is between its rename and its entry in the set
                wanted = self.get(path)
                found = look_up(root, path)
            if wanted is not None and found != wanted:
                yield path, found


def look_up(root: Root, path: str) -> Optional[Identity]:
    """What is at a path. Behind a link, or a file that should be a folder: nothing."""
    try:
        status = root.lstat(paths.check(path))
    except Refusal:
        return None
    return None if status is None else identities.from_stat(status)


def _differing(folder: int, names: Iterable[Tuple[str, Identity]]) -> Iterator[str]:
    """Names in the folder whose identity is another one. The inner loop of a sweep."""
    look, regular = os.lstat, stat.S_IFREG
    for name, wanted in names:
        try:
            found = look(name if _NAMES_ARE_UTF8 else encode(name), dir_fd=folder)
        except OSError:
            yield name
            continue
        kind, mode, size, mtime_ns, ctime_ns, inode = wanted
        if kind is FILE or kind == FILE:
            same = (
                found.st_ino == inode
                and found.st_ctime_ns == ctime_ns
                and found.st_mtime_ns == mtime_ns
                and found.st_size == size
                and found.st_mode == mode | regular
            )
        else:
            same = identities.from_stat(found) == wanted
        if not same:
            yield name


class _Walk:
    """Folders in sorted order; those above the last one stay open, so that each is opened once."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._open: List[Tuple[str, int]] = []

    def __enter__(self) -> "_Walk":
        return self

    def __exit__(self, *raised: object) -> None:
        for _, descriptor in self._open:
            os.close(descriptor)

    def to(self, folder: str) -> int:
        """The folder's descriptor; -1 where it is none any more."""
        parts = folder.split("/") if folder else []
        keep = 0
        while keep < min(len(parts), len(self._open)) and self._open[keep][0] == parts[keep]:
            keep += 1
        for _, descriptor in self._open[keep:]:
            os.close(descriptor)
        del self._open[keep:]
        current = self._open[-1][1] if self._open else self._root.top
        for part in parts[keep:]:
            try:
                current = os.open(encode(part), DIRECTORY, dir_fd=current)
            except OSError:
                return -1
            self._open.append((part, current))
        return current
