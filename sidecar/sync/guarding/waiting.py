"""Waiting: what is so much that it waits for a person's word, and the question about it."""

from __future__ import annotations

from sidecar.questions import Choice, Person
from sidecar.sync.guarding.allowance import Allowance
from sidecar.sync.guarding.first_contact import NOT_NOW
from sidecar.sync.guarding.removals import Removals

SEND = "Send them"
REMOVE = "Remove them there (to the trash)"
"""Answers to what waits for a word."""


class Waiting:
    """Of one project on one host. Nobody to ask: it goes on waiting."""

    def __init__(self, allowance: Allowance, removals: Removals, person: Person, host: str) -> None:
        self._allowance, self._removals = allowance, removals
        self._person, self._host = person, host

    def described(self) -> str:
        """What waits, in words; "" for nothing."""
        held, much = len(self._removals.held), self._allowance.described()
        return " and ".join(([f"{held} removals"] if held else []) + ([much] if much else []))

    async def ask(self, *, yes: bool) -> list[str]:
        """Asks about what waits now; the paths that wait no longer.

        Args:
            yes: it was said beforehand that what is much is to be sent.
        """
        free: list[str] = []
        if self._allowance.waiting:
            question = f"{self._host} would get {self._allowance.described()}"
            if yes or await self._is_answered(question, SEND, "sidecar sync --yes"):
                free += self._allowance.allow()
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
