"""`sidecar clean`: all that is kept for this project on a host, listed, then removed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable

import msgspec

from sidecar import api
from sidecar.cli import place, terminal
from sidecar.core.amount import size
from sidecar.errors import UsageError

HEAD = ("SIDE", "FILES", "SIZE", "WHAT", "WHERE")

COUNTED = {"job": "records and logs", "frozen": "frozen code"}


def clean(options: argparse.Namespace) -> int:
    """Exit status 1 where something could not be removed, or the person said no."""
    if options.name and options.host and options.name != options.host:
        raise UsageError(f"{options.name} and {options.host} are two hosts", "", "name one")
    options.host = options.host or options.name
    where = place.where(options)
    with place.connect(options) as hub:
        listing = api.CleanParams(**where, all=options.all, dry_run=True)
        result = hub.call("sidecar/clean", listing, api.CleanResult)
        goes = [one for one in result.kept if not one.stays]
        if not options.json:
            _print(result)
        if goes and not options.dry_run:
            removing = api.CleanParams(**where, all=options.all, yes=options.yes, seen=result.seen)
            result = hub.call("sidecar/clean", removing, api.CleanResult)
    if options.json:
        print(msgspec.json.encode(result).decode())
    elif options.dry_run or not goes:
        terminal.say("nothing was removed" if goes else "nothing is to be removed")
    else:
        _say_what_went(result)
    return 0 if options.dry_run or not goes or (result.removed and not result.left) else 1


def _print(result: api.CleanResult) -> None:
    rows = [*_rows(result.kept)]
    if rows:
        first, _, rest = terminal.table(HEAD, rows, right=(1, 2)).partition("\n")
        print(terminal.painted(first, terminal.DIM, sys.stdout))
        print(rest, flush=True)
    if not result.exists:
        terminal.say(f"{result.host} has no {terminal.one_line(result.folder)}")
    for one in result.kept:
        if one.stays:
            what = f"job {one.name}" if one.kind == "job" else one.place
            terminal.say(terminal.one_line(f"stays: {what}: {one.stays}"))


def _rows(kept: list[api.Kept]) -> Iterable[tuple[str, ...]]:
    """Those that go; in one row where there may be very many of a kind."""
    goes = [one for one in kept if not one.stays]
    for kind, words in COUNTED.items():
        if some := [one for one in goes if one.kind == kind and not one.only]:
            yield _row(some, f"{words} of {len(some)} job{'s' * (len(some) > 1)}")
    for one in goes:
        if one.only or one.kind not in COUNTED:
            yield _row([one], f"{one.text}: maybe the only copies" if one.only else one.text)


def _row(some: list[api.Kept], text: str) -> tuple[str, ...]:
    side = "here" if some[0].side == "local" else "there"
    files, amount = sum(one.files for one in some), sum(one.bytes for one in some)
    where = some[0].place if len(some) == 1 else some[0].place.rpartition("/")[0]
    return side, str(files), size(amount), text, where


def _say_what_went(result: api.CleanResult) -> None:
    if not result.removed:
        terminal.say("nothing was removed")
        return
    for one in result.left:
        terminal.say(terminal.one_line(f"not removed: {one.place}: {one.stays}"))
    left = {(one.side, one.kind, one.name) for one in result.left}
    gone = [
        one for one in result.kept if not one.stays and (one.side, one.kind, one.name) not in left
    ]
    there = size(sum(one.bytes for one in gone if one.side == "remote"))
    here = size(sum(one.bytes for one in gone if one.side == "local"))
    terminal.say(f"removed {there} on {result.host} and {here} here")
