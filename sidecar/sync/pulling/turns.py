"""Turns: which of what is to come is fetched next, and how many at once.

Small contents come many at a time and are never behind large ones; what a person decided about is
behind nothing that comes by itself.
"""

from __future__ import annotations

import asyncio
import enum
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable

from sidecar.core.identity import FILE
from sidecar.errors import Disconnected
from sidecar.sync.pulling.wanted import Wanted

SMALL = 1 << 20
"""Bytes up to which a content is a small one."""


class Line(enum.Enum):
    """What waits together. The value: how many of it are fetched side by side."""

    DECIDED = 4
    SMALL = 32
    LARGE = 2


class Turns:
    """Of one root over one connection. Ends with the connection.

    Args:
        pull: brings one path here, and says itself what went wrong.
        changed: told when there is one less.
    """

    def __init__(
        self, pull: Callable[[str, Wanted], Awaitable[None]], changed: Callable[[], None]
    ) -> None:
        self._pull, self._changed = pull, changed
        self._lines: dict[Line, dict[str, Wanted]] = {line: {} for line in Line}
        self._workers = Counter[Line]()
        self._under_way: dict[str, tuple[Wanted, asyncio.Task[None]]] = {}
        self._pausing: set[str] = set()
        self._ends: dict[str, asyncio.Future[None]] = {}
        """Of what somebody waits for."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle, self._nothing_decided = asyncio.Event(), asyncio.Event()
        self._idle.set()
        self._nothing_decided.set()
        self._closed = False

    @property
    def waiting(self) -> int:
        """How many wait or are under way."""
        return sum(map(len, self._lines.values())) + len(self._under_way)

    def want(self, path: str, wanted: Wanted) -> None:
        """Has a path come. A later wish replaces one that waits, and of what was decided also one
        that is under way. Never blocks."""
        now, task = self._under_way.get(path, (None, None))
        if self._closed or now == wanted:
            return
        if path in self._pausing and not (wanted.asked or wanted.decided):
            return
        for queue in self._lines.values():
            queue.pop(path, None)
        if wanted.decided and task is not None:
            task.cancel()
        small = wanted.there.kind != FILE or wanted.there.size <= SMALL
        line = Line.DECIDED if wanted.decided else Line.SMALL if small else Line.LARGE
        self._lines[line][path] = wanted
        self._idle.clear()
        if wanted.decided:
            self._nothing_decided.clear()
        self._kick(line)

    async def ended(self, paths: Iterable[str], begin: Callable[[], None]) -> None:
        """Begins, and returns when these have come, or it was said why not. Being cancelled calls
        them off.

        Raises:
            Disconnected: the connection went away meanwhile.
        """
        paths = list(paths)
        for path in paths:
            self._ends[path] = asyncio.get_running_loop().create_future()
        ends = [self._ends[path] for path in paths]
        try:
            begin()
            await asyncio.gather(*ends)
        except BaseException:
            for path in paths:
                for queue in self._lines.values():
                    queue.pop(path, None)
                if path in self._under_way:
                    self._under_way[path][1].cancel()
            raise
        finally:
            for path in paths:
                self._ends.pop(path, None)
            self._look_for_the_end()

    def pause(self, path: str, seconds: float, again: Callable[[], None]) -> None:
        """What comes by itself comes no sooner than that; then it is tried again."""

        def resume() -> None:
            self._pausing.discard(path)
            again()

        self._pausing.add(path)
        asyncio.get_running_loop().call_later(seconds, resume)

    async def settled(self) -> None:
        """Returns when nothing waits or is under way; at once after `close`."""
        await self._idle.wait()

    async def decisions_settled(self) -> None:
        """The same of what a person decided about."""
        await self._nothing_decided.wait()

    def close(self) -> None:
        self._closed = True
        for task in self._tasks:
            task.cancel()
        for queue in self._lines.values():
            queue.clear()
        for end in self._ends.values():
            if not end.done():
                end.set_exception(gone())
        self._idle.set()
        self._nothing_decided.set()

    def _kick(self, line: Line) -> None:
        """Sets one more to work where that is of use."""
        if self._workers[line] < min(line.value, len(self._lines[line])):
            self._workers[line] += 1
            task = asyncio.create_task(self._work(line), name="pull")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _work(self, line: Line) -> None:
        queue = self._lines[line]
        try:
            while True:
                # None waits for a path that is under way: whoever is at that looks again.
                path = next((one for one in queue if one not in self._under_way), None)
                if path is None:
                    return
                await self._take(path, queue.pop(path))
        finally:
            self._workers[line] -= 1

    async def _take(self, path: str, wanted: Wanted) -> None:
        task = asyncio.ensure_future(self._pull(path, wanted))
        self._under_way[path] = wanted, task
        try:
            await asyncio.wait({task})
        finally:
            task.cancel()  # where it is this worker that was
            del self._under_way[path]
            if not self._closed:
                for line, queue in self._lines.items():
                    if path in queue:
                        self._kick(line)
                        break
                else:
                    end = self._ends.get(path)
                    if end is not None and not end.done():
                        end.set_result(None)
                self._look_for_the_end()
        self._changed()

    def _look_for_the_end(self) -> None:
        if not self.waiting:
            self._idle.set()
        under_way = any(wanted.decided for wanted, _ in self._under_way.values())
        if not self._lines[Line.DECIDED] and not under_way:
            self._nothing_decided.set()


def gone() -> Disconnected:
    return Disconnected("the connection is gone", "nothing is half here", "see `sidecar status`")
