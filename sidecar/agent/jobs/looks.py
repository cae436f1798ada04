"""Questions about the machine: where jobs listen, and how busy cores, memory and GPUs are.

Each is answered from a thread of its own: NVIDIA's tool takes up to seconds, and processes are
many. A question is a JSON list, its name first:

    ["ports", jobs]      where these jobs listen (none: all): `ports` and `sockets` (ports.py)
    ["watch", jobs]      and tell it again, with id 0, when that changes; none: no more
    ["machine", patience]  an object with `machine`, `gpus`, `driver`, `problem`
"""

import json
import threading
import zlib
from typing import Any, Callable, Dict, List, Optional

from sidecar.agent import sockets
from sidecar.agent.jobs import claims, gpus, load, ports, remains
from sidecar.agent.outbox import LinkClosed
from sidecar.core import messages as m


class Looks:
    """Handles m.Look.

    Args:
        send: takes a message, from any thread.
        state: this machine's state folder.
    """

    def __init__(self, send: Callable[..., None], state: str) -> None:
        self._send, self._state = send, state
        self._watch: Optional[ports.Watch] = None

    def handle(self, message: m.Look) -> None:
        name, *values = json.loads(message.body.decode("utf-8"))
        if name == "watch":
            if self._watch is not None:
                self._watch.stop()
            jobs = [str(one) for one in values[0]]
            self._watch = ports.Watch(self._state, jobs, self._tell) if jobs else None
            self._send(m.Told(message.id, packed({})))
            return
        work = self._ports if name == "ports" else self._machine
        threading.Thread(
            target=self._answer, args=(message.id, work, values), name=str(name), daemon=True
        ).start()

    def close(self) -> None:
        if self._watch is not None:
            self._watch.stop()

    def _answer(self, number: int, work: Callable[..., Dict[str, Any]], values: List[Any]) -> None:
        try:
            self._send(m.Told(number, packed(work(*values))))
        except LinkClosed:
            return  # nobody waits any more
        except Exception as error:  # noqa: BLE001 - who asked must hear of it
            what = "The remote machine cannot be looked at"
            self._send(m.Fail(number, "look", what, "%s: %s" % (type(error).__name__, error)))

    def _ports(self, jobs: List[str]) -> Dict[str, Any]:
        known = ports.processes(self._state, jobs)
        return {"ports": ports.of(known, sockets.listening()), "sockets": ports.sockets_of(known)}

    def _machine(self, patience: float) -> Dict[str, Any]:
        problem, found = "", []
        try:
            found = gpus.survey(float(patience))
        except gpus.GpuError as error:
            problem = str(error)
        jobs: Dict[int, str] = {}
        if any(one.processes for one in found):
            known = ports.processes(self._state, sorted(remains.marked()))
            jobs = {pid: job for job, pids in known.items() for pid in pids}
        given = claims.held(self._state) if found else {}
        return {
            "machine": load.here(),
            "gpus": [gpus.described(one, jobs, given.get(one.uuid, "")) for one in found],
            "driver": gpus.driver(found) or "",
            "problem": problem,
        }

    def _tell(self, found: List[Dict[str, Any]]) -> None:
        self._send(m.Look(0, json.dumps(found).encode("ascii")))


def packed(found: Dict[str, Any]) -> bytes:
    return zlib.compress(json.dumps(found).encode("ascii"), 6)
