"""Sends a job's output from an offset on, as it appears, and then the job's end.

Where the supervisor can be reached it wakes us. Where it cannot, because the job runs on another
machine that shares the folder, or the socket was cleared away, the log is looked at every POLL
seconds; nothing else polls.
"""

import threading
from typing import Callable, Iterable, Optional, Sequence

from sidecar.agent import machine
from sidecar.agent.jobs import attachment, remains
from sidecar.agent.outbox import LinkClosed
from sidecar.agent.supervisor import joblog, records
from sidecar.core import frames
from sidecar.core import messages as m

POLL = 1.0

Attach = Callable[[], Optional[attachment.Attachment]]


class Tail:
    """One job's output on its way. Runs on a thread of its own, which waits while the link is
    full: so the log is read as fast as it can be sent, and no faster.

    Args:
        folder: the job's.
        attach: gives the connection to the job's supervisor, None where it cannot be reached.
        bounds: as in messages.Tail.
        previous: the tail that this one replaces, stopped already; nothing is sent before its
            thread has ended, so that the two are never mixed.
    Raises:
        joblog.LogError: the log does not reach to `offset`.
    """

    def __init__(
        self,
        job: str,
        folder: str,
        offset: int,
        send: Callable[..., None],
        attach: Attach,
        bounds: Iterable[int] = (),
        previous: "Optional[Tail]" = None,
    ) -> None:
        self._job, self._folder = job, folder
        self._send, self._attach = send, attach
        self._reader = joblog.LogReader(folder, offset, bounds)
        self._previous = previous
        self._attached: Optional[attachment.Attachment] = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tail %s" % job, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Nothing is sent any more after what is being sent now."""
        self._stopped.set()
        attached = self._attached
        if attached is not None:
            attached.wake()

    def join(self, seconds: Optional[float]) -> None:
        self._thread.join(seconds)

    def _run(self) -> None:
        if self._previous is not None:
            self._previous.join(None)
            self._previous = None
        try:
            self._send_all()
        except LinkClosed:
            pass  # the next agent goes on where the laptop's offset is
        except (joblog.LogError, records.RecordError, OSError) as error:
            self._tell(0, "its output cannot be read any further: %s" % error)
        finally:
            self._reader.close()

    def _send_all(self) -> None:
        ended = False
        while not self._stopped.is_set():
            part = self._reader.read()
            if part is not None:
                self._send(
                    m.Output(self._job, part.offset, part.end, part.stream, part.data),
                    frames.STREAMS,
                )
            elif ended:
                self._send_end()
                return
            else:
                # What was written before the end is in the log when the end is known, so it is
                # read once more behind it.
                ended = self._wait()

    def _wait(self) -> bool:
        """Returns when there may be more output, or (True) when the job has ended."""
        self._attached = attached = self._attach()
        if attached is not None:
            told = attached.wait(self._reader.offset, self._stopped.is_set)
            if told != attachment.GONE or self._stopped.is_set():
                return told == attachment.ENDED
        _, state = records.refreshed(self._folder, machine.here())
        if state in (records.EXITED, records.LOST):
            return True
        self._stopped.wait(POLL)
        return False

    def _send_end(self) -> None:
        here = machine.here()
        record, state = records.refreshed(self._folder, here)
        left = [one.pid for one in record.left if one.alive()] if record.place == here else []
        if state == records.LOST:
            left = remains.of(record, state, here, remains.marked())
            self._tell(
                0,
                "its supervisor on %s is gone (killed, or the machine was restarted), so nobody "
                "knows how it ended" % record.host,
                left,
            )
        elif record.status is None:
            self._tell(0, record.why or "its exit status is not known", left)
        else:
            self._tell(record.status, record.why, left)

    def _tell(self, status: int, why: str, left: Sequence[int] = ()) -> None:
        try:
            self._send(
                m.Exited(self._job, status, why, self._reader.offset, list(left)), frames.STREAMS
            )
        except LinkClosed:
            pass  # as above
