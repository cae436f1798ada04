"""The settings: their names, types, defaults and meanings.

These Structs are the one list of what may stand in a configuration file. A field is written there
as it is called here, but for `required-version`. Sizes are bytes, times are seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

from sidecar.config import values


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all tables."""


class Host(Settings, frozen=True, kw_only=True):
    """A machine that the project may run on."""

    ssh: Annotated[str, values.DESTINATION] = ""
    """What one would type after `ssh`; left out, the table's name."""
    path: Annotated[str, values.REMOTE_PATH] = ""
    """The project's place there; `{folder}` is the project folder's name. Left out: ~/{folder}."""
    python: Annotated[str, values.TEXT] = ""
    """A path, or "conda:NAME"; left out: found, in a stated order."""
    setup: Annotated[str, values.SCRIPT] = ""
    """Shell lines whose environment jobs get, run once in a login shell."""
    env: Annotated[dict[str, str] | list[str], values.ENVIRONMENT] = {}
    """Values for jobs; or names of variables to pass on from here."""
    forward: Annotated[list[str], values.FORWARDS] = []
    """Ports there, each "PORT" or "PORT:HOST:PORT", that can be reached here, on the loopback only;
    a path in a port's place is a socket's."""
    ports: Literal["offer", "forward", "ignore"] = "offer"
    """What becomes of a port on which a job starts to listen: it is told, forwarded at once, or
    left alone. One that `forward` or a LocalForward names is always forwarded."""
    launch: Annotated[str | None, values.COMMAND] = None
    """What every job's command is put behind, such as "srun --gres=gpu:1"; "" is nothing, also on
    the login node of a cluster, where nothing runs as long as it is left out."""
    via: Annotated[str, values.TEXT] = ""
    """What the agent's command is put behind, such as "docker exec -i train"."""
    transport: Literal["", "asyncssh", "openssh"] = ""
    """"openssh" is the system's ssh binary; "" leaves the choice to the connection."""
    bootstrap: Literal["exec", "stdin"] = "exec"
    """How the agent's first stage travels: in the command (a round trip faster, but audit logs
    keep the whole of it), or on stdin."""
    git: bool = True
    """Keep HEAD and index there in step with here."""
    state: Annotated[str, values.REMOTE_PATH] = ""
    """Where jobs and their records are kept there; left out: the user's state folder."""
    log_max: Annotated[int, values.SIZE] = 1 << 30
    """Of a job's log beyond this size the middle is dropped, unless somebody has yet to see it:
    then the job waits."""
    freeze: bool = False
    """Each run gets a copy of the code as it is at its start, which later saves do not change."""
    on_quit: Literal["", "keep", "stop"] = ""
    """What becomes of the running jobs of a terminal that is closed, or an editor that quits;
    left out: they are kept, and the next run asks, once."""

    def environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """`env` as values, with the named ones taken from `environ` where they are set there."""
        if isinstance(self.env, dict):
            return dict(self.env)
        return {name: environ[name] for name in self.env if name in environ}


class Sync(Settings, frozen=True, kw_only=True):
    """What is kept the same, and in which direction."""

    mode: Literal["push", "mirror"] = "push"
    """push: what only the remote has is left alone; mirror: nothing else stays there."""
    ignore: Annotated[list[str], values.PATTERNS] = []
    """.gitignore syntax, besides the .gitignore files and the built-in rules."""
    include: Annotated[list[str], values.PATTERNS] = []
    """Sent although something else ignores it."""
    pull: Annotated[list[str], values.PATTERNS] = []
    """Brought here from the remote as they appear."""
    pull_max: Annotated[int, values.SIZE] = 100_000_000
    """Larger ones are listed, and fetched by hand."""
    ask_above: Annotated[int, values.SIZE] = 1_000_000_000
    """A plan that moves more asks first, and names the biggest."""


class Config(Settings, frozen=True, kw_only=True):
    """A whole configuration."""

    required_version: Annotated[str, values.TEXT] = msgspec.field(
        default="", name="required-version"
    )
    """Versions of the sidecar that understand these files, such as ">=0.1"."""
    host: Annotated[str, values.HOST_NAME] = ""
    """Where saves and runs go, where there are several hosts."""
    linger: Annotated[float | None, values.DURATION] = None
    """How long the hub stays after its last client has gone; left out: the ControlPersist of the
    ssh configuration, else 0."""
    links: bool = True
    """Places in a job's output, on a terminal, lead to the files here."""
    hosts: dict[str, Host] = {}
    sync: Sync = Sync()
