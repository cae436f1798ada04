"""People for tests, who answer as a test wants and remember what they were asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sidecar.questions import Choice, Secret


class Scripted:
    """Answers secrets in order, choices with `choice`; has no answer when the list is over."""

    def __init__(
        self,
        secrets: Iterable[str] = (),
        choice: str | None = None,
        while_asked: Callable[[], None] | None = None,
    ) -> None:
        self._secrets = iter(list(secrets))
        self._choice = choice
        self._while_asked = while_asked
        self.secrets: list[Secret] = []
        self.choices: list[Choice] = []

    async def secret(self, question: Secret) -> str | None:
        self.secrets.append(question)
        if self._while_asked is not None:
            self._while_asked()
        return next(self._secrets, None)

    async def choose(self, question: Choice) -> str | None:
        self.choices.append(question)
        return self._choice
