"""Notices: what somebody else changed in a root, told soon after it happened, without polling.

By inotify, for the folders that hold managed paths and those that the laptop asked for. Our own
changes are no news: a path is told only if it is not as the managed set has it, looked at with the
set's lock held. Watches are bounded, and there are none on file systems of the network, whose
other machines' changes the kernel does not see: the laptop is told why and looks by itself.

Nothing runs while nothing happens. A change is told about SETTLE seconds after it, a file that
somebody goes on writing every WRITING seconds and when it is closed. While events never stop (a
job writes line by line), they are read at a beat that grows to SLOWEST: the kernel makes one of
equal ones that follow each other, so 1,000 lines a second cost some 2 ms of processor time.
"""

import ctypes
import os
import select
import sys
import threading
import time
import traceback
from typing import Any, Callable, Dict, Iterator, List, Optional, Set, Tuple

from sidecar.agent.failure import Refusal
from sidecar.agent.outbox import LinkClosed
from sidecar.agent.roots import inotify
from sidecar.agent.roots.folder import OURS, decode
from sidecar.agent.roots.managed import Managed, look_up
from sidecar.agent.roots.root import DIRECTORY, Descriptor, Root, parts_of
from sidecar.core import frames, messages
from sidecar.core import identity as identities
from sidecar.core.identity import Entry, Identity

SETTLE = 0.01
WRITING = 0.5
SLOWEST = 0.5

BUSY = 0.05
"""Seconds after a read in which there is something again: then they never stop."""

MOST_WATCHES = 8192
"""About 8 MB of the kernel's memory. The person's other programs (editors above all) have the same
limit, so at most a quarter of it is taken."""

MOST_PENDING = 20000
"""Changed paths between two looks; beyond it, looking at everything is cheaper."""

TOLD_TOGETHER = 64
"""Paths that are looked at and told of while no change is made: some 0.4 ms."""

MOST_LISTED = 200000
"""Entries in one answer to Watch."""

NETWORK = {
    0x6969: "NFS", 0xFF534D42: "CIFS", 0xFE534D42: "SMB", 0x517B: "SMB", 0x65735546: "FUSE",
    0x0BD00BD0: "Lustre", 0x47504653: "GPFS", 0x00C36400: "Ceph", 0x5346414F: "AFS",
    0x01021997: "9P", 0x19830326: "BeeGFS", 0xAAD7AAEA: "PanFS", 0x7461636F: "OCFS2",
    0x01161970: "GFS2", 0x786F4256: "a VirtualBox share", 0x564C: "NCP", 0x73757245: "Coda",
}  # fmt: skip
"""File systems that other machines write to unseen, by the magic numbers of statfs(2)."""

Send = Callable[[messages.Message, int], None]


class _Place:
    """One root under watch. `asked`: folders whose every entry is told; `watches`: by folder."""

    def __init__(self, root: Root, managed: Managed) -> None:
        self.root, self.managed = root, managed
        self.asked: Set[str] = set()
        self.watches: Dict[str, int] = {}
        self.missing = ""
        self.due: Dict[str, float] = {}
        self.told: Dict[str, Optional[Identity]] = {}
        self.lost = False


class Notices:
    """All roots of one link.

    Args:
        send: takes a message for a lane; from any thread, and never waits on CONTROL.
        files: whose roots these are (agent/changes/files.py).
    """

    TYPES = (messages.Watch,)

    def __init__(self, send: Send, files: Any) -> None:
        self._send, self._files = send, files
        self._lock = threading.RLock()
        self._places: Dict[int, _Place] = {}
        self._at: Dict[int, Set[Tuple[int, str]]] = {}
        self._devices: Dict[int, str] = {}
        self._inotify: Optional[inotify.Inotify] = None
        self._none = ""
        self._wake_read, self._wake_write = os.pipe()
        self._thread: Optional[threading.Thread] = None
        self._closed = False
        self._room = _room()
        files.before_sweep = self.cover

    def handle(self, message: messages.Message) -> None:
        if isinstance(message, messages.Watch):
            try:
                self._watch(message)
            except (Refusal, OSError) as error:
                self._send(
                    messages.Fail(message.id, "path", "a folder cannot be watched", str(error)),
                    frames.CONTROL,
                )

    def cover(self, number: int) -> None:
        """Watches the folders of the managed set that came since; called before each sweep, so
        that what changes after it is noticed."""
        with self._lock:
            place = self._places.get(number)
            if place is not None:
                for folder in place.managed.folders():
                    if folder not in place.watches:
                        self._add(place, folder)

    def _cover_below(self, place: _Place, top: str, itself: bool) -> None:
        """A folder came: what is managed of it and in it comes under watch."""
        below = top + "/"
        folders = [one for one in place.managed.folders() if one == top or one.startswith(below)]
        with self._lock:
            for folder in [top] * itself + folders:
                if folder not in place.watches:
                    self._add(place, folder)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._files.before_sweep = lambda number: None
        os.write(self._wake_write, b"\0")
        if self._thread is not None:
            self._thread.join(5.0)
        if self._thread is None or not self._thread.is_alive():
            os.close(self._wake_read)
            os.close(self._wake_write)
            if self._inotify is not None:
                self._inotify.close()

    # --- watching

    def _watch(self, ask: messages.Watch) -> None:
        root, managed = self._files.place(ask.root)
        with self._lock:
            place = self._places.get(ask.root)
            if place is None or place.root is not root:
                place = self._places[ask.root] = _Place(root, managed)
                self._start()
                self._add(place, "")
            for folder in ask.folders:
                parts_of(folder)
                place.asked.add(folder)
                if folder not in place.watches:
                    self._add(place, folder)
        self.cover(ask.root)
        listing = _Listing(root, ask.folders)
        for last, packed in identities.pack_parts(listing.entries()):
            answer = messages.Watching(
                ask.id, last, last and listing.truncated, place.missing, packed
            )
            self._send(answer, frames.CONTROL)

    def _start(self) -> None:
        if self._inotify is not None or self._none:
            return
        try:
            self._inotify = inotify.Inotify()
        except (OSError, ImportError) as error:
            self._none = "there is no inotify: %s" % getattr(error, "strerror", error)
            return
        self._thread = threading.Thread(target=self._run, name="notices", daemon=True)
        self._thread.start()

    def _add(self, place: _Place, folder: str) -> None:
        """Brings one folder under watch, or says in `place.missing` why not."""
        if self._inotify is None:
            place.missing = self._none
            return
        if len(self._at) >= self._room:
            place.missing = "more folders than the %d that are watched" % self._room
            return
        try:
            with place.root.folder(parts_of(folder)) as descriptor:
                kind = self._kind(descriptor)
                if kind:
                    place.missing = "%s: other machines' changes cannot be noticed" % kind
                    return
                watch = self._inotify.add_open(descriptor)
        except (Refusal, FileNotFoundError):
            return  # gone, or no folder any more: whoever looks finds that
        except OSError as error:
            place.missing = "no more folders can be watched: %s" % error.strerror
            return
        place.watches[folder] = watch
        self._at.setdefault(watch, set()).add((place.root.number, folder))

    def _kind(self, folder: int) -> str:
        """The name of the network file system that a folder is on; "" for others."""
        device = os.fstat(folder).st_dev
        if device not in self._devices:
            opened = Descriptor(
                os.open(b".", DIRECTORY, dir_fd=folder)
            )  # not by O_PATH: Linux 3.12
            self._devices[device] = NETWORK.get(_file_system(opened.number), "")
        return self._devices[device]

    def _drop(self, place: _Place, top: str) -> None:
        """Ends the watches of a folder that went, and of those below it: where they are now is
        not known."""
        below = top + "/"
        gone = [one for one in place.watches if one == top or one.startswith(below)]
        for folder in gone:
            self._drop_one(place, folder)

    def _drop_one(self, place: _Place, folder: str) -> None:
        watch = place.watches.pop(folder)
        users = self._at.get(watch)
        if users is not None:
            users.discard((place.root.number, folder))
            if not users:
                del self._at[watch]
                if self._inotify is not None:
                    self._inotify.remove(watch)

    # --- events

    def _run(self) -> None:
        assert self._inotify is not None
        incoming, wake = self._inotify.fileno(), self._wake_read
        both, end = select.poll(), select.poll()
        both.register(incoming, select.POLLIN)
        both.register(wake, select.POLLIN)
        end.register(wake, select.POLLIN)
        pause, rest = SETTLE, 0.0
        while not self._closed:
            readable = {number for number, _ in both.poll(self._patience())}
            if wake in readable:
                return
            try:
                if incoming in readable:
                    busy = time.monotonic() - rest < BUSY
                    pause = min(2 * pause, SLOWEST) if busy else SETTLE
                    if end.poll(pause * 1000):
                        return
                    rest = time.monotonic()
                    self._read()
                self._tell()
            except LinkClosed:
                return
            except Exception:  # noqa: BLE001 - one mistake must not end the noticing
                traceback.print_exc(file=sys.stderr)
                self._lose_all()

    def _patience(self) -> Optional[float]:
        """Milliseconds until something is to be told; None: for ever."""
        with self._lock:
            due = [min(place.due.values()) for place in self._places.values() if place.due]
        return max(0.0, min(due) - time.monotonic()) * 1000 + 1 if due else None

    def _read(self) -> None:
        assert self._inotify is not None
        while True:
            events = self._inotify.read()
            if not events:
                return
            with self._lock:
                for event in events:
                    self._take(event)

    def _lose_all(self) -> None:
        with self._lock:
            for place in self._places.values():
                place.lost = True
                place.due.clear()

    def _take(self, event: inotify.Event) -> None:
        mask = event.mask
        if mask & inotify.OVERFLOW:
            self._lose_all()
            return
        for number, folder in tuple(self._at.get(event.watch, ())):
            place = self._places[number]
            if mask & inotify.IGNORED:
                self._at.pop(event.watch, None)
                place.watches.pop(folder, None)
            elif mask & inotify.UNMOUNT:
                place.lost = True
            elif mask & (inotify.DELETE_SELF | inotify.MOVE_SELF):
                self._drop(place, folder)  # the folder above tells; of the root, a sweep
                place.lost |= not folder
            elif event.name and (folder or event.name != decode(OURS)):
                self._note(place, folder, event.name, mask)

    def _note(self, place: _Place, folder: str, name: str, mask: int) -> None:
        path = folder + "/" + name if folder else name
        now = time.monotonic()
        if mask & inotify.IS_DIRECTORY:
            if mask & (inotify.MOVED_FROM | inotify.DELETE):
                self._drop(place, path)
            for below in place.managed.below(path):  # they went, or came, with it
                place.due[below] = now
        elif place.managed.get(path) is None and folder not in place.asked:
            return
        if mask & inotify.MODIFY or (mask & inotify.CREATE and not mask & inotify.IS_DIRECTORY):
            place.due.setdefault(path, now + WRITING)
        elif not (mask & inotify.ATTRIB and path in place.due):
            place.due[path] = now
        if len(place.due) > MOST_PENDING:
            place.due.clear()
            place.lost = True

    # --- telling

    def _tell(self) -> None:
        with self._lock:
            places = list(self._places.values())
        for place in places:
            now = time.monotonic()
            with self._lock:
                paths = sorted(path for path, due in place.due.items() if due <= now)
                for path in paths:
                    del place.due[path]
                lost, place.lost = place.lost, False
            if lost:
                self._send(
                    messages.Noticed(place.root.number, True, identities.pack([])), frames.CONTROL
                )
            if paths:
                self._tell_of(place, paths)

    def _tell_of(self, place: _Place, paths: List[str]) -> None:
        for path in paths:
            self._cover_a_folder(place, path)
        for at in range(0, len(paths), TOLD_TOGETHER):
            # No change is between its rename and its entry in the set, nor is its answer sent
            # between our look and our word: what was seen before is told before.
            with place.managed.lock:
                some = paths[at : at + TOLD_TOGETHER]
                news = [entry for path in some for entry in self._news(place, path)]
                if news:
                    for _, packed in identities.pack_parts(news):
                        told = messages.Noticed(place.root.number, False, packed)
                        self._send(told, frames.CONTROL)

    def _cover_a_folder(self, place: _Place, path: str) -> None:
        """Never with the lock of the set held, which is taken with ours."""
        try:
            found = look_up(place.root, path)
        except OSError:
            return
        if found is not None and found.kind == identities.DIRECTORY:
            self._cover_below(place, path, place.managed.get(path) is not None)

    def _news(self, place: _Place, path: str) -> Iterator[Entry]:
        """What is to be told of a path that had an event."""
        wanted = place.managed.get(path)
        try:
            found = look_up(place.root, path)
        except OSError:
            return  # not to be looked at; a sweep says so
        asked = path.rpartition("/")[0] in place.asked
        if wanted is None:
            if asked:
                yield path, found
        elif found != wanted:
            place.told[path] = found
            if len(place.told) > MOST_PENDING:
                place.told.clear()
                place.lost = True
            yield path, found
        elif path in place.told:  # it is again as it was
            del place.told[path]
            yield path, found


class _Listing:
    """What is directly in some folders."""

    def __init__(self, root: Root, folders: List[str]) -> None:
        self._root, self._folders = root, folders
        self.truncated = False

    def entries(self) -> Iterator[Entry]:
        left = MOST_LISTED
        for folder in self._folders:
            prefix = folder + "/" if folder else ""
            try:
                with self._root.folder(parts_of(folder)) as opened:
                    top = Descriptor(os.open(b".", DIRECTORY, dir_fd=opened))
                names = sorted(os.fsencode(name) for name in os.listdir(top.number))
            except (OSError, Refusal):
                continue  # gone since, or not for us to read
            for name in names:
                if not prefix and name == OURS:
                    continue
                try:
                    status = os.stat(name, dir_fd=top.number, follow_symlinks=False)
                except OSError:
                    continue
                if not left:
                    self.truncated = True
                    return
                left -= 1
                yield prefix + decode(name), identities.from_stat(status)


def _room() -> int:
    """How many folders may be watched."""
    try:
        with open("/proc/sys/fs/inotify/max_user_watches", "rb") as file:
            return min(MOST_WATCHES, int(file.read()) // 4)
    except (OSError, ValueError):
        return MOST_WATCHES


def _file_system(folder: int) -> int:
    """The magic number of the file system that a folder is on; 0 where it cannot be had."""
    try:
        fstatfs = ctypes.CDLL(None, use_errno=True).fstatfs
    except (OSError, AttributeError):
        return 0
    answer = (ctypes.c_long * 64)()  # it begins with the type, a word, wherever Linux runs
    if fstatfs(folder, ctypes.byref(answer)):
        return 0
    return int(answer[0]) & 0xFFFFFFFF
