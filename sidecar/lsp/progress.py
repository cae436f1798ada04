"""`$/progress` while a project is connected and first sent, and while a large file goes up, which
its button calls off; a single save shows nothing."""

from __future__ import annotations

import asyncio
import itertools
import logging
from typing import Any

from sidecar import api
from sidecar.hub.rpc import Peer, RpcError

log = logging.getLogger(__name__)

WORTH_SHOWING = 20
"""Files in the queue from which on a sync shows its progress."""


class CreateParams(api.Message, frozen=True, kw_only=True):
    token: str


class ProgressParams(api.Message, frozen=True, kw_only=True):
    token: str
    value: dict[str, Any]


class Nothing(api.Message, frozen=True, kw_only=True):
    """The result of a request that answers null."""


class Bar:
    """The progress of one project on one host, in one client."""

    _numbers = itertools.count(1)

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._token = ""
        self._most = 0
        self._creating: asyncio.Task[None] | None = None
        self._latest: api.Health | None = None

    @property
    def token(self) -> str:
        """Of what is shown now; "" where nothing is."""
        return self._token

    def take(self, health: api.Health) -> None:
        self._latest = health
        worth = (
            health.state == "connecting" or health.queued >= WORTH_SHOWING or health.transfers != []
        )
        busy = health.state in ("connecting", "syncing")
        if self._token:
            self._report(health) if busy else self._end(health)
        elif worth and busy and self._creating is None:
            self._creating = asyncio.create_task(self._create(), name="progress")

    def close(self) -> None:
        if self._creating:
            self._creating.cancel()

    async def _create(self) -> None:
        token = f"sidecar-progress-{next(self._numbers)}"
        try:
            params = CreateParams(token=token)
            await self._peer.request_or_none("window/workDoneProgress/create", params, Nothing)
        except RpcError as error:
            log.info("the client shows no progress: %s", error)
            return  # `_creating` stays, so it is not asked again
        self._creating = None
        health = self._latest
        if health is None or health.state not in ("connecting", "syncing"):
            return  # over before the client answered
        self._token, self._most = token, 0
        title = f"sidecar: {health.host}"
        self._send(
            {
                "kind": "begin",
                "title": title,
                "message": health.text,
                "percentage": 0,
                "cancellable": True,
            }
        )
        self._report(health)

    def _report(self, health: api.Health) -> None:
        self._most = max(self._most, health.queued)
        value: dict[str, Any] = {
            "kind": "report",
            "message": health.text,
            "cancellable": health.transfers != [],
        }
        if health.transfers and health.queued < WORTH_SHOWING:  # the bytes say more than the count
            done = sum(one.done for one in health.transfers)
            value["percentage"] = 100 * done // max(1, sum(one.total for one in health.transfers))
        elif self._most:
            value["percentage"] = 100 * (self._most - health.queued) // self._most
        self._send(value)

    def _end(self, health: api.Health) -> None:
        self._send({"kind": "end", "message": health.text})
        self._token = ""

    def _send(self, value: dict[str, Any]) -> None:
        self._peer.post("$/progress", ProgressParams(token=self._token, value=value))
