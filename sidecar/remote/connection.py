"""A link to one agent: started over a transport, then requests, answers and streams over it.

Order: messages of one lane arrive in the order in which they were sent; lanes overtake each other,
lower ones first. All methods belong to the event loop that `start` ran in.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import itertools
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Any

from sidecar.core import frames, lanes, messages
from sidecar.core.credit import CreditError
from sidecar.core.frames import CONTROL
from sidecar.core.messages import Message
from sidecar.errors import ConnectError, Disconnected, RemoteError, SidecarError
from sidecar.remote import failures
from sidecar.remote.bundle import QUIET, bundle
from sidecar.remote.hello import Hello, HelloDecoder, HelloError
from sidecar.remote.sender import Sender
from sidecar.remote.stream import Stream
from sidecar.ssh.transport import Process, Transport

log = logging.getLogger(__name__)

PING_EVERY = 5.0
SILENT_PINGS = 3
"""The remote counts as gone when so many pings in a row brought nothing at all: the loop may have
stood still for a while itself, so the time alone says little."""

FIRST_PINGS = 3
"""The first finds the agent still starting; the best of them tells the line."""

START_PATIENCE = 60.0
"""Seconds for the login shell and the interpreter to come up; shared file systems are slow."""

CLOSE_PATIENCE = 2.0

MOST_WAITING = 64 << 20
"""Bytes of one answer in parts that whoever asked has not taken yet. Those of bulk are held back by
not being acknowledged; the others are small, and two million paths' worth of them fit."""

Handler = Callable[[Any], None]


class AgentConnection:
    """See the module. Made by `start` only.

    Attributes:
        hello: who and where the agent is; `clock_offset_ns` gets better with each round trip.
        round_trip: the least seen, in seconds; until the first answer, an upper bound.
    """

    @classmethod
    async def start(
        cls,
        transport: Transport,
        *,
        python: str = "",
        state: str = "",
        root: str = "",
        via: str = "",
        bootstrap: str = "exec",
        ping_every: float = PING_EVERY,
        patience: float = START_PATIENCE,
    ) -> AgentConnection:
        """Starts an agent on the other side.

        Args:
            transport: the way there; stays the caller's.
            python: interpreter to try first.
            state: folder for what is kept there.
            root: the project's folder there: looked at early, to be faster later.
            via: command that the agent's command is put behind.
            bootstrap: "exec" (fast), or "stdin" (a tiny command line, for audit logs).
            ping_every: seconds between signs of life.
            patience: seconds until the agent must have said hello.
        Raises:
            ConnectError: it did not start; `code` "no-python", "agent-start" or "version".
            Disconnected: the connection ended meanwhile.
        """
        for careful in (False, True):
            texts = await asyncio.to_thread(
                bundle,
                python="" if ":" in python else python,
                state=state,
                root=root,
                via=via,
                bootstrap=bootstrap,
                careful=careful,
                quiet=max(QUIET, SILENT_PINGS * ping_every),
            )
            began = time.monotonic()
            process = await transport.start(texts.command)
            decoder = HelloDecoder()
            try:
                greeting = _greet(process, texts.stdin, decoder)
                hello, rest = await asyncio.wait_for(greeting, patience)
            except _NotStarted as problem:
                process.close()
                if careful or not failures.may_find_another(problem.status):
                    raise problem.error from None
            except asyncio.TimeoutError:
                process.close()
                why = f"it said no hello in {patience:.0f} s"
                raise failures.no_mark(decoder.noise, why) from None
            except BaseException:
                process.close()
                raise
            else:
                break
        took = time.monotonic() - began
        connection = cls(process, hello, rest, texts.later, took, ping_every)
        connection.noise = decoder.noise
        return connection

    def __init__(
        self,
        process: Process,
        hello: Hello,
        rest: bytes,
        later: tuple[bytes, ...],
        took: float,
        ping_every: float,
    ) -> None:
        self.round_trip = took
        # Halfway between question and answer is the best guess at when it wrote its clock down.
        offset = hello.clock_ns - (time.time_ns() - int(took * 5e8))
        self.hello = hello._replace(clock_offset_ns=offset)
        self.bytes_received = 0
        self.noise = b""
        """What the login shell printed before the agent's first words."""
        self._process = process
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Message]] = {}
        self._parts: dict[int, _Parts] = {}
        self._streams: dict[int, Stream] = {}
        self._listeners: dict[type, list[tuple[object, Handler]]] = {}
        self._processed = lanes.Processed()
        self._decoder = frames.FrameDecoder()
        self._over: asyncio.Future[SidecarError] = asyncio.get_running_loop().create_future()
        self._closing = False
        self._heard = asyncio.Event()
        self._sender = Sender(process.write, self._unwritable)
        self._verdict: asyncio.TimerHandle | None = None
        for part in later:
            self._sender.put(messages.Modules(part), frames.BULK)
        self._tasks = [
            asyncio.create_task(self._read(rest), name="agent reader"),
            asyncio.create_task(self._ping(ping_every), name="agent ping"),
        ]

    @property
    def bytes_sent(self) -> int:
        return self._sender.bytes_sent

    @property
    def rate(self) -> float:
        """Bytes a second that bulk was seen to go at; 0 where nothing is known yet."""
        return self._sender.credit.rate

    async def request(
        self, build: Callable[[int], Message], lane: int = CONTROL, *, number: int = 0
    ) -> Message:
        """Sends what `build` makes of a fresh id and returns the answer with that id.

        Args:
            number: the id of an earlier request that this one continues.
        Raises:
            RemoteError: the agent answered with `Fail`; its `code` is the agent's.
            SidecarError: the link is over.
        """
        number = number or next(self._ids)
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            await self.send(build(number), lane)
            return await answer
        finally:
            del self._waiting[number]

    def fresh_id(self) -> int:
        """For a request whose first parts go out before it is asked for an answer: `request` takes
        it as `number` with the last one."""
        return next(self._ids)

    async def parts(
        self, build: Callable[[int], Message], lane: int = CONTROL
    ) -> AsyncGenerator[Message, None]:
        """Like `request`, for answers in several messages: ends after the one whose `last` is
        true. What is not taken yet is not acknowledged, so the agent holds back; use
        `contextlib.aclosing` where it may be left early: a Fetch is then cancelled there."""
        number = next(self._ids)
        parts = self._parts[number] = _Parts()
        message = build(number)
        cancel = isinstance(message, messages.Fetch)
        try:
            await self.send(message, lane)
            while True:
                frame, message = await parts.next()
                self._done(frame)
                if isinstance(message, messages.Fail) or getattr(message, "last", True):
                    cancel = False
                if isinstance(message, messages.Fail):
                    raise _failed(message)
                yield message
                if getattr(message, "last", True):
                    return
        finally:
            if cancel and not self._over.done():
                with contextlib.suppress(SidecarError):  # nothing can be sent any more
                    self._sender.put(messages.Cancel(number))
            del self._parts[number]
            for frame, _ in parts.left():
                self._done(frame)

    async def send(self, message: Message, lane: int = CONTROL) -> None:
        """Returns when the message is queued; STREAMS and BULK wait for room in the queue.

        Raises:
            SidecarError: the link is over.
        """
        await self._sender.send(message, lane)

    def post(self, message: Message, lane: int) -> None:
        """Tells the agent something small without waiting.

        Raises:
            SidecarError: the link is over.
        """
        self._sender.put(message, lane)

    def listen(self, kind: type, key: object, handler: Handler) -> Callable[[], None]:
        """Calls `handler` with each message of that type that answers no request.

        Args:
            kind: Applied, Refused, Durable, Output, Exited, …
            key: the `root` or `job` it must be for; None for all.
            handler: must not raise or wait; the message counts as processed when it returns.
        Returns:
            What to call to hear no more.
        """
        entry = (key, handler)
        self._listeners.setdefault(kind, []).append(entry)

        def stop() -> None:
            with contextlib.suppress(ValueError):
                self._listeners[kind].remove(entry)

        return stop

    async def open_stream(
        self, build: Callable[[int], messages.Spawn | messages.Connect]
    ) -> Stream:
        """Starts a child or opens a connection there.

        Raises:
            RemoteError: it cannot be started, or nobody listens.
            SidecarError: the link is over.
        """
        number = next(self._ids)
        stream = Stream(number, self._sender, self._forget)
        self._streams[number] = stream
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            await self.send(build(number), CONTROL)
            connected = await answer
        except BaseException:
            stream.close()  # if it was opened after all, it is closed by this
            raise
        finally:
            del self._waiting[number]
        if not isinstance(connected, messages.Connected):
            raise failures.garbage(f"a stream was answered by {type(connected).__name__}")
        stream.pid = connected.pid
        return stream

    async def closed(self) -> SidecarError:
        """Returns when the link is over, with the reason."""
        return await asyncio.shield(self._over)

    async def close(self) -> None:
        """Tells the agent that nobody needs it, and waits a moment for its end."""
        if not self._over.done():
            self._closing = True
            with contextlib.suppress(SidecarError):  # nothing can be sent; its end is near
                self._sender.put(messages.Bye())
            await asyncio.wait([self._over], timeout=CLOSE_PATIENCE)
            self._fail(Disconnected("The link to the agent was closed", code="closed"))
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _read(self, rest: bytes) -> None:
        try:
            chunk = rest or await self._process.read()
            while chunk:
                self.bytes_received += len(chunk)
                self._heard.set()
                for frame in self._decoder.feed(chunk):
                    self._dispatch(frame, messages.decode(frame))
                chunk = await self._process.read()
            await self._ended()
        except (frames.FrameError, messages.MessageError, CreditError) as error:
            self._fail(failures.garbage(str(error)))
        except SidecarError as error:
            self._fail(error)

    async def _ended(self) -> None:
        """Its stdout has ended: the exit status and stderr say why."""
        status = -1
        with contextlib.suppress(asyncio.TimeoutError, SidecarError):
            status = await asyncio.wait_for(self._process.wait(), CLOSE_PATIENCE)
        if self._closing:
            self._fail(Disconnected("The link to the agent was closed", code="closed"))
        elif self._decoder.pending:
            error = failures.ended(status, self._process.last_words())
            error.why = "; ".join(filter(None, ["it stopped in the middle of a frame", error.why]))
            self._fail(error)
        else:
            self._fail(failures.ended(status, self._process.last_words()))

    async def _ping(self, every: float) -> None:
        """Keeps the link alive, measures it, and notices when nobody is there any more."""
        silent, pings = 0, FIRST_PINGS
        while silent < SILENT_PINGS:
            self._heard.clear()
            pong = asyncio.create_task(self._measure(pings))
            pings = 1
            try:
                await asyncio.wait([self._over], timeout=every)
            finally:
                pong.cancel()
            if self._over.done():
                return
            silent = 0 if self._heard.is_set() else silent + 1
        self._fail(failures.silent(SILENT_PINGS * every))

    async def _measure(self, pings: int) -> None:
        for _ in range(pings):
            began = time.monotonic()
            try:
                pong = await self.request(messages.Ping)
            except SidecarError:
                return  # the link is over, which `closed` tells
            seconds = time.monotonic() - began
            self._sender.credit.round_trip(seconds, time.monotonic())
            if seconds <= self.round_trip and isinstance(pong, messages.Pong):
                self.round_trip = seconds
                offset = pong.clock_ns - (time.time_ns() - int(seconds * 5e8))
                self.hello = self.hello._replace(clock_offset_ns=offset)

    def _dispatch(self, frame: frames.Frame, message: Any) -> None:
        kind = type(message)
        number = getattr(message, "id", None)
        if kind is messages.Ack:
            self._sender.acknowledged(message.lane, message.processed)
        elif kind in (messages.Data, messages.Eof, messages.Window):
            if number in self._streams:
                self._streams[number].received(message)
        elif kind is messages.Close:
            if number in self._streams:
                self._streams.pop(number).closed(message)
        elif kind is messages.Fail and number == 0:
            self._link_failure(message)
        elif not number:
            self._tell(message)
        elif number in self._parts:
            self._parts[number].put(frame, message)
            return  # acknowledged when it is taken
        elif number in self._waiting:
            self._answer(self._waiting[number], message)
        # Else whoever asked has gone.
        self._done(frame)

    def _answer(self, answer: asyncio.Future[Message], message: Message) -> None:
        if answer.done():
            return
        if isinstance(message, messages.Fail):
            answer.set_exception(_failed(message))
        else:
            answer.set_result(message)

    def _tell(self, message: Any) -> None:
        key = getattr(message, "root", getattr(message, "job", None))
        for wanted, handler in tuple(self._listeners.get(type(message), ())):
            if wanted is None or wanted == key:
                try:
                    handler(message)
                except Exception:  # one listener's mistake is not the others' end
                    log.exception("listener of %s failed", type(message).__name__)

    def _link_failure(self, message: messages.Fail) -> None:
        if message.code == "protocol":
            self._fail(_failed(message))
        else:
            log.warning("agent: %s: %s", message.what, message.why)

    def _done(self, frame: frames.Frame) -> None:
        count = self._processed.add(frame.lane, frame.size)
        if count and not self._over.done():
            self._sender.put(messages.Ack(frame.lane, count))

    def _forget(self, number: int) -> None:
        self._streams.pop(number, None)

    def _unwritable(self, error: SidecarError) -> None:
        """Nothing can be sent any more. Why, its output and exit status are about to tell."""
        self._sender.end(error)
        loop = asyncio.get_running_loop()
        self._verdict = loop.call_later(2 * CLOSE_PATIENCE, self._fail, error)

    def _fail(self, error: SidecarError) -> None:
        """The link is over; the first reason counts. All who wait hear it at once."""
        if self._over.done():
            return
        self._over.set_result(error)
        self._sender.end(error)
        if self._verdict is not None:
            self._verdict.cancel()
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(_again(error))
        for parts in self._parts.values():
            parts.fail(error)
        for stream in tuple(self._streams.values()):
            stream.failed(_again(error))
        self._streams.clear()
        self._process.close()
        reader = self._tasks[0]
        if reader is not asyncio.current_task():
            reader.cancel()


class _Parts:
    """The parts of one answer that nobody has taken yet."""

    def __init__(self) -> None:
        self._queue: deque[tuple[frames.Frame, Message]] = deque()
        self._size = 0
        self._error: SidecarError | None = None
        self._changed = asyncio.Event()

    def put(self, frame: frames.Frame, message: Message) -> None:
        self._size += frame.size
        if self._size > MOST_WAITING:
            raise messages.MessageError(f"over {MOST_WAITING} bytes of one answer wait")
        self._queue.append((frame, message))
        self._changed.set()

    def fail(self, error: SidecarError) -> None:
        self._error = error
        self._changed.set()

    async def next(self) -> tuple[frames.Frame, Message]:
        while not self._queue:
            if self._error is not None:
                raise _again(self._error)
            self._changed.clear()
            await self._changed.wait()
        frame, message = self._queue.popleft()
        self._size -= frame.size
        return frame, message

    def left(self) -> tuple[tuple[frames.Frame, Message], ...]:
        return tuple(self._queue)


class _NotStarted(Exception):
    def __init__(self, status: int, error: ConnectError) -> None:
        super().__init__(str(error))
        self.status, self.error = status, error


async def _greet(process: Process, stdin: bytes, decoder: HelloDecoder) -> tuple[Hello, bytes]:
    """Sends what the first stage reads, and reads its hello. Both at once: a login shell that
    reads or prints much must not make each wait for the other."""
    writing = asyncio.create_task(process.write(stdin))
    try:
        hello = None
        while hello is None:
            chunk = await process.read()
            if not chunk:
                status = await process.wait()
                words = process.last_words()
                raise _NotStarted(status, failures.not_started(status, words, decoder.noise))
            try:
                hello = decoder.feed(chunk)
            except HelloError as error:
                raise failures.no_mark(decoder.noise, str(error)) from None
        if not hello.low <= frames.VERSION <= hello.high:
            raise failures.other_version(hello.low, hello.high)
        await writing
    finally:
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
    return hello, decoder.rest


def _failed(message: messages.Fail) -> RemoteError:
    return RemoteError(message.what, message.why, message.fix, code=message.code)


def _again(error: SidecarError) -> SidecarError:
    """The same failure for another waiter: an exception object belongs to one traceback."""
    return copy.copy(error)
