"""One job as seen from here: what it prints, what is typed for it, how it is stopped.

It outlives connections. While there is none, output waits there and input is kept here
(keyboard.py); with the next connection both go on at their offsets: nothing is missing, and
nothing comes, or is typed, twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from sidecar import api
from sidecar.core import messages
from sidecar.core.pathmap import PathMap
from sidecar.errors import Disconnected, RemoteError, SidecarError
from sidecar.jobs import listing
from sidecar.jobs.keyboard import Keyboard
from sidecar.jobs.output import OutputReader

if TYPE_CHECKING:
    from sidecar.remote.connection import AgentConnection

log = logging.getLogger(__name__)

STOP_STEPS = (("INT", 5.0), ("TERM", 5.0), ("KILL", 5.0))
"""What `stop` sends, and how many seconds the job has to end by it. A training that writes its
checkpoint on INT takes some; who cannot wait sends KILL."""

LAST_WORDS = 1.0
"""Seconds that what outlives the job's end by INT has, before TERM."""

LOOK = 0.25
"""Seconds between two looks at what is left of a job that was stopped."""

HOLD_EVERY = 128 * 1024
"""Bytes of output after which the job's side hears that they were read."""

OnOutput = Callable[[api.Output], None]
OnExit = Callable[[api.Exited], None]
OnClosed = Callable[[], None]
OnStuck = Callable[[str], None]


class View:
    """Somebody who looks at a job's output, from an offset on. Ends by `close`."""

    def __init__(
        self,
        job: Job,
        offset: int,
        on_output: OnOutput,
        on_exit: OnExit,
        on_closed: OnClosed = lambda: None,
        on_stuck: OnStuck = lambda why: None,
    ) -> None:
        self._job, self.offset = job, offset
        self._on_output, self._on_exit = on_output, on_exit
        self.closed, self.stuck = on_closed, on_stuck

    async def close(self) -> None:
        """Nothing is told any more; the job runs on."""
        await self._job.leave(self)

    def output(self, part: api.Output) -> None:
        if part.offset >= self.offset:
            self.offset = part.end
            self._on_output(part)

    def exited(self, end: api.Exited) -> None:
        self._on_exit(end)


class Job:
    """Made by JobsClient; all methods belong to its event loop.

    Attributes:
        id: as the remote knows it.
        pid: of its first process there; 0 where another session started it.
        warning: why it will not outlive the login session there, "" where it will.
        exited: its end, once that is known; may be awaited by any number (`asyncio.shield`).
    """

    def __init__(
        self, job: str, host: str, paths: PathMap | None, cwd: str = "", *, fresh: bool
    ) -> None:
        self.id, self.host, self.pid, self.warning = job, host, 0, ""
        self.exited: asyncio.Future[api.Exited] = asyncio.get_running_loop().create_future()
        self._reader = OutputReader(job, host, paths, cwd)
        self._views: list[View] = []
        self._agent: AgentConnection | None = None
        self._stops: list[Callable[[], None]] = []
        self._tailed = False
        self._stopping = 0
        self._expected: int | None = 0
        """Offset of the part that comes next; None: whatever comes."""
        self._held: list[messages.Output | messages.Exited] | None = None
        self._readers: dict[object, int] = {}
        """Who wants all of its output, and before which offset they have it."""
        self._told_read = -1
        self.closed = False
        """Its session has ended: another one has the job, if any."""
        self._keyboard = Keyboard(job, fresh=fresh)
        self._size: tuple[int, int] | None = None

    def runs_in(self, paths: PathMap, cwd: str) -> None:
        """What its tracebacks call the project's files, and what relative names are relative to:
        for a job that another session started."""
        self._reader.paths, self._reader.cwd = paths, cwd

    # --- connections: for JobsClient ---------------------------------------------------------

    def listen(self, agent: AgentConnection) -> None:
        """Hears what the agent tells of this job, and forgets an earlier connection."""
        self.detach()
        self._agent = agent
        self._stops = [
            agent.listen(messages.Output, self.id, self._on_output),
            agent.listen(messages.Exited, self.id, self._on_exited),
            agent.listen(messages.Taken, self.id, self._on_taken),
            agent.listen(messages.Stuck, self.id, self._on_stuck),
        ]
        self._keyboard.connect(agent)

    def detach(self) -> None:
        """The connection is gone, or of no interest any more."""
        for stop in self._stops:
            stop()
        self._stops, self._agent, self._tailed = [], None, False
        self._told_read = -1
        self._keyboard.disconnect()

    def close(self) -> None:
        """Its session ends. The job runs on."""
        self.detach()
        self.closed = True
        for view in tuple(self._views):
            view.closed()

    def hold(self) -> None:
        """The job sends its output unasked, and what comes is kept until `view` is called, since
        whoever started the job hears its id first."""
        self._held, self._tailed = [], True

    async def tail(self) -> None:
        """Lets output come from where the view that has least of it stands.

        Raises:
            RemoteError: the job, or that part of its output, is not there.
            Disconnected: the connection went meanwhile.
        """
        agent = self._connected()
        offsets = sorted({view.offset for view in self._views})
        self._expected = offsets[0] if offsets else self._expected
        start = -1 if self._expected is None else self._expected
        self._tailed = True
        await agent.request(lambda number: messages.Tail(number, self.id, start, offsets[1:]))
        await self._tell_read()

    async def resume(self, agent: AgentConnection) -> None:
        """Goes on over another connection: output, and what was typed and may be lost.

        Raises:
            SidecarError: as `tail`.
        """
        self.listen(agent)
        if self.needed:
            await self.tail()
        else:
            await self._tell_read()
        if self._size is not None:
            await agent.send(messages.Resize(self.id, *self._size))

    # --- what people do with it --------------------------------------------------------------

    async def view(
        self,
        offset: int,
        on_output: OnOutput,
        on_exit: OnExit,
        on_closed: OnClosed = lambda: None,
        on_stuck: OnStuck = lambda why: None,
    ) -> View:
        """Shows the output from that offset on, and then the end; with the next connection, where
        there is none. None of the functions may raise or wait; a part counts as shown when it
        returns.

        Args:
            on_closed: this job will not show anything any more (`closed`).
            on_stuck: the job waits, since its output finds no room there, with why; "": it goes on.
        Raises:
            SidecarError: the output cannot be shown from there.
        """
        view = View(self, offset, on_output, on_exit, on_closed, on_stuck)
        self._views.append(view)
        if self._held is not None:
            held, self._held = self._held, None
            for message in held:
                if isinstance(message, messages.Output):
                    self._show(message)
                else:
                    self._on_exited(message)
        elif not self._tailed or self.exited.done() or offset != self._expected:
            try:
                await self.tail()
            except Disconnected:
                pass  # `resume` has it go on, as for those that look already
            except SidecarError:
                await self.leave(view)
                raise
        return view

    @property
    def needed(self) -> bool:
        """Somebody waits for its output or its end, or typed what it has not taken yet."""
        return (
            bool(self._views) or self._held is not None or self._stopping > 0 or self._keyboard.busy
        )

    @property
    def stopping(self) -> bool:
        """It is being ended, step by step."""
        return self._stopping > 0

    @property
    def read(self) -> bool:
        """Somebody wants the rest of its output, though perhaps not now."""
        return bool(self._readers)

    def lost(self, why: str) -> None:
        """It cannot be found there any more."""
        self._held = None
        self._on_exited(messages.Exited(self.id, 0, why))

    async def leave(self, view: View) -> None:
        """One view less. Behind the last one the output stays where it is."""
        with contextlib.suppress(ValueError):
            self._views.remove(view)
        if self._agent is not None and self._tailed and not self.needed:
            self._tailed = False
            with contextlib.suppress(SidecarError):
                await self._agent.send(messages.Untail(self.id))

    async def reads(self, reader: object, offset: int | None) -> None:
        """`reader` has been shown all before `offset`, and wants the rest; None: no more of it.
        The log keeps what a reader has yet to see, and a job that is far ahead waits."""
        if offset is None:
            self._readers.pop(reader, None)
        else:
            self._readers[reader] = offset
        await self._tell_read()

    async def _tell_read(self) -> None:
        offset = min(self._readers.values(), default=-1)
        near = 0 <= self._told_read <= offset < self._told_read + HOLD_EVERY
        if self._agent is None or near or offset == self._told_read:
            return
        self._told_read = offset
        with contextlib.suppress(SidecarError):
            await self._agent.send(messages.Hold(self.id, offset))

    async def input(self, data: bytes, eof: bool = False) -> None:
        """Types for the job; waits while more than a window of input was not taken, also through
        a cut.

        Raises:
            RunError: the job has ended, or its input has.
        """
        await self._reach()
        await self._keyboard.type(data, eof)

    async def resize(self, rows: int, columns: int) -> None:
        """Gives the job's terminal that size, now or with the next connection."""
        self._size = (rows, columns)
        if self._agent is not None:
            with contextlib.suppress(Disconnected):
                await self._agent.send(messages.Resize(self.id, rows, columns))

    async def signal(self, name: str) -> None:
        """Sends "INT", "TERM", "KILL", … to the job's process group.

        Raises:
            RemoteError: it was not sent; `code` "over" where the job has ended.
            Disconnected: there is no connection.
        """
        agent = self._connected()
        await agent.request(lambda number: messages.Signal(number, self.id, name))

    async def stop(self, steps: tuple[tuple[str, float], ...] = STOP_STEPS) -> str:
        """Ends the job and what it started: INT, then TERM, then KILL, each with some time to
        work. What left the job's process group, or its session, hears of it from TERM on.

        Returns:
            What is still there of it, in words; "" where nothing is.
        Raises:
            RemoteError, Disconnected: as `signal`; what was sent has been sent.
        """
        self._stopping += 1
        left: list[int] | None = None
        try:
            await self._reach()
            for name, patience in steps:
                try:
                    await self.signal(name)
                except RemoteError as error:
                    if error.code != "over":
                        raise
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(asyncio.shield(self.exited), patience)
                    left = await self._left_within(patience if name != "INT" else LAST_WORDS)
                    if not left:
                        return ""
            if left is None:
                return f"job {self.id} on {self.host} did not end by {steps[-1][0]}"
            pids = ", ".join(str(pid) for pid in left)
            return f"what it started lives on on {self.host}: process {pids}"
        finally:
            self._stopping -= 1

    async def _reach(self) -> None:
        """Lets its end be known, and its input flow, where nobody looks at its output."""
        if self._agent is not None and not self._tailed and not self.exited.done():
            self._expected = None
            await self.tail()

    async def _left_within(self, patience: float) -> list[int]:
        """The processes that are left of the ended job after that many seconds; none sooner. No
        message tells of the end of what is nobody's child, so this looks."""
        looks = max(1, round(patience / LOOK))
        for look in range(looks):
            if look:
                await asyncio.sleep(LOOK)
            answer = await self._connected().request(messages.Jobs)
            assert isinstance(answer, messages.JobList)
            found = [one for one in listing.decode(answer.body) if one.id == self.id]
            left = found[0].left if found else []
            if not left:
                break
        return left

    # --- what the agent tells ----------------------------------------------------------------

    def _on_output(self, message: messages.Output) -> None:
        # Parts follow one another without a gap. What does not follow is of a tail that was
        # replaced, and comes again.
        if self._expected not in (None, message.offset):
            return
        self._expected = message.end
        if self._held is not None:
            self._held.append(message)
        else:
            self._show(message)

    def _show(self, message: messages.Output) -> None:
        part = self._reader.output(message)
        for view in tuple(self._views):
            view.output(part)

    def _on_exited(self, message: messages.Exited) -> None:
        if -1 < message.end != self._expected and self._expected is not None:
            return  # of a replaced tail, like such output
        if self._held is not None:
            self._held.append(message)
            return
        if not self.exited.done():
            self.exited.set_result(self._reader.exited(message))
        self._tailed = False
        self._keyboard.close()
        views, self._views = self._views, []
        for view in views:
            view.exited(self.exited.result())

    def _on_stuck(self, message: messages.Stuck) -> None:
        for view in tuple(self._views):
            view.stuck(message.why)

    def _on_taken(self, message: messages.Taken) -> None:
        self._keyboard.taken(message.offset)

    def _connected(self) -> AgentConnection:
        if self._agent is None:
            raise Disconnected(
                f"There is no connection to {self.host}",
                f"job {self.id} runs on there",
                "try again when it is back",
            )
        return self._agent
