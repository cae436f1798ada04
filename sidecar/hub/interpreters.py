"""What the jobs of a session get there: a login shell's environment, and an interpreter.

Both are prepared when a connection comes, so that no run waits for a shell. Which interpreter,
where none is configured, in this order:

1. `.venv` (or `venv`) in the project's folder there;
2. the conda environment of the name in `environment.yml`, or of the project's name;
3. the only one that has what the project imports; where it imports nothing but Python's own and its
   own modules, the `python3` of a login shell;
4. the one that the person chooses, who is asked. Where nobody can be, no run starts.

(1) and (2) are the agent's to find (agent/environment/interpreters.py). What was chosen is written
to `sidecar.local.toml`, so that it is found once; one that nothing spoke for is not.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from sidecar.config import write
from sidecar.config.git import came_along
from sidecar.config.project import LOCAL
from sidecar.core import messages
from sidecar.errors import RemoteError, RunError, SidecarError
from sidecar.hub import imports
from sidecar.hub.client import WhoeverAsked, in_nobodys_name
from sidecar.questions import Choice

if TYPE_CHECKING:
    from sidecar.hub.sessions import Session
    from sidecar.remote.connection import AgentConnection

log = logging.getLogger(__name__)

NOT_NOW = "Not now"
MOST_OFFERED = 12
"""Interpreters in a question; `sidecar envs` has all."""

ADVICE_SECONDS = 3.0
"""How long the end of a job that lacked a module may wait for a word of where there is one."""

BY_DEFAULT = "python3 of a login shell"
THE_ONLY_ONE = "the only Python there"
NOT_WRITTEN = frozenset({BY_DEFAULT, THE_ONLY_ONE})
"""Nothing spoke for these: an environment that is made later is to be taken then."""


class Row(msgspec.Struct, frozen=True):
    """An interpreter there, as the agent tells it (agent/environment/interpreters.py)."""

    name: str
    path: str
    setting: str
    kind: str
    version: str = ""
    packages: dict[str, str] = {}
    cuda: str = ""
    lacks: list[str] = []
    problem: str = ""


class Told(msgspec.Struct, frozen=True):
    """A list of them. `driver`: NVIDIA's, on that machine."""

    driver: str
    interpreters: list[Row]


class _Look(NamedTuple):
    """What was found without asking anybody: an interpreter, or the list to choose from and what
    the project imports."""

    found: messages.PythonFound | None
    rows: list[Row]
    needed: list[str]


class _Key(NamedTuple):
    """What a look holds for."""

    agent: AgentConnection
    root: int
    wanted: str
    setup: str


class Interpreters:
    """Those of one session, and the choice among them."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.origins: Mapping[str, str] = {}
        """Where each setting stands, for messages."""
        self._environment: (
            tuple[AgentConnection, str, asyncio.Task[messages.EnvironmentReady]] | None
        ) = None
        self._look: tuple[_Key, asyncio.Task[_Look]] | None = None
        self._chosen: tuple[_Key, messages.PythonFound] | None = None
        self._choosing = asyncio.Lock()

    # --- ahead -------------------------------------------------------------------------------

    def connected(self, agent: AgentConnection) -> None:
        """A connection stands: the environment is made while both sides are brought together."""
        self._begin(agent)

    def attached(self) -> None:
        """The project is there: its interpreter is looked for."""
        if self._session.link.agent is not None:
            self._looking(self._key(self._session.link.agent))

    def forget(self) -> None:
        """The settings have changed, or the connection has gone."""
        for task in (self._environment and self._environment[2], self._look and self._look[1]):
            if task:
                task.cancel()
        self._environment = self._look = self._chosen = None

    # --- for runs ----------------------------------------------------------------------------

    async def chosen(self) -> messages.PythonFound:
        """The interpreter that jobs get; in the stated order, with the question where it comes to
        that.

        Raises:
            RemoteError: there is none, or not the one that was configured.
            RunError: `setup` failed, or nobody chose.
        """
        agent = await self._session.ready()
        async with self._choosing:
            key = self._key(agent)
            if self._chosen is None or self._chosen[0] != key:
                try:
                    look = await asyncio.shield(self._looking(key))
                except RemoteError as error:
                    raise self._placed(error) from None
                if look.found is None:
                    found = await self._decided(agent, look)
                else:
                    found = look.found
                    if not key.wanted:
                        await self._try_to_write(self._setting(found))
                self._chosen = self._key(agent), found
            return self._chosen[1]

    async def known(self) -> messages.PythonFound:
        """As `chosen`, but nobody is asked, and nothing is written down."""
        agent = await self._session.ready()
        key = self._key(agent)
        if self._chosen is not None and self._chosen[0] == key:
            return self._chosen[1]
        look = await asyncio.shield(self._looking(key))
        if look.found:
            return look.found
        row, source = decide(look.rows, look.needed)
        if row is None:
            raise self._undecided(_why_open(look.rows, look.needed))
        return messages.PythonFound(0, row.path, row.version, source)

    async def environment(self) -> messages.EnvironmentReady:
        """What the agent says of the environment that jobs get.

        Raises:
            RunError: `setup` failed.
        """
        return await asyncio.shield(self._begin(await self._session.ready()))

    async def survey(self) -> tuple[Told, list[str]]:
        """All interpreters there, looked for now, and what the project imports."""
        agent = await self._session.ready()
        await asyncio.shield(self._begin(agent))
        if not self._session.host.python:
            self._look = self._chosen = None  # what came since then may be the one
        return await self._survey(agent)

    async def lacking(self, module: str) -> str:
        """What to do where a job had no such module: which interpreters have it; "" where this
        cannot be told soon."""
        if self._chosen is None or module in sys.stdlib_module_names:
            return ""
        key, found = self._chosen
        try:
            told = await asyncio.wait_for(self._told(key.agent, [module]), ADVICE_SECONDS)
        except (SidecarError, asyncio.TimeoutError):
            return ""
        rows = [row for row in told.interpreters if not row.problem and row.version]
        own = next((row for row in rows if row.path == found.path), None)
        if own is not None and module not in own.lacks:
            return ""
        name = own.name if own else found.path
        having = [row.name for row in rows if module not in row.lacks][:3]
        if having:
            use = f"`sidecar envs use {having[0]}`"
            return f"{module} is not in {name}; {', '.join(having)} has it: {use}"
        return (
            f"{module} is not installed for the Python that runs there ({name}), nor for another "
            f"one that `sidecar envs` finds on {self._session.name}"
        )

    async def named(self, setting: str) -> messages.PythonFound:
        """The one that `python` in a host's settings would name so, for this once.

        Raises:
            RemoteError: it is not there, or no usable Python.
        """
        agent = await self._session.ready()
        await asyncio.shield(self._begin(agent))
        return await self._asked(agent, setting)

    async def use(self, setting: str) -> messages.PythonFound:
        """Has the jobs run with this one from now on, and writes it down.

        Raises:
            RemoteError: it is not there, or no usable Python.
            ConfigError: it cannot be written down.
        """
        agent = await self._session.ready()
        await asyncio.shield(self._begin(agent))
        found = await self._asked(agent, setting)
        await self._written(setting)
        self._chosen = self._key(agent), found
        return found

    # --- looking -----------------------------------------------------------------------------

    def _key(self, agent: AgentConnection) -> _Key:
        host = self._session.host
        return _Key(agent, self._session.number, host.python, host.setup)

    def _begin(self, agent: AgentConnection) -> asyncio.Task[messages.EnvironmentReady]:
        """The task that has the environment made; a new one where the last one failed."""
        setup = self._session.host.setup
        before = self._environment
        if before is None or before[:2] != (agent, setup) or _failed(before[2]):
            task = in_nobodys_name(self._make(agent, setup), name="environment there")
            task.add_done_callback(_noted)
            self._environment = before = agent, setup, task
        return before[2]

    async def _make(self, agent: AgentConnection, setup: str) -> messages.EnvironmentReady:
        answer = await agent.request(lambda number: messages.Environment(number, setup))
        if isinstance(answer, messages.SetupFailed):
            raise await asyncio.to_thread(self._setup_failed, answer, setup)
        assert isinstance(answer, messages.EnvironmentReady)
        if answer.problem:
            log.warning("%s: the login shell: %s", self._session.name, answer.problem)
        return answer

    def _looking(self, key: _Key) -> asyncio.Task[_Look]:
        before = self._look
        if before is None or before[0] != key or _failed(before[1]):
            task = in_nobodys_name(self._looked(key), name="interpreter there")
            task.add_done_callback(_noted)
            self._look = before = key, task
        return before[1]

    async def _looked(self, key: _Key) -> _Look:
        await asyncio.shield(self._begin(key.agent))
        found = await self._asked(key.agent, key.wanted)
        if found.path:
            return _Look(found, [], [])
        told, needed = await self._survey(key.agent)
        return _Look(None, told.interpreters, needed)

    async def _asked(self, agent: AgentConnection, wanted: str) -> messages.PythonFound:
        root = self._session.root
        names = [] if wanted else await asyncio.to_thread(imports.conda_names, root)
        setup = self._session.host.setup
        found = await agent.request(
            lambda number: messages.Python(number, self._session.number, wanted, setup, names)
        )
        assert isinstance(found, messages.PythonFound)
        return found

    async def _survey(self, agent: AgentConnection) -> tuple[Told, list[str]]:
        needed = await asyncio.to_thread(imports.needed, self._session.root)
        return await self._told(agent, needed), needed

    async def _told(self, agent: AgentConnection, needed: list[str]) -> Told:
        setup = self._session.host.setup
        answer = await agent.request(
            lambda number: messages.Survey(number, self._session.number, setup, needed)
        )
        assert isinstance(answer, messages.Surveyed)
        return msgspec.json.decode(answer.body, type=Told)

    # --- choosing ----------------------------------------------------------------------------

    async def _decided(self, agent: AgentConnection, look: _Look) -> messages.PythonFound:
        row, source = decide(look.rows, look.needed)
        if row is None:
            row = await self._question(look)
            source = "as you chose"
        found = await self._asked(agent, row.setting)
        if source not in NOT_WRITTEN:
            await self._try_to_write(row.setting)
        return found._replace(source=source)

    async def _question(self, look: _Look) -> Row:
        rows = sorted(
            (row for row in look.rows if not row.problem), key=lambda row: len(row.lacks)
        )[:MOST_OFFERED]
        labels = {described(row): row for row in rows}
        name = self._session.name
        why = _why_open(rows, look.needed)
        fix = "`sidecar envs use NAME`"
        answer = await WhoeverAsked().choose(
            Choice(
                f"Which Python is to run this project on {name}? {why}. The answer is written to "
                f"{LOCAL}.",
                (*labels, NOT_NOW),
                fix,
            )
        ) if rows else None  # fmt: skip
        if answer is None or answer not in labels:
            raise self._undecided(why)
        return labels[answer]

    def _undecided(self, why: str) -> RunError:
        name = self._session.name
        return RunError(
            f"No Python is chosen for jobs on {name}",
            why,
            f"see `sidecar envs`, then run `sidecar envs use NAME`, or write hosts.{name}.python "
            f"in {LOCAL}",
            code="which-python",
        )

    def _setting(self, found: messages.PythonFound) -> str:
        """What the configuration says for an interpreter that the agent chose."""
        inside = self._session.engine.remote_root + "/"
        if found.path.startswith(inside):
            return found.path[len(inside) :]
        _, _, name = found.source.rpartition("conda environment ")
        return f"conda:{name}"

    async def _try_to_write(self, setting: str) -> None:
        try:
            await self._written(setting)
        except SidecarError as error:
            log.warning("%s is not written down: %s", setting, error)

    async def _written(self, setting: str) -> None:
        """Raises ConfigError."""
        project, name = self._session.project, self._session.name

        def work() -> None:
            if not came_along(project.root / LOCAL):
                write.set_value(project, ("hosts", name, "python"), setting)

        await asyncio.to_thread(work)
        # As it will be read from now on: nothing has to be looked for again.
        self._session.host = msgspec.structs.replace(self._session.host, python=setting)

    # --- words -------------------------------------------------------------------------------

    def _placed(self, error: RemoteError) -> RemoteError:
        """With where the setting stands that it is about."""
        key = f"hosts.{self._session.name}.python"
        if self._session.host.python and key in self.origins:
            error.what = f"{error.what} ({self.origins[key]}, {key})"
        return error

    def _setup_failed(self, failed: messages.SetupFailed, setup: str) -> RunError:
        key = ("hosts", self._session.name, "setup")
        origin = self.origins.get(".".join(key), "")
        file, _, number = origin.rpartition(":")
        place = origin
        lines = setup.split("\n")
        command = lines[failed.line - 1].strip() if 0 < failed.line <= len(lines) else ""
        if number.isdigit() and failed.line:
            place = f"{file}:{_line_of(self._session, file, int(number), failed.line)}"
        at = f" ({place})" if place else ""
        said = f". It said:\n{failed.output.strip()}" if failed.output.strip() else ""
        subject = f"`{command}`" if command else "the shell"
        return RunError(
            f"`setup` failed on {self._session.name}{at}",
            f"{subject} {failed.why.removeprefix('it ')}{said}",
            f"mend hosts.{self._session.name}.setup",
            code="setup-failed",
        )


def decide(rows: Sequence[Row], needed: Sequence[str]) -> tuple[Row | None, str]:
    """The third rule: an interpreter and the reason, or none where a person has to say."""
    usable = [row for row in rows if not row.problem]
    if len(usable) == 1:
        return usable[0], THE_ONLY_ONE
    if not needed:
        login = next((row for row in usable if row.kind == "login"), None)
        return login, BY_DEFAULT
    having = [row for row in usable if not row.lacks]
    if len(having) == 1:
        some = ", ".join(needed[:3]) + (", …" if len(needed) > 3 else "")
        return having[0], f"the only Python there with {some}"
    return None, ""


def described(row: Row) -> str:
    """A line to choose by."""
    shown = [f"{name} {version}" for name, version in list(row.packages.items())[:4]]
    parts = [f"{row.name}: Python {row.version}", *shown]
    if row.lacks:
        parts.append(f"without {', '.join(row.lacks[:4])}")
    return ", ".join(parts)


def _why_open(rows: Sequence[Row], needed: Sequence[str]) -> str:
    some = ", ".join(needed[:5]) + (", …" if len(needed) > 5 else "")
    if not rows:
        return "no usable one was found there"
    if not needed:
        return f"there are {', '.join(row.name for row in rows[:5])}"
    having = [row.name for row in rows if not row.lacks]
    if not having:
        return f"none has all that it imports ({some})"
    return f"{', '.join(having[:5])} have what it imports ({some})"


def _line_of(session: Session, file: str, first: int, line: int) -> int:
    """Where the `line`th line of a text stands in its file that begins at line `first`."""
    try:
        rows = (session.project.root / file).read_text(encoding="utf-8").split("\n")
        begun = rows[first - 1].partition("=")[2].strip()
    except (OSError, UnicodeDecodeError, IndexError):
        return first
    if begun[:3] not in ('"""', "'''"):
        return first
    # TOML leaves out a line end right behind the quotes.
    return first + line - (0 if begun[3:] == "" else 1)


def _failed(task: asyncio.Task[object]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


def _noted(task: asyncio.Task[object]) -> None:
    """Nobody may ask for it: whoever does finds the error, or looks again."""
    if not task.cancelled() and (error := task.exception()):
        kind = getattr(error, "code", type(error).__name__)
        log.info("%s: %s", task.get_name(), kind)
