"""One conversation between an editor's debugger here and debugpy there.

The editor is answered from the first message on: `initialize` at once, and what it says of
breakpoints while what it asked for is on its way (early.py). `launch` or `attach` has the session
opened (Opener): the barrier, debugpy's adapter, and what debugpy is to be told. When debugpy is
ready it hears what was said so far. Everything else passes, rewritten (rewrite.py). However it
ends, the editor hears `terminated`, gets an answer to every request, and its `disconnect` is
answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, NamedTuple, Protocol

from sidecar.core.pathmap import PathMap
from sidecar.debug import dap, launch, rewrite
from sidecar.debug.dap import Decoder, Message
from sidecar.debug.early import CAPABILITIES, Early
from sidecar.debug.family import Family
from sidecar.debug.sources import Sources
from sidecar.debug.terminal import Terminal
from sidecar.errors import Disconnected, SidecarError

LEAVE_SECONDS = 5.0
"""How long an editor may take to go once its session is over."""

END_SECONDS = 3.0
"""How long debugpy may take to end the program when the editor asks for it. It waits for the end of
the program's output, which a process that the program left behind may hold open for ever."""

_CHUNK = 1 << 16
_MAX_PENDING = 4096
"""Requests of the editor without an answer: more than a person can cause."""

_START = ("attach", "launch")
_END = ("disconnect", "terminate")
_EXCEPTIONS = "setExceptionBreakpoints"
_OWN = 1 << 30
"""Numbers of our own requests to debugpy begin here; editors count from one."""


class Adapter(Protocol):
    """Both directions to debugpy's adapter: remote.stream.Stream, as far as it is needed."""

    async def read(self, limit: int = ...) -> bytes: ...

    async def write(self, data: bytes) -> None: ...


class Opened(NamedTuple):
    """What a conversation is about.

    Attributes:
        command, arguments: debugpy's request.
        said: what was read from the adapter already.
        owned: the program ends with the session, whatever the editor says.
        stops: filters of exceptions that it stops at, whatever the editor says.
        terminal: makes the command that the editor is to run in its terminal, in `folder` here.
        waits: has the program connect to the address where debugpy's adapter waits for it.
    """

    adapter: Adapter
    pathmap: PathMap
    command: str
    arguments: Message
    said: bytes = b""
    owned: bool = True
    terminal: Terminal | None = None
    folder: str = ""
    stops: Sequence[str] = ()
    waits: Callable[[str, int], Awaitable[None]] | None = None


class Opener(Protocol):
    """Opens what an editor's `launch` or `attach` asks for. Called once per conversation.

    Raises:
        SidecarError: it cannot be; the editor is told in its words.
    """

    def __call__(self, command: str, arguments: Message, proxy: Proxy) -> Awaitable[Opened]: ...


class Proxy:
    """See the module.

    Args:
        reader, writer: the editor's connection.
        decoder: what read the first messages from it, and goes on.
        open_: see Opener.
        family: where processes that the program starts are registered.
    """

    def __init__(
        self,
        *,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        decoder: Decoder,
        open_: Opener,
        family: Family,
    ) -> None:
        self.family = family
        self.client: Message = {}
        """The editor's `initialize`: what it is and can do."""
        self._reader, self._writer, self._decoder = reader, writer, decoder
        self._open = open_
        self._opened: Opened | None = None
        self._early = Early()
        self._sources = Sources()
        self._live = False
        """Debugpy has been told what the editor said so far; from now on all passes."""
        self._debugs = True
        """It is asked to debug, not only to start (`noDebug`)."""
        self._waiting: list[Message] = []
        self._replayed: dict[int, Message] = {}
        self._kind = "sidecar"
        self._console = ""
        self._numbers = itertools.count(_OWN)
        self._sent = 0
        self._pending: dict[int, str] = {}
        self._asked: dict[int, asyncio.Future[Message]] = {}
        self._asking: set[asyncio.Task[None]] = set()
        self._writing = asyncio.Lock()
        self._starting: asyncio.Task[None] | None = None
        self._started = asyncio.Event()
        self._terminated = False
        self._parted = asyncio.Event()
        """The editor has had its `disconnect` answered, and has nothing more to do."""
        self._over = asyncio.Event()
        self._why = ""

    async def run(self, first: list[Message]) -> str:
        """Runs until one of both has gone.

        Args:
            first: messages that were read already.
        Returns:
            Why it ended, "" where the editor or the program ended it.
        """
        editor = asyncio.create_task(self._from_editor(first), name="debug editor")
        adapter = asyncio.create_task(self._from_adapter(), name="debug adapter")
        over = asyncio.create_task(self._over.wait(), name="debug over")
        tasks: list[asyncio.Task[Any]] = [editor, adapter, over]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if not editor.done():
                self._tell_end()
                parted = asyncio.create_task(self._parted.wait(), name="debug parted")
                tasks.append(parted)
                await asyncio.wait(
                    [editor, parted], timeout=LEAVE_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
            for task in [*tasks, *filter(None, [self._starting])]:
                if task.done() and not task.cancelled():
                    task.result()  # a mistake of ours shows
        finally:
            if self._starting is not None:
                tasks.append(self._starting)
            tasks.extend(self._asking)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return self._why

    def end(self, why: str) -> None:
        """Ends it from outside, for that reason. The first one counts."""
        if not self._over.is_set():
            self._why = why
            self._over.set()

    def tell(self, text: str, category: str = "console") -> None:
        """A line in the editor's debug console; "important" is shown in its own way."""
        self._to_editor(dap.event("output", {"category": category, "output": f"{text}\n"}))

    def can(self, offer: str) -> bool:
        """Whether the editor said that it can do something at our wish."""
        return self.client.get(offer) is True

    # --- from the editor ---------------------------------------------------------------------

    async def _from_editor(self, messages: list[Message]) -> None:
        try:
            while True:
                for message in messages:
                    await self._editor_says(message)
                data = await self._reader.read(_CHUNK)
                if not data:
                    return
                messages = self._decoder.feed(data)
        except (dap.DapError, OSError) as error:
            self.end(f"the editor's debugger broke the connection: {error}")

    async def _editor_says(self, message: Message) -> None:
        if message["type"] == "response":
            waiter = self._asked.get(message["request_seq"])
            if waiter is not None and not waiter.done():
                waiter.set_result(message)
            return
        if message["type"] != "request":
            return
        number, command = message["seq"], message["command"]
        if self._over.is_set() or len(self._pending) + len(self._waiting) >= _MAX_PENDING:
            self._refuse(number, command)
        elif command == "initialize":
            self._initialize(number, message.get("arguments") or {})
        elif command in _START:
            self._start(message)
        elif command in _END and not self._live:
            self._call_off(number, command)
        elif not (self._live and self._debugs) and (answer := self._early.answer(message)):
            self._to_editor(answer)
        elif self._live:
            if command in _END:
                asyncio.get_running_loop().call_later(END_SECONDS, self._insist, number)
            await self._pass(message)
        else:
            self._waiting.append(message)

    def _initialize(self, number: int, arguments: Message) -> None:
        self.client = arguments
        self._to_editor(dap.success(number, "initialize", CAPABILITIES))

    async def _pass(self, message: Message) -> None:
        assert self._opened is not None
        path = rewrite.source_path(message)
        if path:
            self._spell(path)
        if message["command"] == "source":
            if answer := self._sources.answer(message):
                self._to_editor(answer)
                return
            self._sources.asked(message)
        self._pending[message["seq"]] = message["command"]
        await self._to_adapter(self._there(message))

    def _spell(self, path: str) -> None:
        assert self._opened is not None
        self._opened = self._opened._replace(pathmap=self._opened.pathmap.spelled_like(path))

    def _there(self, message: Message) -> Message:
        assert self._opened is not None
        if message["command"] == _EXCEPTIONS and self._opened.stops:
            message = rewrite.stopping_at(message, self._opened.stops)
        return rewrite.request_to_remote(message, self._opened.pathmap, owned=self._opened.owned)

    def _insist(self, number: int) -> None:
        if number in self._pending:
            # `_tell_end` answers it.
            self._over.set()

    def _refuse(self, number: int, command: str) -> None:
        if command in _END:
            self._to_editor(dap.success(number, command))
            if command == "disconnect":
                self._parted.set()
        else:
            self._to_editor(dap.failure(number, command, self._why or "The session is over."))

    # --- beginning ---------------------------------------------------------------------------

    def _start(self, message: Message) -> None:
        number, command = message["seq"], message["command"]
        if self._starting is not None:
            self._to_editor(dap.failure(number, command, "The program was started already."))
            return
        self._pending[number] = command
        asked = message.get("arguments") or {}
        if isinstance(asked.get("type"), str):
            self._kind = asked["type"]
        self._starting = asyncio.create_task(
            self._begin(number, command, asked), name="debug start"
        )
        self._starting.add_done_callback(self._begun)
        # The editor says now what it knows of breakpoints; debugpy hears it when it is there.
        self._to_editor(dap.event("initialized"))

    async def _begin(self, number: int, command: str, asked: Message) -> None:
        """Has debugpy launch the program, or attach to it, when that may be."""
        try:
            opened = await self._open(command, asked, self)
            self._opened = opened
            if opened.arguments.get("console") in launch.TERMINALS:
                self._console = opened.arguments["console"]
            hello = rewrite.initialize(self.client)
            await self._to_adapter(
                dap.request("initialize", hello, seq=next(self._numbers)),
                dap.request(opened.command, opened.arguments, seq=number),
            )
            self._started.set()
        except SidecarError as error:
            self._answer(number, False, str(error))
            self.end(str(error))

    def _call_off(self, number: int, command: str) -> None:
        """The editor ends it before debugpy is ready: whatever is on its way ends with it."""
        if self._starting is not None:
            self._starting.cancel()
        for waiting, what in list(self._pending.items()):
            if what in _START:
                self._answer(waiting, False, "The start was cancelled.")
        self._to_editor(dap.success(number, command))
        if command == "disconnect":
            self._parted.set()
        self._over.set()

    def _begun(self, starting: asyncio.Task[None]) -> None:
        if not starting.cancelled() and starting.exception() is not None:
            self.end("the sidecar failed to start the program")  # `run` raises it

    async def _ready(self, *, debugs: bool) -> None:
        """Debugpy is there: it hears all that was said so far, in one piece, so that nothing that
        the editor says meanwhile gets between.

        Args:
            debugs: it wants to be configured, and is no mere starter of programs.
        """
        if self._live:
            return
        self._live, self._debugs = True, debugs
        messages = []
        if debugs:
            for request in self._early.replay():
                if path := rewrite.source_path(request):
                    self._spell(path)
                number = next(self._numbers)
                self._replayed[number] = request
                messages.append({**self._there(request), "seq": number})
            if self._opened and self._opened.stops and not self._early.has(_EXCEPTIONS):
                request = dap.request(_EXCEPTIONS, {}, seq=next(self._numbers))
                messages.append(self._there(request))
            if self._early.configured:
                messages.append(dap.request("configurationDone", {}, seq=next(self._numbers)))
        waiting, self._waiting = self._waiting, []
        for message in waiting:
            self._pending[message["seq"]] = message["command"]
            messages.append(self._there(message))
        if messages:
            await self._to_adapter(*messages)

    async def _to_adapter(self, *messages: Message) -> None:
        try:
            async with self._writing:
                assert self._opened is not None
                await self._opened.adapter.write(b"".join(map(dap.encode, messages)))
        except SidecarError as error:
            # That the adapter ended is told by the reading side, with its last words.
            if not isinstance(error, Disconnected):
                self.end(str(error))

    # --- from debugpy ------------------------------------------------------------------------

    async def _from_adapter(self) -> None:
        await self._started.wait()
        assert self._opened is not None
        decoder, adapter = Decoder(), self._opened.adapter
        try:
            data = self._opened.said or await adapter.read(_CHUNK)
            while data:
                for message in decoder.feed(data):
                    await self._adapter_says(message)
                with contextlib.suppress(ConnectionError):  # the editor's side will tell
                    await self._writer.drain()
                data = await adapter.read(_CHUNK)
        except dap.DapError as error:
            self.end(f"debugpy's adapter sent something else than messages: {error}")
        except SidecarError as error:
            self.end(str(error))

    async def _adapter_says(self, message: Message) -> None:
        if message["type"] == "response":
            await self._adapter_answers(message)
        elif message["type"] == "event":
            await self._adapter_tells(message)
        elif len(self._asking) < _MAX_PENDING:
            # Beside the rest: debugpy may want to be answered before it goes on, and the editor
            # may take its time.
            self._beside(self._adapter_asks(message), "debug wish")

    def _beside(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _await(self, work: Awaitable[None]) -> None:
        try:
            await work
        except SidecarError as error:
            self.end(str(error))

    async def _adapter_tells(self, message: Message) -> None:
        assert self._opened is not None
        if message["event"] == "initialized":
            await self._ready(debugs=True)
            return
        if message["event"] == "debugpyWaitingForServer" and self._opened.waits is not None:
            body = message.get("body") or {}
            host, port = body.get("host"), body.get("port")
            if isinstance(host, str) and type(port) is int:
                self._beside(self._await(self._opened.waits(host, port)), "debug attach")
            return
        if message["event"] == "sidecarProcess":
            self.family.told(message.get("body") or {})
            return
        event = rewrite.event_to_client(message, self._opened.pathmap)
        if event is not None:
            self._terminated = self._terminated or event["event"] == "terminated"
            self._to_editor(self._early.as_told(event))

    async def _adapter_answers(self, message: Message) -> None:
        assert self._opened is not None
        number = message["request_seq"]
        if number in self._replayed:
            request = self._replayed.pop(number)
            answer = rewrite.response_to_client(
                {**message, "command": request["command"]}, self._opened.pathmap
            )
            for event in self._early.corrected(request, answer):
                self._to_editor(event)
            return
        command = self._pending.pop(number, None)
        if command is None:
            return  # to nothing that the editor asked
        if command in _START and message["success"]:
            await self._ready(debugs=False)
        answer = rewrite.response_to_client({**message, "command": command}, self._opened.pathmap)
        self._to_editor(self._sources.told(answer) if command == "source" else answer)
        if command == "disconnect":
            # debugpy's adapter now waits for the end of its stdin, the editor for our end.
            self._parted.set()
            self._over.set()

    async def _adapter_asks(self, message: Message) -> None:
        """What debugpy wants of the editor: not as it says, but where it is what the editor itself
        asked for, as our own request."""
        number, command = message["seq"], message["command"]
        arguments = message.get("arguments") or {}
        if command == "startDebugging":
            problem = await self._offer(arguments.get("configuration") or {})
        elif command == "runInTerminal":
            problem = await self._in_terminal(arguments)
        else:
            problem = "The editor is not asked for this."
        if problem:
            await self._to_adapter(dap.failure(number, command, problem))
        else:
            await self._to_adapter(dap.success(number, command))

    async def _offer(self, configuration: Message) -> str:
        """Has the editor attach to a process that the program started. Where the answer is a
        reason why not, debugpy lets the process run."""
        about = self.family.about(configuration)
        if self.family.runs_free(about):
            return "It runs without the debugger."
        if not self.can("supportsStartDebuggingRequest"):
            what = f" ({about.command})" if about.command else ""
            self.tell(
                f"Process {about.pid}{what} runs without the debugger: this editor holds one "
                "session at a time."
            )
            return "The editor holds one session."
        wanted = self.family.expect(configuration, self._kind)
        if wanted is None:
            return "There are too many processes."
        asked = {"request": "attach", "configuration": wanted}
        answer = await self._ask_editor("startDebugging", asked)
        if not answer["success"]:
            self.tell(f"The editor did not attach to process {about.pid}; it runs free.")
            return "The editor refuses."
        return ""

    async def _in_terminal(self, arguments: Message) -> str:
        """Has the editor open the terminal that it asked for, once."""
        assert self._opened is not None
        if not self._console or self._opened.terminal is None:
            return "No terminal was asked for."
        kind = "integrated" if self._console == "integratedTerminal" else "external"
        self._console = ""
        try:
            command = self._opened.terminal(arguments)
        except SidecarError as error:
            return str(error)
        asked = {"kind": kind, "title": "sidecar", "cwd": self._opened.folder, "args": command}
        answer = await self._ask_editor("runInTerminal", asked)
        if not answer["success"]:
            return str(answer.get("message") or "The editor opens no terminal.")
        return ""

    async def _ask_editor(self, command: str, arguments: Message) -> Message:
        """Our request, and the editor's answer to it."""
        waiter: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        number = self._to_editor(dap.request(command, arguments))
        self._asked[number] = waiter
        try:
            return await waiter
        finally:
            del self._asked[number]

    # --- to the editor -----------------------------------------------------------------------

    def _to_editor(self, message: Message) -> int:
        """Returns the number under which it went."""
        if not self._writer.is_closing():
            self._sent += 1
            self._writer.write(dap.encode({**message, "seq": self._sent}))
        return self._sent

    def _answer(self, number: int, done: bool, text: str) -> None:
        command = self._pending.pop(number, None)
        if command is not None and done:
            self._to_editor(dap.success(number, command))
        elif command is not None:
            self._to_editor(dap.failure(number, command, text))

    def _tell_end(self) -> None:
        """The session is over while the editor is still there."""
        self._over.set()
        text = self._why or "The session is over."
        for message in self._waiting:
            self._pending[message["seq"]] = message["command"]
        for number, command in list(self._pending.items()):
            self._answer(number, command in _END, text)
            if command == "disconnect":
                self._parted.set()
        if self._why and not self._terminated:
            self.tell(self._why, "important")
        if not self._terminated:
            self._terminated = True
            self._to_editor(dap.event("terminated"))
