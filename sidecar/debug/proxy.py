"""One conversation between an editor's debugger here and debugpy's adapter there.

The editor says `attach` (or `launch`); debugpy is told to launch what the session is for, once the
barrier let it. Everything else passes, rewritten (rewrite.py). However it ends, the editor hears
`terminated`, gets an answer to every request, and its `disconnect` is answered.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from sidecar.core.pathmap import PathMap
from sidecar.debug import dap, rewrite
from sidecar.debug.dap import Decoder, Message
from sidecar.debug.rewrite import Launch
from sidecar.errors import Disconnected, SidecarError

CHILDREN_NOTE = "Processes that the program starts run without the debugger.\n"

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


class Adapter(Protocol):
    """The stdin and stdout of debugpy's adapter: remote.stream.Stream, as far as it is needed."""

    async def read(self, limit: int = ...) -> bytes: ...

    async def write(self, data: bytes) -> None: ...


class Proxy:
    """See the module.

    Args:
        reader, writer: the editor's connection.
        decoder: what read the first messages from it, and goes on.
        said: what was read from the adapter already.
        barrier: returns when the program may start; raises SidecarError where it may not.
    """

    def __init__(
        self,
        *,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        decoder: Decoder,
        adapter: Adapter,
        said: bytes,
        pathmap: PathMap,
        launch: Launch,
        barrier: Callable[[], Awaitable[None]],
    ) -> None:
        self._reader, self._writer, self._decoder = reader, writer, decoder
        self._adapter, self._said = adapter, said
        self._pathmap = pathmap
        self._launch = launch
        self._barrier = barrier
        self._sent = 0
        self._pending: dict[int, str] = {}
        self._writing = asyncio.Lock()
        self._starting: asyncio.Task[None] | None = None
        self._launched = False
        self._terminated = False
        self._parted = False
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
                patience = 0.0 if self._parted else LEAVE_SECONDS
                await asyncio.wait([editor], timeout=patience)
            for task in [*tasks, *filter(None, [self._starting])]:
                if task.done() and not task.cancelled():
                    task.result()  # a mistake of ours shows
        finally:
            if self._starting is not None:
                tasks.append(self._starting)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return self._why

    def end(self, why: str) -> None:
        """Ends it from outside, for that reason. The first one counts."""
        if not self._over.is_set():
            self._why = why
            self._over.set()

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
        if message["type"] != "request":
            return  # debugpy asks nothing that was let through, so there is nothing to answer
        number, command = message["seq"], message["command"]
        if self._over.is_set() or len(self._pending) >= _MAX_PENDING:
            self._refuse(number, command)
            return
        if command in _START:
            self._start(message)
            return
        if command in _END:
            if self._starting and not self._launched:
                self._call_off(self._starting)
            asyncio.get_running_loop().call_later(END_SECONDS, self._insist, number)
        path = rewrite.source_path(message)
        if path:
            self._pathmap = self._pathmap.spelled_like(path)
        self._pending[number] = command
        await self._to_adapter(rewrite.request_to_remote(message, self._pathmap))

    def _insist(self, number: int) -> None:
        if number in self._pending:
            self._parted = self._parted or self._pending[number] == "disconnect"
            self._over.set()

    def _refuse(self, number: int, command: str) -> None:
        if command in _END:
            self._to_editor(dap.success(number, command))
            self._parted = self._parted or command == "disconnect"
        else:
            self._to_editor(dap.failure(number, command, self._why or "The session is over."))

    def _start(self, message: Message) -> None:
        number, command = message["seq"], message["command"]
        if self._starting is not None:
            self._to_editor(dap.failure(number, command, "The program was started already."))
            return
        self._pending[number] = command
        asked = message.get("arguments") or {}
        self._starting = asyncio.create_task(self._begin(number, asked), name="debug start")
        self._starting.add_done_callback(self._begun)

    async def _begin(self, number: int, asked: Message) -> None:
        """Has debugpy launch the program when the barrier lets it."""
        try:
            await self._barrier()
            arguments = self._launch.arguments(self._pathmap, asked)
            request = dap.request("launch", arguments, seq=number)
            self._launched = True
            await self._to_adapter(request)
        except SidecarError as error:
            self._answer(number, False, str(error))
            self.end(str(error))

    def _call_off(self, starting: asyncio.Task[None]) -> None:
        starting.cancel()
        for number, command in list(self._pending.items()):
            if command in _START:
                self._answer(number, False, "The start was cancelled.")

    def _begun(self, starting: asyncio.Task[None]) -> None:
        if not starting.cancelled() and starting.exception() is not None:
            self.end("the sidecar failed to start the program")  # `run` raises it

    async def _to_adapter(self, message: Message) -> None:
        try:
            async with self._writing:
                await self._adapter.write(dap.encode(message))
        except SidecarError as error:
            # That the adapter ended is told by the reading side, with its last words.
            if not isinstance(error, Disconnected):
                self.end(str(error))

    # --- from debugpy ------------------------------------------------------------------------

    async def _from_adapter(self) -> None:
        decoder = Decoder()
        try:
            data = self._said
            while data:
                for message in decoder.feed(data):
                    await self._adapter_says(message)
                with contextlib.suppress(ConnectionError):  # the editor's side will tell
                    await self._writer.drain()
                data = await self._adapter.read(_CHUNK)
        except dap.DapError as error:
            self.end(f"debugpy's adapter sent something else than messages: {error}")
        except SidecarError as error:
            self.end(str(error))

    async def _adapter_says(self, message: Message) -> None:
        if message["type"] == "response":
            self._adapter_answers(message)
        elif message["type"] == "event":
            event = rewrite.event_to_client(message, self._pathmap)
            if event is not None:
                self._terminated = self._terminated or event["event"] == "terminated"
                self._to_editor(event)
        else:
            # A terminal, or another session in the editor: not at the remote's wish.
            text = "The editor is not asked for this."
            await self._to_adapter(dap.failure(message["seq"], message["command"], text))

    def _adapter_answers(self, message: Message) -> None:
        command = self._pending.pop(message["request_seq"], None)
        if command is None:
            return  # to nothing that the editor asked
        answer = rewrite.response_to_client(message, self._pathmap)
        self._to_editor({**answer, "command": command})
        if command == "disconnect":
            # debugpy's adapter now waits for the end of its stdin, the editor for our end.
            self._parted = True
            self._over.set()
        if command in _START and message["success"]:
            note = {"category": "console", "output": CHILDREN_NOTE}
            self._to_editor(dap.event("output", note))

    # --- to the editor -----------------------------------------------------------------------

    def _to_editor(self, message: Message) -> None:
        if not self._writer.is_closing():
            self._sent += 1
            self._writer.write(dap.encode({**message, "seq": self._sent}))

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
        for number, command in list(self._pending.items()):
            self._answer(number, command in _END, text)
        if self._why and not self._terminated:
            note = {"category": "important", "output": f"{self._why}\n"}
            self._to_editor(dap.event("output", note))
        if not self._terminated:
            self._terminated = True
            self._to_editor(dap.event("terminated"))
