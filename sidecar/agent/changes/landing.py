"""Landing: the step of each change in which it becomes visible.

With the root's lock held: a last look whether the path still is what was expected; a copy of the
old content to the trash; the rename, link or removal; the removal of old bytecode; then `done`,
which enters the result into the managed set and answers. Where anything is not as it must be,
Refusal or OSError is raised, and nothing was touched.

Between the last look and the rename are some microseconds in which a *rename* by somebody else
over the same path would be lost; what is written *into* the old file then is in the trash's copy.
A path where nothing is expected is taken by a link, which never replaces anything.
"""

import os
import stat
from typing import TYPE_CHECKING, Callable, ContextManager, Optional, Tuple, Union

from sidecar.agent import loader
from sidecar.agent.changes import bytecode, permissions
from sidecar.agent.changes.incoming import Incoming
from sidecar.agent.changes.staging import Staging
from sidecar.agent.failure import Refusal
from sidecar.agent.roots.content import digest_at
from sidecar.agent.roots.folder import encode
from sidecar.agent.roots.managed import Managed
from sidecar.agent.roots.root import DIRECTORY, Descriptor, Root, lstat, open_file
from sidecar.core import identity as identities
from sidecar.core import messages, paths
from sidecar.core.identity import DIRECTORY as FOLDER
from sidecar.core.identity import FILE, SYMLINK, Identity

if TYPE_CHECKING:
    from sidecar.agent.changes.trash import Trash

Done = Callable[[Optional[Identity]], None]
"""Called with the lock held, with what is at the path now."""


class Landing:
    """Makes changes in one root. `expected` is always what must be at the path."""

    def __init__(self, root: Root, managed: Managed) -> None:
        self._root, self._managed = root, managed
        self._lock = managed.lock
        self._staging: Optional[Staging] = None
        self._trash: Optional[Trash] = None

    def staging(self) -> Staging:
        """Where new content grows. Made when it is first needed."""
        with self._lock:
            if self._staging is None:
                self._staging = Staging(self._root)
            return self._staging

    def trash(self) -> "Trash":
        """Where old content goes. Made when it is first needed."""
        loader.wait("sidecar.agent.changes.trash")
        from sidecar.agent.changes.trash import Trash

        with self._lock:
            if self._trash is None:
                self._trash = Trash(self._root)
            return self._trash

    def prune(self, now: float) -> None:
        """Brings the trash within its bounds."""
        if self._trash is not None:
            self._trash.prune(now)

    def close(self) -> None:
        with self._lock:
            if self._staging is not None:
                self._staging.close()
                self._staging = None

    # --- files

    def accept(
        self,
        parts: Tuple[str, ...],
        expected: Optional[Identity],
        digest: str,
        put: Optional[messages.Put] = None,
    ) -> Optional[Identity]:
        """What is there now, where a change may be made over it: what is expected; else the same
        content under another identity; else already the result of this `put`. Reads what is there
        only where its identity leaves a doubt that its size does not settle.

        Args:
            digest: of the content that is expected; "" where there is none.
        Raises:
            Refusal: "differs".
        """
        self._root.check()
        there = self._root.lstat(parts)
        have = identities.from_stat(there) if there is not None else None
        if have is not None and have.kind not in (FILE, SYMLINK):
            raise _differs(there)
        if have == expected:
            return have
        good = set()
        if have is not None:
            if expected is None or (expected.kind, expected.size) == (have.kind, have.size):
                good.add(digest)
            if put is not None and put.size == have.size:
                good.add(put.digest)
            good.discard("")
        if good:
            found, identity = digest_at(self._root, parts)
            if found in good and identity is not None:
                return identity
        raise _differs(there, expected is None)

    def file(self, incoming: Incoming, done: Done) -> None:
        """Lands a file whose stream is over."""
        put, parts = incoming.put, incoming.parts
        staged = incoming.finish()
        with self._lock, self._root_checked().folder(parts[:-1], make=True) as folder:
            name = encode(parts[-1])
            old = lstat(folder, name)
            _check_still(old, incoming.base)
            incoming.check_old()
            permissions.dress(
                staged.descriptor,
                old,
                incoming.old.number if incoming.old is not None else -1,
                os.fstat(folder),
                put.executable,
                put.mtime_ns,
            )
            with self.copy_kept(folder, parts, old):
                try:
                    landed = staged.land(folder, name, paths.parent(put.path), old is not None)
                except FileExistsError:
                    raise _differs(lstat(folder, name)) from None
            if bytecode.is_source(parts[-1]):
                landed = self.drop_bytecode(folder, parts[-1], staged.descriptor, landed)
            incoming.discard()
            done(identities.from_stat(landed))

    def is_there_already(self, incoming: Incoming, base: Identity, done: Done) -> bool:
        """Whether the file has the announced content, although it is not what was expected: a
        change whose answer was lost, or the same edit on both sides. Then its mode and mtime are
        set, and that is all."""
        put = incoming.put
        if base.kind != FILE or base.size != put.size or not put.digest:
            return False
        if digest_at(self._root, incoming.parts) != (put.digest, base):
            return False
        self._dress_in_place(put, incoming.parts, base, done)
        return True

    def mode(self, change: messages.SetMode, expected: Optional[Identity], done: Done) -> None:
        parts = paths.check(change.path)
        base = self.accept(parts, expected, change.expect.digest)
        if base is None or base.kind != FILE:
            raise _differs(self._root.lstat(parts))
        self._dress_in_place(change, parts, base, done)

    def _dress_in_place(
        self,
        change: Union[messages.Put, messages.SetMode],
        parts: Tuple[str, ...],
        base: Identity,
        done: Done,
    ) -> None:
        with self._lock, self._root_checked().folder(parts[:-1]) as folder:
            _check_still(lstat(folder, encode(parts[-1])), base)
            file = Descriptor(open_file(folder, encode(parts[-1])))
            mode = permissions.with_executable(base.mode, change.executable)
            if mode != base.mode:
                os.fchmod(file.number, mode)
            now = os.fstat(file.number)
            if now.st_mtime_ns != change.mtime_ns:
                os.utime(file.number, ns=(now.st_atime_ns, change.mtime_ns))
                now = os.fstat(file.number)
            if bytecode.is_source(parts[-1]):
                now = self.drop_bytecode(folder, parts[-1], file.number, now)
            done(identities.from_stat(now))

    # --- links, folders, removals

    def link(self, change: messages.MakeLink, expected: Optional[Identity], done: Done) -> None:
        parts = paths.check(change.path)
        if not paths.link_stays_inside(change.path, change.target):
            raise Refusal("path", "its target %r leads out of the project" % change.target)
        base = self.accept(parts, expected, change.expect.digest)
        target, name = encode(change.target), encode(parts[-1])
        with self._lock, self._root_checked().folder(parts[:-1], make=True) as folder:
            old = lstat(folder, name)
            _check_still(old, base)
            if old is None:
                try:
                    os.symlink(target, name, dir_fd=folder)
                except FileExistsError:
                    raise _differs(lstat(folder, name)) from None
            else:
                with self.copy_kept(folder, parts, old):
                    self.staging().land_link(target, folder, name)
            made = lstat(folder, name)
            done(identities.from_stat(made) if made else None)

    def directory(self, change: messages.MakeDirectory, done: Done) -> None:
        parts = paths.check(change.path)
        with self._lock, self._root_checked().folder(parts[:-1], make=True) as folder:
            name = encode(parts[-1])
            try:
                os.mkdir(name, dir_fd=folder)
            except FileExistsError:
                pass
            there = lstat(folder, name)
            if there is None or not stat.S_ISDIR(there.st_mode):
                raise _differs(there)
            done(identities.from_stat(there))

    def remove(self, change: messages.Remove, expected: Optional[Identity], done: Done) -> None:
        parts = paths.check(change.path)
        self._root.check()
        if self._root.lstat(parts) is None:
            with self._lock:
                done(None)  # gone already: nothing is left to do
            return
        if expected is not None and expected.kind == FOLDER:
            self._remove_directory(parts, done)
            return
        base = self.accept(parts, expected, change.expect.digest)
        with self._lock, self._root_checked().folder(parts[:-1]) as folder:
            old = lstat(folder, encode(parts[-1]))
            _check_still(old, base)
            if old is None or base is None or base.kind not in (FILE, SYMLINK):
                raise _differs(old)
            with self.copy_kept(folder, parts, old):
                os.unlink(encode(parts[-1]), dir_fd=folder)
            done(None)

    def _remove_directory(self, parts: Tuple[str, ...], done: Done) -> None:
        name = encode(parts[-1])
        with self._lock, self._root_checked().folder(parts[:-1]) as folder:
            there = lstat(folder, name)
            if there is None or not stat.S_ISDIR(there.st_mode):
                raise _differs(there)
            inner = Descriptor(os.open(name, DIRECTORY, dir_fd=folder))
            if bytecode.only_bytecode(inner.number):
                bytecode.remove_cache(inner.number)
            left = os.listdir(inner.number)
            if left:
                why = "it still holds %s" % ", ".join(repr(one) for one in sorted(left)[:3])
                raise Refusal("differs", why, identities.from_stat(there))
            os.rmdir(name, dir_fd=folder)
            done(None)

    # --- around a change

    def copy_kept(
        self, folder: int, parts: Tuple[str, ...], old: Optional[os.stat_result]
    ) -> ContextManager[None]:
        """A copy of the old content in the trash, for what the block does; none if it fails."""
        ours = old is not None and self._managed.get("/".join(parts)) == identities.from_stat(old)
        return self.trash().copy_kept(folder, parts, old, ours)

    @staticmethod
    def drop_bytecode(
        folder: int, name: str, source: int, status: os.stat_result
    ) -> os.stat_result:
        """Removes the bytecode that Python would take for the source's; where that is not
        allowed, gives the source the next second, so that Python takes none of it. Returns what
        the source is then."""
        try:
            bytecode.drop(folder, name, status)
        except OSError:
            os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))
            return os.fstat(source)
        return status

    def _root_checked(self) -> Root:
        self._root.check()
        return self._root


def _check_still(there: Optional[os.stat_result], base: Optional[Identity]) -> None:
    if (identities.from_stat(there) if there is not None else None) != base:
        raise _differs(there)


def _differs(there: Optional[os.stat_result], unexpected: bool = False) -> Refusal:
    if there is None:
        return Refusal("differs", "it is gone there")
    have = identities.from_stat(there)
    words = {
        FILE: "a file is there already" if unexpected else "it was changed there",
        FOLDER: "a folder is there",
        SYMLINK: "a symbolic link is there",
    }
    return Refusal("differs", words.get(have.kind, "something that is no file is there"), have)
