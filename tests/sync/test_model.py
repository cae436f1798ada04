"""Random sequences of what people, editors and accidents do to two sides, with the real agent.

Each sequence comes from a seed, which a failure names: edits here and there, swaps of files and
folders, saves that an editor tells and such that only the watcher sees, switched branches, syncs
that are called off, cuts at any byte, killed agents, restarts, crashes that leave an older state
behind, full disks, files that are locked or written while they are read, clocks that differ and
times that go back. Then nobody does anything any more, and what must hold is looked at. How tasks
and processes interleave is not the seed's, so that one may pass when it runs again.

`make soak` runs sequences for as long as SIDECAR_SOAK says, in seconds; SIDECAR_SEED plays one.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import hashlib
import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sidecar.core import delta, tree
from sidecar.errors import SidecarError
from sidecar.sync.decisions.resolve import Resolver
from sidecar.sync.decisions.undo import Undo
from sidecar.sync.delta import pressing
from sidecar.sync.guarding import first_contact
from sidecar.sync.steps import step
from tests.sync.faults import Fuse, Readings, clock_here, fill_disk
from tests.sync.sides import DEADLINE, Sides

SOAK = float(os.environ.get("SIDECAR_SOAK", "0"))
SEED = os.environ.get("SIDECAR_SEED", "")

SEQUENCES = 8
"""Of a normal run."""

STEPS = 60
"""Of one sequence."""

PATIENCE = 240.0
"""Seconds that a sequence may take: a few, but on a busy machine. One that waits for ever fails."""

TOLD = 60
"""Steps that a failure tells."""

OVERWRITTEN = 8
"""Times in a sequence that a file is written while it is read."""

ROUNDS = 12
"""Syncs after which two sides that nobody touches must have come to rest."""

PATHS = (
    "a.py",
    "b.py",
    "pkg/a.py",
    "pkg/b.py",
    "pkg/in/a.py",
    "pkg/in/b.py",
    "n",
    "n/a.py",
    "n/b",
    "n/b/a.py",
    "data.bin",
    "pkg/data.bin",
)
"""Some are a file at one time and a folder at another."""

THEIRS = ("theirs/run.log", "pkg/out.pt", "n/out.pt", "n/b/out.pt", "pkg/in/out.pt")
"""Names that nobody uses here."""

IGNORE = b"b.py\nn/b/\n"
"""Of the .gitignore that comes and goes."""

KEEP = "keep.py"
"""Always there, so that no side is ever empty, which is a question."""


# --- contents that vouch for themselves ------------------------------------------------------


def stamped(rng: random.Random, number: int, size: int) -> bytes:
    """A content that occurs once, and from which nothing can be missing unseen."""
    body = rng.randbytes(size)
    return b"%d %d %s\n" % (number, size, hashlib.blake2b(body).hexdigest().encode()) + body


def stamped_as_long(rng: random.Random, number: int, length: int) -> bytes | None:
    """The same, of that length as a whole; None where it is too short for a stamp."""
    size = length - 160
    while size > 0:
        made = stamped(rng, number, size)
        if len(made) >= length:
            return made if len(made) == length else None
        size += length - len(made)
    return None


def is_whole(content: bytes) -> bool:
    """Whether it is what `stamped` made, or one of the few others that are written."""
    if content in (b"", IGNORE):
        return True
    head, _, body = content.partition(b"\n")
    fields = head.split()
    return len(fields) == 3 and fields[2] == hashlib.blake2b(body).hexdigest().encode()


def name_of(content: bytes) -> str:
    """How failures name it."""
    return content[:24].decode("ascii", "replace").rpartition(" ")[0]


# --- the remote's people ---------------------------------------------------------------------


def exchange(one: Path, other: Path) -> None:
    """Both names change their places in one moment, so that nothing can come in between."""
    libc = ctypes.CDLL(None, use_errno=True)
    at_cwd, exchange_both = -100, 2
    if libc.renameat2(at_cwd, os.fsencode(one), at_cwd, os.fsencode(other), exchange_both):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(other))


def files_below(top: Path) -> Iterator[tuple[str, Path]]:
    """Regular files with their paths relative to `top`, but for the sidecar's own."""
    for folder, folders, names in os.walk(top):
        if ".sidecar" in folders and Path(folder) == top:
            folders.remove(".sidecar")
        for name in names:
            path = Path(folder, name)
            if not path.is_symlink():
                yield str(path.relative_to(top)), path


def contents(top: Path) -> dict[str, bytes]:
    found = {}
    for relative, path in files_below(top):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
            found[relative] = path.read_bytes()
    return found


def is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def nodes(top: Path) -> dict[str, tree.Node]:
    """All that can be synced below a folder."""
    found = {}
    for path in top.rglob("*"):
        relative = str(path.relative_to(top))
        if relative.split("/")[0] == ".sidecar":
            continue
        if path.is_symlink():
            found[relative] = tree.link(os.readlink(path))
        elif path.is_dir():
            found[relative] = tree.FOLDER
        else:
            executable = bool(path.stat().st_mode & 0o100)
            found[relative] = tree.file(hashlib.blake2b(path.read_bytes()).hexdigest(), executable)
    return found


class Reader(threading.Thread):
    """Reads what is there all the time, as programs do, and keeps what was not whole."""

    def __init__(self, top: Path) -> None:
        super().__init__(name="reader")
        self.top, self.torn = top, list[str]()
        self._stop_it = threading.Event()

    def run(self) -> None:
        while not self._stop_it.wait(0.003):
            for relative, path in files_below(self.top):
                with contextlib.suppress(OSError):
                    content = path.read_bytes()
                    if not is_whole(content):
                        self.torn.append(f"{relative}: {len(content)} bytes of {content[:40]!r}")

    def stop(self) -> None:
        self._stop_it.set()
        self.join()


# --- a sequence ------------------------------------------------------------------------------


class Sequence:
    """One seed's doings. `log` has what was done, for a failure."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.seed, self.rng = seed, random.Random(seed)
        self.sides = Sides(folder)
        self.here, self.there = self.sides.here, self.sides.there
        self.aside = folder / "home" / "aside"
        self.aside.mkdir()
        self.log: list[str] = []
        self.number = 0
        self.left_here: dict[str, tree.Node] = {}
        self.written_there: dict[bytes, str] = {}
        """What people wrote there, and nobody there has replaced or removed since."""
        self.moved_there: set[bytes] = set()
        """What people there moved elsewhere: theirs as well, wherever it came from."""
        self.taken: set[bytes] = set()
        """What of theirs came here: from then on it is to be edited here as all else is."""
        self.were_here: dict[str, bytes] = {}
        self.prefers = self.rng.random() < 0.3
        """Whether somebody says in this sequence that what is here wins."""
        self.haste = self.rng.choice((0.1, 0.5, 2))
        self.mirror = self.rng.random() < 0.15
        self.pull = self.rng.choice(([], [], [], ["*.log", "out.pt"], ["**"]))
        self.sides.settings = {"mode": "mirror" if self.mirror else "push", "pull": self.pull}
        # As if there were many files: in slices of some few, and as batches; as if the line were
        # slow: pressed, and as patches.
        step.FEW, step.SLICE = self.rng.choice((SLICES, (1, 2), (2, 3)))
        pressing.LEVELS = self.rng.choice((LEVELS, (5, 5, 5)))
        self.older_state = False
        self.asked: list[asyncio.Task[Any]] = []
        self.rules_changed = False
        self.attaching: asyncio.Task[Any] | None = None
        self.backup: Path | None = None
        self.attending: list[asyncio.Task[None]] = []
        self.fuses: list[Fuse] = []
        self.room_again: list[Callable[[], None]] = []
        self.readings = Readings(random.Random(seed + 1), self.meanwhile)
        self.readings.changing = self.rng.choice((0.0, 0.0, 0.4))
        self.overwritten: set[bytes] = set()
        """What was here until it was written over while the sidecar read it."""
        self.clocks = self.rng.choice((0, 0, 0, -3600, 3600))
        """Seconds between the clocks of both machines, and of file system and machine here."""

    def say(self, what: str) -> None:
        self.log.append(what)

    def content(self) -> bytes:
        self.number += 1
        large = self.rng.random() < 0.15
        size = self.rng.randrange(70_000, 3_000_000) if large else self.rng.randrange(3_000)
        return stamped(self.rng, self.number, size)

    async def run(self) -> None:
        self.write(KEEP)
        for path in self.rng.sample(PATHS, 5):
            self.write(path)
        mine = first_contact.PUSH_MINE
        self.sides.person.answer = mine if self.prefers else first_contact.LOOK_AT_EACH
        if self.rng.random() < 0.4:
            for path in ("theirs", "pkg", "n/b"):
                (self.there / path).mkdir(parents=True)
            for path in self.rng.sample([*PATHS, *THEIRS], 5):
                self.edit_there(path)
        self.sides.clock_offset = self.clocks
        await self.sides.begin()
        await self.sides.attach()
        reader = Reader(self.there)
        reader.start()
        try:
            with self.readings.injected(), clock_here(self.clocks):
                for _ in range(STEPS):
                    await self.step()
                self.end_faults()
                await self.rest()
        finally:
            reader.stop()
            self.end_faults()
            for attending in self.attending:
                attending.cancel()
            for task in [*self.asked, *filter(None, [self.attaching])]:
                task.cancel()
            await asyncio.gather(*self.asked, return_exceptions=True)
        assert not reader.torn, reader.torn[:3]
        await self.check()

    async def step(self) -> None:
        doings: list[tuple[int, Callable[[], Any]]] = [
            (14, self.edit_here),
            (4, self.delete_here),
            (4, self.rename_here),
            (2, self.link_here),
            (2, self.mode_here),
            (2, self.folder_here),
            (7, self.edit_there),
            (3, self.create_there),
            (3, self.delete_there),
            (1, self.move_there),
            (2, self.mode_there),
            (5, self.sync),
            (4, self.barrier),
            (2, self.call_off),
            (1, self.sweep),
            (1, self.undo),
            (1, self.resolve),
            (1, self.preview),
            (1, self.ignore),
            (1, self.kill_in_an_upload),
            (1, self.old_times_here),
            (1, self.case_here),
            (1, self.storm_here),
            (4, self.fuse),
            (2, self.fill_disk),
            (1, self.lock),
            (2, self.cut),
            (2, self.kill),
            (9, self.attach),
            (1, self.restart),
            (1, self.crash),
            (1, self.back_up),
        ]
        doing = self.rng.choices([do for _, do in doings], [weight for weight, _ in doings])[0]
        self.look_here()
        done = doing()
        if isinstance(done, Awaitable):
            await done  # some write here as they go on
        self.were_here = self.contents_here()
        await self.pause()

    def contents_here(self) -> dict[str, bytes]:
        with self.readings.lock:
            return contents(self.here)

    def look_here(self) -> None:
        """What came here since somebody last did something here, and that all which made way for
        it is in the trash here."""
        now = self.contents_here()
        self.taken.update(content for content in now.values() if content in self.written_there)
        current = set(now.values())
        gone = {path: old for path, old in self.were_here.items() if old not in current}
        gone = {path: old for path, old in gone.items() if old not in self.overwritten}
        if gone:
            trash = set(contents(self.sides.store / "trash").values())
            for path, old in gone.items():
                instead = name_of(now[path]) if path in now else "nothing"
                assert old in trash, f"{name_of(old)} was here at {path}, now {instead}"

    async def pause(self) -> None:
        """Lets others go on for a while, that is now nothing and now long enough for a change to
        arrive."""
        await asyncio.sleep(self.haste * self.rng.choice((0, 0, 0.001, 0.002, 0.004, 0.02, 0.06)))

    # --- here

    def write(self, path: str) -> None:
        """As editors do, by a rename or into the file."""
        at = self.room_for(path)
        content = self.content()
        mode = at.stat().st_mode & 0o777 if at.is_file() else 0o644
        if self.rng.random() < 0.6 or len(content) > 4000 or at.is_symlink():
            fresh = self.here.parent / at.name
            fresh.write_bytes(content)
            fresh.chmod(mode)
            os.replace(fresh, at)
        else:
            at.write_bytes(content)

    def room_for(self, path: str) -> Path:
        """Makes folders of what is above, and nothing of a folder at the path itself."""
        at = self.here
        for part in path.split("/")[:-1]:
            at = at / part
            if at.is_symlink() or at.is_file():
                at.unlink()
            at.mkdir(exist_ok=True)
        at = self.here / path
        if at.is_dir() and not at.is_symlink():
            shutil.rmtree(at)
        return at

    def edit_here(self) -> None:
        path = self.rng.choice([*PATHS, KEEP])
        self.write(path)
        told = self.rng.random() < 0.6
        if told and self.sides.engine is not None:
            self.sides.engine.saved([str(self.here / path)])
        self.say(f"here: write {path} {'told' if told else ''} {self.number}")

    def existing(self) -> list[str]:
        found = [str(path.relative_to(self.here)) for path in sorted(self.here.rglob("*"))]
        return [path for path in found if path != KEEP]

    def delete_here(self) -> None:
        if some := self.existing():
            path = self.rng.choice(some)
            at = self.here / path
            if at.is_dir() and not at.is_symlink():
                shutil.rmtree(at)
            else:
                at.unlink()
            self.say(f"here: delete {path}")

    def rename_here(self) -> None:
        if some := self.existing():
            old, new = self.rng.choice(some), self.rng.choice(PATHS)
            if f"{old}/".startswith(f"{new}/") or f"{new}/".startswith(f"{old}/"):
                return
            at = self.room_for(new)
            if (self.here / old).exists() or (self.here / old).is_symlink():
                if at.is_symlink() or at.is_file():
                    at.unlink()
                os.rename(self.here / old, at)
                self.say(f"here: rename {old} {new}")

    def link_here(self) -> None:
        path = self.rng.choice(PATHS)
        at = self.room_for(path)
        at.unlink(missing_ok=True)
        target = "../" * path.count("/") + self.rng.choice((KEEP, "nowhere", "pkg"))
        at.symlink_to(target)
        self.say(f"here: link {path} {target}")

    def mode_here(self) -> None:
        at = self.here / self.rng.choice(PATHS)
        if at.is_file() and not at.is_symlink():
            at.chmod(at.stat().st_mode ^ 0o111)
            self.say(f"here: mode {at.name}")

    def folder_here(self) -> None:
        path = self.rng.choice(("pkg", "n", "n/b", "empty"))
        at = self.room_for(path)
        if at.is_symlink() or at.is_file():
            at.unlink()
        at.mkdir(exist_ok=True)
        self.say(f"here: folder {path}")

    def ignore(self) -> None:
        """A rule comes or goes; what it names stays where it is, on both sides."""
        at = self.here / ".gitignore"
        if at.exists():
            at.unlink()
        else:
            at.write_bytes(IGNORE)
        self.rules_changed = True
        self.say(f"here: .gitignore {at.exists()}")

    def old_times_here(self) -> None:
        """Another content of the same size under the same time, as when a clock was set back, or
        by a tool that restores times."""
        files = [path for path in self.existing() if is_plain(self.here / path)]
        if files:
            at = self.here / self.rng.choice(files)
            self.number += 1
            status = at.stat()
            content = stamped_as_long(self.rng, self.number, status.st_size)
            if content is not None:
                at.write_bytes(content)
                os.utime(at, ns=(status.st_atime_ns, status.st_mtime_ns))
                self.say(f"here: write {at.relative_to(self.here)} {self.number}, time as before")

    def case_here(self) -> None:
        if some := self.existing():
            old = self.rng.choice(some)
            new = f"{old.rpartition('/')[0]}/{old.rpartition('/')[2].swapcase()}".lstrip("/")
            if not os.path.lexists(self.here / new):
                os.rename(self.here / old, self.here / new)
                self.say(f"here: rename {old} {new}")

    def storm_here(self) -> None:
        """What git does when a branch is switched: many files come, go and change at once."""
        top = self.room_for("storm")
        branch = self.rng.randrange(3)
        for number in range(12):
            at = top / f"d{number % 4}" / f"{number}.py"
            if (number + branch) % 3 == 0:
                if at.exists():
                    at.unlink()
                    if not any(at.parent.iterdir()):
                        at.parent.rmdir()
            else:
                at.parent.mkdir(parents=True, exist_ok=True)
                self.number += 1
                at.unlink(missing_ok=True)
                at.write_bytes(stamped(self.rng, self.number, 200))
        self.say(f"here: branch {branch}, up to {self.number}")

    # --- there

    def edit_there(self, path: str = "") -> None:
        path = path or self.rng.choice([*PATHS, KEEP])
        content = self.content()
        self.number += 1
        fresh = self.aside / str(self.number)
        fresh.write_bytes(content)
        at = self.there / path
        try:
            exchange(fresh, at)
            if fresh.is_dir() and not fresh.is_symlink():
                exchange(fresh, at)  # a folder was meant to stay one
                return
        except OSError as error:
            if error.errno == errno.ENOTDIR or not at.parent.is_dir():
                return
            try:
                os.link(fresh, at)
            except FileExistsError:
                return
            fresh.unlink()
        else:
            self.superseded(fresh)
        self.written_there[content] = path
        self.say(f"there: write {path} {name_of(content)}")

    def create_there(self) -> None:
        path = self.rng.choice(THEIRS)
        if path.startswith("theirs/"):
            (self.there / path).parent.mkdir(exist_ok=True)
        self.edit_there(path)

    def delete_there(self) -> None:
        at = self.there / self.rng.choice(PATHS)
        self.number += 1
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            os.rename(at, self.aside / str(self.number))
            self.superseded(self.aside / str(self.number))
            self.say(f"there: delete {at.relative_to(self.there)}")

    def move_there(self) -> None:
        at = self.there / self.rng.choice(PATHS)
        self.number += 1
        new = f"moved-{self.number}"
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            os.rename(at, self.there / new)
            self.say(f"there: move {at.relative_to(self.there)} {new}")
            at = self.there / new
            found = contents(at).values() if at.is_dir() and not at.is_symlink() else []
            self.moved_there.update(found if found or not at.is_file() else [at.read_bytes()])

    def mode_there(self) -> None:
        at = self.there / self.rng.choice(PATHS)
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            if not at.is_symlink() and at.is_file():
                at.chmod(at.stat().st_mode ^ 0o111)
                self.say(f"there: mode {at.relative_to(self.there)}")

    def superseded(self, old: Path) -> None:
        """Somebody there replaced or removed this, and knew it."""
        if old.is_symlink():
            return
        for content in contents(old).values() if old.is_dir() else [old.read_bytes()]:
            self.written_there.pop(content, None)

    # --- the sidecar

    def ask(self, what: str, asked: Any) -> asyncio.Task[Any]:
        async def answered() -> None:
            try:
                await asked
            except SidecarError as error:
                self.say(f"{what}: {error.what}")

        for done in [task for task in self.asked if task.done()]:
            self.asked.remove(done)
            done.result()
        task = asyncio.create_task(answered(), name=what)
        self.asked.append(task)
        return task

    async def sync(self) -> None:
        said = self.rng.random()
        prefer = "remote" if said < 0.1 else "local" if self.prefers and said < 0.4 else ""
        if self.prefers and said > 0.9:
            prefer = "newer"
        self.say(f"sync {prefer}")
        task = self.ask("sync", self.sides.engine.sync(prefer=prefer))
        if self.rng.random() < 0.4:
            await task

    async def undo(self) -> None:
        """Somebody brings back what was overwritten or removed there: theirs from then on."""
        if self.sides.agent is None or not self.sides.engine.attached:
            return
        undo = Undo(self.sides.engine.this_side(), self.sides.engine.both_sides())
        with contextlib.suppress(SidecarError):
            found = [one for one in (await undo.copies())[0] if one.copy.side == "remote"]
            files = [one for one in found if one.copy.kind == "file"]
            if not files:
                return
            chosen = self.rng.choice(files)
            path = chosen.copy.path
            self.say(f"undo there: {path}")
            before = {one.place for one in found if one is not chosen}  # whose place is free now
            trash = self.there / ".sidecar/trash"
            content = (trash / chosen.place).read_bytes()
            agreed = self.sides.engine._base.entries.get(path)
            await undo.restore([chosen])
            for one in (await undo.copies([path]))[0]:
                is_new = one.place and one.place not in before
                if is_new and one.copy.kind == "file":  # what the undo replaced
                    self.written_there.pop((trash / one.place).read_bytes(), None)
            # What was agreed on last is nobody's edit: what was done here since goes over it.
            if agreed is None or agreed.node.digest != delta.content_digest(content):
                self.written_there[content] = path

    async def resolve(self) -> None:
        """Somebody decides about all that there is to decide."""
        if self.sides.agent is None or not self.sides.engine.attached:
            return
        keep = self.rng.choice(("local", "remote", "both"))
        self.say(f"resolve: {keep}")
        self.taken.update(contents(self.there).values())
        with contextlib.suppress(SidecarError):
            await Resolver(self.sides.engine.both_sides()).resolve(lambda path: True, keep)

    async def barrier(self) -> None:
        self.say("barrier")
        task = self.ask("barrier", self.sides.engine.barrier())
        if self.rng.random() < 0.4:
            await task

    def call_off(self) -> None:
        if waiting := [task for task in self.asked if not task.done()]:
            task = self.rng.choice(waiting)
            self.say(f"called off: {task.get_name()}")
            self.asked.remove(task)
            task.cancel()

    async def sweep(self) -> None:
        """What the engine does every 30 seconds."""
        if self.sides.attachment is not None:
            there = self.sides.attachment.there
            self.say("sweep")
            with contextlib.suppress(SidecarError):
                for path in await there.sweep():
                    self.sides.engine._pending.touch(path)

    async def attach(self) -> None:
        if self.attaching is None or self.attaching.done():
            self.say("attach")
            self.attaching = self.ask("attach", self.sides.attach())
            if self.rng.random() < 0.5:
                await self.attaching

    async def cut(self) -> None:
        if self.sides.agent is not None:
            self.say("cut")
            await self.sides.cut()

    async def kill_in_an_upload(self) -> None:
        if self.sides.agent is None or not self.sides.engine.attached:
            return
        self.number += 1
        at = self.room_for("data.bin")
        at.unlink(missing_ok=True)
        at.write_bytes(stamped(self.rng, self.number, 8_000_000))
        self.say(f"here: write data.bin, 8 MB {self.number}, and kill")
        self.sides.engine.saved([str(at)])
        await self.pause()
        await self.kill()

    def fuse(self) -> None:
        """The line breaks at some byte from here on, in the middle of a frame or between two."""
        if self.sides.agent is not None and not any(not fuse.burnt for fuse in self.fuses):
            process = self.sides.transport.processes[-1]
            length = int(10 ** self.rng.uniform(0, 4.5))
            incoming, kill = self.rng.random() < 0.4, self.rng.random() < 0.5
            self.fuses = [Fuse(process, length, incoming=incoming, kill=kill)]
            self.attending.append(asyncio.create_task(self.sides.attend()))
            self.say(f"fuse {length} {'in' if incoming else 'out'}{' kill' if kill else ''}")

    def fill_disk(self) -> None:
        if self.room_again:
            self.room_again.pop()()
            self.say("there: room again")
        elif self.sides.agent is not None:
            room = self.rng.choice((0, 1000, 1_000_000))
            self.room_again.append(fill_disk(self.sides.transport, room))
            self.say(f"there: disk full, {room} left")

    def lock(self) -> None:
        """What Windows does with files that others have open: nobody can read them."""
        if self.readings.locked and self.rng.random() < 0.5:
            self.readings.locked.clear()
            self.say("here: unlock")
        else:
            path = self.rng.choice(PATHS)
            self.readings.locked.add(path)
            self.say(f"here: lock {path}")

    def meanwhile(self, at: Path) -> None:
        """Somebody writes a file into which the sidecar looks, in its thread."""
        if not at.is_relative_to(self.here) or len(self.overwritten) >= OVERWRITTEN:
            return  # somebody who never stopped would keep the sidecar waiting, rightly
        old = at.read_bytes()
        rng = random.Random()
        new = stamped_as_long(rng, rng.randrange(1_000_000, 10_000_000), len(old))
        if new is not None:
            self.overwritten.add(old)
            with at.open("r+b", buffering=0) as file:
                file.write(new)

    def end_faults(self) -> None:
        for fuse in self.fuses:
            fuse.disarm()
        for again in self.room_again:
            again()
        self.room_again = []
        self.readings.locked.clear()
        self.readings.changing = 0.0

    async def preview(self) -> None:
        if self.sides.agent is not None:
            self.say("preview")
            number = self.sides.new_root()
            self.ask("preview", self.sides.engine.preview(self.sides.agent, number))

    async def kill(self) -> None:
        if self.sides.agent is not None:
            self.say("kill")
            await self.sides.cut(signal.SIGKILL)

    async def restart(self) -> None:
        self.say("restart")
        await self.quiet()
        await self.sides.restart()

    async def crash(self) -> None:
        """The sidecar's process is gone, and what it had written is what there is; or, after the
        disk's end, what a backup has, or nothing."""
        store, how = self.copy_of_store(), "crash"
        if self.rng.random() < 0.2:
            (store / "base.journal").unlink()
            self.older_state, how = True, "crash, with nothing left"
        elif self.backup is not None and self.rng.random() < 0.5:
            store, self.backup = self.backup, None
            self.older_state, how = True, "crash, with an older state"
        self.say(how)
        if self.sides.agent is not None:
            await self.sides.cut(signal.SIGKILL)
        await self.quiet()
        await self.sides.end()
        self.sides.store = store
        await self.sides.begin()

    def back_up(self) -> None:
        self.backup = self.copy_of_store()

    def copy_of_store(self) -> Path:
        self.number += 1
        copy = self.sides.folder / f"store-{self.number}"

        def copied(one: str, other: str) -> None:
            with contextlib.suppress(FileNotFoundError):  # what is rewritten comes and goes
                shutil.copy2(one, other)

        return Path(shutil.copytree(self.sides.store, copy, copy_function=copied))

    async def quiet(self) -> None:
        """Ends what was asked of an engine that is about to end."""
        for task in self.asked:
            task.cancel()
        for ended in await asyncio.gather(*self.asked, return_exceptions=True):
            if isinstance(ended, BaseException) and not isinstance(ended, asyncio.CancelledError):
                raise ended
        self.asked = []
        self.attaching = None

    # --- at rest

    async def rest(self) -> None:
        """Nobody does anything any more. What was asked for is answered, and then syncs move
        nothing."""
        self.say("rest")
        if self.attending and self.sides.agent is None:
            await asyncio.wait(self.attending, timeout=DEADLINE)
        done, open_ = await asyncio.wait(self.asked, timeout=DEADLINE) if self.asked else ((), ())
        assert not open_, f"no answer to {[task.get_name() for task in open_]}"
        for task in done:
            task.result()
        engine = self.sides.engine
        if self.sides.agent is None or not engine.attached:
            await asyncio.wait_for(self.sides.attach(), DEADLINE)
        self.look_here()
        self.left_here = nodes(self.here)
        before = None
        for _ in range(ROUNDS):
            result = await asyncio.wait_for(engine.sync(), DEADLINE)
            self.say(f"sync: {result.sent} sent, {result.removed} removed, {self.sides.notes()}")
            now = (result.sent, result.removed, self.sides.notes())
            if now == before and now[:2] == (0, 0):
                return
            before = now
        raise AssertionError(f"no rest after {ROUNDS} syncs: {before}")

    async def check(self) -> None:
        engine = self.sides.engine
        # The watcher may tell late of what the syncs have brought over already.
        await self.sides.rest()
        notes = self.sides.notes()
        mistakes = [text for text in map(str, engine.notes) if "own" in text]
        assert not mistakes, mistakes
        here, there = nodes(self.here), nodes(self.there)
        assert here == self.left_here or self.pull
        decide = engine._here.rules.decide
        here = {
            path: node
            for path, node in here.items()
            if not decide(path, node == tree.FOLDER).ignored
        }

        def noted(path: str) -> bool:
            return path in notes or any(above in notes for above in tree.ancestors(path))

        # Both sides agree on every path of which nothing is said.
        for path, node in here.items():
            alike = there.get(path) == node
            if self.pull and path in there:  # what comes is never made executable
                alike |= there[path]._replace(executable=False) == node
            assert noted(path) or alike, f"{path} is not there as it is here"
        for path in engine._base.entries:
            alike = path in here and path in there
            waits = any(other.startswith(path + "/") for other in notes)
            assert alike or noted(path) or waits, f"{path} is agreed, and not on both sides"
        now = contents(self.there)
        theirs = self.written_there.keys() | self.moved_there
        for path, content in now.items():
            assert is_whole(content), path
            left = path not in here and content not in theirs and not noted(path)
            left = left and not decide(path, False).ignored
            forgotten = self.older_state or self.rules_changed
            assert not left or forgotten, f"{path} was removed here, and is there"

        # Nothing that people there wrote is gone.
        trash = set(contents(self.there / ".sidecar/trash").values())
        current = set(now.values())
        for content, path in self.written_there.items():
            # What was written over here while it was read had come here before.
            was_here = content in self.taken or content in self.overwritten
            settled = self.prefers or self.mirror or was_here
            kept = content in current or (settled and content in trash)
            kept = kept and (path not in THEIRS or content in current or settled)
            where = "in the trash" if content in trash else "nowhere"
            assert kept, f"what was written there to {path} is {where}: {name_of(content)}"

        # The agent holds the list of files that the engine believes it holds.
        assert await self.sides.lists_are_equal()


SLICES, LEVELS = (step.FEW, step.SLICE), pressing.LEVELS


async def play(folder: Path, seed: int) -> None:
    """One sequence. A failure names its seed, and what was done last."""
    sequence = Sequence(folder, seed)
    try:
        await asyncio.wait_for(sequence.run(), PATIENCE)
    except BaseException:
        done = "\n  ".join(sequence.log[-TOLD:])
        print(f"\nSIDECAR_SEED={seed} failed after:\n  {done}")
        raise
    finally:
        (step.FEW, step.SLICE), pressing.LEVELS = SLICES, LEVELS
        await sequence.sides.end()


@pytest.mark.timeout(SOAK + SEQUENCES * PATIENCE)
async def test_whatever_happens_both_sides_come_together_and_nothing_is_lost(
    tmp_path: Path,
) -> None:
    if SEED:
        await play(tmp_path, int(SEED))
        return
    first, number = random.randrange(1 << 32), 0
    end = time.monotonic() + SOAK
    while number < SEQUENCES or time.monotonic() < end:
        folder = tmp_path / str(number)
        await play(folder, first + number)
        shutil.rmtree(folder)
        number += 1
    print(f"{number} sequences")
