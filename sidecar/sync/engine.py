"""The engine: one project and one host, brought together and kept together.

Everything that happens is the same step (steps/step.py): *these paths may differ; look at both
sides, reconcile, act*. A save names one path, a branch switch hundreds, a reconnect all that a scan
and a sweep found. They are taken one at a time (steps/loop.py); what they send is answered while
the next one goes on (pushing/push.py), and only an answer changes base (steps/answers.py).

What lives as long as a connection is an attachment (steps/attachment.py); what the engine keeps
over connections is what calls for a step (steps/local_news.py, steps/pending.py) and what to say.
The module is long since it is one face: a third of it is what a session may read and ask for.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from pathlib import Path
from typing import Any

from sidecar import api
from sidecar.config import model
from sidecar.core.identity import Identity
from sidecar.errors import SidecarError, SyncError
from sidecar.questions import Person
from sidecar.remote.connection import AgentConnection
from sidecar.sync.delta.revision import Delta
from sidecar.sync.delta.signature import FileSignature
from sidecar.sync.delta.signatures import SignatureStore
from sidecar.sync.disk.landing import LocalLanding
from sidecar.sync.disk.local_files import Source
from sidecar.sync.disk.trash import LocalTrash
from sidecar.sync.guarding.allowance import Allowance
from sidecar.sync.guarding.first_contact import Prefer
from sidecar.sync.guarding.notes import unsent
from sidecar.sync.guarding.removals import Removals
from sidecar.sync.guarding.waiting import Waiting
from sidecar.sync.pulling.fetching import Fetching
from sidecar.sync.pushing.barrier import Barrier, raise_barrier, refuse_to_run_other_code
from sidecar.sync.pushing.change import Change
from sidecar.sync.pushing.upload import Transfer
from sidecar.sync.rules.ignore import Rules
from sidecar.sync.rules.pulls import Pulls
from sidecar.sync.steps.answers import Answers
from sidecar.sync.steps.attachment import Attachment
from sidecar.sync.steps.local_news import LocalNews
from sidecar.sync.steps.looks import Looks, at_what_was_left, planned
from sidecar.sync.steps.loop import Loop
from sidecar.sync.steps.meeting import NOTHING_SAID, Meeting, Terms
from sidecar.sync.steps.pending import Pending
from sidecar.sync.steps.reach import Reach, ThisSide
from sidecar.sync.steps.step import Project, disconnected
from sidecar.sync.steps.tally import Tally
from sidecar.sync.trees.base import Agreed
from sidecar.sync.trees.bond import Bond, folder_at
from sidecar.sync.trees.here import Here
from sidecar.sync.trees.stored import Stored
from sidecar.sync.trees.there import There
from sidecar.sync.watching.saves import Saves

BESIDE = 1.0
"""Seconds that saves wait, at most, for what a run needs besides: git, which takes 5 ms, and longer
than the scan in a project of 20,000 files."""


class SyncEngine:
    """Brings a project's two copies together and keeps them so. For one event loop.

    Args:
        root: the project's folder here, its real path.
        stored: what is remembered.
        project: how the project is called in messages, usually the root as the person spells it.
        host, folder: where the other copy is, as the configuration says it.
        owner: how another sidecar would name us: "ada@laptop:/home/ada/model".
        person: who can be asked.
        on_synced: told when something that an editor saved is visible there.
        on_change: told when any of the public state below has changed.
        shown_by: by a marker, the other host through which this project has that very folder in
            step already; "" where there is none.
    """

    def __init__(
        self,
        *,
        root: Path,
        settings: model.Sync,
        stored: Stored,
        project: str,
        host: str,
        folder: str,
        owner: str,
        person: Person,
        on_synced: Callable[[api.Synced], None],
        on_change: Callable[[], None],
        shown_by: Callable[[str], str] = lambda marker: "",
    ) -> None:
        self.root, self.project, self.host, self.folder = root, project, host, folder
        self.remote_root = ""
        self.pushing = 0
        """The last root's number over which changes may have gone."""
        self.made_there = False
        """The folder there was not there before, at the last attach."""
        self.just_met = False
        """Both sides met for the first time, and nobody was told yet what is not synced."""
        self._owner, self._person = owner, person
        self._on_change = on_change
        self._shown_by = shown_by
        store, rules, self._base = stored
        self._pulls = Pulls(settings.pull, rules)
        self._pull_max = settings.pull_max
        self._signatures = SignatureStore(store / "signatures")
        self._bond = Bond(store / "bond.json")
        signature, keep = self._signature_before, self._signatures.put
        self._here = Here(root, rules, signature, keep, self._base.entries, self._early)
        self._store = store
        self.trash = LocalTrash(store / "trash")
        self._landing = LocalLanding(root, store, self.trash)
        saves = Saves()
        self._pending = Pending(rules, saves)
        self._news = LocalNews(root, self._here, self._base, self._pending, self._on_their_way)
        allowance = Allowance(settings.ask_above, store / "allowed.json")
        allowance_here = Allowance(settings.ask_above, store / "allowed-here.json")
        removals = Removals(store / "removals.json", root)
        self._waiting = Waiting(allowance, allowance_here, removals, person, host)
        self._shared = Project(
            root=root,
            name=project,
            host=host,
            mode=settings.mode,
            here=self._here,
            base=self._base,
            pulls=self._pulls,
            dirty=lambda: self._pending.paths,
            touch=self._pending.touch,
            saved=self._pending.saved,
            take_saved=self._pending.take_saved,
            scanning=self._news.settled,
            synced=lambda path: self._answers.synced(path),
            changed=lambda: self._on_change(),
            removals=removals,
            allowance=allowance,
            allowance_here=allowance_here,
            saves=saves,
        )
        self._notes = self._shared.notes
        self._loop = Loop(self._shared, self._pending, self._news, on_change)
        self._answers = Answers(
            self._shared,
            self._news.called_off,
            lose=self._loop.lose,
            on_synced=on_synced,
            on_change=on_change,
        )
        self.looks = Looks(self._shared, self._loop, self._pending, self._news, self._meeting)
        self._tasks: list[asyncio.Task[None]] = []

    # --- state

    @property
    def owners(self) -> list[str]:
        """What a folder's marker calls us, by today's name and by the one before."""
        return [one for one in (self._owner, self._bond.owner) if one]

    @property
    def queued(self) -> int:
        """Changes that are not visible there yet."""
        on_their_way = self._loop.attachment.pusher.waiting if self._loop.attachment else 0
        return len(self._pending.paths) + self._shared.left + on_their_way

    @property
    def transfers(self) -> list[Transfer]:
        """Large contents on their way there, and how far they are."""
        return self._loop.attachment.pusher.transfers if self._loop.attachment else []

    def cancel_uploads(self) -> None:
        """Calls off the uploads that are under way. Their files stay as they are there, with a
        note, until they change again or a sync is asked for; it goes on where they stopped."""
        if self._loop.attachment is not None:
            self._loop.attachment.pusher.cancel_uploads()

    @property
    def stepping(self) -> bool:
        """A step is under way: what it looks at is queued no more, and not sent yet."""
        return self._loop.lock.locked()

    @property
    def files(self) -> int:
        """Paths that both sides agree on."""
        return len(self._base.entries)

    @property
    def notes(self) -> list[api.PathNote]:
        """What needs a person, or should be known, by path."""
        return self._shared.all_notes

    @property
    def waiting(self) -> str:
        """What waits for a word of the person, in words; "" for nothing."""
        return self._waiting.described()

    @property
    def coming(self) -> int:
        """Files and links that are on their way here."""
        return self._loop.attachment.puller.waiting if self._loop.attachment else 0

    @property
    def conflicts(self) -> int:
        return self._notes.conflicts

    @property
    def marker(self) -> str:
        """What the folder there is known by; "" where both sides never met."""
        return self._base.marker

    @property
    def unwatched(self) -> str:
        """Why changes here may be seen late that no editor tells; "" where they are not."""
        return self._news.unwatched

    @property
    def is_at_home(self) -> bool:
        """The folder here is the one that base speaks of."""
        try:
            return folder_at(self.root, self.project) == self._bond.here
        except SidecarError:
            return False

    @property
    def attached(self) -> bool:
        """Both sides were brought together over a connection that still stands."""
        return self._loop.attachment is not None

    @property
    def last_sync(self) -> str:
        """When a change was last visible there, in ISO 8601; "" for never."""
        return self._answers.last

    @property
    def lost(self) -> SidecarError | None:
        """Why both sides are apart although the connection stands: one folder as a whole is not
        what it was. Another `attach` is needed."""
        return self._loop.lost

    # --- life

    async def start(self) -> None:
        """Watches the project here. Changes are collected until there is a connection."""
        self._tasks = [
            asyncio.create_task(self._news.watch(), name=f"watch {self.root}"),
            asyncio.create_task(self._loop.run(), name=f"sync {self.root}"),
        ]

    async def close(self) -> None:
        """Ends the engine; what was not sent is found again by the next one."""
        try:
            self.detach()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        finally:
            self._landing.close()
            self._base.close()
            await asyncio.to_thread(self._signatures.close)

    def detach(self) -> None:
        """The connection is gone. Changes on their way are open again."""
        self._loop.detach()

    async def attach(
        self, agent: AgentConnection, number: int, terms: Terms = NOTHING_SAID
    ) -> api.SyncResult:
        """Opens the folder there and brings both sides together.

        Args:
            number: by which the root is known on this connection.
            terms: what was decided beforehand.
        Returns:
            What that took.
        Raises:
            SyncError: a person must decide first, or the folder cannot be used. Nothing was
                changed there.
            Disconnected: the connection went away meanwhile.
        """
        began, removed = time.monotonic(), self._shared.removed
        async with self._loop.lock, self._loop.noticing_a_loss():
            there = There(agent, number, self._base)
            self._loop.meet(there)
            self._shared.named = frozenset()
            try:
                meeting = self._meeting(there, terms)
                prefer = await meeting.bring_together()
                self.just_met |= meeting.first
                if there.closed:  # it went away while somebody was asked
                    raise disconnected(self.host)
                self.remote_root = meeting.opened.path
                self.made_there = not meeting.opened.exists
                self._shared.folder = meeting.folder_here
                self.pushing = number
                self._loop.place = f"{self.host}:{self.remote_root}"
                attachment = self._loop.attachment = Attachment(
                    self._shared,
                    there,
                    self._answers,
                    self._signatures,
                    self._landing,
                    self._loop.lock,
                    self._pull_max,
                )
                changed = self._news.differing(meeting.found) | set(there.differing)
                await at_what_was_left(self._shared, there, changed)
                await self._loop.bring(changed, prefer, found=meeting.found)
            except BaseException:
                self.detach()
                raise
            if self._tasks:
                attachment.look_out(
                    self._pending.try_again, self._loop.refuse_an_emptied_side, self._loop.failed
                )
        async with self._loop.noticing_a_loss():
            await self._ask_about_what_waits(yes=terms.yes)
            await self._loop.settle()
            attachment = self._loop.attached()
        return Tally.of_all(self._shared, attachment, began, removed).result(self.notes)

    async def preview(
        self, agent: AgentConnection, number: int, terms: Terms = NOTHING_SAID
    ) -> tuple[list[str], str]:
        """As Looks.preview."""
        if self.attached:  # another look would tell base what the first one's agent does not hear
            return (await self.sync(prefer=terms.prefer, dry_run=True)).plan, ""
        return await self.looks.preview(agent, number, terms)

    def _meeting(self, there: There, terms: Terms) -> Meeting:
        return Meeting(
            self._shared,
            there,
            self._bond,
            folder=self.folder,
            owner=self._owner,
            person=self._person,
            shown_by=self._shown_by,
            terms=terms,
        )

    # --- what may differ

    def named(self, path: str) -> str:
        """An absolute path here, or one there, as a path of the project.

        Raises:
            SyncError: it is outside of both.
        """
        inside = self._here.relative(path)
        if not inside and self.remote_root and path.startswith(self.remote_root + "/"):
            inside = path[len(self.remote_root) + 1 :]
        if not inside:
            raise SyncError(
                f"{path} is outside the project",
                f"the project is {self.project} here, {self.host}:{self.folder} there",
                "name a file or folder in it",
                code="outside",
            )
        return inside

    def saved(self, absolute: Iterable[str]) -> None:
        """An editor wrote these files (absolute paths). Those outside the root are left aside.
        Never blocks."""
        for path in map(self._here.relative, absolute):
            if path:
                self._pending.save(path)

    def _on_their_way(self) -> dict[str, Change]:
        """What is sent and not answered, as it is now. From any thread."""
        attachment = self._loop.attachment
        return attachment.pusher.latest.copy() if attachment else {}

    def _signature_before(self, path: str) -> FileSignature | None:
        """Of the content that the path was last sent with. From any thread."""
        attachment, agreed = self._loop.attachment, self._base.entries.get(path)
        change = attachment.pusher.latest.get(path) if attachment else None
        node = change.node if change is not None else agreed.node if agreed is not None else None
        return self._signatures.get(node.digest) if node is not None and node.digest else None

    def _early(self, path: str, source: Source, delta: Delta) -> None:
        """A large file has changed so, and is still being hashed. From any thread."""
        attachment, agreed = self._loop.attachment, self._base.entries.get(path)
        if attachment is None or agreed is None or agreed.node.digest != delta.base:
            return
        pusher = attachment.pusher
        if path not in pusher.latest and not self._here.rules.decide(path, False).ignored:
            pusher.draft(path, source, delta, agreed.remote)

    # --- asked for

    async def sync(
        self,
        *,
        only: Iterable[str] = (),
        prefer: Prefer = "",
        dry_run: bool = False,
        yes: bool = False,
    ) -> api.SyncResult:
        """Looks at everything on both sides, and returns when all that can be is the same.

        Args:
            only: absolute paths to which `prefer` is limited; none: all.
            prefer: decides where both sides changed, and what is newer there.
            dry_run: only say what would be done.
            yes: send what else would wait for a word since it is much.
        """
        plan: list[str] = []
        async with self._loop.lock, self._loop.noticing_a_loss():
            now = self._loop.attached()
            there, tally = now.there, Tally(self._shared, now)
            self._shared.refusals.clear()
            self._news.called_off.clear()
            if not dry_run:
                self._notes.clear(self._notes.said_once())
            async with _meanwhile(there.sweep()) as swept, self._loop.taken(rescan=True) as dirty:
                if not (only or prefer or dry_run):
                    # What changed here goes out while the answer is on its way: what it meets
                    # there it names anyway. Where the connection went, the answer says why.
                    if swept.done():
                        await swept
                    await self._loop.bring(dirty)
                    dirty = set()
                await swept
                if prefer != "local":
                    self._loop.refuse_an_emptied_side(there)
                await self._loop.attached().explorer.look(clean=True)
                dirty |= there.differing.keys() | self._notes.paths
                chosen = {self._here.relative(path) for path in only} & dirty if only else dirty
                if dry_run:
                    self._pending.paths |= dirty
                    plan = await planned(self._shared, there, now.pusher, dirty, prefer)
                else:
                    if dirty - chosen:
                        await self._loop.bring(dirty - chosen)
                    self._shared.named = frozenset(map(self._here.relative, only))
                    await self._loop.bring(chosen, prefer)
        if not dry_run:
            async with self._loop.noticing_a_loss():
                await self._ask_about_what_waits(yes=yes)
                await self._loop.settle(pulled=True)
        return tally.result(self.notes, plan)

    async def also_pull(self, result: api.SyncResult, *, yes: bool = False) -> api.SyncResult:
        """After an `attach` that somebody asked for as a sync: what is to come here, too.

        Args:
            yes: as for `sync`.
        Raises:
            Disconnected: the connection went away meanwhile.
        """
        now = self._loop.attached()
        if not now.explorer.needed:
            return result
        tally = Tally(self._shared, now)
        self._pending.touch_all(await now.explorer.look(clean=True))
        async with self._loop.noticing_a_loss():
            await self._loop.settle(pulled=True)
            if self._shared.allowance_here.waiting:
                await self._ask_about_what_waits(yes=yes)
                await self._loop.settle(pulled=True)
        return tally.added_to(result, self.notes)

    async def pull(
        self, wanted: Sequence[str], *, prefer: Prefer = "", dry_run: bool = False
    ) -> api.PullResult:
        """Fetches files and folders of the remote by hand, whatever their size.

        Args:
            wanted: paths relative to the root, or patterns (`runs/*/best.pt`).
            prefer: "remote" replaces what was changed here, which goes to the trash here.
            dry_run: only say what would come.
        Raises:
            SyncError: a path cannot be one of the project's, or nothing is there.
            Disconnected: the connection went away meanwhile.
        """
        now = self._loop.attached()
        fetching = Fetching(self.root, self._base, now.there, self._here, now.puller, self._notes)
        return await fetching.fetch(wanted, prefer, dry_run=dry_run)

    async def _ask_about_what_waits(self, *, yes: bool) -> None:
        """Small saves go on meanwhile, so no step is under way."""
        self._pending.touch_all(await self._waiting.ask(yes=yes))

    def seen_by(self, agent: AgentConnection, number: int) -> There:
        """The folder as another machine shows it that has the same one."""
        return There(agent, number, self._base)

    async def answered(self) -> None:
        """Returns when all that was sent so far was answered."""
        await self._loop.attached().pusher.settled()

    async def barrier(
        self, *, as_is: bool = False, job: str = "", beside: asyncio.Future[Any] | None = None
    ) -> Barrier:
        """Sends every change that was made before this call, and says what a run must find there.

        Args:
            as_is: it runs on what is there, whatever that is.
            job: what runs, by which `changed_since` knows this moment.
            beside: what the run needs besides. It is waited for before the barrier is raised, but
                no longer than BESIDE, since saves wait meanwhile.

        The answers are not waited for: the run is sent straight behind the changes, and the agent
        holds it until they are made (messages.Run).

        Raises:
            Differs: a change cannot be sent, so the run would see other code.
            Disconnected: there is no connection.
        """
        now = self._loop.attached()
        if not as_is:
            await now.there.look_ahead()
        async with self._loop.lock, self._loop.noticing_a_loss():
            self._loop.attached()
            async with self._loop.taken(rescan=True) as dirty:
                await self._loop.bring(dirty)
            if beside is not None:
                await asyncio.wait({beside}, timeout=BESIDE)
            now = self._loop.attached()
            await now.there.tell()  # the run must find the list that its digest is of
            if not as_is:
                refuse_to_run_other_code(self.unsent, self.host)
            return await raise_barrier(now.pusher, self._base, as_is=as_is, job=job)

    def lagging(self) -> tuple[list[str], str]:
        """Large files, where a run waits for nothing else; and the content digest without them."""
        attachment = self._loop.attachment
        changes = attachment.pusher.lagging if attachment else []
        digest = self._base.content.hexdigest({}) if changes else ""
        return [change.path for change in changes], digest

    @property
    def unsent(self) -> list[api.PathNote]:
        """What stands in the way of a run; not so what was left to the remote."""
        return [note for note in unsent(self.notes) if not self.is_theirs(note.path)]

    def is_theirs(self, path: str) -> bool:
        """Whether it is the remote's own: runs do not ask about it."""
        return self._base.is_theirs(path)

    async def leave_to_remote(self, paths: Iterable[str]) -> None:
        """From here on these are the remote's, whatever it has: no part of what a run must find.
        Until they are decided about (`resolve`), nothing goes over them.

        Raises:
            Disconnected: there is no connection.
        """
        async with self._loop.lock, self._loop.noticing_a_loss():
            there = self._loop.attached().there
            for path in paths:
                there.leave(path, True)
            await there.tell()

    def changed_since(self, jobs: Iterable[str]) -> dict[str, list[str]]:
        """By job, what both sides agree on by now that was something else at its start."""
        history = self._base.history
        return history.since(jobs, self._base.nodes()) if history is not None else {}

    def relative(self, absolute: str) -> str:
        """A path in the project, or "" where it is not in it."""
        return self._here.relative(absolute)

    @property
    def rules(self) -> Rules:
        return self._here.rules

    @property
    def pulls(self) -> Pulls:
        return self._pulls

    def known(self, path: str) -> tuple[Agreed | None, api.PathNote | None]:
        """What both sides agreed on at a path, and what there is to say of it."""
        return self._base.entries.get(path), self._notes.get(path)

    def agreed_here(self, path: str) -> Identity | None:
        """What both sides agreed that a managed path is here. From any thread; it holds as long as
        `managed_digest` is the same."""
        agreed = None if self._base.is_theirs(path) else self._base.entries.get(path)
        return agreed.local if agreed is not None else None

    @property
    def managed_digest(self) -> str:
        """The identity digest of the managed set, as the agent last answered."""
        return self._base.remote_digest()

    def this_side(self) -> ThisSide:
        """For decisions about this side, whether or not there is a connection."""
        return ThisSide(self._shared, self._landing, self.trash, self._loop.lock, self._store)

    def both_sides(self) -> Reach:
        """For decisions about both. Raises Disconnected where there is no connection."""
        now, here = self._loop.attached(), self.this_side()
        return Reach(here, now.there, now.pusher, now.puller, self._person, self.sync)


@contextlib.asynccontextmanager
async def _meanwhile(work: Coroutine[Any, Any, object]) -> AsyncIterator[asyncio.Task[object]]:
    """Has it go on beside the block, and ends it with that."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # told by whoever waited for it, or of no interest any more
