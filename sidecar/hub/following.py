"""Following: a session's repository there is kept where the one here is (git/push.py), by itself.

It goes behind the files: what was changed here is sent and answered first, so that what git says
there of a commit is what it says here. What moves in `.git` on either side begins it (git/watch.py
here, the agent's notices there), at a beat (git/beat.py).

A repository is made unasked only in a folder that we made; else the person is asked, once, behind
a sync of theirs. The answer is kept beside what sync remembers.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sidecar.core import identity, messages
from sidecar.errors import Disconnected, RemoteError, SidecarError
from sidecar.git.beat import QUIET_THERE, Beat
from sidecar.git.push import Outcome, Push, Side
from sidecar.git.repository import may_be_in_one
from sidecar.git.watch import Watch
from sidecar.hub.client import WhoeverAsked, in_nobodys_name
from sidecar.questions import Choice

if TYPE_CHECKING:
    from sidecar.remote.connection import AgentConnection
    from sidecar.sync.engine import SyncEngine

log = logging.getLogger(__name__)

MAKE, SEND, NOT_NOW = "Make it there", "Send it", "Not now"

GIT_FOLDER = ".git"


class Following:
    """Of one session.

    Args:
        host: as the configuration calls it.
        path: where answers are kept.
        on_change: told when `outcome` or `busy` may have changed.
    """

    def __init__(
        self, engine: SyncEngine, host: str, path: Path, on_change: Callable[[], None]
    ) -> None:
        self._engine, self._host, self._path = engine, host, path
        self._on_change = on_change
        self.outcome: Outcome | None = None
        """Where both repositories are, as of the last look; None where there is none here."""
        self._one_at_a_time = asyncio.Lock()
        self._push: tuple[AgentConnection, int, Push] | None = None
        self._beat, self._due = Beat(), asyncio.Event()
        self._looked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._large = self._send_all = False
        self._kept = self._read()

    # --- by itself

    def begin(self, agent: AgentConnection, number: int, *, made: bool) -> None:
        """Both sides are together over this connection; from now on the one there follows.

        Args:
            made: the folder there was made by us.
        """
        self.end()
        if made:
            self._keep(make=True)
        self._looked.clear()
        self._stirred()
        name = f"git {self._engine.root}"
        self._task = in_nobodys_name(self._go_on(agent, number), name=name)

    def end(self) -> None:
        """The connection is gone, or the session ends."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self._beat.begins()

    @property
    def described(self) -> str:
        """Why the one there is not where the one here is, and what to do; "" where it is, or
        nobody wants it."""
        outcome = self.outcome
        if outcome is None or outcome.state in ("same", "none"):
            return ""
        if outcome.state == "absent" and self._kept.get("make") is False:
            return ""
        return f"{outcome.text}; {outcome.fix}" if outcome.fix else outcome.text

    @property
    def busy(self) -> bool:
        """Something moved here that is not there yet, and can be now."""
        if self._task is None or self._task.done() or not may_be_in_one(self._engine.root):
            return False
        return self._beat.stirring or self._one_at_a_time.locked()

    async def _go_on(self, agent: AgentConnection, number: int) -> None:
        watch = Watch(self._engine.root, self._stirred)
        stops = [
            agent.listen(messages.Noticed, number, self._noticed),
            agent.listen(messages.Exited, None, lambda message: self._stirred_there()),
        ]
        told = False
        try:
            watch.cover(self._over(agent, number).repository)
            while True:
                await self._until_due()
                self._beat.begins()
                try:
                    async with self._one_at_a_time:
                        await self._once(agent, number, watch)
                    if not told and self.outcome is not None:
                        told = await self._ask_to_be_told(agent, number)
                except Disconnected:
                    return  # whoever has the connection says so
                except Exception:  # a mistake of ours must not end the session's syncing
                    log.exception("the repository of %s does not follow", self._engine.project)
                    self._beat.waits(time.monotonic())
                self._looked.set()
                self._on_change()  # `busy` may be over as well
        finally:
            self._looked.set()
            watch.close()
            for stop in stops:
                stop()

    async def _once(self, agent: AgentConnection, number: int, watch: Watch) -> None:
        push = self._over(agent, number)
        try:
            outcome = await push.follow(make=self._kept.get("make") is True, yes=self._send_all)
            self._large = self._send_all = False
        except Disconnected:
            raise
        except SidecarError as error:
            self._large = error.code == "git-large"
            outcome = Outcome("waits", f"{error.what}: {error.why}", error.fix)
        self._take(outcome, push)
        if watch.cover(push.repository):
            self._stirred()

    def _take(self, outcome: Outcome, push: Push) -> None:
        if push.last != self._kept.get("last", ""):
            self._keep(last=push.last)
        if outcome.state == "waits" and not self._large:
            self._beat.waits(time.monotonic())
        self.outcome = None if push.repository is None else outcome

    async def _until_due(self) -> None:
        while (seconds := self._beat.wait(time.monotonic())) is None or seconds > 0:
            self._due.clear()
            # Not asyncio.wait_for, which before Python 3.12 may forget that it was cancelled.
            due = asyncio.ensure_future(self._due.wait())
            try:
                await asyncio.wait({due}, timeout=seconds)
            finally:
                due.cancel()

    def _stirred(self) -> None:
        self._beat.stirred(time.monotonic())
        self._due.set()

    def _stirred_there(self) -> None:
        if self._push is not None:
            self._push[2].moved_there()
        self._beat.stirred(time.monotonic(), QUIET_THERE)
        self._due.set()

    # --- what moves there

    async def _ask_to_be_told(self, agent: AgentConnection, number: int) -> bool:
        """Whether the agent now tells of what changes in the repository's folder there."""
        if self.outcome is None or self.outcome.state not in ("waits", "apart", "same"):
            return False
        try:
            ask = agent.parts(lambda id: messages.Watch(id, number, [GIT_FOLDER]))
            async for _ in ask:
                pass
        except RemoteError as error:
            log.info("what moves in the repository on %s is seen late: %s", self._host, error)
        return True

    def _noticed(self, message: Any) -> None:
        try:
            paths = [path for path, _ in identity.unpack(message.body)]
        except identity.PackError:
            return  # the lookout says so
        if message.lost or any(path.startswith(GIT_FOLDER + "/") for path in paths):
            self._stirred_there()

    # --- asked for

    async def look(self, agent: AgentConnection, number: int) -> Outcome:
        """Where both repositories are. Changes nothing.

        Raises:
            SidecarError: git fails on one side, or the connection went away.
        """
        return await self._over(agent, number).look()

    async def follow(
        self,
        agent: AgentConnection,
        number: int,
        *,
        make: bool = False,
        anyway: bool = False,
        yes: bool = False,
    ) -> Outcome:
        """Sends what was changed here, and has the repository there follow. As Push.follow."""
        async with self._one_at_a_time:
            push = self._over(agent, number)
            push.moved_there()
            outcome = await push.follow(make=make, anyway=anyway, yes=yes)
            self._large = False
            self._take(outcome, push)
        if make and outcome.state not in ("none", "left"):
            self._keep(make=True)
        self._stirred()  # whatever it waited for may be over
        return outcome

    async def ask(self, agent: AgentConnection, number: int) -> None:
        """Behind a sync that a person asked for: asks them what waits for their word. What goes
        wrong with git then is told as a state, and does not fail the sync.
        """
        if self._task is None or not may_be_in_one(self._engine.root):
            return
        if "make" in self._kept and not self._large:
            return
        await self._looked.wait()
        outcome = self.outcome
        if outcome is None:
            return
        person = WhoeverAsked()
        if outcome.state == "absent" and "make" not in self._kept:
            question = (
                f"{outcome.text}. Make one in {self._engine.remote_root}, which follows the one "
                "here: commits, branch, what is staged?"
            )
            choice = Choice(question, (MAKE, NOT_NOW), "sidecar git push")
            answer = await person.choose(choice)
            if answer is not None:
                self._keep(make=answer == MAKE)
                self._on_change()
            if answer == MAKE:
                self._stirred()
        elif self._large:
            choice = Choice(f"{outcome.text}. Send it?", (SEND, NOT_NOW), "sidecar git push --yes")
            if await person.choose(choice) == SEND:
                self._send_all = True
                self._stirred()

    def _over(self, agent: AgentConnection, number: int) -> Push:
        if self._push is None or self._push[:2] != (agent, number):
            engine = self._engine
            side = Side(
                engine.agreed_here,
                lambda path: engine.rules.decide(path, False).ignored,
                lambda: engine.managed_digest,
                self._arrived,
            )
            last = str(self._kept.get("last", ""))
            push = Push(engine.root, self._host, agent, number, side, last)
            self._push = agent, number, push
        return self._push[2]

    async def _arrived(self) -> None:
        await self._engine.barrier(as_is=True)
        await self._engine.answered()

    # --- kept

    def _read(self) -> dict[str, Any]:
        try:
            kept = json.loads(self._path.read_text())
        except (OSError, ValueError):
            return {}
        return kept if isinstance(kept, dict) else {}

    def _keep(self, **answers: Any) -> None:
        self._kept.update(answers)
        temporary = self._path.with_suffix(".new")
        try:
            temporary.write_text(json.dumps(self._kept))
            os.replace(temporary, self._path)
        except OSError as error:
            log.warning("%s cannot be written: %s", self._path, error)
