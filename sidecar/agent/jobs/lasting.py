"""Whether a job outlives the login session in which it was started.

systemd's logind may be set to end all of a user's processes with the last session of theirs
(KillUserProcesses), detached or not: what stands in the session's scope is killed. Where the user
lingers (`loginctl enable-linger`), the user's own manager stays, and a scope below it is nobody's
session: there the supervisor goes, by `systemd-run --user --scope`, which takes its place in the
process table and nothing else. Where the user does not, the person is told at the job's start;
to let them linger is theirs to decide, and often an administrator's.
"""

import glob
import os
import pwd
import shutil
import subprocess
import sys
from typing import Dict, List, NamedTuple, Optional

CONFIGURATION = (
    "/usr/lib/systemd/logind.conf",
    "/etc/systemd/logind.conf",
    "/usr/lib/systemd/logind.conf.d/*.conf",
    "/run/systemd/logind.conf.d/*.conf",
    "/etc/systemd/logind.conf.d/*.conf",
)
"""Later ones win. What logind itself says goes before them: its build has defaults of its own."""

LINGERS = "/var/lib/systemd/linger/%s"

PATIENCE = 5.0
"""Seconds for one of systemd's tools; it may have to wake a bus."""

SCOPE = ("systemd-run", "--user", "--scope", "--quiet", "--collect", "--")


class Lasting(NamedTuple):
    """`before`: what the supervisor's command is put behind. `warning`: why jobs will not outlive
    the session, and what helps; "" where they do."""

    before: List[str]
    warning: str


class Facts(NamedTuple):
    """What is known of the machine. `cgroup`: of this process, as in /proc/self/cgroup;
    `settings`: lines of logind, its own or its configuration's; `runtime`: the user's runtime
    folder where its manager's bus is, "" where there is none."""

    user: str
    cgroup: str
    settings: str
    lingers: bool
    runtime: str


def judge(facts: Facts) -> Lasting:
    """What is to be done so that jobs last."""
    if not _in_session(facts.cgroup) or not _are_killed(facts.user, facts.settings):
        return Lasting([], "")
    if facts.lingers and facts.runtime:
        return Lasting(["env", "XDG_RUNTIME_DIR=%s" % facts.runtime, *SCOPE], "")
    if facts.lingers:
        return Lasting([], _warning("its user manager cannot be reached"))
    return Lasting([], _warning("`loginctl enable-linger` there, once, lets them run on"))


def here() -> Lasting:
    """The same for this machine, tried out where it matters. Takes no time where no session of
    logind's holds us, else some milliseconds."""
    if not sys.platform.startswith("linux"):
        return Lasting([], "")
    cgroup = _text("/proc/self/cgroup")
    if not _in_session(cgroup):
        return Lasting([], "")
    user = _user()
    found = judge(Facts(user, cgroup, _settings(), os.path.exists(LINGERS % user), _runtime()))
    if found.before and _asked(*found.before, "true") is None:
        return Lasting([], _warning("a scope of its own was refused (systemd-run --user --scope)"))
    return found


def _warning(why: str) -> str:
    return (
        "this machine ends a user's programs with the last session (KillUserProcesses), so jobs "
        "end when nobody is logged in any more; %s" % why
    )


def _in_session(cgroup: str) -> bool:
    """Whether logind counts the process to a session: "…/session-3.scope", in version 1 (the
    hierarchy "name=systemd") and version 2 (the one without a name)."""
    for line in cgroup.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        last = path.rpartition("/")[2]
        if controllers in ("", "name=systemd") and last.startswith("session-"):
            return last.endswith(".scope")
    return False


def _are_killed(user: str, settings: str) -> bool:
    known = _parsed(settings)
    if known.get("KillUserProcesses", "no").lower() not in ("yes", "true", "1", "on", "y", "t"):
        return False
    only = known.get("KillOnlyUsers", "").split()
    excluded = known.get("KillExcludeUsers", "root").split()
    return user not in excluded and (not only or user in only)


def _parsed(settings: str) -> Dict[str, str]:
    found: Dict[str, str] = {}
    for line in settings.splitlines():
        name, equals, value = line.partition("=")
        if equals and not name.lstrip().startswith(("#", ";")):
            found[name.strip()] = value.strip()
    return found


def _settings() -> str:
    files = [path for pattern in CONFIGURATION for path in sorted(glob.glob(pattern))]
    names = ("KillUserProcesses", "KillOnlyUsers", "KillExcludeUsers")
    told = _asked("loginctl", "show-session", *("--property=%s" % name for name in names))
    return "\n".join([*map(_text, files), told or ""])


def _runtime() -> str:
    for path in (os.environ.get("XDG_RUNTIME_DIR", ""), "/run/user/%d" % os.geteuid()):
        if path and os.path.exists(os.path.join(path, "bus")):
            return path
    return ""


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(1 << 16)
    except OSError:
        return ""


def _asked(*command: str) -> Optional[str]:
    """What it says, None where it fails or is not there."""
    if shutil.which(command[0]) is None:
        return None
    try:
        answer = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.decode("utf-8", "replace") if answer.returncode == 0 else None
