"""`launch`: what every job's command is put behind, and that a login node is not run on unasked."""

from __future__ import annotations

import posixpath
import re
import shlex

from sidecar import api
from sidecar.errors import RunError, UsageError
from sidecar.hub.sessions import Session

_SAYS_TASKS = re.compile(r"-[nNl]\d*$|--(pty|label|nodes|ntasks|ntasks-per-node)(=|$)")


def behind(launch: str, *, terminal: bool) -> list[str]:
    """The words that a command is put behind.

    They are a shell's words. Where they hold a variable, a shell of the job reads them, and becomes
    what they name. `srun` gives a job on a terminal one of its own, as `--pty` has it, unless the
    line says how many tasks there are: all but the first of them would lose their output.
    """
    words = shlex.split(launch)
    if not words:
        return []
    is_srun = posixpath.basename(words[0]) == "srun"
    if terminal and is_srun and not any(map(_SAYS_TASKS.match, words)):
        program, _, rest = launch.strip().partition(" ")
        launch = f"{program} --pty {rest}".strip()
        words = shlex.split(launch)
    if "$" not in launch:
        return words
    return ["/bin/sh", "-c", f'exec {launch} "$@"', "sidecar"]


def variables(launch: str) -> dict[str, str]:
    """What a launcher is told besides, so that every Ctrl-C is the program's: srun keeps the first
    one for itself, and kills at the second, unless this is set (its `--disable-status`)."""
    words = shlex.split(launch)
    has_srun = any(posixpath.basename(word) == "srun" for word in words)
    return {"SLURM_DISABLE_STATUS": "1"} if has_srun else {}


def gpus(params: api.RunParams, launch: str) -> str:
    """How many GPUs a run wants, as its record says until they are chosen; "" for none.

    Raises:
        UsageError: it goes on to another machine, whose GPUs are somebody else's to give.
    """
    if params.gpus <= 0:
        return ""
    if launch:
        raise UsageError(
            "--gpus chooses among the GPUs of the machine that the agent runs on",
            f"the program is put behind `{launch}`",
            "have the launcher give them, as `srun --gres=gpu:2` does",
        )
    return f"{params.gpus} busy" if params.busy else str(params.gpus)


async def refuse_a_login_node(session: Session) -> None:
    """Where `sbatch` is on PATH and this is no allocation, nothing is run before somebody said how:
    a job there is in the way of everybody, and is soon killed.

    Raises:
        RunError: as it says.
    """
    if session.host.launch is not None:
        return
    found = await session.interpreters.environment()
    if found.sbatch:
        raise RunError(
            f"{session.name} is a login node of a cluster, and nothing says how to run there",
            f"{found.sbatch} is on PATH, and SLURM_JOB_ID is not set",
            f'write `launch = "srun"` under [hosts.{session.name}], with the options that a job '
            'needs (`"srun --gres=gpu:1 --time=1:00:00"`); `launch = ""` runs on the login node',
            code="login-node",
        )
