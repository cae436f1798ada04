"""`sidecar agent --source`: what is sent to a remote and run there, for whoever looks after it."""

from __future__ import annotations

import argparse

import msgspec

from sidecar import api
from sidecar.cli import place, terminal


def agent(options: argparse.Namespace) -> int:
    """Every module's text as it is sent, in the order of sending; the digest on stderr."""
    with place.connect(options) as hub:
        sent = hub.call("sidecar/agentSource", api.AgentSourceParams(), api.AgentSourceResult)
    if options.json:
        print(msgspec.json.encode(sent).decode())
        return 0
    for module in sent.modules:
        print(f"# {'-' * 20} {module.name}\n{module.text}")
    terminal.say(f"{len(sent.modules)} modules, digest {sent.digest}")
    return 0
