"""Repair: what the trash holds and how it comes back, and whose a file is.

What is brought back is the remote's own from then on: the managed set keeps what both sides last
agreed on, so that the next look finds a difference, and no change of the laptop's goes over it
without a word.
"""

import errno
import os
import pwd
import stat
from typing import Dict, Iterator, List, Optional, Tuple

from sidecar.agent import failure
from sidecar.agent.changes import bytecode
from sidecar.agent.changes.copying import copy_range
from sidecar.agent.changes.files import Files
from sidecar.agent.changes.landing import Landing
from sidecar.agent.failure import Failure, Refusal
from sidecar.agent.outbox import LinkClosed
from sidecar.agent.roots.content import Send
from sidecar.agent.roots.folder import decode, encode
from sidecar.agent.roots.root import Descriptor, Root, lstat, open_file, walk
from sidecar.core import frames, messages, paths, trashed
from sidecar.core import identity as identities
from sidecar.core.identity import Entry, Identity

MOST_TOLD = 20000
"""Entries in one answer: about 1.5 MB, in parts."""

MOST_ASKED = 1000
"""Paths in one question."""


class Repair:
    """For all roots of one link."""

    def __init__(self, send: Send, files: Files) -> None:
        self._send, self._files = send, files
        self._names: Dict[int, str] = {}

    def handle(self, message: messages.Message) -> None:
        """Answers one message, or says with Fail why not."""
        try:
            self._answer(message)
        except LinkClosed:
            raise
        except Exception as error:  # noqa: BLE001 - an error of ours is answered, too
            fail = failure.answer(message, error, "the trash there cannot be used")
            self._send(fail, frames.CONTROL)

    def _answer(self, message: messages.Message) -> None:
        if isinstance(message, messages.Trash):
            self._list(message)
        elif isinstance(message, messages.Restore):
            self._restore(message)
        elif isinstance(message, messages.Describe):
            self._describe(message)
        elif isinstance(message, messages.Discard):
            paths.check(message.path)
            _, _, landing = self._files.landing(message.root)
            landing.trash().discard(message.path, message.identity)
            self._send(messages.Done(message.id), frames.CONTROL)

    # --- the trash

    def _list(self, ask: messages.Trash) -> None:
        if ask.path:
            paths.check(ask.path)
        _, _, landing = self._files.landing(ask.root)
        most = min(max(ask.limit, 0), MOST_TOLD)
        found: List[Entry] = []
        truncated = False
        for entry in _kept(landing.trash().folder, ask.path):
            if len(found) == most:
                truncated = True
                break
            found.append(entry)
        for last, packed in identities.pack_parts(found):
            part = messages.Listed(ask.id, last, last and truncated, packed)
            self._send(part, frames.CONTROL)

    def _restore(self, ask: messages.Restore) -> None:
        kept = trashed.parse(ask.where)
        parts = paths.check(kept.path)
        place = _steps(ask.where)
        root, managed, landing = self._files.landing(ask.root)
        trash = landing.trash()
        with managed.lock, walk(trash.folder, place[:-1]) as source:
            root.check()
            status = lstat(source, encode(place[-1]))
            if status is None or (ask.what and not _is_that(status, ask.what)):
                raise Failure("missing", "%s is not in the trash any more" % kept.path)
            with root.folder(parts[:-1], make=True) as folder:
                old = lstat(folder, encode(parts[-1]))
                if old is not None and not (stat.S_ISREG(old.st_mode) or stat.S_ISLNK(old.st_mode)):
                    raise Refusal("differs", "%s is a folder there now" % kept.path)
                with trash.copy_kept(folder, parts, old, False):
                    _move(landing, source, place[-1], status, folder, kept.path, old is not None)
                now = _seen(folder, parts[-1], landing)
            trash.taken(place[0], status.st_size)
        self._send(messages.Restored(ask.id, kept.path, now), frames.CONTROL)

    # --- whose

    def _describe(self, ask: messages.Describe) -> None:
        if len(ask.paths) > MOST_ASKED:
            raise Failure("path", "%d files asked about at once" % len(ask.paths))
        root, _, _ = self._files.landing(ask.root)
        owners = [self._owner(root, paths.check(path)) for path in ask.paths]
        self._send(messages.Described(ask.id, owners), frames.CONTROL)

    def _owner(self, root: Root, parts: Tuple[str, ...]) -> str:
        try:
            status = root.lstat(parts)
        except (OSError, Refusal):
            status = None
        if status is None:
            return ""
        if status.st_uid not in self._names:
            try:
                self._names[status.st_uid] = pwd.getpwuid(status.st_uid).pw_name
            except KeyError:
                self._names[status.st_uid] = "user %d" % status.st_uid
        return self._names[status.st_uid]


def _steps(place: str) -> Tuple[str, ...]:
    """The components of a place, safe to walk from the trash's folder."""
    return paths.check(place)


def _kept(trash: int, under: str) -> Iterator[Entry]:
    """What the trash holds at and below a path, newest first."""
    for minute in sorted(os.listdir(trash), reverse=True):
        found: List[Tuple[int, str, Identity]] = []
        for folder, _, names, descriptor in os.fwalk(minute, dir_fd=trash):
            for name in names:
                place = decode(os.fsencode("%s/%s" % (folder, name)))
                try:
                    path, when = trashed.parse(place)
                except trashed.PlaceError:
                    continue  # nothing that an agent put there
                status = lstat(descriptor, os.fsencode(name))
                if status is None or (
                    under and path != under and path[: len(under) + 1] != under + "/"
                ):
                    continue
                found.append((when, place, identities.from_stat(status)))
        for _, place, identity in sorted(found, reverse=True):
            yield place, identity


def _move(
    landing: Landing,
    source: int,
    name: str,
    status: os.stat_result,
    folder: int,
    path: str,
    replace: bool,
) -> None:
    """Gives what lies in the trash its path again, in one step."""
    kept, target = encode(name), encode(path.rpartition("/")[2])
    try:
        if replace:
            os.rename(kept, target, src_dir_fd=source, dst_dir_fd=folder)
            return
        try:
            os.link(kept, target, src_dir_fd=source, dst_dir_fd=folder, follow_symlinks=False)
        except FileExistsError:
            raise Refusal("differs", "somebody else made %s just now" % path) from None
        os.unlink(kept, dir_fd=source)
        return
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK):
            raise
    _copy(landing, source, kept, status, folder, path, replace)
    os.unlink(kept, dir_fd=source)


def _copy(
    landing: Landing,
    source: int,
    kept: bytes,
    status: os.stat_result,
    folder: int,
    path: str,
    replace: bool,
) -> None:
    """For a target on another file system, or one without hard links."""
    target = encode(path.rpartition("/")[2])
    if stat.S_ISLNK(status.st_mode):
        text = os.readlink(kept, dir_fd=source)
        if replace:
            landing.staging().land_link(text, folder, target)
        else:
            os.symlink(text, target, dir_fd=folder)
        return
    staged = landing.staging().new()
    try:
        content = Descriptor(open_file(source, kept))
        copy_range(content.number, staged.descriptor, 0, status.st_size, 0)
        os.fchmod(staged.descriptor, stat.S_IMODE(status.st_mode) & 0o777)
        os.utime(staged.descriptor, ns=(status.st_atime_ns, status.st_mtime_ns))
        try:
            staged.land(folder, target, paths.parent(path), replace)
        except FileExistsError:
            raise Refusal("differs", "somebody else made %s just now" % path) from None
    finally:
        staged.discard()


def _seen(folder: int, name: str, landing: Landing) -> Identity:
    """What is there now. Bytecode that Python would take for the old source's goes."""
    status: Optional[os.stat_result] = lstat(folder, encode(name))
    if status is not None and stat.S_ISREG(status.st_mode) and bytecode.is_source(name):
        file = Descriptor(open_file(folder, encode(name)))
        status = landing.drop_bytecode(folder, name, file.number, status)
    if status is None:
        raise Refusal("differs", "somebody else removed it just now")
    return identities.from_stat(status)


def _is_that(status: os.stat_result, what: Identity) -> bool:
    """But for the ctime, which changes with the number of names that a file has."""
    now = identities.from_stat(status)
    return (now.inode, now.size, now.mtime_ns) == (what.inode, what.size, what.mtime_ns)
