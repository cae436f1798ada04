"""An attachment: all that lives as long as one connection over which a project is kept in step."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from sidecar.core import reconcile
from sidecar.errors import SidecarError
from sidecar.sync.delta.signatures import SignatureStore
from sidecar.sync.disk.landing import LocalLanding
from sidecar.sync.pulling.pull import Puller
from sidecar.sync.pushing.push import Pusher
from sidecar.sync.steps.answers import Answers
from sidecar.sync.steps.step import Project
from sidecar.sync.trees.there import There
from sidecar.sync.watching.explore import Explorer
from sidecar.sync.watching.lookout import Lookout


class Attachment:
    """Made when both sides have met.

    Args:
        step: held by whoever changes anything on either side.
        pull_max: bytes above which a file only comes when it is asked for.
    """

    def __init__(
        self,
        project: Project,
        there: There,
        answers: Answers,
        signatures: SignatureStore,
        landing: LocalLanding,
        step: asyncio.Lock,
        pull_max: int,
    ) -> None:
        self._project, self.there = project, there
        base, agent, notes = project.base, there.agent, project.notes
        self.pusher = Pusher(
            agent,
            there.number,
            project.root,
            base,
            signatures,
            project.recent,
            refused=partial(answers.refused, there),
            agreed=partial(answers.agreed, there),
            moved=answers.moved,
        )
        there.on_its_way = self.pusher.latest.__contains__
        mirrors = project.mode == reconcile.MIRROR
        self.explorer = Explorer(there, base, project.pulls, project.here.rules, mirrors)
        self.puller = Puller(
            project.root,
            base,
            there,
            landing,
            project.pulls,
            pull_max,
            notes,
            step,
            touch=project.touch,
            changed=project.changed,
            arrived=project.allowance_here.arrived,
        )
        self.lookout: Lookout | None = None

    def look_out(
        self,
        again: Callable[[], bool],
        check: Callable[[There], None],
        failed: Callable[[SidecarError], None],
    ) -> None:
        """From now on what somebody else changes there is seen; see Lookout."""
        project = self._project
        self.lookout = Lookout(
            self.there, project.base, self.explorer, project.touch, again, check, failed
        )

    @property
    def came(self) -> int:
        """Files and links that came here over this connection."""
        return self.puller.pulled

    async def settled(self, *, pulled: bool) -> None:
        """Returns when all that is on its way now has been answered, or has come.

        Args:
            pulled: also what comes by itself, not only what a person decided about.
        """
        await self.pusher.settled()
        await self.puller.decisions_settled()
        if pulled:
            await self.puller.settled()

    def close(self) -> set[str]:
        """The connection is gone; the paths whose change was on its way."""
        open_ = set(self.pusher.latest)
        self.pusher.close()
        if self.lookout is not None:
            self.lookout.close()
        self.puller.close()
        return open_
