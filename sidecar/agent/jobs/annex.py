"""What is kept beside a job's record, so that "which code made this checkpoint?" has an answer:
what the interpreter's environment held, which GPUs there were, and what differed from the commit.

None of it delays the start: the environment is read once the job runs, from its folders, and the
difference to the commit comes from the laptop behind the run.
"""

import json
import os
import subprocess
import time
import zlib
from typing import Any, Callable, Dict, List, Optional

from sidecar.agent import private
from sidecar.agent.environment import packages
from sidecar.agent.failure import Failure
from sidecar.agent.supervisor import records
from sidecar.core import messages as m

ABOUT = "about.json"
DIFF = "diff"
VERSION = 1

MOST_DIFF = 1 << 20
"""Bytes that a difference unfolds to; the laptop sends a quarter of it."""

PATIENCE = 10.0
"""Seconds for nvidia-smi, which on a machine with many cards takes one or two."""

FRESH = 300.0
"""Seconds for which the list of cards is believed."""


class Annex:
    """Handles the messages in TYPES.

    Args:
        send: takes a message, from any thread.
        state: this machine's state folder.
    """

    TYPES = (m.Keep, m.About, m.Packages)

    def __init__(self, send: Callable[..., None], state: str) -> None:
        self._send, self._state = send, state

    def handle(self, message: Any) -> None:
        try:
            if isinstance(message, m.Keep):
                _write(os.path.join(self._folder(message.job), DIFF), message.body)
            elif isinstance(message, m.About):
                self._send(m.Told(message.id, _packed(about(self._folder(message.job)))))
            elif isinstance(message, m.Packages):
                found = {"packages": installed(message.python, message.version)}
                self._send(m.Told(message.id, _packed(found)))
        except Failure as error:
            request = getattr(message, "id", 0)
            if request:
                self._send(m.Fail(request, error.code, error.what, error.why, error.fix))

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


def visible(found: List[str], wanted: Optional[str]) -> List[str]:
    """Of the cards, those that CUDA_VISIBLE_DEVICES leaves; all where it is not set, or names them
    by something else than their numbers."""
    if wanted is None:
        return found
    numbers = [one.strip() for one in wanted.split(",") if one.strip()]
    if any(not one.isdecimal() for one in numbers):
        return [] if numbers == ["-1"] else found
    return [card for card in found if card.partition(" ")[0] in numbers]


_cards: List[Any] = [float("-inf"), []]


def cards() -> List[str]:
    """NVIDIA's cards in this machine: "0 NVIDIA H200"."""
    if time.monotonic() - _cards[0] > FRESH:
        _cards[:] = [time.monotonic(), _asked() if packages.driver() else []]
    return list(_cards[1])


def _asked() -> List[str]:
    command = ["nvidia-smi", "--query-gpu=index,name", "--format=csv,noheader"]
    try:
        answer = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=PATIENCE,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return []  # no such program, or a driver that hangs
    lines = answer.stdout.decode("utf-8", "replace").splitlines()
    return [line.replace(",", "", 1).strip() for line in lines if line.strip()]


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
