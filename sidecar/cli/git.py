"""`sidecar git status|push|repair`."""

from __future__ import annotations

import argparse
import sys

import msgspec

from sidecar import api
from sidecar.cli import place, terminal


def git(options: argparse.Namespace) -> int:
    """Exit status 1 where the repository there is not where the one here is."""
    with place.connect(options) as hub:
        params = api.GitParams(**place.where(options), action=options.action, yes=options.yes)
        result = hub.call("sidecar/git", params, api.GitResult)
    if options.json:
        print(msgspec.json.encode(result).decode())
    else:
        _print(result)
    return 0 if result.state == "same" else 1


def _print(result: api.GitResult) -> None:
    if result.state == "same":
        print(terminal.one_line(f"{result.host}: {result.text}, as here"))
    else:
        print(terminal.one_line(result.text))
        if result.fix:
            print(terminal.one_line(result.fix), file=sys.stderr)
    for ref in result.kept:
        terminal.say(terminal.one_line(f"what was there before is kept as {ref}"))
    if result.state == "same" and result.fetched:
        terminal.say(terminal.one_line(f"what was committed there is here as {result.fetched}"))
    for note in result.notes:
        terminal.say(terminal.one_line(note))
