"""Frozen code: a copy of the managed files as they are at one moment, for a job to run from.

Whoever edits while a job runs changes code under its spawned workers and late imports. So the code
that a run was given is copied to `<root>/.sidecar/frozen/<name>/`, and the program starts from
there; its working directory stays the project's. The name is the content digest of what is in it,
so runs of the same code share one copy.

What is equal to the copy made before is a hard link to that one's file; the rest is copied. Not
linked to the project's own files: a link changes a file's ctime, by which the barrier proves that
nobody touched it, and what a program writes in place would then change both. Nobody writes to a
copy: its files are read-only, and each is linked or removed, never changed.

Beside code programs read data, by paths relative to their own file. So whatever the project's
folders hold that is not managed (data, results, environments) stands in the copy as a link to the
project's, and so does a managed file that is LARGE, which is no code.

Copies stay while a job needs them, then for `rerun --frozen`, the last KEPT of them.

Measured on a busy machine on which a hard link takes 40 us: 1,000 files in 50 folders take 0.4 s
the first time, then 0.05 s, and nothing where the code is the same.
"""

import os
import re
import stat
import time
from typing import Dict, List, NamedTuple, Optional, Tuple

from sidecar.agent import machine
from sidecar.agent.changes import copying
from sidecar.agent.changes.order import Order
from sidecar.agent.failure import Failure, Refusal, explain
from sidecar.agent.roots.folder import OURS, decode, encode
from sidecar.agent.roots.managed import Managed, look_up
from sidecar.agent.roots.root import DIRECTORY, Root, open_file, parts_of, walk
from sidecar.agent.supervisor import records
from sidecar.core import copies
from sidecar.core import identity as identities
from sidecar.core.copies import FROZEN
from sidecar.core.identity import FILE, SYMLINK, Entry

KEPT = 20
"""Copies that no job needs any more. They share what did not change between them."""

LARGE = 16 << 20
"""Bytes of a managed file from which on it is linked to, not copied: no source is as long."""

ABANDONED = 30 * 86400.0
"""Seconds after which a job of another machine that cannot be looked at counts as over."""

UNFINISHED = 3600.0
"""Seconds after which a copy that was not finished is nobody's any more."""

_NAME = re.compile(r"[0-9a-z-]{1,100}\Z")
_CACHE = b"__pycache__"
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

Sources = Dict[str, Dict[str, bytes]]
"""Packed identities by name, by folder."""


class Later(Exception):
    """A change that came behind the run was made already: the copy would have it, too."""


class Differs(Exception):
    """Files are not what they are managed as; `entries` has what they are."""

    def __init__(self, entries: List[Entry]) -> None:
        super().__init__("%d files differ" % len(entries))
        self.entries = entries


class Copy(NamedTuple):
    """`path`: where it is. `made`: now, not for an earlier run."""

    path: str
    made: bool


def path_of(root: str, name: str) -> str:
    """Where the copy of that name is, or would be.

    Raises:
        Failure: it is no name.
    """
    if not _NAME.match(name):
        raise Failure("usage", "%.80r names no frozen code" % name)
    return copies.place(root, name)


def find(root: Root, name: str) -> Copy:
    """The copy of an earlier run.

    Raises:
        Failure: it is not there any more.
    """
    path = path_of(root.name, name)
    if not os.path.exists(path + ".entries"):
        raise Failure(
            "not-kept",
            "The code of that run is not kept",
            "the last %d frozen ones are" % KEPT,
            "check its commit out (`sidecar jobs ID`), or run today's code",
        )
    return Copy(path, False)


def make(root: Root, managed: Managed, order: Order, after: int, name: str, force: bool) -> Copy:
    """The copy of what is managed, as it is after the change of that number, made if need be.

    Args:
        force: whatever differs from what is managed.
    Raises:
        Later, Differs: it would not be just that.
        Failure: it cannot be made.
    """
    path = path_of(root.name, name)
    with managed.lock:
        if not force and order.is_past(after):
            raise Later
        sources = {folder: dict(held.names) for folder, held in managed.held()}
    sources.setdefault("", {})
    try:
        top = _our_folder(root)
        try:
            if os.path.exists(path + ".entries"):
                os.utime(path + ".entries")
                return Copy(path, False)
            _Making(root, managed, top, sources, encode(name), force).make()
        finally:
            os.close(top)
    except OSError as error:
        code, why = explain(error)
        raise Failure(
            code, "The code cannot be frozen there", why, "run without --frozen"
        ) from None
    return Copy(path, True)


def needed_by(copy: Copy, job: str) -> None:
    """Notes that the job with this folder runs from the copy."""
    users = copy.path + ".jobs"
    os.makedirs(users, mode=0o700, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(os.path.join(users, os.path.basename(job)), flags, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(job)


def prune(root: Root, here: machine.Place) -> None:
    """Removes copies that no job needs, but for the last ones. What a program wrote into one is
    somebody's: that copy stays."""
    folder = copies.place(root.name, "")
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return
    spare: List[Tuple[float, str]] = []
    for name in names:
        stem, _, kind = name.partition(".")
        path = os.path.join(folder, stem)
        if kind.startswith("new") and _age(os.path.join(folder, name)) > UNFINISHED:
            _remove_tree(os.path.join(folder, name))
        elif kind == "entries" and not is_needed(path, here):
            spare.append((_age(path + ".entries"), path))
    for _, path in sorted(spare)[KEPT:]:
        if not holds_results(path):
            os.unlink(path + ".entries")
            _remove_tree(path + ".jobs")
            _remove_tree(path)


class _Making:
    """One copy in the making, under a name of its own until it is whole.

    Args:
        top: descriptor of the folder of all copies.
    """

    def __init__(
        self, root: Root, managed: Managed, top: int, sources: Sources, name: bytes, force: bool
    ) -> None:
        self._root, self._managed, self._top = root, managed, top
        self._sources, self._name, self._force = sources, name, force
        self._differing: List[str] = []
        self._entries: List[Entry] = []
        self._before, self._known = _latest(top)

    def make(self) -> None:
        unfinished = self._name + b".new-%d-%d" % (os.getpid(), time.monotonic_ns())
        os.mkdir(unfinished, 0o700, dir_fd=self._top)
        try:
            inner = os.open(unfinished, DIRECTORY, dir_fd=self._top)
            try:
                for folder in sorted(self._sources, key=lambda path: path.split("/")):
                    self._fill(inner, folder)
            finally:
                os.close(inner)
            if self._differing and not self._force:
                raise Differs([(path, look_up(self._root, path)) for path in self._differing])
            try:
                os.rename(unfinished, self._name, src_dir_fd=self._top, dst_dir_fd=self._top)
            except OSError:
                if not os.path.isdir(self._path(self._name)):
                    raise
                # Another run of the same code was quicker.
            self._write_entries()
        finally:
            _remove_tree(self._path(unfinished))

    def _path(self, name: bytes) -> str:
        return copies.place(self._root.name, decode(name))

    def _fill(self, inner: int, folder: str) -> None:
        """One folder: what is managed in it, and links to what else is there."""
        names = self._sources[folder]
        try:
            with self._root.folder(parts_of(folder)) as step:
                source = os.open(".", DIRECTORY, dir_fd=step)
        except (OSError, Refusal):
            self._differing.extend(_join(folder, name) for name in names)
            return
        try:
            with walk(inner, parts_of(folder), make=True) as target:
                self._fill_from(source, target, folder, names)
        finally:
            os.close(source)

    def _fill_from(self, source: int, target: int, folder: str, names: Dict[str, bytes]) -> None:
        before = self._open_before(folder)
        try:
            for name, packed in names.items():
                wanted = identities.from_bytes(packed)
                path = _join(folder, name)
                if wanted is None or wanted.kind not in (FILE, SYMLINK):
                    continue  # a folder is made with what is in it, or now
                if wanted.kind == SYMLINK:
                    os.symlink(
                        os.readlink(encode(name), dir_fd=source), encode(name), dir_fd=target
                    )
                elif wanted.size >= LARGE:
                    self._link_to_the_projects(folder, name, target)
                elif not self._link(before, target, path, name, packed):
                    self._copy(source, target, path, name, packed)
            for name, packed in names.items():
                wanted = identities.from_bytes(packed)
                if wanted is not None and wanted.kind == identities.DIRECTORY:
                    try:
                        os.mkdir(encode(name), 0o700, dir_fd=target)
                    except FileExistsError:
                        pass
            self._link_others(source, target, folder, names)
        finally:
            if before is not None:
                os.close(before)

    def _open_before(self, folder: str) -> Optional[int]:
        if not self._before:
            return None
        try:
            with walk(self._top, (self._before, *parts_of(folder))) as step:
                return os.open(".", DIRECTORY, dir_fd=step)
        except (OSError, Refusal):
            return None

    def _link(
        self, before: Optional[int], target: int, path: str, name: str, packed: bytes
    ) -> bool:
        """A link to the copy before, where that was made of this very file; with its bytecode,
        which Python then need not make again."""
        if before is None or self._known.get(path) != packed:
            return False
        raw = encode(name)
        try:
            os.link(raw, raw, src_dir_fd=before, dst_dir_fd=target, follow_symlinks=False)
        except (OSError, NotImplementedError):
            return False  # it is gone, or there are no links
        self._entries.append((path, identities.from_bytes(packed)))
        if name.endswith(".py"):
            _link_bytecode(before, target, raw[:-2])
        return True

    def _copy(self, source: int, target: int, path: str, name: str, packed: bytes) -> None:
        raw = encode(name)
        try:
            descriptor = open_file(source, raw)
        except (OSError, Refusal):
            self._differing.append(path)
            return
        try:
            found = os.fstat(descriptor)
            executable = bool(found.st_mode & stat.S_IXUSR)
            copy = os.open(raw, _NEW, 0o500 if executable else 0o400, dir_fd=target)
            try:
                if found.st_size:
                    copying.copy_range(descriptor, copy, 0, found.st_size, 0)
                os.utime(copy, ns=(found.st_atime_ns, found.st_mtime_ns))
            finally:
                os.close(copy)
            same = identities.bytes_of(os.fstat(descriptor)) == packed
            if same and identities.bytes_of(found) == packed:
                self._entries.append((path, identities.from_bytes(packed)))
            else:
                self._differing.append(path)
        except Refusal:
            self._differing.append(path)
        finally:
            os.close(descriptor)

    def _link_to_the_projects(self, folder: str, name: str, target: int) -> None:
        os.symlink(encode(os.path.join(self._root.name, folder, name)), encode(name), dir_fd=target)

    def _link_others(self, source: int, target: int, folder: str, names: Dict[str, bytes]) -> None:
        for entry in os.listdir(source):
            name = decode(os.fsencode(entry))
            managed = name in names or _join(folder, name) in self._sources
            ours = not folder and name == decode(OURS)
            if not (managed or ours or os.fsencode(entry) == _CACHE or name.endswith(".pyc")):
                self._link_to_the_projects(folder, name, target)

    def _write_entries(self) -> None:
        """Of which files it was made: it is whole from now on."""
        name = self._name + b".entries"
        temporary = name + b".new"
        descriptor = os.open(
            temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600, dir_fd=self._top
        )
        with os.fdopen(descriptor, "wb") as file:
            file.write(identities.pack(self._entries))
        os.rename(temporary, name, src_dir_fd=self._top, dst_dir_fd=self._top)


def _our_folder(root: Root) -> int:
    """The descriptor of the folder of all copies, made if need be."""
    try:
        os.mkdir(FROZEN, 0o700, dir_fd=root.ours)
    except FileExistsError:
        pass
    return os.open(FROZEN, DIRECTORY, dir_fd=root.ours)


def _latest(top: int) -> Tuple[str, Dict[str, bytes]]:
    """The copy that was used last, and the identities that its files were made of."""
    times = {
        name: os.stat(name, dir_fd=top).st_mtime_ns
        for name in os.listdir(top)
        if name.endswith(".entries")
    }
    for name in sorted(times, key=lambda one: times[one], reverse=True)[:1]:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=top)
        with os.fdopen(descriptor, "rb") as file:
            try:
                entries = identities.unpack(file.read())
            except identities.PackError:
                return "", {}  # torn by a crash: all is copied once more
        return name[: -len(".entries")], {
            path: identities.to_bytes(identity) for path, identity in entries
        }
    return "", {}


def _link_bytecode(before: int, target: int, stem: bytes) -> None:
    """What Python made of a source goes along with it. Only a help: nothing is said where it
    cannot."""
    try:
        source = os.open(_CACHE, DIRECTORY, dir_fd=before)
    except OSError:
        return
    try:
        names = [name for name in map(os.fsencode, os.listdir(source)) if name.startswith(stem)]
        if not names:
            return
        try:
            os.mkdir(_CACHE, 0o700, dir_fd=target)
        except FileExistsError:
            pass
        cache = os.open(_CACHE, DIRECTORY, dir_fd=target)
        try:
            for name in names:
                os.link(name, name, src_dir_fd=source, dst_dir_fd=cache, follow_symlinks=False)
        finally:
            os.close(cache)
    except (OSError, NotImplementedError):
        return
    finally:
        os.close(source)


def is_needed(path: str, here: machine.Place) -> bool:
    """Whether a job that is not over runs from the copy there."""
    users = path + ".jobs"
    try:
        jobs = os.listdir(users)
    except OSError:
        return False
    return any(_runs(os.path.join(users, job), here) for job in jobs)


STARTING = 60.0
"""Seconds in which a job that notes its need has a record."""


def _runs(note: str, here: machine.Place) -> bool:
    try:
        with open(note, encoding="utf-8", errors="surrogateescape") as file:
            folder = file.read(4096)
        _, state = records.refreshed(folder, here)
    except OSError:
        return True
    except records.RecordError:
        # It starts; or was cleared away; or is another machine's, of which nothing is seen here.
        if _age(note) < STARTING:
            return True
        return not os.path.isdir(os.path.dirname(folder)) and _age(note) < ABANDONED
    return state in (records.RUNNING, records.ELSEWHERE)


def holds_results(path: str) -> bool:
    """Whether there is anything in a copy that was not copied into it."""
    try:
        with open(path + ".entries", "rb") as file:
            known = {name for name, _ in identities.unpack(file.read())}
    except (OSError, identities.PackError):
        return True
    for folder, inner, files in os.walk(path):
        inner[:] = [name for name in inner if name != decode(_CACHE)]
        for name in files:
            one = os.path.join(folder, name)
            if os.path.relpath(one, path) not in known and not os.path.islink(one):
                return True
    return False


def _remove_tree(path: str) -> None:
    """With all in it; links are removed, not followed. What cannot be removed stays."""
    for folder, inner, files in os.walk(path, topdown=False):
        for name in files + inner:
            one = os.path.join(folder, name)
            try:
                if os.path.isdir(one) and not os.path.islink(one):
                    os.rmdir(one)
                else:
                    os.unlink(one)
            except OSError:
                continue
    try:
        os.rmdir(path)
    except OSError:
        return


def _age(path: str) -> float:
    """Seconds since it was changed; none where it is gone."""
    try:
        return time.time() - os.stat(path).st_mtime
    except OSError:
        return 0.0


def _join(folder: str, name: str) -> str:
    return "%s/%s" % (folder, name) if folder else name
