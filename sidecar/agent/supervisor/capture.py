"""A job's output on its way into the log.

What was read waits here only for the rest of a character, or for the log. When that takes nothing
(the disk is full, or an attached reader must have something first), nothing is read any more, so
that the job waits as for a slow reader, and the write is tried again every RETRY seconds, and
when the readers have come further. Nothing is lost.
"""

import errno
import os
import selectors
import time
from typing import Callable, Dict, Optional

from sidecar.agent.supervisor.joblog import LogWriter
from sidecar.core import utf8

RETRY = 1.0
SPLIT = 0.02
"""Seconds that the first bytes of a character wait for the rest of it."""

READ = 1 << 16


class Capture:
    """The outputs of one job.

    Args:
        on_growth: called when the log has become longer.
        on_stuck: called when `stuck` has changed.
    """

    def __init__(
        self,
        selector: selectors.BaseSelector,
        log: LogWriter,
        on_growth: Callable[[], None],
        on_stuck: Callable[[], None],
    ) -> None:
        self._selector, self._log = selector, log
        self._on_growth, self._on_stuck = on_growth, on_stuck
        self.stuck = ""
        """Why the disk takes nothing, so that the job waits; "" while it does."""
        self._outputs: Dict[int, _Output] = {}
        self._retry_at: Optional[float] = None
        self._held = False

    def add(self, descriptor: int, number: int) -> None:
        """Takes over an output of the job, to be kept as that stream; -1 is none."""
        if descriptor < 0:
            return
        self._outputs[descriptor] = _Output(descriptor, number)
        self._listen_to(self._outputs[descriptor], True)

    @property
    def over(self) -> bool:
        """Nobody holds an output any more, and all of it is in the log."""
        return not self._outputs

    @property
    def deadline(self) -> Optional[float]:
        """When `due` wants to be called, by the monotonic clock."""
        wanted = [output.split_at for output in self._outputs.values()] + [self._retry_at]
        return min((one for one in wanted if one is not None), default=None)

    def due(self, now: float) -> None:
        """Does what the time has come for."""
        for output in list(self._outputs.values()):
            if output.split_at is not None and now >= output.split_at:
                self._keep(output, everything=True)
        if self._retry_at is not None and now >= self._retry_at:
            self._resume()

    def hold(self, wanted: bool) -> None:
        """Nothing is read while `wanted`, so that the job waits."""
        if wanted != self._held:
            self._held = wanted
            for output in self._outputs.values():
                self._listen_to(output, not output.over and self._retry_at is None)

    def retry(self) -> None:
        """The log may take now what it did not take before."""
        if self._retry_at is not None:
            self._resume()

    def _listen_to(self, output: "_Output", wanted: bool) -> None:
        wanted = wanted and not self._held
        registered = output.descriptor in self._selector.get_map()
        if wanted and not registered:
            self._selector.register(
                output.descriptor, selectors.EVENT_READ, lambda: self._read(output)
            )
        elif registered and not wanted:
            self._selector.unregister(output.descriptor)

    def _read(self, output: "_Output") -> None:
        try:
            data = os.read(output.descriptor, READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""  # EIO: nobody has the terminal open any more
        if not data:
            self._listen_to(output, False)
            output.over = True
            self._keep(output, everything=True)
            return
        output.waiting += data
        self._keep(output, everything=False)

    def _keep(self, output: "_Output", everything: bool) -> None:
        """Brings what was read into the log, but for the beginning of a character."""
        output.split_at = None
        length = len(output.waiting)
        if not everything:
            length = utf8.whole_characters(bytes(output.waiting[-4:])) + max(0, length - 4)
        stuck = os.strerror(errno.ENOSPC)
        try:
            taken = self._log.append(output.number, bytes(output.waiting[:length]))
        except OSError as error:
            taken, stuck = 0, error.strerror or str(error)
        del output.waiting[:taken]
        if taken == length or self._log.waits:
            stuck = ""
        if stuck != self.stuck:
            self.stuck = stuck
            self._on_stuck()
        if taken < length:
            self._pause()
        elif output.waiting:
            output.split_at = time.monotonic() + SPLIT
        elif output.over:
            del self._outputs[output.descriptor]
            os.close(output.descriptor)
        if taken:
            self._on_growth()

    def _pause(self) -> None:
        for output in self._outputs.values():
            self._listen_to(output, False)
        self._retry_at = time.monotonic() + RETRY

    def _resume(self) -> None:
        self._retry_at = None
        for output in list(self._outputs.values()):
            self._listen_to(output, not output.over)
        for output in list(self._outputs.values()):
            if self._retry_at is None and (output.waiting or output.over):
                self._keep(output, everything=output.over)


class _Output:
    """One of them. `waiting`: read, not in the log yet. `over`: nothing more comes."""

    def __init__(self, descriptor: int, number: int) -> None:
        self.descriptor, self.number = descriptor, number
        self.waiting = bytearray()
        self.over = False
        self.split_at: Optional[float] = None
