"""What the service knows of a face: somebody to tell things, and perhaps to ask.

Questions go to whoever caused them. The request that a person made runs in a context that names
them (`asked_by`); what runs by itself (the watcher, a reconnection) runs in one that names nobody
(`in_nobodys_name`), so the safe choice stands there.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
from collections.abc import Coroutine, Iterator, Mapping
from typing import Any, Literal, TypeVar

from sidecar import api
from sidecar.hub.rpc import Peer, RpcError
from sidecar.questions import Choice, Nobody, Person, Secret

log = logging.getLogger(__name__)
Result = TypeVar("Result")

Kind = Literal["error", "warning", "info", "log"]
_KINDS: dict[Kind, int] = {"error": 1, "warning": 2, "info": 3, "log": 4}


class ShowMessageParams(api.Message, frozen=True, kw_only=True):
    """`window/showMessage` and `window/logMessage`."""

    type: int
    message: str


class MessageActionItem(api.Message, frozen=True, kw_only=True):
    title: str = ""


class ShowMessageRequestParams(api.Message, frozen=True, kw_only=True):
    type: int
    message: str
    actions: list[MessageActionItem]


class Client:
    """A face on a control connection. Implements questions.Person."""

    def __init__(self, peer: Peer, hello: api.Hello) -> None:
        self.peer = peer
        self.name = hello.client
        self.cwd = hello.cwd
        self.environ: Mapping[str, str] = hello.environ
        self.can_choose = True
        self.can_type_secrets = True
        self.knows_sidecar = True
        """It declared our own notifications; others would only log them as unknown."""
        self.is_editor = False
        """It stays, and shows messages at any time; a command has one moment for them."""

    @property
    def workspace(self) -> str:
        """The folder that "" as a request's project means; "" where there is none."""
        return self.cwd

    @property
    def unsaved(self) -> set[str]:
        """Files that it shows with changes that are not saved, by absolute path."""
        return set()

    def text_of(self, path: str) -> str | None:
        """What it shows of a file that it has open; None where it has not."""
        return None

    # --- telling -----------------------------------------------------------------------------

    async def output(self, part: api.Output) -> None:
        """A part of a job's output; waits while the client reads slower than the job writes."""
        await self.peer.notify("sidecar/output", part)

    async def exited(self, end: api.Exited) -> None:
        await self.peer.notify("sidecar/exited", end)

    def synced(self, note: api.Synced) -> None:
        if self.knows_sidecar:
            self.peer.post("sidecar/synced", note)

    def health(self, health: api.Health) -> None:
        if self.knows_sidecar:
            self.peer.post("sidecar/didChangeStatus", health)

    def notes(self, root: str, host: str, notes: list[api.PathNote]) -> None:
        """Paths of a project on a host that need the person; the whole list, each time it
        changes."""

    def debug_ended(self, end: api.DebugEnded) -> None:
        if self.knows_sidecar:
            self.peer.post("sidecar/debugEnded", end)

    def forwarded(self, note: api.Forwarded) -> None:
        if self.knows_sidecar:
            self.peer.post("sidecar/forwarded", note)

    def finding(self, finding: api.Finding) -> None:
        if self.knows_sidecar:
            self.peer.post("sidecar/finding", finding)

    def run_begins(self) -> None:
        """A run that it asked for is about to start: what it shows of the last one is old."""

    def show(self, text: str, kind: Kind = "info") -> None:
        """A message that the person sees once. `log` is only kept."""
        method = "window/logMessage" if kind == "log" else "window/showMessage"
        self.peer.post(method, ShowMessageParams(type=_KINDS[kind], message=text))

    # --- asking ------------------------------------------------------------------------------

    async def secret(self, question: Secret) -> str | None:
        if not self.can_type_secrets:
            return None
        params = api.AskSecretParams(
            host=question.host,
            prompt=question.prompt,
            echo=question.echo,
            problem=question.problem,
        )
        try:
            answer = await self.peer.request("sidecar/askSecret", params, api.AskSecretResult)
        except RpcError as error:
            log.info("%s did not answer a prompt: %s", self.name, error)
            return None
        return answer.value

    async def choose(self, question: Choice) -> str | None:
        if not self.can_choose:
            return None
        params = ShowMessageRequestParams(
            type=_KINDS["info" if question.passing else "warning"],
            message=question.message,
            actions=[MessageActionItem(title=option) for option in question.options],
        )
        try:
            # A dismissed question is answered with null.
            answer = await self.peer.request_or_none(
                "window/showMessageRequest", params, MessageActionItem
            )
        except RpcError as error:
            log.info("%s did not answer a question: %s", self.name, error)
            return None
        return answer.title if answer and answer.title in question.options else None


_person: contextvars.ContextVar[Person] = contextvars.ContextVar("person")


@contextlib.contextmanager
def asked_by(person: Person) -> Iterator[None]:
    """Questions that come up within go to `person`."""
    token = _person.set(person)
    try:
        yield
    finally:
        _person.reset(token)


def in_nobodys_name(work: Coroutine[Any, Any, Result], *, name: str) -> asyncio.Task[Result]:
    """A task that nobody asked for: its questions go unanswered."""
    return contextvars.Context().run(asyncio.create_task, work, name=name)


class WhoeverAsked:
    """The person whose request is being served, for parts that outlive requests."""

    async def secret(self, question: Secret) -> str | None:
        return await _person.get(_NOBODY).secret(question)

    async def choose(self, question: Choice) -> str | None:
        return await _person.get(_NOBODY).choose(question)


_NOBODY = Nobody()
