"""`sidecar sync`."""

from __future__ import annotations

import argparse
import os
import sys

import msgspec

from sidecar import api
from sidecar.cli import place, terminal
from sidecar.cli.client import HubClient
from sidecar.cli.progress import Progress
from sidecar.cli.status import print_skipped
from sidecar.core.amount import size


def sync(options: argparse.Namespace) -> int:
    """Exit status 1 where something needs a person: a conflict, a path that was refused."""
    with place.connect(options) as hub:
        progress = Progress()
        told = _Changes(options.json) if options.watch else progress
        hub.on("sidecar/didChangeStatus", api.Health, told.take)
        try:
            result = hub.call(
                "sidecar/sync",
                api.SyncParams(
                    **place.where(options),
                    prefer=options.prefer,
                    dry_run=options.dry_run,
                    take_over=options.take_over,
                    yes=options.yes,
                    paths=[os.path.abspath(path) for path in options.paths],
                ),
                api.SyncResult,
            )
        except KeyboardInterrupt:
            progress.clear()
            terminal.say("stopped; `sidecar sync` goes on where a large file's upload stopped")
            raise
        finally:
            progress.clear()
        _print(result, options)
        if options.watch:
            _follow(hub)
    needing = [
        note for note in result.notes if note.kind in ("conflict", "refused", "held", "waiting")
    ]
    return 1 if needing and not options.dry_run else 0


def _print(result: api.SyncResult, options: argparse.Namespace) -> None:
    if options.json:
        print(msgspec.json.encode(result).decode())
        return
    if result.summary:
        terminal.say(result.summary)
    for line in result.plan:
        print(terminal.one_line(line))
    for note in result.notes:
        kind = terminal.painted(note.kind, terminal.YELLOW)
        print(f"{kind}: {terminal.one_line(f'{note.path}: {note.text}')}", file=sys.stderr)
    if result.skipped:
        print_skipped(result.skipped, sys.stderr)
    if options.dry_run:
        terminal.say(f"{len(result.plan)} changes would be made; nothing was done")
    else:
        taken = f"{result.taken} taken from there, " if result.taken else ""
        terminal.say(
            f"{result.sent} sent, {result.removed} removed, {taken}{size(result.bytes_sent)} "
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


class _Changes:
    """Says when a sync is done, and once when the connection goes and comes back."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._away = False
        self._last = ("", "")

    def take(self, health: api.Health) -> None:
        if self._as_json:
            print(msgspec.json.encode(health).decode(), flush=True)
            return
        away = health.state in ("disconnected", "question")
        if away and not self._away:
            fix = f"; {health.fix}" if health.fix else ""
            terminal.say(f"{health.host}: {health.text}{fix}")
        self._away = away
        done = f"{health.files} files, {health.text}" if health.state == "ready" else ""
        if done and (health.last_sync, done) != self._last:
            self._last = health.last_sync, done
            print(f"{health.host}: {done}", flush=True)
