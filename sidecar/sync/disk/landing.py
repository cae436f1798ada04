"""Landing here: the step in which something of the remote's becomes visible on this machine.

As on the other side (agent/changes/landing.py): new content grows where nobody looks, and takes its
place by one rename, so that no reader sees half a file; just before, the path must still be what
the plan saw, and what it was goes to the trash. Between that look and the rename are some
microseconds in which a *rename* by somebody else over the same path would be lost; what is written
*into* the old file then is in the trash's copy. A path where nothing is expected is taken by a
link, which never replaces anything.

What the remote says is not trusted: paths are walked by descriptors and never through a link,
links must stay in the project, and where the person did not name the path, nothing that this
machine would run by itself is written (`refuse_what_runs`).

Everything here is blocking, for a thread.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
import threading
from pathlib import Path
from typing import BinaryIO

from sidecar.agent.changes.permissions import with_executable
from sidecar.core import identity, paths
from sidecar.core.identity import DIRECTORY, FILE, Identity
from sidecar.core.paths import OURS
from sidecar.sync.disk.local_files import Changed, opened_parent
from sidecar.sync.disk.trash import LocalTrash

RUNS_BY_ITSELF = frozenset(
    (".envrc", ".git", ".gitattributes", ".gitmodules", ".idea", ".vscode", ".vim", ".nvim",
     ".nvim.lua", ".nvimrc", ".exrc", ".vimrc", ".dir-locals.el", ".editorconfig", ".husky",
     ".pre-commit-config.yaml", "sidecar.toml", "sidecar.local.toml", ".mise.toml",
     ".tool-versions", "sitecustomize.py", "usercustomize.py")
)  # fmt: skip
"""Names, at any depth, of what editors, shells, git and Python read or run here unasked."""


class NotTaken(Exception):
    """It may not be written here; the text says why."""


def refuse_what_runs(path: str, executable: bool, was_executable: bool) -> None:
    """For what comes without a person having named it: raises NotTaken where this machine might
    run it by itself, or it would become a program."""
    for part in path.lower().split("/"):
        if part in RUNS_BY_ITSELF:
            raise NotTaken(f"{part} may make this machine run something")
    if executable and not was_executable:
        raise NotTaken("it is executable there")


class Staged:
    """New content on its way. Ends with `LocalLanding.file`, or with `discard`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        self.file: BinaryIO = open(descriptor, "w+b")  # noqa: SIM115 - closed by discard

    def finish(self, expected: Identity | None, *, mtime_ns: int, executable: bool) -> None:
        """The content is whole: it gets its bits and time, and is on the disk when this returns,
        which may take some milliseconds. Else a power cut could leave an empty file, which would
        look like an edit made here. Blocking.

        Args:
            expected: what it is to replace, whose bits it takes over.
        Raises:
            OSError: it cannot be written.
        """
        self.file.flush()
        descriptor = self.file.fileno()
        mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
        if expected is not None and expected.kind == FILE:
            mode = expected.mode & 0o777
        os.fchmod(descriptor, with_executable(mode, executable))
        os.utime(descriptor, ns=(mtime_ns, mtime_ns))
        os.fsync(descriptor)

    def discard(self) -> None:
        """Safe at any time, also after it has landed."""
        self.file.close()
        self.path.unlink(missing_ok=True)


class LocalLanding:
    """Makes changes in one project's folder. `expected` is always what must be at the path."""

    def __init__(self, root: Path, store: Path, trash: LocalTrash) -> None:
        """`store`: the project's state on that host, held by one process. What a crash left in
        its staging folder goes."""
        self._root, self._store, self._trash = root, store, trash
        self._staging: Path | None = None
        self._making = threading.Lock()
        self._token = f"here-{secrets.token_hex(4)}"

    def stage(self) -> Staged:
        """A place for new content, on the project's file system.

        Raises:
            OSError: there is none to be had.
        """
        with self._making:
            if self._staging is None:
                self._staging = self._make_staging()
        return Staged(self._staging / secrets.token_hex(8))

    def file(
        self,
        path: str,
        staged: Staged,
        expected: Identity | None,
        *,
        mtime_ns: int,
        executable: bool,
        why: str,
        keep: bool = True,
    ) -> Identity:
        """Lands a file whose content is whole.

        Args:
            why: what the trash says of the content that makes way.
            keep: whether it does; if not, a person said that it need not.
        Returns:
            What is at the path now.
        Raises:
            Changed: something else than was expected is there. Nothing was touched.
            TooLarge: what is there cannot be kept.
            OSError: it cannot be written.
        """
        staged.finish(expected, mtime_ns=mtime_ns, executable=executable)
        return self.finished(path, staged, expected, why=why, keep=keep)

    def finished(
        self, path: str, staged: Staged, expected: Identity | None, *, why: str, keep: bool = True
    ) -> Identity:
        """The same of one that is finished (Staged.finish): a rename, which waits for no disk."""
        with opened_parent(self._root, path, make=expected is None) as (folder, name):
            self._place(path, staged.path, folder, name, expected, why if keep else None)
            return identity.from_stat(os.fstat(staged.file.fileno()))

    def append(self, path: str, data: bytes, expected: Identity, *, mtime_ns: int) -> Identity:
        """Adds to a file, in one write: a log is not copied for each of its lines, and who follows
        it here goes on reading. What is there stays, so nothing goes to the trash.

        Returns:
            What is at the path now.
        Raises:
            Changed: it is something else than was expected, or has another name besides.
            OSError: it cannot be written, or only in part; the part was taken back.
        """
        with opened_parent(self._root, path) as (folder, name):
            flags = os.O_WRONLY | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
            descriptor = os.open(name, flags | getattr(os, "O_NONBLOCK", 0), dir_fd=folder)
            try:
                status = os.fstat(descriptor)
                if identity.from_stat(status) != expected or status.st_nlink != 1:
                    raise Changed("it is not what it was")
                written = os.write(descriptor, data)
                if written != len(data):
                    os.ftruncate(descriptor, expected.size)
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
                os.utime(descriptor, ns=(mtime_ns, mtime_ns))
                return identity.from_stat(os.fstat(descriptor))
            finally:
                os.close(descriptor)

    def link(
        self,
        path: str,
        target: str,
        expected: Identity | None,
        *,
        why: str,
        keep: bool = True,
        own: bool = False,
    ) -> Identity:
        """A symbolic link. Raises as `file`, and NotTaken where it leads out of the project, unless
        it is the person's `own`."""
        if not own and not paths.link_stays_inside(path, target):
            raise NotTaken(f"it is a link to {target}, outside the project")
        staged = self.stage()
        try:
            staged.discard()
            os.symlink(target, staged.path)
            with opened_parent(self._root, path, make=expected is None) as (folder, name):
                self._place(path, staged.path, folder, name, expected, why if keep else None)
                return identity.from_stat(os.stat(name, dir_fd=folder, follow_symlinks=False))
        finally:
            staged.discard()

    def directory(self, path: str) -> Identity:
        """A folder; that it is there already is no error. Raises Changed where it is no folder."""
        with opened_parent(self._root, path, make=True) as (folder, name):
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, dir_fd=folder)
            found = identity.from_stat(os.stat(name, dir_fd=folder, follow_symlinks=False))
            if found.kind != DIRECTORY:
                raise Changed("something that is no folder is there")
            return found

    def remove(self, path: str, expected: Identity, *, why: str, keep: bool = True) -> None:
        """A file or link goes to the trash; a folder goes only when it is empty, which is no
        error. That nothing is there is none either. Raises as `file`."""
        try:
            with opened_parent(self._root, path) as (folder, name):
                if expected.kind == DIRECTORY:
                    try:
                        os.rmdir(name, dir_fd=folder)
                    except OSError as error:
                        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                            raise
                    return
                self._keep(path, folder, name, expected, why if keep else None)
                os.unlink(name, dir_fd=folder)
        except FileNotFoundError:
            return

    def close(self) -> None:
        if self._staging is not None:
            shutil.rmtree(self._staging, ignore_errors=True)
            with contextlib.suppress(OSError):  # others stage there, or nobody ever did
                os.rmdir(self._root / OURS / "tmp")
            self._staging = None

    # --- one step

    def _place(
        self,
        path: str,
        staged: Path,
        folder: int | None,
        name: str,
        expected: Identity | None,
        why: str | None,
    ) -> None:
        if expected is None:
            try:
                os.link(staged, name, dst_dir_fd=folder, follow_symlinks=False)
            except FileExistsError:
                raise Changed("something is there by now") from None
            except OSError as error:
                if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK):
                    raise
                # A file system without hard links.
                with contextlib.suppress(FileNotFoundError):
                    os.stat(name, dir_fd=folder, follow_symlinks=False)
                    raise Changed("something is there by now") from None
                os.replace(staged, name, dst_dir_fd=folder)
            else:
                staged.unlink()
            return
        self._keep(path, folder, name, expected, why)
        os.replace(staged, name, dst_dir_fd=folder)

    def _keep(
        self, path: str, folder: int | None, name: str, expected: Identity, why: str | None
    ) -> None:
        """The trash has a copy (`why` None: it needs none), and the path still is what was
        expected."""
        kept = self._trash.keep(self._root, path, expected, why) if why is not None else None
        try:
            now = identity.from_stat(os.stat(name, dir_fd=folder, follow_symlinks=False))
            if now != expected and not (kept and now == kept.identity):
                raise Changed("it was changed here just now")
        except BaseException:
            if kept:
                self._trash.drop(kept)
            raise

    def _make_staging(self) -> Path:
        """On the project's file system: in our state folder if that is there, else in the folder
        of ours in the project, which ignores itself."""
        own = self._store / "incoming"
        own.mkdir(mode=0o700, exist_ok=True)
        for left in own.iterdir():
            left.unlink()
        if own.stat().st_dev == self._root.stat().st_dev:
            return own
        ours = self._root / OURS
        with contextlib.suppress(FileExistsError):
            ours.mkdir(mode=0o700)
            (ours / ".gitignore").write_text("*\n")
        if not stat.S_ISDIR(ours.lstat().st_mode):
            raise NotADirectoryError(errno.ENOTDIR, "it is no folder", str(ours))
        staging = ours / "tmp" / self._token
        staging.mkdir(mode=0o700, parents=True)
        return staging
