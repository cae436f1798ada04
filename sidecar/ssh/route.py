"""The hops to a host, the nearest first, each by its own part of the ssh configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sidecar.ssh.codes import connect_error
from sidecar.ssh.destination import Destination
from sidecar.ssh.resolve import resolve
from sidecar.ssh.resolved import Resolved

# More hops than any real site has: a longer way is one that leads back to itself.
HOPS_LIMIT = 10


async def route(target: Resolved) -> list[Resolved]:
    """All hops, `target` last.

    As with ssh: of `ProxyJump a,b` the first hop is reached as its own configuration says, the
    second one through the first, whatever its own configuration says.

    Raises:
        ConnectError: `bad-config`: the way leads in a circle. Also what `resolve` raises.
    """
    return await _route(target, ())


async def _route(target: Resolved, behind: Sequence[Destination]) -> list[Resolved]:
    if target.destination in behind or len(behind) > HOPS_LIMIT:
        circle = " → ".join(hop.name for hop in (target.destination, *reversed(behind)))
        raise connect_error(
            f"The way to {behind[0].name} leads in a circle",
            circle,
            "exclude the jump host from its own ProxyJump in the ssh configuration",
            "bad-config",
        )
    if not target.jumps:
        return [target]
    behind = (*behind, target.destination)
    hops = await _route(await resolve(target.jumps[0]), behind)
    for jump in target.jumps[1:]:
        hops.append(replace(await resolve(jump), jumps=(), proxy_command=""))
    return [*hops, target]
