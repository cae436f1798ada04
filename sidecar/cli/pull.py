"""`sidecar pull`."""

from __future__ import annotations

import argparse
import os
import sys

import msgspec

from sidecar import api
from sidecar.cli import place, terminal
from sidecar.cli.progress import Progress
from sidecar.core.amount import size


def pull(options: argparse.Namespace) -> int:
    """Exit status 1 where something that was asked for did not come."""
    with place.connect(options) as hub:
        progress = Progress()
        hub.on("sidecar/didChangeStatus", api.Health, progress.take)
        try:
            result = hub.call(
                "sidecar/pull",
                api.PullParams(
                    **place.where(options),
                    paths=[os.path.abspath(path) for path in options.paths],
                    prefer=options.prefer or ("remote" if options.yes else ""),
                    dry_run=options.dry_run,
                ),
                api.PullResult,
            )
        finally:
            progress.clear()
    if options.json:
        print(msgspec.json.encode(result).decode())
    else:
        _print(result, options.dry_run)
    return 1 if result.notes else 0


def _print(result: api.PullResult, dry_run: bool) -> None:
    for line in result.plan:
        print(terminal.one_line(line))
    for note in result.notes:
        kind = terminal.painted(note.kind, terminal.YELLOW)
        print(f"{kind}: {terminal.one_line(f'{note.path}: {note.text}')}", file=sys.stderr)
    if dry_run:
        terminal.say(f"{len(result.plan)} would come; nothing was done")
    else:
        terminal.say(
            f"{result.pulled} pulled, {size(result.bytes_received)} in {result.seconds:.2f} s"
        )
