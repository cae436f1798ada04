"""A meeting: both sides over a new connection, before anything is sent.

Are these the folders that base speaks of, and still ours? Then only what changed since matters.
Else it is first contact, and nothing is written before somebody decides.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

from sidecar.core import amount, messages, reconcile
from sidecar.core.identity import DIRECTORY
from sidecar.errors import SyncError
from sidecar.questions import Choice, Person
from sidecar.sync.guarding import first_contact, guards
from sidecar.sync.guarding.first_contact import NOT_NOW, Prefer
from sidecar.sync.rules.ignore import NEVER
from sidecar.sync.steps.step import Project, disconnected
from sidecar.sync.trees import bond
from sidecar.sync.trees.bond import Bond
from sidecar.sync.trees.scan import Scan
from sidecar.sync.trees.there import There

TAKE_OVER = "Take it over"

EMPTIED = {
    "root-emptied": "Remove them there (to the trash)",
    "remote-emptied": "Push everything again",
}
"""The answer that goes on, by the code of the guard that asks. Both prefer what is here."""


class Terms(NamedTuple):
    """What somebody said beforehand. `prefer`: what wins where both sides differ, "" to be asked;
    `take_over`: a folder that another one keeps in step by now is ours again; `yes`: send what
    would wait for a word since it is much."""

    prefer: Prefer = ""
    take_over: bool = False
    yes: bool = False


NOTHING_SAID = Terms()


class Meeting:
    """One, for one attach.

    Args:
        folder: the place there, as the configuration says it.
        owner: how another sidecar would name us.
        shown_by: by a marker, the other host through which this project has that very folder in
            step already; "" where there is none.
    """

    opened: messages.Opened
    found: Scan
    folder_here: bond.Here

    def __init__(
        self,
        project: Project,
        there: There,
        tie: Bond,
        *,
        folder: str,
        owner: str,
        person: Person,
        shown_by: Callable[[str], str],
        terms: Terms,
    ) -> None:
        self._project, self._there, self._bond = project, there, tie
        self._base, self._here = project.base, project.here
        self._folder, self._owner, self._person = folder, owner, person
        self._shown_by, self._terms = shown_by, terms
        self._held = False
        self.first = False
        """It was first contact."""

    @property
    def place(self) -> str:
        return f"{self._project.host}:{self.opened.path}"

    async def bring_together(self) -> Prefer:
        """Returns when the folder there is ours and what differs is known.

        Returns:
            What wins where both sides differ.
        Raises:
            SyncError: a person must decide first, or a folder cannot be used. Nothing was changed.
            Disconnected: the connection went away meanwhile.
        """
        await self._look()
        prefer = await self._unless_emptied()
        doubt = ""
        if self._is_known:
            await self._claim_what_others_took(prefer)
            await self._manage()
            doubt = self._doubt
            if not doubt:
                prefer = await self._unless_all_is_gone(prefer)
                await self._ask_about_the_unanswered()
        if doubt or not self._is_known:
            prefer = await self._meet(prefer, doubt)
        self._bond.tie(self._base.marker, self._owner, self.folder_here, self.opened.device)
        return prefer

    async def look_only(self) -> first_contact.Comparison | None:
        """For a preview: how both sides compare where this is first contact; None where only what
        changed since matters. Nothing is asked, nothing written.

        Raises: as `bring_together`.
        """
        await self._look()
        if not self._terms.prefer:
            self._refuse_what_was_emptied()
        doubt = ""
        if self._is_known:
            await self._manage()
            doubt = self._doubt
        if self._is_known and not doubt:
            return None
        if not self.opened.entries:
            nothing = first_contact.NOTHING_THERE
            return nothing._replace(local=self.found.entries, only_here=sorted(self.found.entries))
        return await self._compare()

    def described(self, comparison: first_contact.Comparison) -> str:
        """For people."""
        if not self.opened.entries:
            files = [one for one in comparison.local.values() if one.kind != DIRECTORY]
            total = amount.size(sum(one.size for one in files))
            state = "is empty" if self.opened.exists else "is not there yet"
            count = "1 file" if len(files) == 1 else f"{len(files)} files"
            return f"{self.place} {state}; {count}, {total}, would go there"
        return first_contact.describe(comparison, self._whose, self._stranger)

    # --- looking

    async def _look(self) -> None:
        """Both sides as they are, at the same time, refused where they can be no project's.

        What is asked goes in one flight: an agent that was away is in step after one exchange.
        """
        there, project = self._there, self._project
        scanning = asyncio.ensure_future(self._scan())
        asking: list[Coroutine[Any, Any, Any]] = [there.open(self._folder)]
        if self._base.marker:
            asking.append(there.resume())
        tasks = [asyncio.ensure_future(one) for one in asking]
        try:
            self.opened, *held = await asyncio.gather(*tasks)
            user = there.agent.hello.user
            guards.refuse_a_folder_that_is_no_project(self.opened, project.host, user)
            await scanning
        finally:
            for task in tasks:
                task.cancel()
            done, _ = await asyncio.wait([*tasks, scanning])  # rules are read by one scan at a time
            for one in done:
                if not one.cancelled():
                    one.exception()  # which is not the first, and so not the one to tell
        self._refuse_over_a_gone_connection()
        self._held = held == [True]
        if self.opened.marker and (other := self._shown_by(self.opened.marker)):
            raise guards.shown_twice(project.host, other, self.opened.path)

    async def _scan(self) -> None:
        """This side, all of it of one folder."""
        root, name = self._project.root, self._project.name
        while True:
            await self._project.scanning()
            self.folder_here = bond.folder_at(root, name)
            self.found = await asyncio.to_thread(self._here.scan)
            if self.folder_here == bond.folder_at(root, name):
                return

    async def _manage(self) -> None:
        """The agent has the managed set, and has looked at it."""
        if not self._held:
            await self._there.manage()

    @property
    def _is_known(self) -> bool:
        return bool(self._base.marker) and self._base.marker == self.opened.marker

    @property
    def _stranger(self) -> str:
        """Who else claimed the folder there; "" where it is ours, or nobody's."""
        owner = self.opened.owner if self.opened.marker else ""
        ours = owner == self._owner or (
            owner == self._bond.owner and self.opened.marker == self._bond.marker
        )
        return "" if ours else owner

    @property
    def _doubt(self) -> str:
        """Why the folders may not be those that base speaks of."""
        agreed = self._base.entries
        if self._bond.doubt_here(self.folder_here, self.found.entries, agreed):
            return f"{self._project.name} is another folder than it was"
        if self._bond.doubt_there(self.opened.device, self._there.differing, agreed):
            return f"{self.place} is another folder than it was"
        return ""

    # --- asking

    def _refuse_what_was_emptied(self) -> None:
        if self._folder == self._base.folder:
            guards.refuse_a_side_that_was_emptied(
                len(self._base.entries),
                len(self.found.entries),
                self._project.name,
                self.opened,
                self._base.marker,
                self._project.host,
            )

    async def _unless_emptied(self) -> Prefer:
        prefer = self._terms.prefer
        if not prefer:
            try:
                self._refuse_what_was_emptied()
            except SyncError as error:
                prefer = await self._all_the_same(error)
        return prefer

    async def _unless_all_is_gone(self, prefer: Prefer) -> Prefer:
        known = len(self._base.entries)
        if prefer or not guards.is_emptied(self._base.entries, known, self._there.differing):
            return prefer
        return await self._all_the_same(guards.remote_emptied(known, self.place))

    async def _all_the_same(self, error: SyncError) -> Prefer:
        go_on = EMPTIED[error.code]
        question = f"{error.what}: {error.why}"
        answer = await self._person.choose(
            Choice(question, (go_on, NOT_NOW), "sidecar sync --prefer local")
        )
        self._refuse_over_a_gone_connection()
        if answer != go_on:
            raise error
        return "local"

    async def _claim_what_others_took(self, prefer: Prefer) -> None:
        """The folder is the one that base speaks of: it may be somebody else's by now."""
        if stranger := self._stranger:
            error = guards.taken_over(self.place, stranger)
            if not (prefer or self._terms.take_over):
                question = f"{error.what}: {error.why}"
                answer = await self._person.choose(
                    Choice(question, (TAKE_OVER, NOT_NOW), "sidecar sync --take-over")
                )
                if answer != TAKE_OVER:
                    raise error
        if self.opened.owner != self._owner:
            self._refuse_over_a_gone_connection()
            await self._there.claim(self.opened.marker, self._owner)
            self._refuse_over_a_gone_connection()

    # --- coming together

    async def _meet(self, prefer: Prefer, doubt: str) -> Prefer:
        """First contact: compares, asks where there is something to ask, claims the folder."""
        comparison = first_contact.NOTHING_THERE
        if self.opened.entries:
            comparison = await self._compare()
            stranger = "" if self._terms.take_over else self._stranger
            same = not comparison.different and 2 * len(comparison.equal) >= len(self._base.entries)
            if doubt and same and not prefer:
                prefer = "local"  # other folders by their numbers, the same project by its files
            prefer = await first_contact.decide(
                comparison, self._whose, stranger, prefer, self._person, doubt
            )
        self._refuse_over_a_gone_connection()
        marker = self.opened.marker or secrets.token_hex(16)
        # In one flight. Should the claim fail, the next attach is a first contact again.
        self._base.reset(marker, self._folder)
        self.first = True
        self._base.agree_many(comparison.equal.items())
        await asyncio.gather(self._there.claim(marker, self._owner), self._there.manage())
        self._refuse_over_a_gone_connection()
        self._there.differing.update(comparison.different)
        return prefer

    async def _compare(self) -> first_contact.Comparison:
        return await first_contact.compare(
            self._there,
            self.found.entries,
            self._here.readable,
            left=self._tell_what_is_left,
            goes=self._goes,
            ignored=self._is_ignored,
        )

    def _tell_what_is_left(self, count: int) -> None:
        self._project.left = count
        self._project.changed()

    def _is_ignored(self, path: str, is_folder: bool) -> bool:
        """But for what makes a folder somebody's project: a repository, our configuration."""
        return path not in NEVER and self._here.rules.decide(path, is_folder).ignored

    def _goes(self, path: str, is_folder: bool) -> bool:
        """Whether a path that only the remote has is to be removed there."""
        project = self._project
        if project.mode != reconcile.MIRROR or project.pulls.of(path, is_folder):
            return False
        return not self._here.rules.decide(path, is_folder).ignored

    @property
    def _whose(self) -> str:
        """The folder there, for people."""
        user = self.opened.user
        mine = not user or user == self._there.agent.hello.user
        return self.place if mine else f"{self.place} ({user}'s)"

    async def _ask_about_the_unanswered(self) -> None:
        """New files that were sent when the connection went may be there, although they are gone
        here since and base never knew them."""
        unanswered = self._base.unanswered()
        landed = await self._there.lookup(unanswered)
        self._refuse_over_a_gone_connection()
        self._there.differing.update(landed)
        self._base.drop_many(
            path for path in unanswered if path not in landed and path not in self.found.entries
        )

    def _refuse_over_a_gone_connection(self) -> None:
        """Raises Disconnected where it went away while somebody was asked."""
        if self._there.closed:
            raise disconnected(self._project.host)
