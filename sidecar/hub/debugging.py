"""Debugging: stub until debug/client.py is there."""

from __future__ import annotations

from typing import Any

from sidecar.hub.client import Client
from sidecar.hub.registry import Registry


class Debugging:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def debug(self, client: Client, params: Any) -> Any:
        raise NotImplementedError

    def leave(self, client: Client) -> None: ...

    async def close(self) -> None: ...
