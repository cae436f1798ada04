"""The managed set of a root: paths that both sides agree on, each with the identity that it had
when it was applied or adopted; and the sweep, which finds what is not so any more.

Kept by folder, so that a sweep opens each folder once, walking the tree, and asks for its names
there: 20,000 files in 500 folders take 60 ms on a small, busy virtual machine (3 µs a file), of
which the system's `lstat` has 48. `os.scandir` and its entries' `stat` take as long.

Identities are held packed (identity.to_bytes): 200,000 files in 5,000 folders take 32 MB, of which
the names have 13; as tuples it was 68. Each folder has a digest of its own, the sum over its
entries, so that two ends which parted find out where without telling one another everything.
"""

import os
import sys
import threading
from collections import deque
from typing import Callable, Deque, Dict, Iterable, Iterator, List, Optional, Set, Tuple

from sidecar.agent.failure import Failure, Refusal
from sidecar.agent.roots.folder import encode
from sidecar.agent.roots.root import DIRECTORY, Root
from sidecar.core import identity as identities
from sidecar.core import paths
from sidecar.core.identity import Entry, Identity

MOST_PATHS = 2000000
"""Paths in one set: ten times what a large project has, at 180 bytes each."""

_NAMES_ARE_UTF8 = sys.getfilesystemencoding() == "utf-8"
"""Then Python makes of a name what `encode` does, and faster."""

REMEMBERED = 4096
"""Answers that may be on their way to the laptop when it computes the digest of its set."""

MOST_UNSAVED = 20000
"""Changed paths that are remembered for the ledger; after more of them it is written anew."""


class Folder:
    """What is managed directly in one folder: packed identities by name, and their digest."""

    __slots__ = ("names", "total")

    def __init__(self) -> None:
        self.names: Dict[str, bytes] = {}
        self.total = 0


class Managed:
    """Thread-safe. Whoever changes files of the set holds `lock` from the last look at the file
    until the set says the same, so that a sweep never sees one without the other.

    Args:
        changed: called, with `lock` held, when the ledger is behind.
    """

    def __init__(self, changed: Callable[[], None] = lambda: None) -> None:
        self._changed = changed
        self.lock = threading.RLock()
        self._folders: Dict[str, Folder] = {}
        self._count = 0
        self._total = 0
        self.adopted = 0
        """How often paths were taken in by what the laptop said of them, not by a change made
        here: a sweep that began before has not seen them."""
        self._answers: Deque[int] = deque(maxlen=REMEMBERED)
        self._unsaved: Optional[Set[str]] = set()  # None: all of it

    @property
    def count(self) -> int:
        return self._count

    @property
    def digest(self) -> str:
        return identities.hex_of(self._total)

    def get(self, path: str) -> Optional[Identity]:
        return identities.from_bytes(self.packed(path))

    def packed(self, path: str) -> bytes:
        """The identity as it is held; b"" for a path that is not managed."""
        above, _, name = path.rpartition("/")
        folder = self._folders.get(above)
        return b"" if folder is None else folder.names.get(name, b"")

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
                for one, held in self._folders.items()
                if one == folder or one.startswith(top)
                for name in held.names
            ]

    def replace(self) -> None:
        """Begins a new set."""
        with self.lock:
            self._folders, self._count, self._total = {}, 0, 0
            self.adopted += 1
            self._answers.clear()
            self._unsaved = None
            self._changed()

    def adopt(self, entries: Iterable[Entry]) -> None:
        """Takes entries into the set, or out of it where nothing is there.

        Raises:
            paths.PathError: a path may not be used. Those before it are taken.
            Failure: too many.
        """
        with self.lock:
            self.adopted += 1
            for path, identity in entries:
                paths.check(path)
                if self._count >= MOST_PATHS:
                    raise Failure("path", "more than %d files are to be managed" % MOST_PATHS)
                self._set(path, identities.to_bytes(identity))
            self._changed()

    def forget(self, names: Iterable[str]) -> None:
        with self.lock:
            for path in names:
                self._set(path, b"")
            self._changed()

    def forget_folders(self, folders: Iterable[str]) -> None:
        """What is directly in these is managed no more."""
        with self.lock:
            for path in folders:
                folder = self._folders.pop(path, None)
                if folder is not None:
                    self._count -= len(folder.names)
                    self._total = (self._total - folder.total) % identities.SUM
                    self._unsaved = None
            self._changed()

    def answered(self, path: str, identity: Optional[Identity]) -> None:
        """The set follows a change that is answered now."""
        with self.lock:
            before = self._total
            self._set(path, identities.to_bytes(identity))
            self._answers.append(self._total - before)
            self._changed()

    def is_known_as(self, digest: str) -> bool:
        """Whether this is the set's digest, or was before answers that may be on their way."""
        with self.lock:
            total = self._total
            if digest == self.digest:
                return True
            for change in reversed(self._answers):
                total -= change
                if digest == identities.hex_of(total):
                    return True
            return False

    def _set(self, path: str, packed: bytes) -> None:
        above, _, name = path.rpartition("/")
        folder = self._folders.get(above)
        if folder is None:
            if not packed:
                return
            folder = self._folders[above] = Folder()
        old = folder.names.pop(name, b"")
        change = 0
        if old:
            change -= identities.entry_number(path, old)
            self._count -= 1
        if packed:
            folder.names[name] = packed
            change += identities.entry_number(path, packed)
            self._count += 1
        elif not folder.names:
            del self._folders[above]
        folder.total = (folder.total + change) % identities.SUM
        self._total = (self._total + change) % identities.SUM
        if self._unsaved is not None:
            self._unsaved.add(path)
            if len(self._unsaved) > MOST_UNSAVED:
                self._unsaved = None

    # --- for the ledger

    def held(self) -> List[Tuple[str, Folder]]:
        """All folders with managed paths directly in them. For who holds `lock`, or only reads
        digests."""
        with self.lock:
            return list(self._folders.items())

    def load(self, path: str, folder: Folder) -> bool:
        """Takes a folder as it was saved; whether there was room for it."""
        with self.lock:
            if self._count + len(folder.names) > MOST_PATHS:
                return False
            self.forget_folders([path])
            self.adopted += 1
            self._folders[path] = folder
            self._count += len(folder.names)
            self._total = (self._total + folder.total) % identities.SUM
            return True

    def take_unsaved(self) -> Optional[Set[str]]:
        """The paths that changed since this was asked last; None: too many to name them."""
        with self.lock:
            unsaved, self._unsaved = self._unsaved, set()
            return unsaved

    def put_back(self, unsaved: Optional[Set[str]]) -> None:
        """They could not be saved."""
        with self.lock:
            if unsaved is None or self._unsaved is None:
                self._unsaved = None
            else:
                self._unsaved |= unsaved

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
                    held = self._folders.get(folder)
                    names = list(held.names.items()) if held is not None else []
                prefix = folder + "/" if folder else ""
                descriptor = walk.to(folder)
                if descriptor < 0:
                    suspects.extend(prefix + name for name, _ in names)
                else:
                    suspects.extend(prefix + name for name in _differing(descriptor, names))
        return self.look_again(root, suspects)

    def look_again(self, root: Root, suspects: Iterable[str]) -> List[Entry]:
        """Which of these paths differ from the set now; sorted."""
        differing: List[Entry] = []
        for path in suspects:
            with self.lock:  # now no change is between its rename and its entry in the set
                wanted = self.get(path)
                found = look_up(root, path)
            if wanted is not None and found != wanted:
                differing.append((path, found))
        return sorted(differing, key=lambda entry: entry[0])


def look_up(root: Root, path: str) -> Optional[Identity]:
    """What is at a path. Behind a link, or a file that should be a folder: nothing."""
    try:
        status = root.lstat(paths.check(path))
    except Refusal:
        return None
    return None if status is None else identities.from_stat(status)


def _differing(folder: int, names: Iterable[Tuple[str, bytes]]) -> Iterator[str]:
    """Names in the folder whose identity is another one. The inner loop of a sweep."""
    look, packed = os.lstat, identities.bytes_of
    for name, wanted in names:
        try:
            found = look(name if _NAMES_ARE_UTF8 else encode(name), dir_fd=folder)
        except OSError:
            yield name
            continue
        if packed(found) != wanted:
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
