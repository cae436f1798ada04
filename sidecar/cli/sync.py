"""`sidecar sync`."""

from __future__ import annotations

import argparse
import os

import msgspec

from sidecar import api
from sidecar.cli import place, terminal
from sidecar.cli.client import HubClient


def sync(options: argparse.Namespace) -> int:
    """Exit status 1 where something needs a person: a conflict, a path that was refused."""
    with place.connect(options) as hub:
        if options.watch:
            hub.on("sidecar/synced", api.Synced, lambda note: _report(note, options.json))
            hub.on("sidecar/didChangeStatus", api.Health, _Changes().take)
        result = hub.call(
            "sidecar/sync",
            api.SyncParams(
                **place.where(options),
                prefer=options.prefer,
                dry_run=options.dry_run,
                paths=[os.path.abspath(path) for path in options.paths],
            ),
            api.SyncResult,
        )
        _print(result, options)
        if options.watch:
            _follow(hub)
    needing = [note for note in result.notes if note.kind in ("conflict", "refused")]
    return 1 if needing and not options.dry_run else 0


def _print(result: api.SyncResult, options: argparse.Namespace) -> None:
    if options.json:
        print(msgspec.json.encode(result).decode())
        return
    for line in result.plan:
        print(terminal.printable(line))
    for note in result.notes:
        terminal.say(f"{terminal.painted(note.kind, terminal.YELLOW)}: {note.path}: {note.text}")
    if options.dry_run:
        terminal.say(f"{len(result.plan)} changes would be made; nothing was done")
    else:
        terminal.say(
            f"{result.sent} sent, {result.removed} removed, {size(result.bytes_sent)} "
            f"in {result.seconds:.2f} s"
        )


def _follow(hub: HubClient) -> None:
    """The hub goes on syncing while we are connected; Ctrl-C ends that."""
    terminal.say("watching; Ctrl-C ends it")
    try:
        while True:
            hub.read()
    except KeyboardInterrupt:
        return


def _report(note: api.Synced, as_json: bool) -> None:
    if as_json:
        print(msgspec.json.encode(note).decode(), flush=True)
        return
    some = ", ".join(terminal.printable(path) for path in note.paths[:5])
    more = f" and {len(note.paths) - 5} more" if len(note.paths) > 5 else ""
    print(f"{some}{more}: {size(note.bytes_sent)} in {note.milliseconds:.0f} ms", flush=True)


class _Changes:
    """Says once when the connection goes, and once when it is back."""

    def __init__(self) -> None:
        self._away = False

    def take(self, health: api.Health) -> None:
        away = health.state in ("disconnected", "question")
        if away != self._away:
            self._away = away
            fix = f"; {health.fix}" if health.fix else ""
            terminal.say(f"{health.host}: {health.text}{fix}")


def size(count: int) -> str:
    """Bytes for people, decimal: 950 B, 12.3 KB."""
    amount = float(count)
    for unit in ("B", "KB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"
