"""Doctor: walks the whole way from the configuration to a Python there, and says of each step how
it is and, where it is not well, what to do.

Changes nothing on either side: nothing is synced, nothing is written down. It uses the connection
that stands, or makes one, asking what a sign-in asks.
"""

from __future__ import annotations

import importlib.resources
import json
import os
import time
from typing import Any, Literal

from sidecar import api
from sidecar.config.model import Host
from sidecar.core.amount import size
from sidecar.core.messages import Spawn
from sidecar.errors import ConnectError, SidecarError
from sidecar.hub.client import Client
from sidecar.hub.registry import Registry
from sidecar.hub.sessions import Session
from sidecar.remote.connection import AgentConnection
from sidecar.remote.stream import Stream
from sidecar.ssh.deadline import within
from sidecar.ssh.reach import first_hop, reach
from sidecar.ssh.resolve import resolve

State = Literal["ok", "note", "failed"]

STEP_OF = {
    "no-such-host": "name",
    "bad-destination": "name",
    "bad-config": "name",
    "refused": "port",
    "unreachable": "port",
    "not-ssh": "key exchange",
    "no-common-algorithm": "key exchange",
    "proxy-failed": "proxy",
    "jump-refused": "jump host",
    "host-key-unknown": "host key",
    "host-key-changed": "host key",
    "no-command": "shell",
    "no-python": "agent",
    "agent-start": "agent",
    "version": "agent",
}
"""Where a failed connection belongs, by its code; what is not named belongs to the sign-in."""

ANSWER_SECONDS = 60.0
"""How long the program there may be silent: a disk has to spin up, a file server is slow."""

FIRST_SEND, MOST_SENT, SEND_SECONDS = 1 << 18, 32 << 20, 1.0
"""Bytes with which the line's speed is guessed, the most with which it is measured, and how long
that is to take."""

TRIPS = 5
"""Exchanges of one byte, of which the fastest tells the round trip."""

LITTLE_DISK, FEW_INODES, FEW_WATCHES, CLOCK_SECONDS = 1 << 30, 10_000, 8192, 2.0
"""What is worth a note."""

NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "lustre", "gpfs", "beegfs", "ceph", "fuse.sshfs", "9p", "afs"}
)
"""File systems on which other machines' changes are not noticed by this one."""


class Doctor:
    """For all clients."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def doctor(self, client: Client, params: api.DoctorParams) -> api.DoctorResult:
        """Each finding is told as it is made, by `sidecar/finding`, and all are the result."""
        walk = _Walk(client)
        try:
            session = await self._registry.session(client, params.project, params.host)
            with session.speaking():
                await walk.all(session)
        except ConnectError as error:
            walk.failed(STEP_OF.get(error.code, "sign-in"), error)
        except SidecarError as error:
            walk.failed(walk.step, error)
        return api.DoctorResult(findings=walk.findings)


class _Walk:
    """One examination."""

    def __init__(self, client: Client) -> None:
        self.findings: list[api.Finding] = []
        self.step = "configuration"
        """What is looked at, for a failure that says nothing of that."""
        self._client, self._name = client, "NAME"

    def failed(self, step: str, error: SidecarError) -> None:
        text = f"{error.what}: {error.why}" if error.why else error.what
        self._tell("failed", step, text, error.fix or "see `sidecar hub log`")

    async def all(self, session: Session) -> None:
        host, self._name = session.host, session.name
        self._tell("ok", "configuration", f"{session.project.spelled} goes to {session.name}")
        if session.link.agent is None:
            await self._outside(host)
        agent = await self._signed_in(session)
        self._agent(agent)
        child = await self._examiner(agent, host)
        try:
            facts = await self._facts(child)
            self._folder(facts)
            self._interpreter(facts, host)
            self._watching(facts)
            await self._line_speed(child)
        finally:
            child.close()

    # --- the way there -----------------------------------------------------------------------

    async def _outside(self, host: Host) -> None:
        """What can be seen without signing in."""
        self.step = "name"
        target = await resolve(host.ssh)
        through = ", ".join(hop.argument() for hop in target.jumps)
        self._tell(
            "ok",
            "name",
            f"{target.name} is {target.user}@{target.address}"
            + (f", through {through}" if through else ""),
        )
        hop = await first_hop(target)
        if hop.proxy_command:
            self._tell("ok", "port", f"a ProxyCommand leads to {hop.address}")
            return
        reached = await reach(hop)
        milliseconds = reached.seconds * 1000
        self._tell("ok", "port", f"{reached.address} answers in {milliseconds:.0f} ms")
        self._tell("ok", "server", reached.software)

    async def _signed_in(self, session: Session) -> AgentConnection:
        self.step = "sign-in"
        link = session.link
        stood, before = link.agent is not None, time.perf_counter()
        agent = await link.connect()
        user = f"{agent.hello.user} on {agent.hello.machine}"
        by = f" (by {link.transport_name})"
        if stood:
            self._tell("ok", "sign-in", f"the connection stands, as {user}{by}")
        else:
            took = time.perf_counter() - before
            self._tell("ok", "sign-in", f"as {user}, with the agent's start {took:.2f} s{by}")
        return agent

    def _agent(self, agent: AgentConnection) -> None:
        hello = agent.hello
        if agent.noise:
            self._tell(
                "note",
                "shell",
                f"the login shell prints {size(len(agent.noise))} before anything else",
                "no harm to the sidecar; scp and rsync may break: print only where $- has an i",
            )
        else:
            self._tell("ok", "shell", "prints nothing of its own")
        text = f"runs on Python {hello.python} ({hello.executable})"
        self._tell("ok", "agent", text)
        ahead = hello.clock_offset_ns / 1e9
        if abs(ahead) >= CLOCK_SECONDS:
            word = "ahead of" if ahead > 0 else "behind"
            self._tell(
                "note",
                "clock",
                f"{abs(ahead):.0f} s {word} this machine's",
                "times of synced files are corrected; let NTP set both clocks all the same",
            )
        else:
            self._tell("ok", "clock", "agrees with this machine's")

    # --- what is there -----------------------------------------------------------------------

    async def _examiner(self, agent: AgentConnection, host: Host) -> Stream:
        self.step = "agent"
        program = importlib.resources.files("sidecar.hub").joinpath("examination.py").read_bytes()
        # Told on stdin, so that an audit log of command lines keeps no program.
        read = "import sys;i=sys.stdin.buffer;exec(i.read(int(i.readline())))"
        argv = [agent.hello.executable or "python3", "-I", "-c", read]
        child = await agent.open_stream(lambda number: Spawn(number, argv, {}, ""))
        python = host.python if host.python.startswith(("/", "~", "$")) else ""
        wanted = {"folder": host.path, "state": host.state or "~", "python": python}
        await child.write(b"%d\n%s%s\n" % (len(program), program, json.dumps(wanted).encode()))
        return child

    async def _facts(self, child: Stream) -> dict[str, Any]:
        self.step = "folder"
        answer: Any = await _line(child)
        if not isinstance(answer, dict):
            raise SidecarError(
                "The examination on the remote gave no answer",
                (await child.read_error()).decode(errors="replace").strip()[-300:],
                "see `sidecar hub log`",
            )
        return answer

    def _folder(self, facts: dict[str, Any]) -> None:
        folder, state = facts["folder"], facts["state"]
        where = folder["path"]
        if folder["real"] != where:
            where += f" ({folder['real']})"
        if folder["other"]:
            fix = "move it, or change hosts.NAME.path"
            self._tell("failed", "folder", f"{where} is no folder", fix)
        elif folder["refused"]:
            self._tell(
                "failed",
                "folder",
                f"nothing can be written in {folder['near']}: {folder['refused']}",
                "make room, or choose another place by hosts.NAME.path",
            )
        elif folder["there"]:
            self._tell("ok", "folder", f"{where} can be written")
        else:
            self._tell("ok", "folder", f"{where} will be made by the first sync")
        self._disk(folder)
        if state["refused"]:
            self._tell(
                "note",
                "state",
                f"nothing can be written in {state['near']}: {state['refused']}",
                "syncing works; for jobs and debugging name another place by hosts.NAME.state",
            )

    def _disk(self, folder: dict[str, Any]) -> None:
        free = f"{size(folder['free'])} free"
        if 0 <= folder["inodes"] < FEW_INODES:
            self._tell("note", "disk", f"{free}, but only {folder['inodes']} files more", "tidy up")
        elif folder["free"] < LITTLE_DISK:
            self._tell("note", "disk", free, "make room before long")
        else:
            self._tell("ok", "disk", free)

    def _interpreter(self, facts: dict[str, Any], host: Host) -> None:
        found = facts["python"]
        if found.startswith("!"):
            self._tell(
                "failed",
                "interpreter",
                f"{host.python}: {found[1:]}",
                "`sidecar envs` lists those there are, `sidecar envs use NAME` takes one",
            )
            return
        if not found:
            said = f"{host.python}, looked up by" if host.python else "chosen at"
            self._tell("ok", "interpreter", f"{said} the first run; `sidecar envs` lists them")
            return
        self._tell("ok", "interpreter", f"Python {found} at {host.python}")
        from sidecar.debug import releases  # heavy, and only this needs it

        try:
            release = releases.choose(found, host.python)
        except SidecarError as error:
            self.failed("debugger", error)
        else:
            self._tell("ok", "debugger", f"debugpy {release.version} is sent when it is needed")

    def _watching(self, facts: dict[str, Any]) -> None:
        kind, watches = facts["folder"]["system"], facts["watches"]
        if kind in NETWORK:
            self._tell(
                "note",
                "watching",
                f"{kind}: what other machines change there is found at each sync and run, "
                "not at once",
            )
        elif 0 <= watches < FEW_WATCHES:
            self._tell(
                "note",
                "watching",
                f"only {watches} folders can be watched there",
                "have fs.inotify.max_user_watches raised",
            )
        else:
            self._tell("ok", "watching", "changes there are noticed at once")

    async def _line_speed(self, child: Stream) -> None:
        self.step = "line"
        rate = FIRST_SEND / await self._sent(child, FIRST_SEND)
        count = max(min(int(rate * SEND_SECONDS), MOST_SENT), FIRST_SEND)
        up = count / await self._sent(child, count)
        down = count / await self._received(child, count)
        trips = [await self._received(child, 1) for _ in range(TRIPS)]
        text = f"{size(int(up))}/s there, {size(int(down))}/s back"
        self._tell("ok", "line", f"{text}, {min(trips) * 1000:.1f} ms there and back")

    @staticmethod
    async def _sent(child: Stream, count: int) -> float:
        """Seconds until the other side has them."""
        data = os.urandom(count)
        before = time.perf_counter()
        await child.write(b'{"take":%d}\n' % count)
        await child.write(data)
        if await _line(child) != count:
            raise _cut_short()
        return time.perf_counter() - before

    @staticmethod
    async def _received(child: Stream, count: int) -> float:
        before = time.perf_counter()
        await child.write(b'{"give":%d}\n' % count)
        while count > 0:
            part = await child.read(1 << 18)
            if not part:
                raise _cut_short()
            count -= len(part)
        return time.perf_counter() - before

    def _tell(self, state: State, step: str, text: str, fix: str = "") -> None:
        fix = fix.replace("hosts.NAME", f"hosts.{self._name}")
        finding = api.Finding(state=state, step=step, text=text, fix=fix)
        self.findings.append(finding)
        self._client.finding(finding)


async def _line(child: Stream) -> object:
    """A line of JSON; None where there was none."""
    data = b""
    while not data.endswith(b"\n"):
        part = await within(ANSWER_SECONDS, child.read())
        if not part:
            return None
        data += part
    return json.loads(data)


def _cut_short() -> SidecarError:
    return SidecarError("The line's speed could not be measured", "the program there ended early")
