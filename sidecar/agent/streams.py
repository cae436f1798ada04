"""Byte streams through the agent: children's stdin, stdout and stderr, and connections.

One thread watches all of them. Both directions have windows (messages.STREAM_WINDOW): nothing is
read from a child whose output the other side does not take, and what the other side sends and a
child does not read is bounded. Children end with the link; jobs are none of them.
"""

import errno
import os
import selectors
import signal
import socket
import subprocess
import threading
import time
from collections import deque
from typing import Any, Callable, Deque, Dict, List, Optional, Tuple

from sidecar.agent.failure import Failure
from sidecar.agent.outbox import LinkClosed
from sidecar.core import frames
from sidecar.core import messages as m

CONNECT_PATIENCE = 20.0
"""Seconds for a connection to be accepted; what is on this machine answers at once."""

GRACE = 2.0
"""Seconds between SIGTERM and SIGKILL for a child that nobody needs any more, and for what is
still to be written to a connection that is closed."""

QUIET = 0.5
"""Seconds without output after which a child that has ended has no more to say, although
somebody (a child of its own) still holds its stdout."""

TELL = m.STREAM_WINDOW // 4
"""Bytes taken after which the other side is told."""

OUTPUT, ERRORS = 1, 2


class _Stream:
    """One stream, as the watching thread sees it. Nobody else touches it."""

    def __init__(self, number: int, sink: int, sources: Dict[int, int]) -> None:
        self.number = number
        self.sink = sink  # where what arrives is written; -1: closed
        self.sources = sources  # descriptor to channel
        self.process: Optional[subprocess.Popen[bytes]] = None
        self.socket: Optional[socket.socket] = None
        self.waiting = bytearray()  # arrived, not written yet
        self.eof = False  # nothing comes behind what is waiting
        self.taken = 0  # written since the other side was told
        self.window = m.STREAM_WINDOW
        self.status: Optional[int] = None
        self.deadline = 0.0  # 0: none
        self.dropped = False  # the other side has closed it


class Streams:
    """Handles Spawn, Connect, and what belongs to the streams these open."""

    TYPES = (m.Spawn, m.Connect, m.Data, m.Eof, m.Window, m.Close)

    def __init__(
        self,
        send: Callable[..., None],
        environment: Optional[Callable[[int], Dict[str, str]]] = None,
    ) -> None:
        """`environment`: of a root's jobs (environments.py)."""
        self._send, self._environment = send, environment
        self._streams: Dict[int, _Stream] = {}
        self._selector = selectors.DefaultSelector()
        self._inbox: Deque[Callable[[], None]] = deque()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        self._ending = False
        self._thread = threading.Thread(target=self._watch, name="streams", daemon=True)
        self._thread.start()

    def handle(self, message: Any) -> None:
        """Spawn is done before this returns, all else by other threads."""
        if isinstance(message, m.Spawn):
            self._spawn(message)
        elif isinstance(message, m.Connect):
            # Its own thread: one that is not answered must not hold up the others.
            threading.Thread(target=self._connect, args=(message,), daemon=True).start()
        else:
            self._soon(lambda: self._take(message))

    def close(self) -> None:
        """Ends every child and connection."""
        self._ending = True
        self._wake()
        self._thread.join(GRACE)
        children = [s.process for s in self._streams.values() if s.process is not None]
        for child in children:
            _signal(child, signal.SIGTERM)
        end = time.monotonic() + GRACE
        for child in children:
            try:
                child.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                _signal(child, signal.SIGKILL)
        for stream in tuple(self._streams.values()):
            self._release(stream)

    # --- opening, on other threads -----------------------------------------------------------

    def _spawn(self, message: m.Spawn) -> None:
        environment = dict(os.environ)
        if message.root and self._environment is not None:
            try:
                environment = self._environment(message.root)
            except Failure as error:
                self._send(m.Fail(message.id, error.code, error.what, error.why, error.fix))
                return
        environment.update(message.env)
        try:
            child = subprocess.Popen(
                message.argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                env=environment,
                cwd=os.path.expanduser(message.cwd or "~"),
                start_new_session=True,
            )
        except (OSError, ValueError, IndexError) as error:
            what = "Cannot start %s on the remote machine" % (message.argv or ["nothing"])[0]
            self._send(m.Fail(message.id, "spawn", what, str(error)))
            return
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        # The descriptors are the stream's own, so that no file object closes them a second time.
        sink, output, errors = [
            os.dup(f.fileno()) for f in (child.stdin, child.stdout, child.stderr)
        ]
        for file in (child.stdin, child.stdout, child.stderr):
            file.close()
        stream = _Stream(message.id, sink, {output: OUTPUT, errors: ERRORS})
        stream.process = child
        self._open(stream, child.pid)

        def wait() -> None:
            status = child.wait()
            self._soon(lambda: self._ended(stream, status))

        threading.Thread(target=wait, name="child", daemon=True).start()

    def _connect(self, message: m.Connect) -> None:
        try:
            connection = _connected(message.host, message.port)
        except (OSError, UnicodeError) as error:
            refused = getattr(error, "errno", 0) == errno.ECONNREFUSED
            where = "port %d of %s" % (message.port, message.host) if message.port else message.host
            try:
                self._send(
                    m.Fail(
                        message.id,
                        "refused" if refused else "connect",
                        "Cannot connect to %s on the remote machine" % where,
                        "nobody listens there" if refused else str(error),
                    )
                )
            except LinkClosed:
                pass  # then nobody waits for the answer
            return
        number = connection.fileno()
        stream = _Stream(message.id, number, {number: OUTPUT})
        stream.socket = connection
        try:
            self._open(stream, 0)
        except LinkClosed:
            connection.close()

    def _open(self, stream: _Stream, pid: int) -> None:
        for descriptor in {stream.sink, *stream.sources}:
            os.set_blocking(descriptor, False)
        # Added first, so that `close` ends it whatever happens. Data may overtake the answer: the
        # other side made its end of the stream when it asked.
        self._soon(lambda: self._add(stream))
        self._send(m.Connected(stream.number, pid))

    # --- the watching thread -----------------------------------------------------------------

    def _soon(self, work: Callable[[], None]) -> None:
        self._inbox.append(work)
        self._wake()

    def _wake(self) -> None:
        try:
            os.write(self._wake_write, b"\0")
        except BlockingIOError:
            pass  # it will wake as it is

    def _watch(self) -> None:
        try:
            while not self._ending:
                for key, events in self._selector.select(self._patience()):
                    if key.fd == self._wake_read:
                        os.read(self._wake_read, 4096)
                        continue
                    stream = key.data
                    if events & selectors.EVENT_WRITE:
                        self._write(stream)
                    if events & selectors.EVENT_READ and key.fd in stream.sources:
                        self._read(stream, key.fd)
                while self._inbox:
                    self._inbox.popleft()()
                self._check_deadlines()
        except LinkClosed:
            pass  # the agent ends, and calls `close`

    def _patience(self) -> Optional[float]:
        deadlines = [s.deadline for s in self._streams.values() if s.deadline]
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    def _check_deadlines(self) -> None:
        now = time.monotonic()
        for stream in [s for s in self._streams.values() if 0 < s.deadline <= now]:
            stream.deadline = 0.0
            if stream.process is not None and stream.status is None:
                _signal(stream.process, signal.SIGKILL)  # `_ended` follows
            else:
                self._finish(stream)

    def _add(self, stream: _Stream) -> None:
        self._streams[stream.number] = stream
        self._register(stream)

    def _take(self, message: Any) -> None:
        stream = self._streams.get(message.id)
        if stream is None or stream.dropped:
            return  # it ended while that was on its way
        if isinstance(message, m.Data):
            if stream.sink >= 0:
                stream.waiting += message.body
                if len(stream.waiting) > 2 * m.STREAM_WINDOW:
                    self._abort(stream, "more was sent than the window allows")
                    return
                self._write(stream)
            else:
                self._taken(stream, len(message.body))  # a child that closed its stdin
        elif isinstance(message, m.Eof):
            stream.eof = True
            self._write(stream)
        elif isinstance(message, m.Window):
            stream.window += message.bytes
            self._register(stream)
        else:
            self._drop(stream)

    def _read(self, stream: _Stream, descriptor: int) -> None:
        channel = stream.sources[descriptor]
        try:
            data = os.read(descriptor, min(frames.CHUNK, max(1, stream.window)))
        except BlockingIOError:
            return
        except OSError as error:
            self._abort(stream, str(error))
            return
        if data:
            stream.window -= len(data)
            if stream.status is not None:
                stream.deadline = time.monotonic() + QUIET
            if not stream.dropped:
                self._send(m.Data(stream.number, channel, data), frames.STREAMS)
        else:
            del stream.sources[descriptor]
            if descriptor != stream.sink:
                self._unregister(descriptor)
                if stream.socket is None:
                    os.close(descriptor)
            if not stream.dropped:
                self._send(m.Eof(stream.number, channel), frames.STREAMS)
        self._register(stream)
        self._finish_if_over(stream)

    def _write(self, stream: _Stream) -> None:
        """Writes what it takes now; the rest when it takes more."""
        while stream.waiting and stream.sink >= 0:
            try:
                count = os.write(stream.sink, bytes(stream.waiting[: frames.CHUNK]))
            except BlockingIOError:
                break
            except OSError as error:
                if stream.socket is not None:
                    self._abort(stream, str(error))
                    return
                # A child that reads no more is no error; its status will tell.
                count = len(stream.waiting)
                self._close_sink(stream)
            del stream.waiting[:count]
            self._taken(stream, count)
        if stream.dropped and stream.socket is not None and not stream.waiting:
            self._finish(stream)
            return
        if stream.eof and not stream.waiting:
            self._close_sink(stream)
        self._register(stream)
        self._finish_if_over(stream)

    def _taken(self, stream: _Stream, count: int) -> None:
        stream.taken += count
        if stream.taken >= TELL and not stream.dropped:
            self._send(m.Window(stream.number, stream.taken))
            stream.taken = 0

    def _close_sink(self, stream: _Stream) -> None:
        sink, stream.sink = stream.sink, -1
        if sink < 0:
            return
        if stream.socket is None:
            self._unregister(sink)
            os.close(sink)
            return
        if sink not in stream.sources:
            self._unregister(sink)
        try:
            stream.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the other half has gone already, which its reading side tells

    def _ended(self, stream: _Stream, status: int) -> None:
        """The child has ended. What it wrote last is still to be read."""
        stream.status = status
        stream.deadline = 0.0
        if stream.dropped:
            self._finish(stream)
        elif stream.sources:
            stream.deadline = time.monotonic() + QUIET
            self._register(stream)
        else:
            self._finish(stream)

    def _finish_if_over(self, stream: _Stream) -> None:
        if stream.sources:
            return
        # A child is over when it was waited for, a connection when both halves are.
        if stream.status is not None if stream.process is not None else stream.sink < 0:
            self._finish(stream)

    def _finish(self, stream: _Stream, why: str = "") -> None:
        """Nothing more comes of it."""
        if self._streams.pop(stream.number, None) is None:
            return
        self._release(stream)
        if not stream.dropped:
            # On the lane of the data, so behind it.
            self._send(m.Close(stream.number, stream.status or 0, why), frames.STREAMS)

    def _release(self, stream: _Stream) -> None:
        for descriptor in {stream.sink, *stream.sources} - {-1}:
            self._unregister(descriptor)
            if stream.socket is None:
                os.close(descriptor)
        stream.sources, stream.sink = {}, -1
        if stream.socket is not None:
            stream.socket.close()

    def _abort(self, stream: _Stream, why: str) -> None:
        if stream.process is not None and stream.status is None:
            _signal(stream.process, signal.SIGKILL)
            stream.status = -signal.SIGKILL
        self._finish(stream, why)

    def _drop(self, stream: _Stream) -> None:
        """The other side needs it no more. A child is ended; to a connection goes what waits."""
        stream.dropped = True
        stream.eof = True
        stream.deadline = time.monotonic() + GRACE
        stream.window = m.STREAM_WINDOW  # its output is read, and nobody told
        if stream.process is not None:
            _signal(stream.process, signal.SIGTERM)
            self._register(stream)
        elif stream.waiting:
            self._register(stream)
        else:
            self._finish(stream)

    def _register(self, stream: _Stream) -> None:
        """Watches the descriptors for what could be done with them now."""
        if stream.dropped:
            stream.window = m.STREAM_WINDOW
        if stream.status is not None and stream.window <= 0:
            stream.deadline = 0.0  # quiet because nobody takes it
        elif stream.status is not None and not stream.deadline and stream.sources:
            stream.deadline = time.monotonic() + QUIET
        wanted: List[Tuple[int, int]] = []
        for descriptor in {stream.sink, *stream.sources} - {-1}:
            reads = descriptor in stream.sources and stream.window > 0
            writes = descriptor == stream.sink and bool(stream.waiting)
            events = reads * selectors.EVENT_READ | writes * selectors.EVENT_WRITE
            wanted.append((descriptor, events))
        registered = self._selector.get_map()
        for descriptor, events in wanted:
            if descriptor not in registered:
                if events:
                    self._selector.register(descriptor, events, stream)
            elif not events:
                self._selector.unregister(descriptor)
            elif registered[descriptor].events != events:
                self._selector.modify(descriptor, events, stream)

    def _unregister(self, descriptor: int) -> None:
        if descriptor in self._selector.get_map():
            self._selector.unregister(descriptor)


def _connected(host: str, port: int) -> socket.socket:
    if port:
        connection = socket.create_connection((host, port), CONNECT_PATIENCE)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(CONNECT_PATIENCE)
        connection.connect(host)
    except OSError:
        connection.close()
        raise
    return connection


def _signal(child: "subprocess.Popen[bytes]", number: int) -> None:
    """To the child and what it started. It leads its own group, whose number is its pid until
    it was waited for."""
    if child.poll() is None:
        try:
            os.killpg(child.pid, number)
        except ProcessLookupError:
            pass  # it ended this moment
