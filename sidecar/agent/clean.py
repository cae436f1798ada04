"""What is kept on this machine: listed, then removed (`sidecar clean`).

Asked for a few times a year, so it is no part of the agent: its modules travel when somebody asks
(remote/broom.py), and run as a process of their own, which reads one question and prints one
answer, both JSON.

What is listed is an *item* each: a job's folder, an unpacked archive, the trash, a copy of frozen
code, the refs that keep commits, and what is left of `<root>/.sidecar/`. An item is removed where
it is what was listed, by its *seal*, a digest over the names, sizes and times of what is in it.
What runs, or belongs to another laptop, is never removed unasked; what is the project's, never.
"""

import json
import os
import stat
import sys
import time
from contextlib import contextmanager
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Tuple

from sidecar.agent import machine, private
from sidecar.agent.failure import Failure, Refusal, explain
from sidecar.agent.git.command import Git, version
from sidecar.agent.jobs import frozen, remains
from sidecar.agent.roots.folder import OURS, decode, expand
from sidecar.agent.roots.root import DIRECTORY, Root
from sidecar.agent.supervisor import records
from sidecar.core.blake2 import blake2b
from sidecar.core.copies import FROZEN

MOST_JOBS = 5000
"""Listed at once: 0.5 MB of answer. Older ones are listed when these are gone."""

BEING_MADE = 60.0
"""Seconds in which a job's folder may still get its record."""

REFS = "refs/sidecar"

ATTEMPTS = 3
"""At removing a folder into which somebody still writes."""


class Question(NamedTuple):
    """`state`: as configured; `path`: the project's place there. `laptop` and `owners`: who asks,
    as jobs and markers say it. `all`: what others started on this account, too. `remove`: kind,
    name and seal of each item that goes; none: only list."""

    state: str
    path: str
    laptop: str
    owners: List[str]
    all: bool
    remove: List[List[str]]


class Item(NamedTuple):
    """`place`: where it lies. `bytes`: what a removal frees, about. `only`: it may hold the only
    copy of something. `stays`: why it is not removed, "" where it is. `text`: what it is."""

    kind: str
    name: str
    place: str
    files: int
    bytes: int
    only: bool
    stays: str
    text: str
    seal: str


def main(given: Dict[str, Any]) -> None:
    """Answers one question on stdout."""
    try:
        answer: Dict[str, Any] = Cleaning(Question(**given)).answer()
    except Failure as error:
        answer = {"failed": [error.what, error.why, error.fix]}
    sys.stdout.write(json.dumps(answer, separators=(",", ":")))
    sys.stdout.flush()


class Cleaning:
    """One question. Looks at everything anew, whatever was listed before."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self._here = machine.here()
        self._state = state_folder(question.state)
        self._root = Root(1, expand(question.path))
        self._marked = remains.marked()
        self._others = 0
        """Jobs of other laptops that stay."""

    def answer(self) -> Dict[str, Any]:
        opened = self._root.open(1)
        if opened.refused:
            raise Failure("path", "%s is no project's folder" % opened.path, opened.refused)
        items = list(self._jobs())
        items += self._cache()
        items += self._of_the_root()
        answer: Dict[str, Any] = {"folder": opened.path, "exists": opened.exists}
        wanted = {(kind, name): seal for kind, name, seal in self._question.remove}
        if not wanted:
            answer["items"] = [one._asdict() for one in items]
            return answer
        answer["items"] = [one._asdict() for one in self._remove(items, wanted)]
        return answer

    # --- the state folder

    def _jobs(self) -> Iterator[Item]:
        for folder in records.newest(self._states(), MOST_JOBS):
            job = os.path.basename(folder)
            text, why = "", ""
            try:
                record, state = records.refreshed(folder, self._here)
            except records.RecordNewer:
                why = "a later sidecar wrote its record"
            except records.RecordError:
                if time.time() - os.lstat(folder).st_mtime < BEING_MADE:
                    why = "it is being started"
                elif not self._question.all:
                    why = "its record cannot be read: `--all`"
            else:
                text = " ".join(record.argv)[:200]
                if not self._question.all and not self._is_mine(record):
                    self._others += 1
                    owner = record.notes.get("owner") or "another laptop"
                    why = "%s started it: `--all`" % owner
                if state in (records.RUNNING, records.ELSEWHERE):
                    why = "it runs%s: `sidecar stop %s` first" % (
                        "" if state == records.RUNNING else " on " + record.host,
                        job,
                    )
                elif remains.of(record, state, self._here, self._marked):
                    why = "processes of it live on: `sidecar stop %s` first" % job
            yield self._item("job", job, folder, stays=why, text=text)

    def _states(self) -> List[str]:
        """As those whose jobs are listed (agent/jobs.py)."""
        own, *others = records.states(self._state)
        private.folder(own, "jobs")
        return [own, *(other for other in others if _is_safe(other))]

    def _is_mine(self, record: records.Record) -> bool:
        return record.notes.get("laptop", self._question.laptop) == self._question.laptop

    def _cache(self) -> Iterator[Item]:
        """Programs that were sent here once, and are sent again when they are needed."""
        folder = private.folder(self._state, "cache")
        for name in _names(folder):
            place = os.path.join(folder, name)
            why = ""
            if _is_used(place):
                why = "a program from it may run"
            elif self._others:
                why = "others on this account use it, too: `--all`"
            yield self._item("cache", name, place, stays=why, text="sent again when it is needed")

    # --- the project's folder

    def _of_the_root(self) -> Iterator[Item]:
        inside = os.path.join(self._root.name, decode(OURS))
        if not os.path.isdir(inside) or os.path.islink(inside):
            return
        stays = self._whose()
        trash = os.path.join(inside, "trash")
        if _names(trash):
            text = "what syncs replaced or removed there (`sidecar undo`)"
            yield self._item("trash", "trash", trash, only=True, stays=stays, text=text)
        kept = os.path.join(inside, FROZEN)
        for name in sorted({one.partition(".")[0] for one in _names(kept)}):
            place = os.path.join(kept, name)
            why, only = stays, False
            if frozen.is_needed(place, self._here):
                why = "a job runs from it"
            elif frozen.holds_results(place):
                only = True
            text = "files that a program wrote into it" if only else "code that a run began with"
            yield self._item("frozen", name, place, only=only, stays=why, text=text)
        if os.path.isdir(os.path.join(self._root.name, ".git")) and version():
            yield from self._refs(stays)
        text = "marker, and what the agent remembers"
        yield self._item(
            "folder", decode(OURS), inside, stays=stays, text=text, among=_remembered(inside)
        )

    def _whose(self) -> str:
        """Why what lies in the project's folder is not ours; "" where it is."""
        owner = self._root.owner
        if self._question.all or (self._root.marker and owner in self._question.owners):
            return ""
        if not self._root.marker:
            return "its marker cannot be read, so nobody knows whose it is: `--all`"
        return "%s keeps that folder in step: `--all`" % owner

    def _refs(self, stays: str) -> Iterator[Item]:
        lines = self._git("for-each-ref", "--format=%(objectname) %(refname)", REFS).splitlines()
        if lines:
            names = [decode(line.partition(b" ")[2]) for line in lines]
            text = "commits that were replaced there: %s" % _some(names)
            seal = blake2b(b"\n".join(lines), digest_size=8).hexdigest()
            place = os.path.join(self._root.name, ".git")
            yield Item("refs", REFS, place, len(lines), 0, True, stays, text, seal)

    def _git(self, *arguments: str, given: bytes = b"") -> bytes:
        return Git(self._root.path).run(*arguments, given=given)

    # --- removing

    def _remove(self, items: List[Item], wanted: Dict[Tuple[str, str], str]) -> List[Item]:
        """What is left of what was wanted, with why."""
        left: List[Item] = []
        for item in sorted(items, key=lambda one: one.kind == "folder"):
            seal = wanted.get((item.kind, item.name))
            if seal is None:
                continue
            # What we remember of the folder changes by itself, and is nobody's work.
            if item.seal != seal and item.kind != "folder":
                item = item._replace(stays="it changed meanwhile")
            if not item.stays:
                item = item._replace(stays=self._removed(item))
            if item.stays:
                left.append(item)
        self._sweep_up()
        return left

    def _removed(self, item: Item) -> str:
        """Why it could not be; "" where it is gone."""
        try:
            if item.kind == "refs":
                self._drop_refs()
            elif item.kind == "folder":
                self._drop_ours((), _remembered(item.place))
            elif item.kind == "frozen":
                names = [item.name + behind for behind in ("", ".entries", ".jobs")]
                self._drop_ours((FROZEN,), names)
            elif item.kind == "trash":
                self._drop_ours((), ("trash",))
            else:
                folder, name = os.path.split(item.place)
                with _opened(folder) as descriptor:
                    _remove(descriptor, name)
        except OSError as error:
            return explain(error)[1]
        except (Failure, Refusal) as error:
            return str(error)
        return ""

    def _drop_ours(self, inside: Tuple[str, ...], names: Iterable[str]) -> None:
        """Of our folder in the project's; through no link that somebody put there."""
        with self._root.folder((decode(OURS), *inside)) as folder:
            for name in names:
                _remove(folder, name)

    def _drop_refs(self) -> None:
        lines = self._git("for-each-ref", "--format=%(refname) %(objectname)", REFS).splitlines()
        self._git("update-ref", "--stdin", given=b"".join(b"delete %s\n" % one for one in lines))

    def _sweep_up(self) -> None:
        """The folders that were for what is gone."""
        inside = os.path.join(self._root.name, decode(OURS))
        for state in self._states():
            for name in ("jobs", "cache", ""):
                _drop_empty(os.path.join(state, name))
        _drop_empty(os.path.dirname(self._state))
        for name in (FROZEN, "trash", ""):
            _drop_empty(os.path.join(inside, name))

    @staticmethod
    def _item(
        kind: str,
        name: str,
        place: str,
        only: bool = False,
        stays: str = "",
        text: str = "",
        among: Iterable[str] = (),
    ) -> Item:
        places = [os.path.join(place, one) for one in among] or [place]
        files, size, seal = _weigh(places)
        return Item(kind, name, place, files, size, only, stays, text, seal)


def state_folder(configured: str) -> str:
    """As the agent's."""
    from sidecar.agent.main import state_folder as of_the_agent

    return of_the_agent(configured)


def _is_safe(state: str) -> bool:
    try:
        private.folder(state, "jobs")
    except Failure:
        return False
    return True


def _is_used(place: str) -> bool:
    """Whether a process of ours was started from there, or nobody can know."""
    wanted, own = os.fsencode(place) + b"/", str(os.getpid())
    try:
        numbers = [name for name in os.listdir("/proc") if name.isdigit() and name != own]
    except OSError:
        return True
    for number in numbers:
        try:
            with open("/proc/%s/cmdline" % number, "rb") as file:
                if wanted in file.read(1 << 16):
                    return True
        except OSError:
            continue
    return False


def _remembered(inside: str) -> List[str]:
    """What our folder in the project's holds beside trash and frozen code."""
    return [name for name in _names(inside) if name not in ("trash", FROZEN)]


def _names(folder: str) -> List[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _some(names: List[str]) -> str:
    return ", ".join(names[:3]) + (" and %d more" % (len(names) - 3) if len(names) > 3 else "")


def _weigh(places: Iterable[str]) -> Tuple[int, int, str]:
    """Files and bytes at and below these, a file of several names by its share, and their seal."""
    files = size = 0
    seal = blake2b(digest_size=8)
    for path, status in _all_below(places):
        if stat.S_ISDIR(status.st_mode):
            continue
        files += 1
        size += status.st_size // max(1, status.st_nlink)
        told = "%s\0%d %d %d\n" % (path, status.st_size, status.st_mtime_ns, status.st_ino)
        seal.update(told.encode("utf-8", "surrogateescape"))
    return files, size, seal.hexdigest()


def _all_below(places: Iterable[str]) -> Iterator[Tuple[str, os.stat_result]]:
    waiting = sorted(places, reverse=True)
    while waiting:
        path = waiting.pop()
        try:
            status = os.lstat(path)
        except OSError:
            continue
        yield path, status
        if stat.S_ISDIR(status.st_mode):
            waiting += [os.path.join(path, name) for name in reversed(_names(path))]


@contextmanager
def _opened(folder: str) -> Iterator[int]:
    descriptor = os.open(folder, DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _remove(top: int, name: str) -> None:
    """A file, a link, or a folder with all in it, through no link."""
    try:
        status = os.stat(name, dir_fd=top, follow_symlinks=False)
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(status.st_mode):
        os.unlink(name, dir_fd=top)
        return
    for attempt in range(ATTEMPTS):
        for _, folders, files, folder in os.fwalk(name, topdown=False, dir_fd=top):
            for inner in [*files, *folders]:
                _drop(folder, inner)
        try:
            os.rmdir(name, dir_fd=top)
            return
        except FileNotFoundError:
            return
        except OSError:
            if attempt == ATTEMPTS - 1:
                raise


def _drop(folder: int, name: str) -> None:
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            os.rmdir(name, dir_fd=folder)
        else:
            os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        pass  # somebody else did


def _drop_empty(folder: str) -> None:
    try:
        os.rmdir(folder)
    except OSError:
        pass  # something of somebody is in it, or it never was
