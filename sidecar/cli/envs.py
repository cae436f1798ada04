"""`sidecar envs`: the Pythons of a host, and the choice among them."""

from __future__ import annotations

import argparse

import msgspec

from sidecar import api
from sidecar.cli import place, terminal

MOST_PACKAGES = 5
"""Of an environment, in the table; --json has all that are known of."""


def envs(options: argparse.Namespace) -> int:
    return _use(options) if options.action == "use" else _list(options)


def _list(options: argparse.Namespace) -> int:
    """Exit status 1 where none is usable."""
    with place.connect(options) as hub:
        params = api.InterpretersParams(**place.where(options))
        result = hub.call("sidecar/interpreters", params, api.InterpretersResult)
    if options.json:
        plain = {**msgspec.structs.asdict(result)}
        plain["interpreters"] = [msgspec.structs.asdict(one) for one in result.interpreters]
        print(msgspec.json.encode(plain).decode())
    elif result.interpreters:
        rows = [
            (
                "*" if one.in_use else "",
                one.name,
                one.version or "-",
                _cuda(one, result.driver),
                one.path,
                one.problem or _packages(one),
            )
            for one in result.interpreters
        ]
        print(terminal.table(("", "NAME", "PYTHON", "CUDA", "PATH", "PACKAGES"), rows))
    used = next((one for one in result.interpreters if one.in_use), None)
    if used is not None:
        why = "" if result.source == "as configured" else f" ({result.source})"
        terminal.say(f"Jobs on {result.host} run with {used.name}{why}.")
    elif result.problem:
        terminal.say(result.problem)
    elif result.source:
        terminal.say(f"Jobs on {result.host} run with another one: {result.source}.")
    else:
        terminal.say("No Python was found there.")
    return 0 if any(not one.problem for one in result.interpreters) else 1


def _use(options: argparse.Namespace) -> int:
    """Without a name the person is asked."""
    with place.connect(options) as hub:
        params = api.SelectInterpreterParams(**place.where(options), name=options.name)
        chosen = hub.call("sidecar/selectInterpreter", params, api.SelectInterpreterResult)
    if options.json:
        print(msgspec.json.encode(msgspec.structs.asdict(chosen)).decode())
    else:
        terminal.say(
            f"Jobs on {chosen.host} run with {chosen.python} (Python {chosen.version}); "
            "sidecar.local.toml says so now."
        )
    return 0


def _cuda(one: api.Interpreter, driver: str) -> str:
    """What it was built for, and whether this machine can run that."""
    if not one.cuda:
        return "-"
    return one.cuda if driver else f"{one.cuda}, no driver"


def _packages(one: api.Interpreter) -> str:
    shown = [f"{name} {version}" for name, version in one.packages.items()]
    more = len(shown) - MOST_PACKAGES
    text = ", ".join(shown[:MOST_PACKAGES]) + (f" and {more} more" if more > 0 else "")
    lacks = f"without {', '.join(one.lacks[:4])}{', …' if len(one.lacks) > 4 else ''}"
    return "; ".join(part for part in (text, lacks if one.lacks else "") if part) or "-"
