"""`sidecar forward`, `sidecar ports`: ports there that can be reached here."""

from __future__ import annotations

import argparse
import sys

import msgspec

from sidecar import api
from sidecar.cli import place, terminal


def forward(options: argparse.Namespace) -> int:
    """Opens them, and stays until Ctrl-C: what a command opened is closed with it."""
    with place.connect(options) as hub:
        params = api.ForwardParams(
            **place.where(options),
            ports=options.ports,
            close=options.close,
            address=options.bind,
        )
        opened: dict[str, api.Port] = {}
        hub.on("sidecar/forwarded", api.Forwarded, lambda note: _changed(note, opened))
        found = hub.call("sidecar/forward", params, api.ForwardResult)
        if options.json:
            print(_json(found.ports), flush=True)
        for port in found.ports:
            if not options.json:
                terminal.say(f"{found.host}: {port.text}")
            if port.state == "open":
                opened[port.there] = port
        if options.close:
            return 0
        if not found.ports:
            terminal.say(
                f"Nothing is configured to be forwarded from {found.host}: "
                "name a port, as in `sidecar forward 6006`"
            )
            return 1
        if not opened:
            return 0
        if sys.stderr.isatty():
            terminal.say("Ctrl-C closes them.")
        while opened:
            hub.read()
        return 0


def _changed(note: api.Forwarded, opened: dict[str, api.Port]) -> None:
    if note.port.state == "closed" and note.port.there in opened:
        del opened[note.port.there]
        terminal.say(f"{note.host}: {note.port.text}")


def ports(options: argparse.Namespace) -> int:
    with place.connect(options) as hub:
        params = api.PortsParams(**place.where(options))
        found = hub.call("sidecar/ports", params, api.PortsResult)
    if options.json:
        print(_json(found.ports))
    elif found.ports:
        head = ("THERE", "STATE", "HERE", "WHAT", "BY")
        rows = [
            (
                str(port.remote_port) if port.remote_port else port.there,
                port.state,
                port.url or port.here or "-",
                port.name or port.command or "-",
                _source(port),
            )
            for port in found.ports
        ]
        print(terminal.table(head, rows))
        if any(port.state == "offered" for port in found.ports):
            terminal.say("`sidecar forward PORT` brings one here.")
    else:
        terminal.say(f"No job of yours listens on {found.host}, and nothing is forwarded.")
    return 0


def _source(port: api.Port) -> str:
    if port.job:
        return f"job {port.job}"
    return {"ssh": "ssh_config", "settings": "settings", "asked": "asked for"}.get(
        port.source, port.source
    )


def _json(found: list[api.Port]) -> str:
    return msgspec.json.encode([msgspec.structs.asdict(port) for port in found]).decode()
