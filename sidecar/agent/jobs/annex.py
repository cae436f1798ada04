"""What is kept beside a job's record, so that "which code made this checkpoint?" has an answer:
what the interpreter's environment held, which GPUs there were, and what differed from the commit.

None of it delays the start: the environment is read once the job runs, from its folders, and the
difference to the commit comes from the laptop behind the run.
"""

import json
import os
import time
import zlib
from typing import Any, Callable, Dict, List, Optional

from sidecar.agent import private
from sidecar.agent.environment import packages
from sidecar.agent.failure import Failure
from sidecar.agent.jobs import gpus, looks
from sidecar.agent.supervisor import records
from sidecar.core import messages as m

ABOUT = "about.json"
DIFF = "diff"
VERSION = 1

MOST_DIFF = 1 << 20
"""Bytes that a difference unfolds to; the laptop sends a quarter of it."""

FRESH = 300.0
"""Seconds for which the list of cards is believed."""


class Annex:
    """Handles the messages in TYPES.

    Args:
        send: takes a message, from any thread.
        state: this machine's state folder.
    """

    TYPES = (m.Keep, m.About, m.Packages, m.Look)

    def __init__(self, send: Callable[..., None], state: str) -> None:
        self._send, self._state = send, state
        self._looks = looks.Looks(send, state)

    def handle(self, message: Any) -> None:
        try:
            if isinstance(message, m.Keep):
                _write(os.path.join(self._folder(message.job), DIFF), message.body)
            elif isinstance(message, m.About):
                self._send(m.Told(message.id, _packed(about(self._folder(message.job)))))
            elif isinstance(message, m.Packages):
                found = {"packages": installed(message.python, message.version)}
                self._send(m.Told(message.id, _packed(found)))
            elif isinstance(message, m.Look):
                self._looks.handle(message)
        except Failure as error:
            request = getattr(message, "id", 0)
            if request:
                self._send(m.Fail(request, error.code, error.what, error.why, error.fix))

    def close(self) -> None:
        self._looks.close()

    def _folder(self, job: str) -> str:
        private.folder(self._state, "jobs")
        try:
            folder = records.folder(self._state, job)
            records.read(folder)
        except records.RecordError as error:
            raise Failure("no-such-job", "Job %s is not known" % job, str(error)) from None
        return folder


def about(folder: str) -> Dict[str, Any]:
    """All that is kept of the job with this folder, and names of variables of its record."""
    found: Dict[str, Any] = {"packages": {}, "gpus": [], "diff": ""}
    try:
        with open(os.path.join(folder, ABOUT), encoding="ascii") as file:
            kept = json.load(file)
        if isinstance(kept, dict) and kept.pop("version", None) == VERSION:
            found.update(kept)
    except (OSError, ValueError):
        pass  # it has just begun, or the agent ended before it was read
    try:
        with open(os.path.join(folder, DIFF), "rb") as file:
            text = zlib.decompressobj().decompress(file.read(), MOST_DIFF)
        found["diff"] = text.decode("utf-8", "replace")
    except (OSError, zlib.error):
        pass  # none came
    found["variables"] = records.read(folder).variables
    return found


def look_around(folder: str, interpreter: str, env: Dict[str, str], elsewhere: bool) -> None:
    """Writes down what the job with this folder found. It runs already; takes up to seconds.

    Args:
        interpreter: "/path/to/python (3.11.7)".
        env: the job's.
        elsewhere: it was launched onto another machine, whose cards nobody sees from here.
    """
    python, _, version = interpreter.rstrip(")").partition(" (")
    place = os.path.join(folder, ABOUT)
    kept: Dict[str, Any] = {"version": VERSION, "gpus": []}
    kept["packages"] = installed(python, version) if python else {}
    _write(place, json.dumps(kept).encode("ascii"))
    if not elsewhere:  # which may take seconds, and this agent may end before
        kept["gpus"] = visible(cards(), env.get("CUDA_VISIBLE_DEVICES"))
    if kept["gpus"]:
        _write(place, json.dumps(kept).encode("ascii"))


def installed(python: str, version: str) -> Dict[str, str]:
    """The packages that an interpreter finds, with their versions."""
    prefix = os.path.dirname(os.path.dirname(python))
    return packages.installed(packages.folders(prefix, version))


def visible(found: List[gpus.Gpu], wanted: Optional[str]) -> List[str]:
    """Of the cards, those that CUDA_VISIBLE_DEVICES leaves, as "0 NVIDIA H200"; all where it is not
    set, or names none of them."""
    named = [one.strip() for one in (wanted or "").split(",") if one.strip()]
    if wanted is not None and (not named or named == ["-1"]):
        return []
    left = [
        one
        for one in found
        if wanted is None
        or (str(one.number) in named and not one.slice)
        or any(one.uuid.startswith(name) for name in named if not name.isdecimal())
    ]
    return [_shown(one) for one in left or found if not one.mig]


def _shown(one: gpus.Gpu) -> str:
    return "%d %s%s" % (
        one.parent if one.slice else one.number,
        one.name,
        " MIG %s" % one.slice if one.slice else "",
    )


_cards: List[Any] = [float("-inf"), []]


def cards() -> List[gpus.Gpu]:
    """NVIDIA's cards in this machine, and their slices."""
    if time.monotonic() - _cards[0] > FRESH:
        try:
            found = gpus.survey() if packages.driver() else []
        except gpus.GpuError:
            found = []  # a driver that hangs
        _cards[:] = [time.monotonic(), found]
    return list(_cards[1])


def _packed(found: Dict[str, Any]) -> bytes:
    return zlib.compress(json.dumps(found).encode("ascii"), 6)


def _write(path: str, content: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(path + ".new", flags, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.rename(path + ".new", path)
    except OSError:
        return  # a full disk, or somebody cleared the job away: the record itself stands
