"""Sessions: one project on one host. Its lock, its engine, its jobs, and where it stands.

A session lives while a face holds it, and a little longer: until what is queued has gone out over
a connection that stands. A folder's lock (a held `flock`) keeps a second hub from syncing the same
project, whatever runtime folder that one uses.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import getpass
import logging
import os
import re
import socket
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

from sidecar import api
from sidecar.config import laptop, model, places
from sidecar.config.project import Project
from sidecar.core.copies import place
from sidecar.core.pathmap import PathMap
from sidecar.errors import Disconnected, SidecarError, SyncError
from sidecar.hub.client import Client, WhoeverAsked, in_nobodys_name
from sidecar.hub.comeback import Comeback
from sidecar.hub.following import Following
from sidecar.hub.held import let_go
from sidecar.hub.interpreters import Interpreters
from sidecar.hub.links import Destination, Link, Links
from sidecar.hub.spelled import as_configured
from sidecar.jobs.client import JobsClient
from sidecar.remote.connection import AgentConnection
from sidecar.sync.engine import SyncEngine
from sidecar.sync.guest import Guest
from sidecar.sync.pushing.barrier import Barrier
from sidecar.sync.steps.meeting import NOTHING_SAID, Terms
from sidecar.sync.trees.stored import Stored

log = logging.getLogger(__name__)

OF_JOBS = (
    "python",
    "setup",
    "env",
    "launch",
    "log_max",
    "on_quit",
    "freeze",
    "forward",
    "ports",
)
"""Settings of a host that a session may take while it stands."""

TOLD_EVERY = 0.05
"""Seconds between two notes of the same session's state: a first sync changes it per file."""


class Session:
    """A project on a host. Made by `open`, ended by `close`; the link is dialled by `ready`."""

    def __init__(
        self,
        project: Project,
        name: str,
        host: model.Host,
        sync: model.Sync,
        links: Links,
        lock: int,
        stored: Stored,
        on_change: Callable[[], None],
        others: Callable[[], Iterable[Session]],
    ) -> None:
        self.project, self.name, self.host, self.sync = project, name, host, sync
        self.clients: set[Client] = set()
        self.named: set[Client] = set()
        """Those who want this host, whichever is used."""
        self.in_use = True
        """Runs and saves go here where no host is named; the registry knows."""
        self.links = True
        self.load = ""
        """How busy its machine was when somebody last looked, while the connection stands."""
        self.failed: SidecarError | None = None
        """Why both sides could not be brought together, when the way there stands."""
        self._links, self._lock, self._on_change = links, lock, on_change
        self._others = others
        self.guest: Guest | None = None
        """Where the folder there is kept in step through another host."""
        self._marker = ""
        self._spare: tuple[AgentConnection, int] | None = None
        """A root's number over which nothing was sent yet."""
        self._attached: AgentConnection | None = None
        self._home = ""
        """The account's there, as its environment names it."""
        self.number = 0
        """Of the root on the connection that it is attached to."""
        self._wanted = False
        """Somebody wanted both sides brought together, so that a connection which comes back is to
        do it again; a dry run does not."""
        self._attaching = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._telling: asyncio.TimerHandle | None = None
        self._told: tuple[api.Health, list[api.PathNote]] | None = None
        self.closed = False
        self.behind: set[asyncio.Task[None]] = set()
        """What is kept with jobs and goes there behind their start."""
        self.interpreters = Interpreters(self)
        self.jobs = JobsClient(name, laptop=laptop.identity(), owner=laptop.owner())
        self._jobs_over: AgentConnection | None = None
        self.engine = SyncEngine(
            root=project.root,
            settings=sync,
            stored=stored,
            project=str(project.spelled),
            host=name,
            folder=host.path,
            owner=f"{getpass.getuser()}@{socket.gethostname()}:{project.root}",
            person=WhoeverAsked(),
            on_synced=self._synced,
            on_change=self._engine_changed,
            shown_by=self._shown_by,
        )
        self.following = Following(self.engine, name, stored.folder / "git.json", self.link_changed)
        self._comeback = Comeback(self.engine, self._look_again)
        python = host.python if host.python.startswith(("/", "~", "$")) else ""
        self.link: Link = links.take(
            Destination(host.ssh, host.transport, host.via, host.state, host.bootstrap),
            self,
            python,
        )

    @classmethod
    async def open(
        cls,
        project: Project,
        name: str,
        host: model.Host,
        sync: model.Sync,
        links: Links,
        on_change: Callable[[], None],
        others: Callable[[], Iterable[Session]] = tuple,
    ) -> Session:
        """Locks the project's state and begins to watch it. Nothing is dialled.

        Args:
            others: all sessions that there are.
        Raises:
            SyncError: another process syncs this project to that host.
        """
        store = places.project_state(project.root, name)
        lock = locked(store, project, name)
        try:
            stored = await _read(project.root, sync, store)
        except BaseException:
            let_go(lock)
            raise
        try:
            session = cls(project, name, host, sync, links, lock, stored, on_change, others)
        except BaseException:
            stored.base.close()
            let_go(lock)
            raise
        # The watcher's steps are nobody's request.
        try:
            await in_nobodys_name(session.engine.start(), name=f"start {project.root}")
        except BaseException:  # called off: the next one that asks must find the lock free
            await asyncio.shield(session.close())
            raise
        return session

    @property
    def root(self) -> Path:
        return self.project.root

    @property
    def pending(self) -> bool:
        """Something is still to go out over a connection that stands, or a job is being ended."""
        sending = self.engine.queued > 0 or self.engine.stepping or bool(self.behind)
        sending = sending or self.following.busy
        return (self.engine.attached and sending) or self.jobs.stopping

    def take_over(self, before: Session) -> None:
        """The place of a session that is closed, whose settings have changed: its clients, and
        that both sides are to be the same."""
        self.clients |= before.clients
        self._wanted = before._wanted
        self._bring_back()

    async def reopened(self, but: Client) -> Session:
        """The same once more, when this one is closed and what it remembered is gone: for its
        clients, without that one. Nothing is brought together before somebody asks."""
        again = await Session.open(
            self.project,
            self.name,
            self.host,
            self.sync,
            self._links,
            self._on_change,
            self._others,
        )
        again.clients, again.named = self.clients - {but}, self.named - {but}
        again.in_use, again.links = self.in_use, self.links
        again.interpreters.origins = self.interpreters.origins
        return again

    def renew(self, host: model.Host) -> bool:
        """Takes settings that concern jobs alone; False where others differ as well, and it has to
        be opened anew."""
        jobs_alone = {name: getattr(host, name) for name in OF_JOBS}
        if msgspec.structs.replace(self.host, **jobs_alone) != host:
            return False
        if (self.host.python, self.host.setup) != (host.python, host.setup):
            self.interpreters.forget()
        self.host = host
        return True

    def path_map(self, copy: str = "") -> PathMap:
        """Both spellings of the root on each side; only when attached.

        Args:
            copy: of the code, that a frozen run's files are in.
        """
        local = dict.fromkeys([str(self.project.spelled), str(self.project.root)])
        root = self.engine.remote_root
        spelled = as_configured(self.host.path, self._home)
        there = dict.fromkeys([root, spelled or root])
        return PathMap(list(local), [*there, place(root, copy)] if copy else list(there))

    def folders(self, copy: str = "") -> list[api.Folder]:
        """What programs there call the project, the deepest first; none where it is not
        attached."""
        if not self.engine.remote_root:
            return []
        here = str(self.project.spelled)
        there = reversed(self.path_map(copy).remote)
        return [api.Folder(here=here, there=folder) for folder in there]

    async def ready(self, *, unasked: bool = False) -> AgentConnection:
        """Both sides, brought together over a connection that stands.

        Args:
            unasked: as for Link.connect.
        Raises:
            SidecarError: why not. `health` says it too, until the next try.
        """
        self.guest = None
        try:
            agent, _ = await self._brought_together(NOTHING_SAID, unasked=unasked)
        except SyncError as error:
            if error.code != "shown-twice":
                raise
            agent = await self._be_a_guest(error)
        return agent

    async def _be_a_guest(self, error: SyncError) -> AgentConnection:
        """Runs here see what the other host's session sends."""
        keeper = self._keeper()
        if keeper is None:
            raise error
        async with self._attaching:
            agent = await self._connected(unasked=True)
            number = self._unused_root(agent)
            guest = Guest(keeper.engine, agent, number, self.name)
            self.engine.remote_root = await guest.enter(self.host.path)
            self._home = agent.hello.home
            self.guest, self.number = guest, number
            self.interpreters.attached()
            self.jobs.paths = self.path_map()
            self.link_changed()
            return agent

    async def barrier(
        self, *, as_is: bool, job: str = "", beside: asyncio.Future[Any] | None = None
    ) -> Barrier:
        """What a run must find there; when `ready`. As SyncEngine.barrier."""
        if self.guest is not None:
            return await self.guest.barrier(as_is=as_is, job=job, beside=beside)
        return await self.engine.barrier(as_is=as_is, job=job, beside=beside)

    def changed_since(self, jobs: Iterable[str]) -> dict[str, list[str]]:
        """As SyncEngine.changed_since, whether or not there is a connection."""
        engine = self.guest.engine if self.guest is not None else self.engine
        return engine.changed_since(jobs)

    async def _brought_together(
        self, terms: Terms, *, unasked: bool = False
    ) -> tuple[AgentConnection, api.SyncResult | None]:
        """As `ready`; and what it took, where it was this call that did it."""
        self._wanted = True
        async with self._attaching:
            agent = await self._connected(unasked=unasked)
            if self._attached is agent:
                return agent, None
            number = self._unused_root(agent)
            self.interpreters.connected(agent)
            try:
                took = await self.engine.attach(agent, number, terms)
            except SidecarError as error:
                self.failed = error
                self._comeback.failed(error)
                self.link_changed()
                raise
            self.failed, self._attached, self.number = None, agent, number
            self._home = agent.hello.home
            self._comeback.together()
            self.interpreters.attached()
            self.jobs.paths = self.path_map()
            if self.host.git:
                self.following.begin(agent, number, made=self.engine.made_there)
            self.link_changed()
            return agent, took

    async def synced(self, params: api.SyncParams) -> api.SyncResult:
        """One sync, as somebody asked for it. The first one on a connection is what brings both
        sides together; a dry run before that only looks.

        Raises:
            SidecarError: as `ready`, or the connection went away meanwhile.
        """
        terms = Terms(params.prefer, params.take_over, params.yes)
        if params.dry_run and self._attached is None:
            agent = await self.connected()
            number = self._unused_root(agent)
            plan, summary = await self.engine.preview(agent, number, terms)
            return api.SyncResult(
                sent=0, removed=0, bytes_sent=0, seconds=0.0, plan=plan, summary=summary
            )
        try:
            agent, took = await self._brought_together(terms)
            await self.following.ask(agent, self.number)
            if took is not None:
                return await self.engine.also_pull(took, yes=terms.yes)
            return await self.engine.sync(
                only=params.paths, prefer=params.prefer, dry_run=params.dry_run, yes=params.yes
            )
        except asyncio.CancelledError:  # who asked for it does not want it any more
            self.engine.cancel_uploads()
            raise

    async def surveyed(self) -> list[api.PathNote]:
        """What there is to decide, looked for now; brings nothing together.

        Raises:
            SidecarError: as `connected`, or the two sides never met.
        """
        agent = await self.connected()
        return await self.engine.looks.survey(agent, self.link.new_root())

    async def pulled(self, params: api.PullParams) -> api.PullResult:
        """Fetches by hand.

        Raises:
            SidecarError: as `ready`; or a path is outside the project, or not there.
        """
        wanted = [self.engine.named(path) for path in params.paths]
        await self.ready()
        return await self.engine.pull(wanted, prefer=params.prefer, dry_run=params.dry_run)

    async def connected(self, *, unasked: bool = False) -> AgentConnection:
        """A connection, whether or not both sides can be brought together: enough to look at jobs
        and to stop them. Raises as Link.connect."""
        async with self._attaching:
            return await self._connected(unasked=unasked)

    async def _connected(self, *, unasked: bool) -> AgentConnection:
        if self.closed:
            raise Disconnected(
                f"{self.project.spelled} was closed", "its configuration has changed", "try again"
            )
        agent = await self.link.connect(unasked=unasked)
        if self._jobs_over is not agent:
            await self.jobs.resume(agent)
            self._jobs_over = agent
        return agent

    @contextlib.contextmanager
    def speaking(self) -> Iterator[None]:
        """Failures within are told in terms of this project's configuration: links and agents do
        not know what it calls their host."""
        try:
            yield
        except SidecarError as error:
            error.what = error.what.replace("the remote machine", self.name)
            error.fix = re.sub(r"\bhosts\.(NAME|X)\b", f"hosts.{self.name}", error.fix)
            error.args = (str(error),)
            raise

    async def close(self) -> None:
        self.closed = True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.interpreters.forget()
        self._comeback.cancel()
        self.following.end()
        if self._telling:
            self._telling.cancel()
        self.jobs.close()
        try:
            await self.engine.close()
        finally:
            self._links.give_back(self.link, self)
            let_go(self._lock)

    # --- what the link says ------------------------------------------------------------------

    def link_up(self, agent: AgentConnection) -> None:
        self._bring_back()

    def link_down(self, error: SidecarError) -> None:
        self._attached = self._jobs_over = self.guest = None
        self.following.end()
        self.interpreters.forget()
        self.engine.detach()
        self.jobs.disconnected()

    def link_changed(self) -> None:
        """Tells the clients, at most every TOLD_EVERY."""
        if self._telling is None and not self.closed:
            self._telling = asyncio.get_running_loop().call_later(TOLD_EVERY, self._tell)

    def _engine_changed(self) -> None:
        if self.engine.lost is not None and self._attached is not None:
            self.failed, self._attached = self.engine.lost, None
            self.following.end()
            self._comeback.failed(self.engine.lost)
        self.link_changed()

    def _look_again(self) -> None:
        if self.link.state == "ready" and self._attached is None:
            self._bring_back()

    def _unused_root(self, agent: AgentConnection) -> int:
        """A number over which nothing was sent: answers to what was are not to be mistaken for
        others'. One that was only looked through is used again, since an agent holds not many."""
        before = self._spare
        if before is None or before[0] is not agent or before[1] == self.engine.pushing:
            before = self._spare = agent, self.link.new_root()
        return before[1]

    def _shown_by(self, marker: str) -> str:
        """The other host through which this project has the folder with that marker in step."""
        self._marker = marker
        keeper = self._keeper()
        return keeper.name if keeper is not None else ""

    def _keeper(self) -> Session | None:
        for other in self._others():
            engine = other.engine
            same = other is not self and other.root == self.root and engine.marker == self._marker
            if same and engine.attached:
                return other
        return None

    def _bring_back(self) -> None:
        if self._wanted:
            task = in_nobodys_name(self._again(), name=f"attach {self.root}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _again(self) -> None:
        try:
            await self.ready(unasked=True)
        except SidecarError as error:
            log.warning("%s could not be brought together again: %s", self.root, error)

    def _tell(self) -> None:
        self._telling = None
        health, notes = self.health(), self.engine.notes
        if (health, notes) != self._told:
            self._told = health, notes
            for client in self.clients:
                client.health(health)
                client.notes(str(self.project.spelled), self.name, notes)
        self._on_change()

    def _synced(self, note: api.Synced) -> None:
        for client in self.clients:
            client.synced(note)

    # --- for people --------------------------------------------------------------------------

    def health(self) -> api.Health:
        state, text, fix = self._state()
        agent = self.link.agent
        return api.Health(
            project=str(self.project.spelled),
            host=self.name,
            state=state,
            text=text,
            fix=fix,
            transport=self.link.transport_name if agent else "",
            round_trip_ms=round(agent.round_trip * 1000, 1) if agent else 0.0,
            queued=self.engine.queued,
            files=self.engine.files,
            conflicts=self.engine.conflicts,
            last_sync=self.engine.last_sync,
            transfers=[api.Transfer(**one._asdict()) for one in self.engine.transfers],
            in_use=self.in_use,
            load=self.load if agent else "",
        )

    def _state(
        self,
    ) -> tuple[
        Literal["idle", "connecting", "ready", "syncing", "question", "disconnected"], str, str
    ]:
        link, engine = self.link, self.engine
        if link.state != "ready":
            return link.state, link.text, link.fix
        if self.guest is not None and self.guest.engine.attached:
            return "ready", f"kept in step through {self.guest.engine.host}", ""
        if self.failed is not None:
            why = f": {self.failed.why}" if self.failed.why else ""
            return "question", f"{self.failed.what}{why}", self.failed.fix
        if not engine.attached:
            return "connecting", "comparing both sides", ""
        if engine.queued:
            large = "".join(
                f"; {one.path}: {100 * one.done // max(1, one.total)} % of {one.total >> 20} MB"
                for one in engine.transfers
            )
            return "syncing", f"{engine.queued} to send{large}", ""
        if engine.waiting:
            fix = "run `sidecar sync` to be asked; `--yes` sends, `--prefer local` removes there"
            return "question", f"waits for your word: {engine.waiting}", fix
        if engine.coming:
            return "syncing", f"{engine.coming} to come", ""
        if engine.conflicts:
            return "ready", _counted(engine.conflicts, "conflict"), "run `sidecar conflicts`"
        if engine.unwatched:
            fix = "a change that no editor tells is found by a scan, seconds later"
            return "ready", f"in step; {engine.unwatched}", fix
        git = self.following.described
        return "ready", f"in step; git: {git}" if git else "in step", ""


async def _read(root: Path, sync: model.Sync, store: Path) -> Stored:
    """What the engine begins with. Who is called off waits until it is closed again, so that
    nobody else opens it meanwhile."""
    reading = asyncio.ensure_future(asyncio.to_thread(Stored.read, root, sync, store))
    try:
        return await asyncio.shield(reading)
    except asyncio.CancelledError:
        await asyncio.wait({reading})
        if reading.exception() is None:
            reading.result().base.close()
        raise


def locked(store: Path, project: Project, name: str) -> int:
    """The lock of what is remembered of a project on a host; to be let go of (held.py).

    Raises:
        SyncError: another process holds it.
    """
    lock = os.open(store / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(lock, 32, 0).decode("ascii", "replace").strip()
        os.close(lock)
        raise SyncError(
            f"Another sidecar keeps {project.spelled} and {name} in step",
            f"process {holder or 'unknown'} holds {store / 'lock'}",
            "use that one's environment (SIDECAR_RUNTIME_DIR), or end it",
            code="locked",
        ) from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, b"%d\n" % os.getpid(), 0)
    return lock


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
