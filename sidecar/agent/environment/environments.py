"""The environments that jobs get: a login shell's, after `setup`, with an interpreter's active.

Made ahead, when a project comes, and kept in this process's memory alone. One is made anew when a
file has changed from which it was made (login.py). What a root's jobs get is decided when its
interpreter is found (interpreters.py); a root without one gets the agent's own variables.
"""

import shutil
import threading
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from sidecar.agent.environment import activation, login
from sidecar.agent.failure import Failure
from sidecar.core import messages as m

MOST = 16
"""Environments kept; a project has one, and a changed `setup` another."""


class _Made(NamedTuple):
    captured: login.Captured
    fingerprint: login.Fingerprint


class Environments:
    """Handles messages.Environment; the other methods may be called from any thread, and take as
    long as a login shell does where nothing is kept yet."""

    TYPES = (m.Environment,)

    def __init__(self, send: Callable[..., None]) -> None:
        self._send = send
        self._lock = threading.Lock()  # the tables; never held while waiting
        self._making: Dict[str, threading.Lock] = {}
        self._made: Dict[str, _Made] = {}
        self._roots: Dict[int, Tuple[str, str]] = {}
        self._active: Dict[Tuple[str, str], Tuple[_Made, Dict[str, str]]] = {}

    def handle(self, message: Any) -> None:
        try:
            captured = self.captured(message.setup)
        except login.SetupFailed as error:
            self._send(
                m.SetupFailed(message.id, error.line, error.status, error.reason, error.output)
            )
            return
        path = captured.variables.get("PATH", "")
        sbatch = shutil.which("sbatch", path=path) or ""
        self._send(
            m.EnvironmentReady(
                message.id,
                captured.shell,
                captured.problem,
                "" if captured.variables.get("SLURM_JOB_ID") else sbatch,
            )
        )

    def captured(self, setup: str) -> login.Captured:
        """The environment behind `setup`, as it was kept, or made now.

        Raises:
            login.SetupFailed: as it says; nothing is kept then.
        """
        return self._make(setup).captured

    def bind(self, root: int, setup: str, python: str) -> None:
        """The jobs of that root get this one's environment from now on."""
        with self._lock:
            self._roots[root] = setup, python

    def of(self, root: int) -> Dict[str, str]:
        """What the jobs of that root get.

        Raises:
            Failure: `setup` has failed, or an activation script.
        """
        with self._lock:
            bound = self._roots.get(root)
        if bound is None:
            return login.own_variables()
        setup, python = bound
        made = self._make(setup)
        with self._lock:
            kept = self._active.get(bound)
        if kept is None or kept[0] is not made:
            try:
                kept = made, activation.activated(python, made.captured.variables)
            except login.SetupFailed as error:
                what = "The environment of %s cannot be activated" % python
                raise Failure("activation-failed", what, error.why, "") from None
            with self._lock:
                self._active[bound] = kept
                _bound(self._active)
        return dict(kept[1])

    def _make(self, setup: str) -> _Made:
        with self._lock:
            making = self._making.setdefault(setup, threading.Lock())
        with making:
            with self._lock:
                made: Optional[_Made] = self._made.get(setup)
            # Taken before: what changes meanwhile is found changed the next time.
            fingerprint = login.fingerprint(setup)
            if made is None or made.fingerprint != fingerprint:
                made = _Made(login.capture(setup), fingerprint)
                with self._lock:
                    self._made[setup] = made
                    _bound(self._made)
            return made


def _bound(table: Dict[Any, Any]) -> None:
    oldest: List[Any] = list(table)[:-MOST]
    for key in oldest:
        del table[key]
