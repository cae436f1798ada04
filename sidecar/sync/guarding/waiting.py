"""Waiting: what is so much that it waits for a person's word, and the question about it."""

from __future__ import annotations

from sidecar.questions import Choice, Person
from sidecar.sync.guarding.allowance import Allowance
from sidecar.sync.guarding.first_contact import NOT_NOW
from sidecar.sync.guarding.removals import Removals

SEND = "Send them"
BRING = "Bring them"
REMOVE = "Remove them there (to the trash)"
"""Answers to what waits for a word."""


class Waiting:
    """Of one project on one host. Nobody to ask: it goes on waiting."""

    def __init__(
        self,
        there: Allowance,
        here: Allowance,
        removals: Removals,
        person: Person,
        host: str,
    ) -> None:
        self._there, self._here, self._removals = there, here, removals
        self._person, self._host = person, host

    def described(self) -> str:
        """What waits, in words; "" for nothing."""
        held, coming = len(self._removals.held), self._here.described()
        parts = [
            f"{held} removals" if held else "",
            self._there.described(),
            f"to come here: {coming}" if coming else "",
        ]
        return " and ".join(filter(None, parts))

    async def ask(self, *, yes: bool) -> list[str]:
        """Asks about what waits now; the paths that wait no longer.

        Args:
            yes: it was said beforehand that what is much is to go, and to come.
        """
        free: list[str] = []
        for allowance, question, answer in (
            (self._there, f"{self._host} would get {self._there.described()}", SEND),
            (self._here, f"from {self._host} would come {self._here.described()}", BRING),
        ):
            if not allowance.waiting:
                continue
            if yes or await self._is_answered(question, answer, "sidecar sync --yes"):
                free += allowance.allow()
        if self._removals.held:
            count = len(self._removals.held)
            question = f"{count} files were deleted here at once; {self._host} still has them"
            if await self._is_answered(question, REMOVE, "sidecar sync --prefer local"):
                removed = list(self._removals.held)
                self._removals.may_be_made(removed)
                self._removals.asked_for(removed)
                free += removed
        return free

    async def _is_answered(self, question: str, answer: str, fix: str) -> bool:
        return await self._person.choose(Choice(question, (answer, NOT_NOW), fix)) == answer
