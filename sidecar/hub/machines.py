"""The machines behind the sessions: their GPUs, cores and memory, and who has them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

from sidecar import api
from sidecar.core.amount import size
from sidecar.errors import RemoteError, SidecarError
from sidecar.hub.client import Client
from sidecar.hub.forwarding import asked
from sidecar.hub.registry import Registry
from sidecar.hub.sessions import Session

log = logging.getLogger(__name__)

PATIENCE = 10.0
"""Seconds for NVIDIA's tool, when somebody asks about GPUs."""

AT_A_GLANCE = 1.0
"""Seconds in all, where it is one figure of several."""

MOST_IN_WORDS = 4
"""GPUs whose figures are told one by one."""


class Machines:
    """What is known of them."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def gpus(self, client: Client, params: api.GpusParams) -> api.GpusResult:
        session = await self._registry.session(client, params.project, params.host)
        with session.speaking():
            await session.connected()
            return await _looked(session, PATIENCE)

    async def look(self, sessions: Iterable[Session]) -> None:
        """Has the healths of those that are connected say how busy their machines are."""
        ready = [one for one in sessions if one.link.agent is not None]
        await asyncio.gather(*(self._glance(one) for one in ready))

    @staticmethod
    async def _glance(session: Session) -> None:
        try:
            found = await asyncio.wait_for(_looked(session, AT_A_GLANCE), AT_A_GLANCE)
            session.load = words(found)
        except (SidecarError, asyncio.TimeoutError) as error:
            log.info("%s was not looked at: %r", session.name, error)


async def _looked(session: Session, patience: float) -> api.GpusResult:
    """Raises SidecarError: it cannot be looked at."""
    agent = await session.connected()
    told = await asked(agent, "machine", patience)
    try:
        return api.GpusResult(
            host=session.name,
            machine=api.Machine(**told["machine"]),
            gpus=[_gpu(one) for one in told["gpus"]],
            driver=str(told["driver"]),
            problem=str(told["problem"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RemoteError(
            f"{session.name} tells of its GPUs in an unknown form", str(error)
        ) from None


def _gpu(told: dict[str, Any]) -> api.Gpu:
    """As agent/jobs/gpus.py describes it."""
    processes = [api.GpuProcess(**one) for one in told.pop("processes")]
    return api.Gpu(**told, processes=processes)


def words(found: api.GpusResult) -> str:
    """How busy it is, in a few words."""
    cards = [one for one in found.gpus if not one.slice]
    parts = []
    if 0 < len(cards) <= MOST_IN_WORDS:
        shown = ", ".join(_percent(one.utilization) for one in cards)
        parts.append(f"{'GPU' if len(cards) == 1 else f'{len(cards)} GPUs'} {shown}")
    elif cards:
        free = sum(one.free for one in found.gpus)
        parts.append(f"{free} of {len(found.gpus)} GPUs free")
    total = sum(one.memory_total for one in cards if one.memory_total > 0)
    if total:
        used = sum(max(0, one.memory_used) for one in cards)
        parts.append(f"{size(used)} of {size(total)}")
    if found.machine.cpu_percent >= 0:
        parts.append(f"CPU {found.machine.cpu_percent} %")
    if found.machine.memory_total:
        used = found.machine.memory_total - found.machine.memory_available
        parts.append(f"memory {100 * used // found.machine.memory_total} %")
    return ", ".join(parts)


def _percent(number: int) -> str:
    return f"{number} %" if number >= 0 else "-"
