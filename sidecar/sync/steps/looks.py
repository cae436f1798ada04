"""Looks: what there is to do or to decide, told without doing any of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sidecar import api
from sidecar.errors import SyncError
from sidecar.remote.connection import AgentConnection
from sidecar.sync.guarding.first_contact import Comparison, Prefer
from sidecar.sync.guarding.notes import Notes
from sidecar.sync.pushing.push import Pusher
from sidecar.sync.steps.local_news import LocalNews
from sidecar.sync.steps.loop import Loop
from sidecar.sync.steps.meeting import NOTHING_SAID, Meeting, Terms
from sidecar.sync.steps.pending import Pending
from sidecar.sync.steps.step import Project, Step
from sidecar.sync.trees.there import There

DECIDED = {"": "decide", "local": "push", "remote": "take", "newer": "compare"}
"""What is done where both sides differ at first contact, by what is preferred."""

WAITS = ("held", "waiting", "refused", "unreadable", "skipped")
"""Kinds of notes that a look at both sides does not come to by itself."""


class Looks:
    """At one project and host, over an attachment or before there is one.

    Args:
        meeting: makes the meeting that an attach would begin with.
    """

    def __init__(
        self,
        project: Project,
        loop: Loop,
        pending: Pending,
        news: LocalNews,
        meeting: Callable[[There, Terms], Meeting],
    ) -> None:
        self._project, self._loop, self._pending = project, loop, pending
        self._news, self._meeting = news, meeting

    async def preview(
        self, agent: AgentConnection, number: int, terms: Terms
    ) -> tuple[list[str], str]:
        """What an attach would do, in lines such as "push model.py"; "decide" is for what it would
        ask about. And where it is first contact, how both sides compare, in words. Nothing is
        changed on either side.

        Raises:
            SyncError: the folder cannot be used.
            Disconnected: the connection went away meanwhile.
        """
        async with self._loop.lock:
            there = There(agent, number, self._project.base)
            meeting = self._meeting(there, terms)
            compared = await meeting.look_only()
            if compared is None:
                dirty = self._news.differing(meeting.found) | set(there.differing)
                return await planned(self._project, there, None, dirty, terms.prefer), ""
        return _planned_first(compared, terms.prefer), meeting.described(compared)

    async def survey(self, agent: AgentConnection, number: int) -> list[api.PathNote]:
        """What there is to decide or to know, looked for on both sides now. Changes nothing.

        Raises:
            SyncError: the two sides never met, or the folder cannot be used.
            Disconnected: the connection went away meanwhile.
        """
        project = self._project
        async with self._loop.lock:
            now = self._loop.attachment
            if now is not None:
                there = now.there
                async with self._loop.taken(rescan=True) as dirty:
                    await there.sweep()
                    dirty |= there.differing.keys() | project.notes.paths
                    self._pending.paths |= dirty  # a look is no step
            else:
                there = There(agent, number, project.base)
                meeting = self._meeting(there, NOTHING_SAID)
                if await meeting.look_only() is not None:
                    raise SyncError(
                        f"{project.name} and {project.host} were not brought together yet",
                        "so there is nothing to compare with",
                        "look with `sidecar sync -n`",
                        code="first-contact",
                    )
                dirty = self._news.differing(meeting.found) | set(there.differing)
            await at_what_was_left(project, there, dirty)
            told = await _noted(project, there, now.pusher if now else None, dirty)
            known = {note.path for note in told}
            said = project.all_notes
            others = [one for one in said if one.path not in known and one.kind in WAITS]
        if self._loop.attachment is not None:
            self._pending.due.set()
        return [*told, *others]


async def at_what_was_left(project: Project, there: There, dirty: Iterable[str]) -> None:
    """No sweep looks at what was left to the remote. Where it was edited here too, what is there
    is asked for, so that it is seen as the conflict that it is."""
    left = [path for path in dirty if project.base.is_theirs(path) and not project.pulls.of(path)]
    if left:
        found = await there.lookup(left)
        there.noticed((path, found.get(path)) for path in left)


async def planned(
    project: Project, there: There, pusher: Pusher | None, dirty: set[str], prefer: Prefer
) -> list[str]:
    """What a step over these paths would do, in lines such as "push model.py"."""
    step = Step(project, there, pusher, prefer)
    here = await step.look(dirty)
    plan = step.plan(here, await there.nodes(here))
    return [f"{type(action).__name__.lower()} {action.path}" for action in plan.actions]


def _planned_first(compared: Comparison, prefer: Prefer) -> list[str]:
    return [
        *(f"push {path}" for path in sorted(compared.only_here)),
        *(f"{DECIDED[prefer]} {path}" for path in sorted(compared.different)),
        *(f"remove {path}" for path in compared.removed),
    ]


async def _noted(
    project: Project, there: There, pusher: Pusher | None, dirty: set[str]
) -> list[api.PathNote]:
    step = Step(project, there, pusher)
    here = await step.look(dirty)
    seen = await there.nodes(here)
    told = Notes()
    for note in step.notes_of(step.plan(here, seen), here, seen):
        told.take(note)
    told.name_owners(await step.owners(seen, told.paths))
    return told.all
