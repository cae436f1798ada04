"""The engine: one project and one host, brought together and kept together.

Everything that happens is the same step (steps/step.py): *these paths may differ; look at both
sides, reconcile, act*. A save names one path, a branch switch hundreds, a reconnect all that a scan
and a sweep found. Steps are taken one at a time (`_step`); what they send is answered while the
next one goes on (pushing/push.py), and only an answer changes base.

It is a long module, and one noun: what calls for a step, and what may come in between (an answer, a
refusal, the end of the connection), can only be read together.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path

import msgspec

from sidecar import api
from sidecar.config import model
from sidecar.core import messages, paths, reconcile
from sidecar.core.identity import DIRECTORY, Identity
from sidecar.errors import Disconnected, SidecarError, SyncError
from sidecar.questions import Choice, Person
from sidecar.remote.connection import AgentConnection
from sidecar.ssh.deadline import within
from sidecar.sync.delta.revision import Delta
from sidecar.sync.delta.signature import FileSignature
from sidecar.sync.delta.signatures import SignatureStore
from sidecar.sync.disk import local_files
from sidecar.sync.disk.landing import LocalLanding
from sidecar.sync.disk.local_files import Source
from sidecar.sync.disk.trash import LocalTrash
from sidecar.sync.guarding import guards
from sidecar.sync.guarding.allowance import Allowance
from sidecar.sync.guarding.first_contact import NOT_NOW, Prefer
from sidecar.sync.guarding.notes import WHOLE, Notes, unsent
from sidecar.sync.guarding.removals import Removals
from sidecar.sync.pulling.fetching import Fetching
from sidecar.sync.pulling.pull import Puller
from sidecar.sync.pulling.taking import Taking, Wish
from sidecar.sync.pushing.barrier import Barrier, raise_barrier, refuse_to_run_other_code
from sidecar.sync.pushing.change import Change
from sidecar.sync.pushing.push import Pusher
from sidecar.sync.pushing.upload import CANCELLED, Transfer
from sidecar.sync.rules.ignore import Rules
from sidecar.sync.rules.pulls import Pulls
from sidecar.sync.steps import reach
from sidecar.sync.steps.meeting import NOTHING_SAID, Meeting, Terms
from sidecar.sync.steps.reach import Reach
from sidecar.sync.steps.step import Project, Step, disconnected
from sidecar.sync.trees.base import Agreed
from sidecar.sync.trees.bond import Bond, folder_at
from sidecar.sync.trees.here import Here, differing
from sidecar.sync.trees.scan import Scan
from sidecar.sync.trees.stored import Stored
from sidecar.sync.trees.there import Found, There
from sidecar.sync.watching.explore import Explorer
from sidecar.sync.watching.lookout import Lookout
from sidecar.sync.watching.watch import Watcher

log = logging.getLogger(__name__)

WATCH_FIRST = 5.0
"""Seconds that the first scan waits for the watch; it takes a second for 5,000 folders."""

WATCH_AGAIN = 30.0
"""Seconds after which a watch here that failed is begun again."""

LOOK_AGAIN = ("differs", "follows", "aborted", "damaged")
"""Refusals that say: the plan was made for another state than was found."""

LOSSES = ("root-gone", "root-replaced", "remote-emptied")
"""Codes of what ends an attachment over a connection that stands."""

REMEDIES = {
    "disk": "nothing was changed there; see to its disk, then `sidecar sync`",
    "path": "nothing was changed there; see to that path there, then `sidecar sync`",
    "large": "nothing was changed there; `sidecar resolve --keep local` asks about it",
}
OTHER_REMEDY = "nothing was changed there; `sidecar sync` tries again"
"""What next, by the code of a refusal that looking again does not settle."""

SEND = "Send them"
REMOVE = "Remove them there (to the trash)"
"""Answers to what waits for a word."""

TURN = 0.004
"""Seconds that a long computation keeps everything else waiting."""

TELL_EVERY = 0.2
"""Seconds between two tellings of how far an upload is."""

PATIENCE = 5
"""Times in a row that a path is looked at again before the refusal is shown; and rounds of those
after which a sync is over, for files that somebody writes without an end."""


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
        self.last_sync = ""
        self.lost: SidecarError | None = None
        """Why both sides are apart although the connection stands: one folder as a whole is not
        what it was. Another `attach` is needed."""
        self.pushing = 0
        """The last root's number over which changes may have gone."""
        self.just_met = False
        """Both sides met for the first time, and nobody was told yet what is not synced."""
        self._owner, self._person = owner, person
        self._on_synced, self._on_change = on_synced, on_change
        self._shown_by = shown_by
        store, rules, self._base = stored
        self._pulls = Pulls(settings.pull, rules)
        self._pull_max = settings.pull_max
        self._signatures = SignatureStore(store / "signatures")
        self._bond = Bond(store / "bond.json")
        signature, keep = self._signature_before, self._signatures.put
        self._here = Here(root, rules, signature, keep, self._base.entries, self._early)
        self._watcher: Watcher | None = None
        self._there: There | None = None
        self._pusher: Pusher | None = None
        self._lookout: Lookout | None = None
        self._explorer: Explorer | None = None
        self._puller: Puller | None = None
        self._taking: Taking | None = None
        self._store = store
        self.trash = LocalTrash(store / "trash")
        self._landing = LocalLanding(root, store, self.trash)
        self._named: frozenset[str] = frozenset()
        """Paths that a person named in what is being done."""
        self._called_off: dict[str, Identity | None] = {}
        """Files whose upload was called off, as they were then."""
        self._told_at = 0.0
        self._ready = False
        self._dirty: set[str] = set()
        self._rescan = False
        self._shared = Project(
            root=root,
            name=project,
            host=host,
            mode=settings.mode,
            here=self._here,
            base=self._base,
            pulls=self._pulls,
            dirty=lambda: self._dirty,
            touch=self._touch,
            saved=asyncio.Event(),
            take_saved=self._take_saved,
            take=self._take,
            scanning=self._under_watch,
            synced=self._say_synced,
            changed=lambda: self._on_change(),
            removals=Removals(store / "removals.json", root),
            allowance=Allowance(settings.ask_above),
        )
        self._notes, self._saves = self._shared.notes, self._shared.saves
        self._refusals = self._shared.refusals
        self._wake = asyncio.Event()
        self._watched = asyncio.Event()
        self._step = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []

    # --- state

    @property
    def queued(self) -> int:
        """Changes that are not visible there yet."""
        on_their_way = self._pusher.waiting if self._pusher else 0
        return len(self._dirty) + self._shared.left + on_their_way

    @property
    def transfers(self) -> list[Transfer]:
        """Large contents on their way there, and how far they are."""
        return self._pusher.transfers if self._pusher else []

    def cancel_uploads(self) -> None:
        """Calls off the uploads that are under way. Their files stay as they are there, with a
        note, until they change again or a sync is asked for; it goes on where they stopped."""
        if self._pusher is not None:
            self._pusher.cancel_uploads()

    @property
    def stepping(self) -> bool:
        """A step is under way: what it looks at is queued no more, and not sent yet."""
        return self._step.locked()

    @property
    def files(self) -> int:
        """Paths that both sides agree on."""
        return len(self._base.entries)

    @property
    def notes(self) -> list[api.PathNote]:
        """What needs a person, or should be known, by path."""
        said = self._notes.paths
        return [*self._notes.all, *(one for one in self._here.problems if one.path not in said)]

    @property
    def waiting(self) -> str:
        """What waits for a word of the person, in words; "" for nothing."""
        held = len(self._shared.removals.held)
        much = self._shared.allowance.described()
        parts = [f"{held} removals"] if held else []
        return " and ".join([*parts, much] if much else parts)

    @property
    def coming(self) -> int:
        """Files and links that are on their way here."""
        return self._puller.waiting if self._puller else 0

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
        return self._watcher.missing if self._watcher else ""

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
        return self._ready

    # --- life

    async def start(self) -> None:
        """Watches the project here. Changes are collected until there is a connection."""
        self._tasks = [
            asyncio.create_task(self._watch(), name=f"watch {self.root}"),
            asyncio.create_task(self._work(), name=f"sync {self.root}"),
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
        if self._pusher is not None:
            self._dirty.update(self._pusher.latest)
            self._pusher.close()
        if self._lookout is not None:
            self._lookout.close()
        if self._taking is not None:
            self._taking.close()
        if self._puller is not None:
            self._puller.close()
        if self._there is not None:
            self._there.close()
        self._pusher, self._there, self._ready = None, None, False
        self._taking, self._lookout = None, None
        self._explorer = self._puller = None
        self._on_change()

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
        async with self._step, self._noticing_a_loss():
            self.detach()
            self._named = frozenset()
            self.lost = None
            there = self._there = There(agent, number, self._base)
            try:
                meeting = self._meeting(there, terms)
                prefer = await meeting.bring_together()
                self.just_met |= meeting.first
                self._refuse_to_go_on_over(there)
                self.remote_root = meeting.opened.path
                self._shared.folder = meeting.folder_here
                self.pushing = number
                self._pusher = Pusher(
                    agent,
                    number,
                    self.root,
                    self._base,
                    self._signatures,
                    refused=self._on_refused,
                    agreed=self._on_agreed,
                    moved=self._on_moved,
                )
                there.on_its_way = self._pusher.latest.__contains__
                self._taking = Taking(there, self._landing, self._step, self._notes, self._touch)
                self._explorer = Explorer(
                    there,
                    self._base,
                    self._pulls,
                    self._here.rules,
                    self._shared.mode == reconcile.MIRROR,
                )
                self._puller = Puller(
                    agent,
                    self.root,
                    self._base,
                    there,
                    self._landing,
                    self._pulls,
                    self._pull_max,
                    self._notes,
                    self._step,
                    touch=self._touch,
                    changed=self._on_change,
                )
                self._ready = True
                await self._bring(self._differing(meeting.found) | set(there.differing), prefer)
            except BaseException:
                self.detach()
                raise
            if self._tasks:
                self._lookout = Lookout(
                    there,
                    self._base,
                    self._explorer,
                    self._touch,
                    self._try_again,
                    self._refuse_an_emptied_side,
                    self._failed,
                )
        async with self._noticing_a_loss():
            await self._ask_about_what_waits(yes=terms.yes)
            await self._settle()
            pusher, _ = self._connected()
        return self._result(pusher, 0, 0, removed, 0, began)

    async def preview(
        self, agent: AgentConnection, number: int, terms: Terms = NOTHING_SAID
    ) -> tuple[list[str], str]:
        """What `attach` would do, in lines such as "push model.py"; "decide" is for what it would
        ask about. And where it is first contact, how both sides compare, in words. Nothing is
        changed on either side.

        Raises:
            SyncError: the folder cannot be used.
            Disconnected: the connection went away meanwhile.
        """
        if self.attached:  # another look would tell base what the first one's agent does not hear
            return (await self.sync(prefer=terms.prefer, dry_run=True)).plan, ""
        async with self._step:
            there = There(agent, number, self._base)
            meeting = self._meeting(there, terms)
            compared = await meeting.look_only()
            if compared is None:
                step = Step(self._shared, there, self._pusher, terms.prefer)
                here = await step.look(self._differing(meeting.found) | set(there.differing))
                return _lines(step.plan(here, await there.nodes(here))), ""
        decided = {"": "decide", "local": "push", "remote": "take", "newer": "compare"}
        plan = [
            *(f"push {path}" for path in sorted(compared.only_here)),
            *(f"{decided[terms.prefer]} {path}" for path in sorted(compared.different)),
        ]
        return plan, meeting.described(compared)

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

    def _refuse_to_go_on_over(self, there: There) -> None:
        """Raises Disconnected where its connection went away while somebody was asked."""
        if self._there is not there:
            raise self._disconnected()

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
                self._saves.told(path)
                self._touch(path)
                self._shared.saved.set()

    def _take_saved(self) -> set[str]:
        """What an editor saved while a step is under way, which takes it in between."""
        self._shared.saved.clear()
        saved = {path for path in self._dirty if path in self._saves}
        self._dirty -= saved
        return saved

    def _touch(self, path: str) -> None:
        self._rescan |= self._here.rules.is_rule_file(path)
        self._dirty.add(path)
        self._wake.set()

    async def _watch(self) -> None:
        while True:
            try:
                self._watcher = Watcher(self.root, self._here.rules)
                async for batch in self._watcher.batches():
                    self._rescan |= batch.rescan
                    for path in batch.paths:
                        self._touch(path)
                    self._watched.set()
                    self._wake.set()
            except Exception:  # scans take over until it watches again
                log.exception("the watch on %s ended", self.root)
            self._rescan = True
            self._watched.set()
            self._wake.set()
            await asyncio.sleep(WATCH_AGAIN)

    async def _under_watch(self) -> None:
        """Returns when the scan that follows is all that the watch asks for. Before it stands, the
        two get into each other's way, and once it does it asks for a scan: of 20,000 files, 190 ms
        in place of 430."""
        if self._tasks:  # one that was not started is not watched
            with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
                await within(WATCH_FIRST, self._watched.wait())
        # Rules that changed are read by the step that takes their files.
        self._rescan = any(map(self._here.rules.is_rule_file, self._dirty))

    def _differing(self, found: Scan) -> set[str]:
        latest = self._pusher.latest.copy() if self._pusher else {}
        on_their_way = {path: change.local for path, change in latest.items()}
        changed = differing(found, self._base.entries, on_their_way)
        return {
            path
            for path in changed
            if not self._is_called_off(path, found) and not self._is_as_it_came(path, found)
        }

    def _is_called_off(self, path: str, found: Scan) -> bool:
        """Whether it still is the content whose sending a person called off."""
        seen = self._called_off.get(path)
        return seen is not None and found.entries.get(path) == seen

    def _is_as_it_came(self, path: str, found: Scan) -> bool:
        """Whether a path that came from there, and is not scanned since it is ignored here, was
        left as it is."""
        if path in found.entries or not self._base.is_theirs(path):
            return False
        agreed = self._base.entries.get(path)
        try:
            now = local_files.lookup(self.root, path)
        except (OSError, paths.PathError):
            return False
        return agreed is not None and now == agreed.local

    def _signature_before(self, path: str) -> FileSignature | None:
        """Of the content that the path was last sent with. From any thread."""
        change, agreed = self._on_its_way(path), self._base.entries.get(path)
        node = change.node if change is not None else agreed.node if agreed is not None else None
        return self._signatures.get(node.digest) if node is not None and node.digest else None

    def _early(self, path: str, source: Source, delta: Delta) -> None:
        """A large file has changed so, and is still being hashed. From any thread."""
        pusher, agreed = self._pusher, self._base.entries.get(path)
        if pusher is None or agreed is None or agreed.node.digest != delta.base:
            return
        if path not in pusher.latest and not self._here.rules.decide(path, False).ignored:
            pusher.draft(path, source, delta, agreed.remote)

    def _on_its_way(self, path: str) -> Change | None:
        pusher = self._pusher
        return pusher.latest.get(path) if pusher else None

    # --- steps

    async def _work(self) -> None:
        """Takes a step whenever something may differ and there is a connection."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                async with self._step, self._noticing_a_loss():
                    if self._ready:
                        async with self._taken() as dirty:
                            await self._bring(dirty, patient=True)
            except Disconnected:
                self._rescan = True  # detach follows, and the next attach looks at everything
            except SidecarError as error:
                self._rescan = True
                if self.lost is None:
                    self._notes.say(WHOLE, "refused", str(error))
            except Exception as error:  # a mistake of ours must not end syncing in silence
                log.exception("a step of %s failed", self.project)
                self._rescan = True
                self._notes.say(WHOLE, "refused", f"an error of the sidecar's own: {error!r}")
            self._on_change()

    @contextlib.asynccontextmanager
    async def _noticing_a_loss(self) -> AsyncIterator[None]:
        """A folder that as a whole is not what it was ends the attachment; `lost` says why, in
        place of the error that shows it."""
        try:
            yield
        except Disconnected:
            if self.lost is not None:
                raise self.lost from None
            raise
        except SidecarError as error:
            self._failed(error)
            if self.lost is not None:
                raise self.lost from None
            raise

    def _lose(self, error: SidecarError) -> None:
        if self.lost is None and self._ready:
            log.warning("%s and %s are apart: %s", self.project, self.host, error)
            self.lost = error
            self.detach()

    def _failed(self, error: SidecarError) -> None:
        """Ends the attachment where the error says that a folder as a whole is not what it was."""
        if error.code in LOSSES:
            self._lose(error)
        elif error.code == "root":
            self._lose(guards.remote_lost(self.host, error.what))

    def _refuse_an_emptied_side(self, there: There) -> None:
        if guards.is_emptied(self._base.entries, self.files, there.differing):
            raise guards.remote_emptied(self.files, f"{self.host}:{self.remote_root}")

    @contextlib.asynccontextmanager
    async def _taken(self, *, rescan: bool = False) -> AsyncIterator[set[str]]:
        """What may differ, for a step; it may again where that fails or is called off."""
        dirty, self._dirty = self._dirty, set()
        rescan |= self._rescan
        self._rescan = False
        try:
            if rescan:
                dirty |= await asyncio.to_thread(self._scan_for_changes, dirty)
            yield dirty
        except BaseException as error:
            self._dirty |= dirty
            self._rescan |= rescan
            if isinstance(error, asyncio.CancelledError):  # else the next try would fail as well
                self._wake.set()
            raise

    def _scan_for_changes(self, dirty: set[str]) -> set[str]:
        """What differs in a fresh scan. Blocking. Changed rules are read before they are used,
        also those that nobody told of."""
        rules = self._here.rules
        if any(map(rules.is_rule_file, dirty)):
            rules.reload()
        changed = self._differing(self._here.scan())
        if any(map(rules.is_rule_file, changed - dirty)):
            rules.reload()
            changed = self._differing(self._here.scan())
        return changed

    async def _bring(self, dirty: set[str], prefer: Prefer = "", *, patient: bool = False) -> None:
        """One step over these paths; see Step.bring."""
        if self._there is None or self._pusher is None:
            raise self._disconnected()
        step = Step(self._shared, self._there, self._pusher, prefer, self._puller)
        await step.bring(dirty, patient=patient)

    def _take(self, path: str, here: Identity | None, found: Found) -> None:
        if self._taking is not None:
            self._taking.begin(Wish(path, here, found, path in self._named))

    # --- answers

    def _on_agreed(self, change: Change) -> None:
        self.last_sync = datetime.now(timezone.utc).isoformat(timespec="seconds")
        self._refusals.pop(change.path, None)
        self._shared.allowance.arrived(change.path)
        if self._there is not None:
            if self._there.answered(change.path):
                self._touch(change.path)
            if self._pulls or self._base.theirs:
                is_folder = change.node is not None and change.node.kind == DIRECTORY
                theirs = bool(self._pulls.of(change.path, is_folder) & reconcile.THEIRS)
                self._there.pushed(change.path, theirs)
        if self._on_its_way(change.path) is None:
            self._say_synced(change.path, change.bytes_sent)
        self._on_change()

    def _say_synced(self, path: str, bytes_sent: int = 0) -> None:
        """Tells of a save that it is visible there, if an editor told of it."""
        milliseconds = self._saves.visible(path)
        if milliseconds is not None:
            self._on_synced(
                api.Synced(
                    project=self.project,
                    host=self.host,
                    paths=[path],
                    bytes_sent=bytes_sent,
                    milliseconds=milliseconds,
                )
            )

    def _on_refused(self, change: Change, refused: messages.Refused) -> None:
        path, have = change.path, refused.have
        if refused.code == "root":
            self._touch(path)
            self._lose(guards.remote_lost(self.host, refused.why))
            return
        ours = change.taken_back or change.called_off
        if not ours and refused.code != "follows":  # those come of another change
            self._refusals[path] = self._refusals.get(path, 0) + 1
        if refused.code == "differs" and self._there is not None:
            self._there.differs(path, have)
        if refused.code == "large" and self._there is not None:
            self._there.too_large.add(path)
        if change.node is None and have is not None and have.kind == DIRECTORY:
            # It holds something that only the remote has: theirs from now on.
            if self._there is not None:
                self._there.forget(path)
            self._notes.say(
                path, reconcile.KEPT, "deleted here; the remote has files of its own in it"
            )
        elif change.called_off:
            self._called_off[path] = change.local
            self._notes.say(path, "held", f"{CANCELLED}; `sidecar sync` goes on with it")
        elif refused.code in LOOK_AGAIN and self._refusals.get(path, 0) < PATIENCE:
            self._touch(path)
        else:
            remedy = REMEDIES.get(refused.code, OTHER_REMEDY)
            self._notes.say(path, "refused", f"{self.host} said: {refused.why}; {remedy}")
        self._on_change()

    def _on_moved(self) -> None:
        """A large content got further; told now and then, for people."""
        now = time.monotonic()
        if now - self._told_at > TELL_EVERY:
            self._told_at = now
            self._on_change()

    def _try_again(self) -> bool:
        """Takes a step that failed again; whether there is one."""
        if self._dirty or self._rescan:
            self._wake.set()
        return self._wake.is_set()

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
        began = time.monotonic()
        plan: list[str] = []
        async with self._step, self._noticing_a_loss():
            pusher, there = self._connected()
            sent, seq, removed = pusher.bytes_sent, pusher.seq, self._shared.removed
            taken = self._came
            self._refusals.clear()
            self._called_off.clear()
            async with self._taken(rescan=True) as dirty:
                await there.sweep()
                if prefer != "local":
                    self._refuse_an_emptied_side(there)
                await self._exploring.look(clean=True)
                dirty |= there.differing.keys() | self._notes.paths
                chosen = {self._here.relative(path) for path in only} & dirty if only else dirty
                if dry_run:
                    self._dirty |= dirty
                    step = Step(self._shared, there, pusher, prefer)
                    here = await step.look(dirty)
                    plan = _lines(step.plan(here, await there.nodes(here)))
                else:
                    if dirty - chosen:
                        await self._bring(dirty - chosen)
                    self._named = frozenset(map(self._here.relative, only))
                    await self._bring(chosen, prefer)
        if not dry_run:
            async with self._noticing_a_loss():
                await self._ask_about_what_waits(yes=yes)
                await self._settle(pulled=True)
        return self._result(pusher, seq, sent, removed, taken, began, plan)

    @property
    def _came(self) -> int:
        """Files and links that came here over this connection."""
        return (self._taking.taken if self._taking else 0) + (
            self._puller.pulled if self._puller else 0
        )

    async def also_pull(self, result: api.SyncResult) -> api.SyncResult:
        """After an `attach` that somebody asked for as a sync: what is to come here, too.

        Raises:
            Disconnected: the connection went away meanwhile.
        """
        if not self._exploring.needed:
            return result
        began, taken = time.monotonic(), self._came
        for path in await self._exploring.look(clean=True):
            self._touch(path)
        async with self._noticing_a_loss():
            await self._settle(pulled=True)
        return msgspec.structs.replace(
            result,
            taken=result.taken + self._came - taken,
            seconds=result.seconds + time.monotonic() - began,
            notes=self.notes,
        )

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
        _, there = self._connected()
        assert self._puller is not None
        fetching = Fetching(self.root, self._base, there, self._here, self._puller, self._notes)
        return await fetching.fetch(wanted, prefer, dry_run=dry_run)

    def _result(
        self,
        pusher: Pusher,
        seq: int,
        sent: int,
        removed: int,
        taken: int,
        began: float,
        plan: Sequence[str] = (),
    ) -> api.SyncResult:
        """What was done since `pusher` stood at `seq` and `sent` bytes."""
        gone = self._shared.removed - removed
        return api.SyncResult(
            sent=pusher.seq - seq - gone,
            removed=gone,
            taken=self._came - taken,
            bytes_sent=pusher.bytes_sent - sent,
            seconds=time.monotonic() - began,
            notes=self.notes,
            plan=list(plan),
        )

    async def _settle(self, *, pulled: bool = False) -> None:
        """Waits until all that is known of now was sent and answered, and sent again where the
        answer was to look again."""
        for _ in range(PATIENCE):
            pusher, _ = self._connected()
            await pusher.settled()
            if self._taking is not None:
                await self._taking.settled()
            if pulled and self._puller is not None:
                await self._puller.settled()
            async with self._step:
                self._connected()
                if not self._dirty:
                    return
                async with self._taken() as dirty:
                    await self._bring(dirty)

    async def _ask_about_what_waits(self, *, yes: bool) -> None:
        """What is unusually much, or an unusual number of removals. Small saves go on meanwhile,
        so no step is under way. Nobody to ask: it goes on waiting."""
        allowance, removals = self._shared.allowance, self._shared.removals
        if allowance.waiting:
            question = f"{self.host} would get {allowance.described()}"
            if yes or await self._is_answered(question, SEND, "sidecar sync --yes"):
                self._touch_all(allowance.allow())
        if removals.held:
            count = len(removals.held)
            question = f"{count} files were deleted here at once; {self.host} still has them"
            if await self._is_answered(question, REMOVE, "sidecar sync --prefer local"):
                waiting = list(removals.held)
                removals.may_be_made(waiting)
                removals.asked_for(waiting)
                self._touch_all(waiting)

    async def _is_answered(self, question: str, answer: str, fix: str) -> bool:
        return await self._person.choose(Choice(question, (answer, NOT_NOW), fix)) == answer

    def _touch_all(self, paths: Iterable[str]) -> None:
        for path in paths:
            self._touch(path)

    def seen_by(self, agent: AgentConnection, number: int) -> There:
        """The folder as another machine shows it that has the same one."""
        return There(agent, number, self._base)

    async def answered(self) -> None:
        """Returns when all that was sent so far was answered."""
        pusher, _ = self._connected()
        await pusher.settled()

    async def barrier(self, *, as_is: bool = False, job: str = "") -> Barrier:
        """Sends every change that was made before this call, and says what a run must find there.

        Args:
            as_is: it runs on what is there, whatever that is.
            job: what runs, by which `changed_since` knows this moment.

        The answers are not waited for: the run is sent straight behind the changes, and the agent
        holds it until they are made (messages.Run).

        Raises:
            RunError: a change cannot be sent, so the run would see other code.
            Disconnected: there is no connection.
        """
        self._connected()
        async with self._step, self._noticing_a_loss():
            self._connected()
            async with self._taken(rescan=True) as dirty:
                await self._bring(dirty)
            pusher, there = self._connected()
            await there.tell()  # the run must find the list that its digest is of
            if not as_is:
                refuse_to_run_other_code(unsent(self.notes), self.host)
            await self._digest_in_turns()
            return raise_barrier(pusher, self._base, as_is=as_is, job=job)

    async def _digest_in_turns(self) -> None:
        """The first content digest of a large tree takes longer than others can wait."""
        turn = time.monotonic() + TURN
        for _ in self._base.content.prepare():
            if time.monotonic() > turn:
                await asyncio.sleep(0)
                turn = time.monotonic() + TURN

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

    def this_side(self) -> reach.ThisSide:
        """For decisions about this side, whether or not there is a connection."""
        return reach.ThisSide(self._shared, self._landing, self.trash, self._step, self._store)

    def both_sides(self) -> Reach:
        """For decisions about both. Raises Disconnected where there is no connection."""
        pusher, there = self._connected()
        assert self._taking is not None
        here = self.this_side()
        return Reach(here, there, pusher, self._taking, self._person, self.sync)

    async def survey(self, agent: AgentConnection, number: int) -> list[api.PathNote]:
        """What there is to decide or to know, looked for on both sides now. Changes nothing.

        Raises:
            SyncError: the two sides never met, or the folder cannot be used.
            Disconnected: the connection went away meanwhile.
        """
        async with self._step:
            if self._ready:
                _, there = self._connected()
                async with self._taken(rescan=True) as dirty:
                    await there.sweep()
                    dirty |= there.differing.keys() | self._notes.paths
                    self._dirty |= dirty  # a look is no step
            else:
                there = There(agent, number, self._base)
                meeting = self._meeting(there, NOTHING_SAID)
                if await meeting.look_only() is not None:
                    raise SyncError(
                        f"{self.project} and {self.host} were not brought together yet",
                        "so there is nothing to compare with",
                        "look with `sidecar sync -n`",
                        code="first-contact",
                    )
                dirty = self._differing(meeting.found) | set(there.differing)
            step = Step(self._shared, there, self._pusher)
            here = await step.look(dirty)
            seen = await there.nodes(here)
            notes = step.notes_of(step.plan(here, seen), here, seen)
            told = Notes()
            for note in notes:
                told.take(note)
            told.name_owners(await step.owners(seen, told.paths))
            others = [note for note in self.notes if told.get(note.path) is None]
        if self._ready:
            self._wake.set()
        kinds = ("held", "waiting", "refused", "unreadable", "skipped")
        return [*told.all, *(note for note in others if note.kind in kinds)]

    def _connected(self) -> tuple[Pusher, There]:
        if not self._ready:
            raise self._disconnected()
        assert self._pusher is not None
        assert self._there is not None
        return self._pusher, self._there

    @property
    def _exploring(self) -> Explorer:
        if self._explorer is None:
            raise self._disconnected()
        return self._explorer

    def _disconnected(self) -> Disconnected:
        return disconnected(self.host)


def _lines(plan: reconcile.Plan) -> list[str]:
    """A plan for people: "push model.py"."""
    return [f"{type(action).__name__.lower()} {action.path}" for action in plan.actions]
