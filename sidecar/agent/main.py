"""The agent's loop: frames in, to whoever handles them, answers out.

Threads, and what may wait:

- the *reader* (main thread) takes bytes, decodes, and hands on. Nothing that it does itself waits:
  Ping, Ack, and what is for a handler that is running already and belongs at once (keystrokes,
  a stream's bytes);
- SAVES have one worker, BULK another: each keeps its order, and a slow disk under a large file
  does not delay a save;
- requests on other lanes have a worker for each handler: a search for interpreters does not
  delay a listing;
- the *outbox* writes.

Handlers are made when their first message comes, on the thread of a worker: their modules may
still be on their way (loader.py). A handler's exception is the answer to its request. What cannot
be decoded ends the link, with one `Fail` that says so.
"""

import importlib
import json
import os
import select
import signal
import sys
import threading
import time
import traceback
import zlib
from types import FrameType
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple, Type

from sidecar.agent import loader
from sidecar.agent.backlog import Backlog
from sidecar.agent.outbox import LinkClosed, Outbox
from sidecar.core import exits, frames, lanes
from sidecar.core import messages as m
from sidecar.core.credit import CreditError

READ = 256 * 1024

AT_ONCE = (m.Input, m.Resize, m.Data, m.Eof, m.Window, m.Close)
"""Handled by the reader once their handler is there. Their handlers must not wait in them."""

UNHURRIED = 1.0
"""Seconds from the arrival of all modules until some are compiled that nobody asked for (rest.py):
30 ms of a core, which the first look at a project would wait for. Who asks sooner has them at
once."""

LAST_SECONDS = 2.0
"""At the end: what is queued gets this long to go out."""

Send = Callable[..., None]


class Route(NamedTuple):
    """Who handles these messages. `make` gets the agent and returns an object with
    `handle(message)` and, if it holds anything, `close()`."""

    name: str
    types: Tuple[Type[Any], ...]
    make: "Callable[[Agent], Any]"


def _module(name: str) -> Any:
    """A module of a later part, as soon as it has come."""
    name = "sidecar.agent." + name
    loader.wait(name)
    return importlib.import_module(name)


def _files(agent: "Agent") -> Any:
    return _module("changes.files").Files(agent.send, agent.state)


def _batches(agent: "Agent") -> Any:
    batches = _module("changes.batches")
    line = Backlog("batches", batches.WAITING)
    return batches.Batches(agent.send, agent.handler("files"), line, agent.protocol_failure)


def _repair(agent: "Agent") -> Any:
    return _module("changes.repair").Repair(agent.send, agent.handler("files"))


def _drafts(agent: "Agent") -> Any:
    return _module("changes.draft").Drafts(agent.handler("files"))


def _partial(agent: "Agent") -> Any:
    return _module("changes.partial").Partials(agent.send, agent.handler("files"))


def _jobs(agent: "Agent") -> Any:
    files, variables = agent.handler("files"), agent.handler("environments").of
    return _module("jobs.jobs").Jobs(agent.send, agent.state, files, variables)


def _environments(agent: "Agent") -> Any:
    return _module("environment.environments").Environments(agent.send)


def _interpreters(agent: "Agent") -> Any:
    files, environments = agent.handler("files"), agent.handler("environments")
    module = _module("environment.interpreters")
    return module.Interpreters(agent.send, agent.state, files, environments)


def _ahead(agent: "Agent") -> Any:
    return _module("roots.ahead").Ahead(agent.handler("files"))


def _annex(agent: "Agent") -> Any:
    return _module("jobs.annex").Annex(agent.send, agent.state)


def _streams(agent: "Agent") -> Any:
    return _module("streams").Streams(agent.send, agent.handler("environments").of)


def _install(agent: "Agent") -> Any:
    return _module("install").Installer(agent.send, agent.state)


def _notices(agent: "Agent") -> Any:
    return _module("roots.notice").Notices(agent.send, agent.handler("files"))


def _repositories(agent: "Agent") -> Any:
    files = agent.handler("files")
    return _module("git.repositories").Repositories(agent.send, agent.state, files)


ROUTES = (
    Route(
        "files",
        (
            m.Open, m.Claim, m.Manage, m.Resume, m.ForgetFolders, m.Sweep, m.Forget, m.Lookup,
            m.List_, m.Digests, m.Signature, m.Fetch, m.Cancel, m.Put, m.PutPart, m.MakeLink,
            m.MakeDirectory, m.SetMode, m.Remove,
        ),
        _files,
    ),
    Route("batches", (m.Batch, m.BatchPart), _batches),
    Route("repair", (m.Trash, m.Restore, m.Describe, m.Discard), _repair),
    Route("drafts", (m.Draft,), _drafts),
    Route("partial", (m.Partial,), _partial),
    Route(
        "jobs",
        (m.Run, m.Without, m.Tail, m.Untail, m.Hold, m.Input, m.Resize, m.Signal, m.Jobs),
        _jobs,
    ),
    Route("environments", (m.Environment,), _environments),
    Route("ahead", (m.LookAhead,), _ahead),
    Route("interpreters", (m.Python, m.Survey), _interpreters),
    Route("annex", (m.Keep, m.About, m.Packages, m.Look), _annex),
    Route("streams", (m.Spawn, m.Connect, m.Data, m.Eof, m.Window, m.Close), _streams),
    Route("notices", (m.Watch,), _notices),
    Route("git", (m.Git, m.GitMake, m.GitPack, m.GitMove, m.GitWant), _repositories),
    Route("install", (m.Install, m.InstallPart), _install),
)  # fmt: skip
"""Stated here, not asked of the handlers, since their modules load late. A test compares."""


def _rest() -> None:
    from sidecar.agent.rest import prepare

    prepare()


def run(arguments: Dict[str, Any]) -> None:
    """The agent's life in its process. Does not return.

    Args:
        arguments: `protocol`; `root`: the project's folder as configured, or ""; `state`: the
            folder for what is kept here, or ""; `quiet`: seconds without a byte after which the
            other side counts as gone.
    """
    # The protocol's descriptors are ours alone: what a library prints goes to stderr, and no
    # child reads our stdin.
    incoming, outgoing = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    agent = Agent(incoming, outgoing, state_folder(arguments["state"]), arguments["quiet"])

    def ended(number: int, frame: Optional[FrameType]) -> None:
        agent.end(exits.ENDED)

    def ignored(number: int, frame: Optional[FrameType]) -> None:
        """The end of the connection shows as the end of stdin. A function, not SIG_IGN, since
        children would inherit that."""

    signal.signal(signal.SIGTERM, ended)
    signal.signal(signal.SIGINT, ended)
    signal.signal(signal.SIGHUP, ignored)
    try:
        status = agent.serve()
    except Exception:  # noqa: BLE001 - the process ends here, and says why
        traceback.print_exc()
        status = exits.CRASHED
    sys.stderr.flush()
    # Not sys.exit: threads that wait for a dead disk must not keep the process.
    os._exit(status)


def state_folder(configured: str) -> str:
    """Where this machine's jobs and caches are kept. Homes are shared between machines, so each
    has its own."""
    base = os.path.expandvars(os.path.expanduser(configured))
    if not base:
        home = os.environ.get("XDG_STATE_HOME", "")
        if not os.path.isabs(home):
            home = os.path.expanduser("~/.local/state")
        base = os.path.join(home, "sidecar")
    return os.path.join(os.path.abspath(base), os.uname().nodename)


class _Handling:
    """A route while the agent runs: its handler, once it is made, and its own worker."""

    def __init__(self, route: Route) -> None:
        self.route = route
        self.worker = Backlog(route.name)
        self.handler: Any = None
        self.waiting = 0
        """AT_ONCE messages that wait for the handler to be made; those behind them wait too."""


class Agent:
    """Reads frames from one descriptor and writes to another until either ends.

    Args:
        state: folder for what is kept on this machine.
        quiet: seconds without a byte after which the other side counts as gone; 0 for ever.
        routes: who handles what.
    """

    def __init__(
        self,
        incoming: int,
        outgoing: int,
        state: str,
        quiet: float = 0,
        routes: Tuple[Route, ...] = ROUTES,
    ) -> None:
        self.state = state
        self._incoming = incoming
        self._quiet = quiet
        self._wake_read, self._wake_write = os.pipe()
        self._status: Optional[int] = None
        self._decoder = frames.FrameDecoder()
        self._processed = lanes.Processed()
        self._lock = threading.Lock()  # counts; never held while waiting
        self._making = threading.RLock()  # one handler is made at a time, and may need another
        self._outbox = Outbox(outgoing, lambda: self.end(exits.UNHEARD))
        self.send: Send = self._outbox.send
        self._handlings = {route.name: _Handling(route) for route in routes}
        self._by_type = {
            kind: handling for handling in self._handlings.values() for kind in handling.route.types
        }
        self._saves, self._bulk = Backlog("saves"), Backlog("bulk")

    def serve(self) -> int:
        """Works until the link ends; returns the exit status."""
        try:
            while self._status is None:
                chunk = self._read()
                if chunk:
                    self._feed(chunk)
                else:
                    self.end(exits.ENDED)
        finally:
            self._close()
        assert self._status is not None
        return self._status

    def end(self, status: int) -> None:
        """Ends the loop; the first status counts. From any thread, or a signal's handler."""
        if self._status is None:
            self._status = status
            os.write(self._wake_write, b"\0")

    def handler(self, name: str) -> Any:
        """The handler of that route, made if it is not there yet; that may wait for modules, so
        the reader only asks for those that are there."""
        handling = self._handlings[name]
        if handling.handler is not None:
            return handling.handler
        with self._making:
            if handling.handler is None:
                handling.handler = handling.route.make(self)
            return handling.handler

    def _read(self) -> bytes:
        """The next bytes; b"" at the end, and when `end` was called."""
        patience = self._quiet or None
        ready = select.select([self._incoming, self._wake_read], [], [], patience)[0]
        if not ready:
            self.end(exits.QUIET)
        if self._incoming not in ready:
            return b""
        try:
            return os.read(self._incoming, READ)
        except OSError:
            return b""  # a broken connection is an ended one

    def _feed(self, chunk: bytes) -> None:
        try:
            for frame in self._decoder.feed(chunk):
                self._take(frame, m.decode(frame))
                if self._status is not None:
                    return
        except (frames.FrameError, m.MessageError, CreditError, zlib.error, ValueError) as error:
            self.protocol_failure(str(error))

    def protocol_failure(self, why: str) -> None:
        try:
            self.send(
                m.Fail(
                    0,
                    "protocol",
                    "The agent could not read what the sidecar sent",
                    why,
                    "report this with the sidecar's log",
                )
            )
        except LinkClosed:
            pass  # then nobody is there to be told
        self.end(exits.PROTOCOL)

    def _take(self, frame: frames.Frame, message: Any) -> None:
        kind = type(message)
        if kind is m.Ping:
            self._answer(m.Pong(message.id, time.time_ns()))
        elif kind is m.Ack:
            self._outbox.acknowledged(message.lane, message.processed)
        elif kind is m.Bye:
            self.end(exits.ENDED)
        elif kind is m.Modules:
            if loader.add(json.loads(zlib.decompress(message.body).decode("ascii"))):
                timer = threading.Timer(UNHURRIED, _rest)
                timer.daemon = True
                timer.start()
            self._done(frame)
        elif kind in self._by_type:
            self._hand_on(self._by_type[kind], frame, message)
        else:
            raise m.MessageError("%s is not for an agent" % kind.__name__)

    def _hand_on(self, handling: _Handling, frame: frames.Frame, message: Any) -> None:
        if isinstance(message, AT_ONCE):
            with self._lock:
                now = handling.handler is not None and not handling.waiting
                handling.waiting += not now
            if now:
                self._handle(handling, frame, message)
            else:
                handling.worker.put(frame.size, lambda: self._handle_late(handling, frame, message))
            return
        if frame.lane == frames.SAVES:
            worker = self._saves
        elif frame.lane == frames.BULK:
            worker = self._bulk
        else:
            worker = handling.worker
        worker.put(frame.size, lambda: self._handle(handling, frame, message))

    def _handle_late(self, handling: _Handling, frame: frames.Frame, message: Any) -> None:
        self._handle(handling, frame, message)
        with self._lock:
            handling.waiting -= 1

    def _handle(self, handling: _Handling, frame: frames.Frame, message: Any) -> None:
        try:
            self.handler(handling.route.name).handle(message)
        except LinkClosed:
            return
        except m.MessageError as error:
            self.protocol_failure(str(error))
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, whoever asked must hear of it
            self._answer(failure(message, error))
        self._done(frame)

    def _done(self, frame: frames.Frame) -> None:
        """The frame was processed; on some lanes the other side waits to hear that."""
        with self._lock:  # so that counts go out in order
            count = self._processed.add(frame.lane, frame.size)
            if count:
                self._answer(m.Ack(frame.lane, count))

    def _answer(self, message: m.Message) -> None:
        try:
            self.send(message)
        except LinkClosed:
            pass  # the loop is ending

    def _close(self) -> None:
        """Ends what must not outlive the link: children of streams, not jobs."""
        for worker in [self._saves, self._bulk] + [h.worker for h in self._handlings.values()]:
            worker.end()
        problems: List[str] = []
        for handling in self._handlings.values():
            close = getattr(handling.handler, "close", None)
            if close is not None:
                try:
                    close()
                except Exception:  # noqa: BLE001 - the others must be closed as well
                    problems.append(traceback.format_exc())
        self._outbox.close(LAST_SECONDS)
        sys.stderr.write("".join(problems))
        os.close(self._wake_read)
        os.close(self._wake_write)


def failure(message: Any, error: Exception) -> m.Message:
    """What tells the other side that a handler raised: an error of ours, or of the machine."""
    why = "".join(traceback.format_exception_only(type(error), error)).strip()
    last = traceback.extract_tb(error.__traceback__)[-1:]
    if last and not isinstance(error, OSError):
        why += " (%s, line %d)" % (last[0].filename, last[0].lineno or 0)
    kind = type(message)
    code = "system" if isinstance(error, OSError) else "internal"
    if "seq" in kind._fields:
        return m.Refused(message.seq, message.root, getattr(message, "path", ""), code, why, None)
    return m.Fail(
        getattr(message, "id", 0),
        code,
        "%s failed on the remote machine" % kind.__name__.rstrip("_"),
        why,
    )
