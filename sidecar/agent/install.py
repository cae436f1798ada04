"""The cache of archives that were sent here once (debugpy): unpacked, by digest, never executed
by us.

`<state>/cache/<name>-<digest>/` appears by one rename, so whoever sees it sees all of it; what a
broken link left behind lies in a folder of its own and goes with the next one. What is in it is
started as us: a folder that somebody else could have written to is not believed, but made anew.

Where the state folder cannot be written (a home that is read-only on the machines that compute),
the cache is in memory or in the folder for temporary files: it holds what can be sent again.
"""

import os
import re
import shutil
import stat
import tarfile
import tempfile
import time
from typing import IO, Any, Callable, Dict, List, Optional

from sidecar.agent import private
from sidecar.agent.failure import Failure
from sidecar.core import messages as m
from sidecar.core.delta import ContentDigest

ARCHIVE_LIMIT = 64 << 20
UNPACKED_LIMIT = 256 << 20
"""Bytes; what we send has 2 and 6 MB."""

KEEP_SECONDS = 30 * 24 * 3600
"""Versions of the same thing that nobody asked for in so long are removed."""

_CONTENTS = ".contents"
"""Names of the files that an archive had, one a line. Some clusters remove files that nobody read
for weeks, one by one: what has holes is unpacked anew."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}\Z")
_DIGEST = re.compile(r"[0-9a-f]{16,64}\Z")


class _Receiving:
    def __init__(self, message: m.Install, target: str, file: "IO[bytes]") -> None:
        self.message, self.target, self.file = message, target, file
        self.digest = ContentDigest()
        self.size = 0
        self.problem = ""
        """Why what follows is not looked at. Told with the last part, which is waited for."""


class InstallError(Exception):
    """What came is not what was announced."""


class Installer:
    """Handles Install and InstallPart. `state`: the state folder of this machine."""

    TYPES = (m.Install, m.InstallPart)

    def __init__(self, send: Callable[..., None], state: str) -> None:
        self._send, self._state = send, state
        self._cache = os.path.join(state, "cache")
        self._receiving: Dict[int, _Receiving] = {}

    def handle(self, message: Any) -> None:
        try:
            if isinstance(message, m.Install):
                self._begin(message)
            else:
                self._part(message)
        except (InstallError, Failure, OSError, tarfile.TarError, EOFError, ValueError) as error:
            receiving = self._receiving.get(message.id)
            if receiving is not None and not getattr(message, "last", True):
                receiving.problem = str(error)
                return
            self._forget(message.id)
            self._send(
                m.Fail(
                    message.id,
                    "install",
                    "Cannot unpack what was sent on the remote machine",
                    str(error),
                    "look whether there is room in %s" % self._cache,
                )
            )

    def close(self) -> None:
        for number in tuple(self._receiving):
            self._forget(number)

    def _begin(self, message: m.Install) -> None:
        if not _NAME.match(message.name) or not _DIGEST.match(message.digest):
            raise InstallError("a name or digest that is none: %.80r" % (message[1:3],))
        if not 0 <= message.size <= ARCHIVE_LIMIT:
            raise InstallError("%d bytes are too many" % message.size)
        if not _writable(self._state):
            self._cache = os.path.join(_elsewhere(), "cache")
        private.folder(os.path.dirname(self._cache), "cache", make=True)
        target = os.path.join(self._cache, "%s-%s" % (message.name, message.digest))
        if os.path.lexists(target) and _is_ours_alone(target) and _is_whole(target):
            os.utime(target)  # for _remove_old
            self._send(m.Installed(message.id, target))
            return
        if os.path.lexists(target):
            # Not removed at once: another session may be running from it.
            os.rename(target, tempfile.mktemp(prefix=".unpacking-", dir=self._cache))  # noqa: S306
        file = tempfile.TemporaryFile(dir=self._cache)  # noqa: SIM115 - lives until `_forget`
        self._receiving[message.id] = _Receiving(message, target, file)
        self._send(m.Installed(message.id, ""))

    def _part(self, part: m.InstallPart) -> None:
        receiving = self._receiving.get(part.id)
        if receiving is None:
            raise InstallError("nothing was announced")
        if receiving.problem:
            raise InstallError(receiving.problem)
        receiving.size += len(part.body)
        if receiving.size > receiving.message.size:
            raise InstallError("more came than was announced")
        receiving.digest.update(part.body)
        receiving.file.write(part.body)
        if not part.last:
            return
        if receiving.digest.hexdigest() != receiving.message.digest:
            raise InstallError("it was damaged on its way")
        receiving.file.seek(0)
        self._unpack(receiving.file, receiving.target)
        self._forget(part.id)
        self._remove_old(receiving.target, receiving.message.name)
        self._send(m.Installed(part.id, receiving.target))

    def _unpack(self, file: "IO[bytes]", target: str) -> None:
        folder: Optional[str] = tempfile.mkdtemp(prefix=".unpacking-", dir=self._cache)
        assert folder is not None
        try:
            with tarfile.open(fileobj=file, mode="r:gz") as archive:
                names = _extract(archive, folder)
            with open(os.path.join(folder, _CONTENTS), "w", encoding="utf-8") as contents:
                contents.write("\n".join(names))
            try:
                os.rename(folder, target)
                folder = None
            except OSError:
                if not os.path.isdir(target):
                    raise
                # Another agent was faster with the same content.
        finally:
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)

    def _remove_old(self, target: str, name: str) -> None:
        oldest = time.time() - KEEP_SECONDS
        for entry in os.scandir(self._cache):
            ours = entry.name.startswith((name + "-", ".unpacking-"))
            if (
                ours
                and entry.path != target
                and entry.stat(follow_symlinks=False).st_mtime < oldest
            ):
                shutil.rmtree(entry.path, ignore_errors=True)

    def _forget(self, number: int) -> None:
        receiving = self._receiving.pop(number, None)
        if receiving is not None:
            receiving.file.close()


def _writable(folder: str) -> bool:
    """Whether something can be made there; of a folder that is not there yet, where it will be."""
    while not os.path.lexists(folder) and os.path.dirname(folder) != folder:
        folder = os.path.dirname(folder)
    # Unlike the permissions' bits, this knows of file systems that are read-only, also for root.
    return os.access(folder, os.W_OK) or not os.path.isdir(folder)


def _elsewhere() -> str:
    """A folder of ours that is not kept for long. Only its name is made here: it is used only if
    it then belongs to us alone, whoever made it."""
    places = (os.environ.get("XDG_RUNTIME_DIR", ""), "/dev/shm", tempfile.gettempdir())  # noqa: S108
    for place in places:
        if os.path.isabs(place) and os.path.isdir(place) and os.access(place, os.W_OK):
            return os.path.join(place, "sidecar-%d" % os.geteuid())
    raise InstallError("neither the state folder nor one for temporary files can be written")


def _is_ours_alone(folder: str) -> bool:
    status = os.lstat(folder)
    mine = status.st_uid == os.geteuid() and not status.st_mode & 0o022
    return stat.S_ISDIR(status.st_mode) and mine


def _is_whole(folder: str) -> bool:
    try:
        with open(os.path.join(folder, _CONTENTS), encoding="utf-8") as contents:
            names = contents.read().split("\n")
    except (OSError, ValueError):
        return False
    return all(os.path.lexists(os.path.join(folder, name)) for name in names)


def _extract(archive: tarfile.TarFile, folder: str) -> List[str]:
    """Regular files and folders only, below `folder`. Not `extractall`: its filters came after
    Python 3.8. Returns the names of the files."""
    left, names = UNPACKED_LIMIT, []
    for member in archive:
        parts = member.name.split("/")
        if member.name.startswith("/") or ".." in parts or "\0" in member.name:
            raise InstallError("the archive holds the path %.80r" % member.name)
        path = os.path.join(folder, *parts)
        if member.isdir():
            os.makedirs(path, mode=0o700, exist_ok=True)
            continue
        source = archive.extractfile(member) if member.isreg() else None
        if source is None:
            raise InstallError("the archive holds %.80r, which is no file" % member.name)
        left -= member.size
        if left < 0:
            raise InstallError("the archive unfolds to more than %d bytes" % UNPACKED_LIMIT)
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with open(path, "wb") as file:
            shutil.copyfileobj(source, file)
        names.append(member.name)
    return names
