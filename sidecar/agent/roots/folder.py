"""What a folder is before it is a root: where it lies, and whether it may ever become one.

Nothing here writes, and no shell is asked: `~` and `$VAR` are expanded as a shell would, from the
environment that the agent was started with.
"""

import os
import pwd
import re
from typing import List, NamedTuple, Optional

from sidecar.agent.failure import Failure, explain
from sidecar.core import paths

OURS = paths.OURS.encode()

MOST_ENTRIES = 100000
"""Entries counted at the top of a folder; beyond it the exact number says no more."""

_VARIABLE = re.compile(rb"\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})")

_HOME_MARKS = (
    b".ssh", b".bashrc", b".bash_history", b".bash_profile", b".zshrc",
    b".zsh_history", b".login", b".cshrc", b".tcshrc", b".gnupg",
)  # fmt: skip
"""What only a home folder holds. Not `.profile`: some projects have one, for their host."""

_SYSTEM = frozenset(
    b"/bin /boot /dev /etc /home /lib /lib64 /media /mnt /opt /proc /root /run /sbin /srv /sys "
    b"/tmp /usr /usr/local /var /var/tmp /Users /Applications /Library /System /private "
    b"/private/tmp /private/var /Volumes".split()
)
_KERNEL = (b"/proc/", b"/sys/", b"/dev/")
_SHARED_MEMORY = b"/dev/shm/"
_HOMES = (b"/home", b"/Users")


class Look(NamedTuple):
    """What is at a folder's place; fields as in messages.Opened."""

    exists: bool
    writable: bool
    entries: int
    device: int
    refused: str
    free_bytes: int
    user: str = ""


def encode(name: str) -> bytes:
    """A name of the wire as the file system's bytes, whatever this process's locale is."""
    return name.encode("utf-8", "surrogateescape")


def decode(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def home() -> bytes:
    """The user's home folder."""
    named = os.environb.get(b"HOME", b"")
    if named.startswith(b"/"):
        return named
    try:
        return os.fsencode(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        raise Failure(
            "path",
            "your home folder is not known on that machine",
            "$HOME is not set, and the user database has no entry for user %d" % os.getuid(),
            "write the whole path out in hosts.X.path",
        ) from None


def expand(path: str) -> bytes:
    """The absolute path that a configured one means, with links resolved as far as it exists.
    A relative one begins at the home folder, as in `scp`.

    Raises:
        Failure: empty, with a NUL, or naming a user or a variable that is not there.
    """
    if not path or "\0" in path:
        raise Failure("path", "%r is no path" % path, "", "set hosts.X.path to a folder")
    try:
        raw = encode(path)
    except UnicodeEncodeError:
        raise Failure("path", "%r is no path that a file system can hold" % path) from None
    if raw.startswith(b"~"):
        user, slash, rest = raw[1:].partition(b"/")
        raw = _home_of(user) + slash + _variables(rest)
    else:
        raw = _variables(raw)
    return os.path.realpath(raw if raw.startswith(b"/") else os.path.join(home(), raw))


def _home_of(user: bytes) -> bytes:
    if not user:
        return home()
    try:
        return os.fsencode(pwd.getpwnam(decode(user)).pw_dir)
    except (KeyError, ValueError):
        raise Failure(
            "path", "there is no user %s on this machine" % decode(user), "", "write the path out"
        ) from None


def _variables(raw: bytes) -> bytes:
    def value(match: "re.Match[bytes]") -> bytes:
        name = match.group(1) or match.group(2)
        if name not in os.environb:
            raise Failure(
                "path",
                "there is no variable $%s on this machine" % decode(name),
                "variables of a login shell's profile are not seen here",
                "write the path out in hosts.X.path",
            )
        return os.environb[name]

    return _VARIABLE.sub(value, raw)


def look(path: bytes) -> Look:
    """What is at that place now. `path` comes from `expand`.

    Raises:
        Failure: it cannot be looked at.
    """
    try:
        status: Optional[os.stat_result] = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        status = None
    except OSError as error:
        raise Failure("path", "%s cannot be looked at" % decode(path), explain(error)[1]) from None
    there = path
    while not os.path.lexists(there):
        there = os.path.dirname(there)
    try:
        disk = os.statvfs(there)
        free = disk.f_bavail * disk.f_frsize
    except OSError:
        free = -1
    if status is None:
        refused = why_never(path)
        if not refused and not os.path.isdir(there):
            refused = "%s is not a folder" % decode(there)
        return Look(False, _writable(there), 0, 0, refused, free)
    if not os.path.isdir(path):
        return Look(True, False, 0, status.st_dev, "%s is not a folder" % decode(path), free)
    entries = 0
    try:
        with os.scandir(path) as found:
            for entry in found:
                entries += entry.name != OURS
                if entries == MOST_ENTRIES:
                    break
    except OSError as error:
        raise Failure("path", "%s cannot be read" % decode(path), explain(error)[1]) from None
    refused, user = why_never(path), _user(status.st_uid)
    return Look(True, _writable(path), entries, status.st_dev, refused, free, user)


def _user(number: int) -> str:
    """A user's name; the number where nobody knows it, as in containers."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _writable(path: bytes) -> bool:
    return os.access(path, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids)


def why_never(path: bytes) -> str:
    """Why this absolute, resolved path can never be a project's folder; empty where it can."""
    shown = decode(path)
    if path == b"/":
        return "/ is the whole machine, not a project"
    if path in _SYSTEM or (path.startswith(_KERNEL) and not path.startswith(_SHARED_MEMORY)):
        return "%s is a folder of the system, not a project" % shown
    if b"/%s/" % OURS in path + b"/":
        return "%s lies in the sidecar's own folder" % shown
    mine = _own_homes()
    for one in mine:
        if path == one or _same(path, one):
            return "%s is a home folder, not a project" % shown
        if one.startswith(path + b"/"):
            return "%s holds your home folder" % shown
    above = os.path.dirname(path)
    if above in _HOMES or above in [os.path.dirname(one) for one in mine]:
        try:
            if os.path.realpath(_home_of(os.path.basename(path))) == path:
                return "%s is a home folder, not a project" % shown
        except Failure:
            pass  # no user of that name: a folder beside the homes
    for mark in _HOME_MARKS:
        if os.path.lexists(os.path.join(path, mark)):
            return "%s holds %s, as home folders do" % (shown, decode(mark))
    return ""


def _own_homes() -> List[bytes]:
    """Where the user is at home: as the environment says, and as the user database does, which
    in containers often knows nobody."""
    homes = []
    if os.environb.get(b"HOME", b"").startswith(b"/"):
        homes.append(os.environb[b"HOME"])
    try:
        homes.append(os.fsencode(pwd.getpwuid(os.getuid()).pw_dir))
    except KeyError:
        pass
    return [os.path.realpath(one) for one in homes]


def _same(path: bytes, other: bytes) -> bool:
    try:
        return os.path.samefile(path, other)
    except OSError:
        return False
