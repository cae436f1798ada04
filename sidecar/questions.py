"""Questions to the person, whoever carries them: a terminal, an editor, or nobody at all.

The safe choice stands when nobody answers; a question may only be the consequence of something
the person just did (otherwise it is a state that they find in `status`).
"""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Secret(NamedTuple):
    """`prompt` in the server's own words; `host` it is for; `echo`: may be shown while typed;
    `problem`: why the one before was not good, empty the first time."""

    host: str
    prompt: str
    echo: bool = False
    problem: str = ""


class Choice(NamedTuple):
    """`options`: short labels, the safe one last. `message` says all that is needed to choose.
    `fix`: the option or command that answers it where nobody can be asked. `passing`: it may be
    withdrawn while it stands, so it must cover nothing."""

    message: str
    options: tuple[str, ...]
    fix: str = ""
    passing: bool = False


class Person(Protocol):
    """Who can be asked. Both return None where nobody answers, or the question was dismissed."""

    async def secret(self, question: Secret) -> str | None: ...

    async def choose(self, question: Choice) -> str | None: ...


class Nobody:
    """Nobody is there: every question goes unanswered."""

    async def secret(self, question: Secret) -> str | None:
        return None

    async def choose(self, question: Choice) -> str | None:
        return None
