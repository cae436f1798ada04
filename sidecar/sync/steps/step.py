"""A step: paths that may differ are looked at on both sides, reconciled, and acted upon.

Everything that the engine does is this: a save names one path, a branch switch hundreds, a
reconnect all that a scan and a sweep found. A step returns when what it decided is handed over to
be sent (pushing/push.py); only answers change base.

The module is long, and one noun: looking, planning, guarding and acting are one pass over the same
paths, and what any of them leaves out the others must know of.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence, Set
from pathlib import Path
from typing import TypeVar

from sidecar import api
from sidecar.core import paths, reconcile, tree
from sidecar.core.amount import size
from sidecar.core.identity import DIRECTORY, FILE, SYMLINK, Identity
from sidecar.core.messages import Expect
from sidecar.core.overlay import Overlay
from sidecar.core.tree import Node
from sidecar.errors import Disconnected, RemoteError
from sidecar.sync.delta.content import Content
from sidecar.sync.delta.recent import Recent
from sidecar.sync.disk import local_files
from sidecar.sync.guarding import guards
from sidecar.sync.guarding.allowance import Allowance
from sidecar.sync.guarding.first_contact import Prefer
from sidecar.sync.guarding.notes import WHOLE, Notes, version
from sidecar.sync.guarding.removals import Removals
from sidecar.sync.pulling.logs import ADDED
from sidecar.sync.pulling.pull import NOT_PULLED, Puller
from sidecar.sync.pulling.wanted import Decided
from sidecar.sync.pushing.change import Change
from sidecar.sync.pushing.push import Pusher
from sidecar.sync.rules.pulls import Pulls
from sidecar.sync.trees import bond
from sidecar.sync.trees.base import Agreed, Base
from sidecar.sync.trees.here import Here, Unreadable
from sidecar.sync.trees.scan import Scan
from sidecar.sync.trees.there import Found, There
from sidecar.sync.watching.saves import QUIET, Saves

BRINGS = (reconcile.Push, reconcile.MakeDirectory)
"""Actions that send what is here."""

SENDS = (*BRINGS, reconcile.Remove)
"""Actions that change something there."""

FEW = 64
"""Paths that are looked at and sent at once, each change in a message of its own."""

SLICE, SLICE_BYTES = 128, 512 << 10
"""Of more, so many are read, planned and sent in one go, or so many bytes: a batch that compresses
nearly as well as all of it would, and after which a save has waited for some milliseconds."""

FIRST_BYTES = 64 << 10
"""Of the first slice, and twice as many of each one after it: a line that was idle takes 15 KB at
first, twice that a round trip later, and should have them soon."""

MOST_BATCHES = 3
"""On their way to the line: one is sent while the next is compressed."""

GIT_IS_AT_WORK = 0.5
"""Seconds before another look at removals that may be a checkout's."""


Result = TypeVar("Result")

Read = tuple[str, Content | Unreadable | None]
"""A path and what was found there."""


@dataclasses.dataclass
class Project:
    """What the steps of one project and host share.

    Attributes:
        root: the project's folder here, its real path.
        name: how the project is called in messages.
        refusals: times in a row that a path was refused there.
        removed: removals sent so far.
        left: paths of the step under way that were not looked at yet.
        saved: set while an editor's save waits; `take_saved` gives those paths, and clears it.
        dirty: paths that may differ and that no step has taken yet.
        touch: adds to them, and sees to it that a step follows.
        scanning: to be waited for before the whole tree is scanned for the first time.
        synced: told of a path that is as it is here, without a change of ours.
        changed: told when public state has changed.
        named: paths that a person named in what is being done.
        folder: which one `root` was when both sides were brought together.
    """

    root: Path
    name: str
    host: str
    mode: str
    here: Here
    base: Base
    pulls: Pulls
    dirty: Callable[[], Set[str]]
    touch: Callable[[str], None]
    saved: asyncio.Event
    take_saved: Callable[[], set[str]]
    scanning: Callable[[], Awaitable[None]]
    synced: Callable[[str], None]
    changed: Callable[[], None]
    removals: Removals
    allowance: Allowance
    allowance_here: Allowance
    named: frozenset[str] = frozenset()
    folder: bond.Here | None = None
    notes: Notes = dataclasses.field(default_factory=Notes)
    recent: Recent = dataclasses.field(default_factory=Recent)
    saves: Saves = dataclasses.field(default_factory=Saves)
    refusals: dict[str, int] = dataclasses.field(default_factory=dict)
    removed: int = 0
    left: int = 0

    @property
    def all_notes(self) -> list[api.PathNote]:
        """What needs a person, or should be known, by path."""
        said = self.notes.paths
        return [*self.notes.all, *(one for one in self.here.problems if one.path not in said)]

    def pull(self, path: str, is_folder: bool) -> int:
        """Whether changes there come here, and whether the path is the remote's, for reconcile."""
        return self.pulls.of(path, is_folder) | (
            reconcile.THEIRS if self.base.is_theirs(path) else 0
        )


class Step:
    """One step over one connection, which may go in each of its waits.

    Args:
        pusher: None: for a look and a plan only.
        prefer: decides where both sides changed.
    """

    def __init__(
        self,
        project: Project,
        there: There,
        pusher: Pusher | None,
        prefer: Prefer = "",
        puller: Puller | None = None,
    ) -> None:
        self._project, self._prefer, self._puller = project, prefer, puller
        self._there, self._pusher = there, pusher
        self._here, self._base = project.here, project.base
        self._notes, self._saves = project.notes, project.saves
        self._batches: deque[asyncio.Task[None]] = deque()
        self._asked = False
        """Whether all that goes up may was asked for the step as a whole."""

    async def bring(
        self, dirty: set[str], *, patient: bool = False, found: Scan | None = None
    ) -> None:
        """Returns when all that was decided about these paths is handed over to be sent.

        Args:
            patient: leave files alone for now that somebody seems to be writing.
            found: a fresh scan, of which all that differs is among the paths: nothing has to be
                looked for beside them, which of 2,400 files takes 80 ms.
        Raises:
            Disconnected: the connection is gone; take the step again over the next one.
        """
        self._refuse_another_root()
        scanned = {path for path in dirty if found and path in found.entries}
        wide = self._widened(dirty - scanned) | scanned
        self._project.left = len(wide)
        try:
            if len(wide) <= FEW or self._pusher is None:
                await self._bring(await self._read(wide), dirty, patient=patient)
            else:
                await self._bring_many(wide, dirty, patient=patient, found=found)
        finally:
            self._project.left = 0

    async def _bring_many(
        self, wide: set[str], dirty: set[str], *, patient: bool, found: Scan | None
    ) -> None:
        """The same in slices, so that a tree of any size is never held in memory, and what was
        read is sent while the rest is read. Saves of a person go between them.

        What is gone here, is or became another kind of thing than there, needs all of it to be
        judged; it comes last, and all that is below it. So a group of changes begins with what is
        new and ends with what goes.
        """
        last: set[str] = set()
        held = await self._held_of_all(wide, found)
        left = deque(sorted(wide - held))  # which puts folders before what is in them
        enough = FIRST_BYTES
        reading = self._begin_reading(left, enough)
        try:
            while reading is not None:
                read = await self._meanwhile(reading)
                for _ in read:
                    left.popleft()
                self._project.left = len(left) + len(last)
                enough = min(2 * enough, SLICE_BYTES)
                reading = self._begin_reading(left, enough)
                here = self._usable(read)
                for path in list(here):
                    above = tree.ancestors(path)
                    if self._needs_all(path, here[path]) or not last.isdisjoint(above):
                        last.add(path)
                        del here[path]
                await self._bring(here, dirty, patient=patient, together=True)
        finally:
            if reading is not None:
                reading.cancel()
        if last:
            read = []
            while len(read) < len(last):
                some = sorted(last)[len(read) :]
                read += await asyncio.to_thread(self._here.read_some, some, _nothing, SLICE_BYTES)
            await self._bring(self._usable(read), dirty, patient=patient, together=True)
        while self._batches:
            await self._meanwhile(self._batches.popleft())

    def _begin_reading(self, left: Sequence[str], enough: int) -> asyncio.Task[list[Read]] | None:
        if not left:
            return None
        some = [left[at] for at in range(min(len(left), SLICE))]
        known = self._base.entries
        return asyncio.create_task(
            asyncio.to_thread(self._here.read_some, some, lambda path: path not in known, enough),
            name="read a slice",
        )

    async def _meanwhile(self, task: asyncio.Task[Result]) -> Result:
        """Its result; what an editor saves until then goes out at once."""
        while not task.done():
            saved = asyncio.ensure_future(self._project.saved.wait())
            try:
                await asyncio.wait({task, saved}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                saved.cancel()
            urgent = self._project.take_saved()
            if urgent:
                try:
                    await self._bring(await self._read(self._widened(urgent)), urgent)
                except BaseException:
                    for path in urgent:
                        self._project.touch(path)
                    raise
        return task.result()

    def _needs_all(self, path: str, read: Content | None) -> bool:
        if read is None:
            return True
        if read.node == tree.FOLDER and path in self._there.differing:
            return True  # if something else is there, that decides of all below
        agreed = self._base.entries.get(path)
        return agreed is not None and agreed.node.kind != read.node.kind

    async def _held_of_all(self, wide: set[str], found: Scan | None) -> set[str]:
        """Whether so much may go up is asked for all of it, before the first of it goes."""
        rules = self._here.rules
        sizes = found.sizes(wide) if found else {}
        sizes |= await asyncio.to_thread(self._here.sizes, wide - sizes.keys())
        moves = {path: self._moved(path, size) for path, size in sizes.items()}
        held = self._that_must_wait(wide, moves)
        held = {path for path in held if not rules.decide(path, False).ignored}
        self._say_that_they_wait(held)
        self._asked = True
        return held

    async def _bring(
        self,
        here: dict[str, Content | None],
        dirty: set[str],
        *,
        patient: bool = False,
        together: bool = False,
    ) -> None:
        """What was read of some paths is planned and acted upon.

        Args:
            together: small changes travel as batches.
        """
        self._refuse_another_root()  # what was seen of one that went meanwhile counts for nothing
        self._saves.read(here.keys() - self._project.dirty())
        if patient:
            here = {path: read for path, read in here.items() if not self._unfinished(path, read)}
        found = await self._other_side.nodes(here, lambda path: self._comes_anyway(path, here))
        found = self._without_executable_bits(here, found)
        self._refresh(here, found)
        await self._other_side.tell()
        plan = self.plan(here, found)
        planned = {action.path for action in plan.actions}
        said_once = {path for path in self._notes.said_once() if path not in planned}
        self._notes.clear(here.keys() - said_once)
        for note in self.notes_of(plan, here, found):
            self._notes.take(note)
        for path in self._project.refusals.keys() & here.keys() - planned:
            del self._project.refusals[path]
        actions = [
            action
            for action in plan.actions
            if not isinstance(action, SENDS) or self._is_sent(action.path, here)
        ]
        guarded = await self._guarded(actions, here, found)
        if together:
            self._sending.collect()
        try:
            for action in guarded:
                if isinstance(action, BRINGS) and here.get(action.path) is None:
                    if action.path not in dirty:  # it came with its folder, and is to be read first
                        self._project.touch(action.path)
                else:
                    await self._act(action, here, found)
        finally:
            if together:
                self._batches.append(self._sending.send_collected())
        while len(self._batches) >= MOST_BATCHES:
            await self._meanwhile(self._batches.popleft())
        await self._other_side.tell()
        self._notes.name_owners(await self.owners(found, self._notes.paths))
        self._notes.clear([WHOLE])
        looked_at = (
            here.keys() - self._project.dirty()
        )  # what was saved again meanwhile has its turn yet
        for path in self._saves.looked_at(looked_at) - self._notes.paths:
            if self._on_its_way(path) is None:
                self._project.synced(path)  # saved without a change, or the watcher was first
        self._project.changed()

    def _refuse_another_root(self) -> None:
        """A folder that is not there, or another one in its place, is not one in which all was
        deleted or changed."""
        project = self._project
        now = bond.folder_at(project.root, project.name)
        if project.folder not in (None, now):
            raise guards.root_replaced(project.name)

    def _comes_anyway(self, path: str, here: Mapping[str, Content | None]) -> bool:
        """Whether what is there comes whatever its content is: nothing was changed here."""
        read, agreed = here.get(path), self._base.entries.get(path)
        unchanged = (read.node if read else None) == (agreed.node if agreed else None)
        return unchanged and bool(self._project.pulls.of(path))

    def _is_sent(self, path: str, here: Mapping[str, Content | None]) -> bool:
        """Whether the path is ours to send. What comes from there although it is ignored here, as
        what programs make there often is, is not."""
        read = here.get(path)
        is_folder = (read.node if read else self._base.nodes().get(path)) == tree.FOLDER
        if not self._project.pull(path, is_folder):
            return True
        return not self._here.rules.decide(path, is_folder).ignored

    async def look(self, dirty: set[str]) -> dict[str, Content | None]:
        """What is at these paths here. Ignored ones are left out, and no longer managed; their
        files stay on both sides."""
        return await self._read(self._widened(dirty))

    def _widened(self, dirty: set[str]) -> set[str]:
        # What is on its way counts as there: a folder that is replaced before the answer came would
        # else keep there what is gone here, until a scan.
        rules, known = self._here.rules, self._agreed_soon()
        return self._here.widened(dirty, known, lambda path: not rules.decide(path, True).ignored)

    def _agreed_soon(self) -> Overlay:
        """What both sides agree on when all that is on its way has arrived."""
        latest = self._pusher.latest if self._pusher else {}
        return Overlay(self._base.nodes(), {path: change.node for path, change in latest.items()})

    async def _read(self, paths: Collection[str]) -> dict[str, Content | None]:
        read: list[Read] = []
        for path in sorted(paths):
            try:
                read.append((path, self._as_it_came(path) or await self._here.read(path)))
            except Unreadable as error:
                read.append((path, error))
        return self._usable(read)

    def _usable(self, found: Iterable[Read]) -> dict[str, Content | None]:
        """Without what is ignored, and what cannot be read, which is said."""
        rules, known = self._here.rules, self._base.nodes()
        here: dict[str, Content | None] = {}
        for path, one in found:
            problem = str(one) if isinstance(one, Unreadable) else ""
            read = None if isinstance(one, Unreadable) else one
            was = known.get(path)
            is_folder = (read.node if read else was) == tree.FOLDER
            if rules.decide(path, is_folder).ignored and not self._project.pull(path, is_folder):
                self._notes.clear([path])
                if was is not None or self._on_its_way(path):
                    self._other_side.forget(path)
            elif problem:
                self._notes.say(path, "unreadable", problem)
            elif read and read.node == tree.STRANGE and was is None:
                text = "neither a file nor a folder nor a link; not synced"
                self._notes.say(path, "skipped", text)
            else:
                here[path] = read
                self._know_what_was_added(path, read)
        return here

    def _as_it_came(self, path: str) -> Content | None:
        """What came from there and was not touched here since needs no reading: a large log that
        grows is looked at every moment."""
        agreed = self._base.entries.get(path)
        if agreed is None or agreed.local is None or not self._base.is_theirs(path):
            return None
        try:
            same = local_files.lookup(self._project.root, path) == agreed.local
        except (OSError, paths.PathError):
            return None
        return Content(agreed.node, agreed.local) if same else None

    def _know_what_was_added(self, path: str, read: Content | None) -> None:
        """A log that was added to when we were killed is not somebody's edit (pulling/logs.py)."""
        agreed = self._base.entries.get(path)
        if read is None or agreed is None or read.node == agreed.node:
            return
        if self._base.is_theirs(path) and ADDED + read.node.digest in self._base.intended(path):
            self._base.agree(path, Agreed(read.node, _seen(read), agreed.remote))

    def _without_executable_bits(
        self, here: Mapping[str, Content | None], found: dict[str, Found]
    ) -> dict[str, Found]:
        """What comes by itself brings no executable bit along, so there it says nothing."""
        pulls = self._project.pulls
        if not pulls:
            return found
        plain = dict(found)
        for path, one in found.items():
            if one.node is not None and one.node.kind == FILE and not pulls.is_named(path):
                read = here.get(path)
                bit = read is not None and read.node.executable
                if pulls.of(path):
                    plain[path] = one._replace(node=one.node._replace(executable=bit))
        return plain

    def _unfinished(self, path: str, read: Content | None) -> bool:
        """Leaves a file for later that somebody seems to be writing."""
        if not self._saves.is_unfinished(path, read, self._base.entries):
            return False
        asyncio.get_running_loop().call_later(QUIET, self._project.touch, path)
        return True

    def _refresh(self, here: Mapping[str, Content | None], found: Mapping[str, Found]) -> None:
        """Content that base has already, under another identity on one side: `touch`, `chmod`, a
        checkout there and back."""
        for path, read in here.items():
            agreed = self._base.entries.get(path)
            if read is None or agreed is None or self._on_its_way(path):
                continue
            remote, node = found.get(path, (agreed.remote, agreed.node))
            if remote is None or read.node != agreed.node or node != agreed.node:
                continue
            if remote != agreed.remote:
                self._other_side.agree(path, Agreed(agreed.node, _seen(read), remote))
            elif _seen(read) != agreed.local:
                self._base.agree(path, agreed._replace(local=_seen(read)))

    def plan(
        self, here: Mapping[str, Content | None], found: Mapping[str, Found]
    ) -> reconcile.Plan:
        """What is to be done, given what `look` saw here and `There.nodes` there."""
        agreed = self._agreed_soon()
        local = Overlay(agreed, {path: read.node if read else None for path, read in here.items()})
        remote = Overlay(agreed, self._other_side.replaced(found))
        wins = (
            {path: self._newer(here[path], found.get(path)) for path in here}
            if self._prefer == "newer"
            else self._prefer
        )

        def pull(path: str) -> int:
            nodes = agreed.get(path), local.get(path), remote.get(path)
            return self._project.pull(path, tree.FOLDER in nodes)

        wanted = pull if self._project.pulls or self._base.theirs else reconcile.nothing_comes
        return reconcile.reconcile(here, agreed, local, remote, self._project.mode, wins, wanted)

    def notes_of(
        self,
        plan: reconcile.Plan,
        here: Mapping[str, Content | None],
        found: Mapping[str, Found],
    ) -> list[api.PathNote]:
        """What the plan has to say, with what both sides have."""
        ahead = self._there.agent.hello.clock_offset_ns
        told = []
        for note in plan.notes:
            read, at = here.get(note.path), found.get(note.path)
            agreed = self._base.entries.get(note.path)
            there = at.identity if at else agreed.remote if agreed else None
            told.append(
                api.PathNote(
                    path=note.path,
                    kind=note.kind,
                    text=note.text,
                    here=version(read.identity if read else None),
                    there=version(there, ahead),
                )
            )
        return told

    async def owners(self, found: Mapping[str, Found], paths: Collection[str]) -> dict[str, str]:
        """Whose those of the paths are that somebody changed there."""
        theirs = [path for path in paths if path in found and found[path].identity]
        with contextlib.suppress(RemoteError):  # then nobody is named
            return await self._other_side.owners(theirs) if theirs else {}
        return {}

    def _newer(self, read: Content | None, found: Found | None) -> str:
        """Which side's file is the newer one, by the clock of this machine."""
        if found is None or found.identity is None:
            return reconcile.LOCAL
        seen_here = found.identity.mtime_ns - self._other_side.agent.hello.clock_offset_ns
        newer_there = read is None or seen_here > read.identity.mtime_ns
        return reconcile.REMOTE if newer_there else reconcile.LOCAL

    async def _guarded(
        self,
        actions: Sequence[reconcile.Action],
        here: Mapping[str, Content | None],
        found: Mapping[str, Found],
    ) -> Sequence[reconcile.Action]:
        """Holds back what is to be asked about first; all else goes on."""
        waiting = await self._removals_that_wait(actions, here)
        waiting |= self._pushes_that_wait(actions, here)
        waiting |= self._pulls_that_wait(actions, here, found)
        return [action for action in actions if action.path not in waiting]

    def _pushes_that_wait(
        self, actions: Sequence[reconcile.Action], here: Mapping[str, Content | None]
    ) -> set[str]:
        """More than may go up without a question."""
        pushes = [action.path for action in actions if isinstance(action, reconcile.Push)]
        if self._asked:
            return set()
        moves = {
            path: self._moved(path, read.identity.size)
            for path in pushes
            if (read := here.get(path)) is not None
        }
        waiting = self._that_must_wait(here.keys(), moves)
        self._say_that_they_wait(waiting)
        return waiting

    def _pulls_that_wait(
        self,
        actions: Sequence[reconcile.Action],
        here: Mapping[str, Content | None],
        found: Mapping[str, Found],
    ) -> set[str]:
        """More than may come here by itself without a question."""
        allowance, puller = self._project.allowance_here, self._puller
        moves: dict[str, int] = {}
        for action in actions:
            path, at = action.path, found.get(action.path)
            there = at.identity if at else None
            if puller is None or there is None or there.kind != FILE or not puller.comes(there):
                continue
            if isinstance(action, reconcile.Take) and self._project.pulls.of(path):
                moves[path] = self._moved(path, there.size)
        allowance.looked_at(here.keys(), moves)
        waiting = allowance.that_must_wait(moves, time.monotonic()) if moves else set[str]()
        for path in waiting:
            text = f"{size(moves[path])} there; `sidecar sync --yes` brings it"
            self._notes.say(path, NOT_PULLED, text)
        return waiting

    def _say_that_they_wait(self, waiting: Collection[str]) -> None:
        for path in waiting:
            moved = self._project.allowance.waiting.get(path, 0)
            self._notes.say(path, "waiting", f"{size(moved)}; `sidecar sync --yes` sends it")

    def _that_must_wait(self, looked_at: Collection[str], moves: Mapping[str, int]) -> set[str]:
        """What is not to be sent yet of what these files would move."""
        allowance = self._project.allowance
        allowance.looked_at(looked_at, moves)
        if not moves:
            return set()
        return allowance.that_must_wait(moves, time.monotonic(), self._saves)

    def _moved(self, path: str, size: int) -> int:
        """About how many bytes go over the line for a file of that size."""
        agreed = self._base.entries.get(path)
        before = agreed.remote.size if agreed and agreed.node.kind == FILE else 0
        return max(0, size - before)

    async def _removals_that_wait(
        self, actions: Sequence[reconcile.Action], here: Mapping[str, Content | None]
    ) -> set[str]:
        """An unusual number of them."""
        removals, agreed = self._project.removals, self._base.entries
        removed = {action.path for action in actions if isinstance(action, reconcile.Remove)}
        removals.looked_at(here, removed, agreed)
        if self._prefer == "local":
            removals.may_be_made(removed)
            return set()
        if not removed:
            return set()
        waiting = await removals.that_must_wait(removed, agreed, time.monotonic())
        if removals.undecided:
            loop = asyncio.get_running_loop()
            loop.call_later(GIT_IS_AT_WORK, _touch_all, self._project.touch, waiting)
        for path in waiting:
            self._notes.say(path, "held", removals.why(path))
        return waiting

    # --- acting

    async def _act(
        self,
        action: reconcile.Action,
        here: Mapping[str, Content | None],
        there: Mapping[str, Found],
    ) -> None:
        path = action.path
        read, found = here.get(path), there.get(path)
        match action:
            case reconcile.Push() | reconcile.MakeDirectory():
                assert read is not None
                await self._push(path, read, found)
            case reconcile.Remove():
                _, expect = self._expectation(path, found)
                await self._sending.remove(path, expect)
                self._project.removed += 1
            case reconcile.Adopt():
                if read is not None and found is not None and found.identity is not None:
                    self._other_side.agree(path, Agreed(read.node, _seen(read), found.identity))
                    is_folder = read.node == tree.FOLDER
                    if self._project.pulls.of(path, is_folder) & reconcile.THEIRS:
                        self._other_side.leave(path, True)
            case reconcile.Drop():
                self._other_side.forget(path)
            case reconcile.Take():
                # What only came along with its folder has, or had, a step of its own.
                if found is None or found.identity is None:
                    return
                if self._puller is None:
                    return
                if self._project.pulls.of(path):
                    self._puller.begin(path, found.identity, read)
                elif found.node is not None:
                    seen, named = read.identity if read else None, path in self._project.named
                    self._puller.take(path, found, seen, Decided(found.node), named=named)

    async def _push(self, path: str, read: Content, found: Found | None) -> None:
        target = os.fsdecode(read.data) if read.node.kind == SYMLINK and read.data else ""
        if target and not paths.link_stays_inside(path, target):
            self._notes.say(path, "skipped", f"a link to {target}, which is outside the project")
            return
        before, expect = self._expectation(path, found)
        if read.node.kind == DIRECTORY:
            await self._sending.directory(path, read)
        elif read.node.kind == SYMLINK:
            await self._sending.link(path, read, target, expect)
        elif before is not None and before._replace(executable=read.node.executable) == read.node:
            await self._sending.mode(path, read, expect)
        else:
            await self._sending.put(path, read, expect, before)

    def _expectation(self, path: str, found: Found | None) -> tuple[Node | None, Expect]:
        """What a change of this path must find: the content, and how to recognise it. Where the
        remote's own change is to be written over, that is what was found there when the plan was
        made, and no later one."""
        if found is not None:
            self._other_side.settled(path, found)
            return found.node, Expect(0, found.identity, "")
        change = self._sending.latest.get(path)
        if change is not None:
            return change.node, Expect(change.seq, None, "")
        agreed = self._base.entries.get(path)
        if agreed is None:
            return None, Expect(0, None, "")
        return agreed.node, Expect(0, agreed.remote, agreed.node.digest)

    # --- the connection

    def _on_its_way(self, path: str) -> Change | None:
        return self._pusher.latest.get(path) if self._pusher else None

    @property
    def _other_side(self) -> There:
        if self._there.closed:
            raise disconnected(self._project.host)
        return self._there

    @property
    def _sending(self) -> Pusher:
        if self._pusher is None or self._pusher.closed:
            raise disconnected(self._project.host)
        return self._pusher


def disconnected(host: str) -> Disconnected:
    return Disconnected(
        f"{host} is not connected",
        "nothing is half there, and changes are kept",
        "see `sidecar status`",
    )


def _nothing(_path: str) -> bool:
    return False


def _touch_all(touch: Callable[[str], None], paths: Collection[str]) -> None:
    for path in paths:
        touch(path)


def _seen(read: Content) -> Identity | None:
    """The identity to remember: none, if another write may hide behind the same times."""
    return None if read.fresh else read.identity
