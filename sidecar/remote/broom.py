"""The cleaning program (agent/clean.py), sent to a remote and run there for one question.

It is no part of the agent, whose parts fit the first flights of a connection and whose memory is
bounded: some 120 KB travel for this instead, a few times a year.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from typing import Any

from sidecar.core.messages import Spawn
from sidecar.errors import RemoteError
from sidecar.remote.bundle import all_that_travels
from sidecar.remote.connection import AgentConnection

MOST_ANSWER = 16 << 20
"""Bytes: some 50,000 items, ten times what is ever listed."""

_BOOT = """\
import json, sys, types, zlib
sent = json.loads(zlib.decompress(sys.stdin.buffer.read()).decode())
name = "sidecar.agent.loader"
loader = types.ModuleType(name)
exec(compile(sent["sources"][name], name, "exec"), loader.__dict__)
sys.modules[name] = loader
loader.install(sent["sources"])
from sidecar.agent import clean
clean.main(sent["question"])
"""


async def ask(agent: AgentConnection, question: dict[str, Any]) -> dict[str, Any]:
    """The answer of the program there.

    Args:
        question: the fields of agent/clean.py's Question.
    Raises:
        RemoteError: it cannot be started, failed, or says why it will not.
        SidecarError: the link is over.
    """
    given = await asyncio.to_thread(_packed, question)
    # Isolated as supervisors are: nothing of the user's environment changes what it runs.
    argv = [agent.hello.executable or "python3", "-I", "-S", "-B", "-c", _BOOT, "sidecar-clean"]
    stream = await agent.open_stream(lambda number: Spawn(number, argv, {}, "/", 0))
    try:
        await stream.write(given)
        await stream.write_eof()
        said = bytearray()
        while part := await stream.read():
            said += part
            if len(said) > MOST_ANSWER:
                raise RemoteError("The remote machine lists more than can be shown")
        status = await stream.wait()
        complaint = (await stream.read_error()).decode("utf-8", "replace")
    finally:
        stream.close()
    try:
        answer: dict[str, Any] = json.loads(said)
    except ValueError:
        last = complaint.strip().rpartition("\n")[2]
        raise RemoteError(
            "What is kept on the remote machine could not be looked at",
            last or f"the program ended with {status} and said nothing",
        ) from None
    if failed := answer.get("failed"):
        what, why, fix = failed
        raise RemoteError(what, why, fix)
    return answer


def _packed(question: dict[str, Any]) -> bytes:
    text = json.dumps({"sources": all_that_travels(), "question": question})
    return zlib.compress(text.encode("ascii"))
