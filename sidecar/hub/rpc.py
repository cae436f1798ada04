"""JSON-RPC 2.0 with a face: requests both ways, notifications, cancellation, back pressure.

One `Peer` serves both faces. Parameters and results of our own methods are msgspec Structs and are
converted here and nowhere else; what is not ours goes to `fallback` as it came (the LSP face hands
it to pygls). A slow reader never blocks the loop and never loses a message: `notify` waits for
room, which is how a job's output is held back; what cannot wait (`post`) is bounded by a ceiling
at which the connection is given up.
"""

from __future__ import annotations

import asyncio
import collections
import itertools
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

import msgspec

from sidecar import api
from sidecar.errors import SidecarError
from sidecar.hub import framing

log = logging.getLogger(__name__)

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND = -32700, -32600, -32601
INVALID_PARAMS, INTERNAL_ERROR = -32602, -32603
REQUEST_CANCELLED, REQUEST_FAILED = -32800, -32803

ROOM = 256 * 1024
"""Bytes waiting for a slow reader beyond which `notify` waits. A pipe's worth times four."""

CEILING = 64 << 20
"""Bytes waiting at which a face that reads nothing is given up."""

CLOSE_SECONDS = 3
"""For a face to read what is still queued, once the connection is to end."""

MAX_REQUESTS = 512
"""Requests of one face in progress at a time; more are refused."""

Handler = Callable[[Any], Awaitable[api.Message]]
Result = TypeVar("Result", bound=api.Message)


class RpcError(Exception):
    """A failure answered by the other end, or to be answered to it."""

    def __init__(self, code: int, message: str, data: object = None) -> None:
        super().__init__(message)
        self.code, self.message, self.data = code, message, data


NEXT_STEPS = {
    "no-project": "sidecar.init",
    "no-host": "sidecar.init",
    "which-host": "sidecar.selectHost",
    "unknown-host": "sidecar.selectHost",
    "untrusted": "sidecar.trust",
    "which-python": "sidecar.selectInterpreter",
    "no-such-python": "sidecar.selectInterpreter",
    "no-python": "sidecar.selectInterpreter",
    "differs": "sidecar.conflicts",
    "first-contact": "sidecar.sync",
    "second-owner": "sidecar.sync",
}
"""By an error's code, the command of ours that an editor offers as the way on."""


def failure(error: SidecarError) -> RpcError:
    """The answer to a request that failed for a reason a person can act on."""
    command = NEXT_STEPS.get(error.code, "")
    data = api.Problem(
        code=error.code, what=error.what, why=error.why, fix=error.fix, command=command
    )
    return RpcError(REQUEST_FAILED, str(error), msgspec.to_builtins(data))


class Outgoing:
    """Bytes on their way to one reader, in order."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._queue: collections.deque[bytes] = collections.deque()
        self._size = 0
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._closed = False
        self._ending = False

    def post(self, data: bytes) -> None:
        """Queues without waiting. Beyond the ceiling the connection is cut."""
        if self._closed or self._ending:
            return
        self._queue.append(data)
        self._size += len(data)
        self._filled.set()
        if self._size > ROOM:
            self._room.clear()
        if self._size > CEILING:
            log.warning("a face reads nothing; %d bytes wait; giving it up", self._size)
            self.abort()

    async def send(self, data: bytes) -> None:
        """Waits for room, then queues. Returns at once when the reader has gone."""
        await self._room.wait()
        self.post(data)

    def finish(self, last: bytes = b"") -> None:
        """Nothing is queued after this; `run` ends when all is written."""
        if last:
            self.post(last)
        self._ending = True
        self._filled.set()

    def abort(self) -> None:
        self._closed = True
        self._queue.clear()
        self._room.set()
        self._filled.set()
        self._writer.transport.abort()

    async def run(self) -> None:
        """Writes until `finish` or until the reader has gone."""
        try:
            while not self._closed:
                while self._queue:
                    data = self._queue.popleft()
                    self._writer.write(data)
                    await self._writer.drain()
                    self._size -= len(data)
                    if self._size <= ROOM:
                        self._room.set()
                if self._ending:
                    break
                self._filled.clear()
                await self._filled.wait()
        except OSError as error:
            log.debug("a face has gone: %s", error)
        finally:
            self._closed = True
            self._queue.clear()
            self._room.set()
            self._writer.close()


class Peer:
    """One JSON-RPC connection. `run` owns everything that it starts."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        fallback: Callable[[dict[str, Any]], bool] | None = None,
    ) -> None:
        """`fallback` gets each message that is not ours, and says whether it took it."""
        self.outgoing = Outgoing(writer)
        self._reader = reader
        self._fallback = fallback
        self._handlers: dict[str, tuple[type[api.Message], Handler]] = {}
        self._running: dict[int | str, asyncio.Task[None]] = {}
        self._asked: dict[str, asyncio.Future[Any]] = {}
        self._numbers = itertools.count(1)
        self._ended = False
        self._stopped = asyncio.Event()
        self._writing: asyncio.Task[None] | None = None

    def handle(self, method: str, kind: type[api.Message], handler: Handler) -> None:
        self._handlers[method] = kind, handler

    def stop(self) -> None:
        """`run` returns; what the other end still sends is not read."""
        self._ended = True
        self._stopped.set()

    async def run(self) -> None:
        """Serves until the other end closes, or `stop`.

        Raises:
            FramingError: what came is no JSON-RPC. An error response has been queued.
        """
        decoder = framing.Decoder()
        self._writing = asyncio.create_task(self.outgoing.run(), name="rpc-writer")
        stopped = asyncio.create_task(self._stopped.wait())
        try:
            while not self._ended:
                reading = asyncio.ensure_future(self._reader.read(1 << 16))
                either = {reading, self._writing, stopped}
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                if not reading.done():
                    reading.cancel()
                    await asyncio.gather(reading, return_exceptions=True)
                    break
                try:
                    data = reading.result()
                except OSError:
                    break
                if not data:
                    break
                for body in decoder.feed(data):
                    if not self._ended:
                        self._take(body)
                decoder.check()
        except framing.FramingError as error:
            self._answer(None, error=RpcError(PARSE_ERROR, str(error)))
            raise
        finally:
            self._ended = True
            stopped.cancel()
            for future in self._asked.values():
                if not future.done():
                    future.set_exception(RpcError(REQUEST_CANCELLED, "the client has gone"))
            running = list(self._running.values())
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def close(self, last: bytes = b"") -> None:
        """Writes what is queued, then `last`, and closes. A reader that does not read is cut off
        after some seconds."""
        self._ended = True
        self.outgoing.finish(last)
        if self._writing and not (await asyncio.wait({self._writing}, timeout=CLOSE_SECONDS))[0]:
            self.outgoing.abort()
            await self._writing

    # --- out ---------------------------------------------------------------------------------

    async def request(self, method: str, params: api.Message, result: type[Result]) -> Result:
        """Asks the other end.

        Raises:
            RpcError: it answered with an error, with something else, or has gone.
        """
        return _converted(method, await self._ask(method, params), result)

    async def request_or_none(
        self, method: str, params: api.Message, result: type[Result]
    ) -> Result | None:
        """The same for requests that may be answered with null."""
        answer = await self._ask(method, params)
        return None if answer is None else _converted(method, answer, result)

    async def _ask(self, method: str, params: api.Message) -> Any:
        if self._ended:
            raise RpcError(REQUEST_CANCELLED, "the client has gone")
        number = f"sidecar-{next(self._numbers)}"
        future = self._asked[number] = asyncio.get_running_loop().create_future()
        try:
            self._send_soon({"id": number, "method": method, "params": msgspec.to_builtins(params)})
            return await future
        except asyncio.CancelledError:
            self._send_soon({"method": "$/cancelRequest", "params": {"id": number}})
            raise
        finally:
            del self._asked[number]

    async def notify(self, method: str, params: api.Message) -> None:
        """Tells the other end; waits while it reads slower than we tell."""
        message = {"jsonrpc": "2.0", "method": method, "params": params}
        await self.outgoing.send(framing.encode(msgspec.json.encode(message)))

    def post(self, method: str, params: api.Message) -> None:
        """Tells the other end without waiting; for small things at a rate that we bound."""
        self._send_soon({"method": method, "params": params})

    def refuse(self, number: object, code: int, message: str) -> None:
        """Answers a request that `fallback` took with an error."""
        self._answer(number, error=RpcError(code, message))

    def _send_soon(self, message: dict[str, Any]) -> None:
        body = msgspec.json.encode({"jsonrpc": "2.0", **message})
        self.outgoing.post(framing.encode(body))

    def _answer(
        self, number: object, result: api.Message | None = None, error: RpcError | None = None
    ) -> None:
        if error is not None:
            told = {"code": error.code, "message": error.message}
            if error.data is not None:
                told["data"] = cast(Any, error.data)
            self._send_soon({"id": number, "error": told})
            return
        try:
            self._send_soon({"id": number, "result": result})
        except (TypeError, ValueError) as problem:  # msgspec: a value that JSON cannot carry
            log.exception("a result cannot be encoded")
            self._answer(number, error=RpcError(INTERNAL_ERROR, f"no JSON for it: {problem}"))

    # --- in ----------------------------------------------------------------------------------

    def _take(self, body: bytes) -> None:
        try:
            message = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self._answer(None, error=RpcError(PARSE_ERROR, f"a message is no JSON: {error}"))
            return
        if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
            self._answer(None, error=RpcError(INVALID_REQUEST, "a message is no JSON-RPC 2.0"))
            return
        number, method = message.get("id"), message.get("method")
        if method is None:
            self._take_answer(message)
        elif method in self._handlers and isinstance(number, (int, str)):
            self._start(number, method, message.get("params"))
        elif method == "$/cancelRequest" and self._cancel(message.get("params")):
            pass
        elif not (self._fallback and self._fallback(message)) and number is not None:
            self.refuse(number, METHOD_NOT_FOUND, f"no method {method!r:.80}")

    def _take_answer(self, message: dict[str, Any]) -> None:
        number = message.get("id")
        future = self._asked.get(number) if isinstance(number, str) else None
        if future is None:
            if not (self._fallback and self._fallback(message)):
                log.debug("an answer to no question of ours: %.80r", number)
        elif not future.done():
            error = message.get("error")
            if isinstance(error, dict):
                code = error.get("code")
                future.set_exception(
                    RpcError(
                        code if isinstance(code, int) else INTERNAL_ERROR,
                        str(error.get("message", "")),
                        error.get("data"),
                    )
                )
            else:
                future.set_result(message.get("result"))

    def _start(self, number: int | str, method: str, raw: object) -> None:
        kind, handler = self._handlers[method]
        if number in self._running:
            self._answer(number, error=RpcError(INVALID_REQUEST, f"id {number!r} is in use"))
        elif len(self._running) >= MAX_REQUESTS:
            error = RpcError(REQUEST_FAILED, f"over {MAX_REQUESTS} requests at a time")
            self._answer(number, error=error)
        else:
            try:
                params = msgspec.convert({} if raw is None else raw, kind)
            except msgspec.ValidationError as problem:
                self._answer(number, error=RpcError(INVALID_PARAMS, f"{method}: {problem}"))
                return
            task = asyncio.create_task(self._serve(number, method, handler, params), name=method)
            self._running[number] = task
            task.add_done_callback(lambda _: self._running.pop(number, None))

    async def _serve(
        self, number: int | str, method: str, handler: Handler, params: api.Message
    ) -> None:
        try:
            result = await handler(params)
        except asyncio.CancelledError:
            self._answer(number, error=RpcError(REQUEST_CANCELLED, "cancelled"))
        except RpcError as error:
            self._answer(number, error=error)
        except SidecarError as error:
            log.info("%s failed: %s", method, error)
            self._answer(number, error=failure(error))
        except Exception as error:
            # The border to the client: a bug of ours ends the request, not the connection.
            log.exception("%s failed by a bug of ours", method)
            text = f"an error in the sidecar itself: {type(error).__name__}: {error}"
            self._answer(number, error=RpcError(INTERNAL_ERROR, text))
        else:
            self._answer(number, result)

    def _cancel(self, params: object) -> bool:
        number = params.get("id") if isinstance(params, dict) else None
        task = self._running.get(number) if isinstance(number, (int, str)) else None
        if task is None:
            return False
        task.cancel()
        return True


def _converted(method: str, answer: object, result: type[Result]) -> Result:
    try:
        return msgspec.convert(answer, result)
    except msgspec.ValidationError as error:
        raise RpcError(INVALID_PARAMS, f"the answer to {method}: {error}") from None
