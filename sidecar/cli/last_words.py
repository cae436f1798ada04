"""What a command says last about a job that lives on: where, on which GPUs, and what to do."""

from __future__ import annotations

from collections.abc import Sequence

from sidecar import api


def runs_on(job: str, host: str, found: api.Job | None) -> str:
    """Of a job that is left to itself. `found`: as it was listed a moment ago, None: it was not."""
    return (
        f"job {job} runs on at {host}{_where([found.pid], found) if found else ''}: "
        f"`sidecar attach {job}` goes on with it, `sidecar stop {job}` ends it"
    )


def still_runs(job: str, host: str, found: api.Job | None) -> str:
    """Of a job that was interrupted more than once."""
    return (
        f"job {job} on {host} still runs{_where([found.pid], found) if found else ''}; "
        f"`sidecar stop {job}` ends it"
    )


def left_behind(job: str, host: str, pids: Sequence[int], found: api.Job | None) -> str:
    """Of a job that has ended, and whose processes have not."""
    return (
        f"job {job} has ended, and what it started lives on at {host}{_where(pids, found)}; "
        f"`sidecar stop {job}` ends that"
    )


def _where(pids: Sequence[int], found: api.Job | None) -> str:
    """ " (process 4711, GPUs 0,1)" """
    parts = []
    if shown := [str(pid) for pid in pids if pid]:
        some = ", ".join(shown[:5]) + (f" and {len(shown) - 5} more" if len(shown) > 5 else "")
        parts.append(f"process{'es' * (len(shown) > 1)} {some}")
    if found and found.gpus:
        cards = ",".join(map(str, found.gpus))
        parts.append(f"GPU{'s' * (len(found.gpus) > 1)} {cards}")
    return f" ({', '.join(parts)})" if parts else ""
